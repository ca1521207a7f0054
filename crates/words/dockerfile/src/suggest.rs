//! The nearest valid word, for those who mistyped one.

/// The option that is at most two changes away from `word`, the nearest; letters' case does not count.
pub fn nearest<'a>(word: &str, options: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let most = if word.chars().count() < 3 { 1 } else { 2 };
    options
        .into_iter()
        .map(|option| (distance(&lower, &option.to_lowercase()), option))
        .filter(|(distance, _)| (1..=most).contains(distance))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, option)| option)
}

/// ` (did you mean X?)`, or nothing.
pub fn hint<'a>(word: &str, options: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, options).map(|option| format!(" (did you mean {option}?)")).unwrap_or_default()
}

// Letters added, left out, replaced or changed places with the next: one change each. A row at a time.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let mut above: Vec<usize> = Vec::new();
    for (i, left) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, right) in b.iter().enumerate() {
            let substituted = row[j] + usize::from(left != right);
            let mut least = substituted.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && *left == b[j - 1] && a[i - 1] == *right {
                least = least.min(above[j - 1] + 1);
            }
            next.push(least);
        }
        above = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_named() {
        assert_eq!(nearest("FORM", ["FROM", "RUN"]), Some("FROM"));
        assert_eq!(nearest("chwon", ["chown", "chmod"]), Some("chown"));
        assert_eq!(nearest("nothing", ["FROM", "RUN"]), None);
        assert_eq!(nearest("RUN", ["RUN"]), None, "it is that word");
        assert_eq!(nearest("MCD", ["ADD", "CMD"]), Some("CMD"), "places changed are one change");
    }
}

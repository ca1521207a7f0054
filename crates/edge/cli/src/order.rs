//! The order of lists: digits by their number, as a person counts.

use std::cmp::Ordering;

/// `a2` before `a10` (Docker's lists are in this order).
pub fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (plain, number) = split(left);
        let (other_plain, other_number) = split(right);
        let order = plain.cmp(other_plain);
        if order != Ordering::Equal || (number.is_empty() && other_number.is_empty()) {
            return order;
        }
        let value =
            |digits: &str| (digits.trim_start_matches('0').len(), digits.trim_start_matches('0').to_owned());
        let order = value(number).cmp(&value(other_number)).then(number.len().cmp(&other_number.len()));
        if order != Ordering::Equal {
            return order;
        }
        left = &left[plain.len() + number.len()..];
        right = &right[other_plain.len() + other_number.len()..];
    }
}

/// What stands before the first digits, and those digits.
fn split(text: &str) -> (&str, &str) {
    let start = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
    let end = text[start..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |length| start + length);
    (&text[..start], &text[start..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count() {
        let mut names = ["a10", "a2", "b", "a", "a02", "a2b1", "10", "9"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["9", "10", "a", "a2", "a2b1", "a02", "a10", "b"]);
    }
}

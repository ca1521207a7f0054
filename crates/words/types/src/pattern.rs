//! The patterns of name filters: what people use of regular expressions there, matched without blow-up.
//!
//! `^ $ . * + ? [a-z] \x |`; everything else stands for itself. Matching is by sets of positions, so its time is the
//! product of the lengths, whatever the pattern.

/// A pattern; matches anywhere in a text unless anchored.
#[derive(Debug)]
pub struct Pattern {
    branches: Vec<Branch>,
}

#[derive(Debug, Default)]
struct Branch {
    from_start: bool,
    to_end: bool,
    items: Vec<(Item, Times)>,
}

#[derive(Debug, Clone)]
enum Item {
    Any,
    One(char),
    Class { negated: bool, ranges: Vec<(char, char)> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Times {
    Once,
    Maybe,
    Any,
    Many,
}

impl Pattern {
    /// Reads a pattern; there is none that is wrong.
    pub fn new(text: &str) -> Self {
        Self { branches: text.split('|').map(Branch::new).collect() }
    }

    /// Whether a text has it.
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        self.branches.iter().any(|branch| branch.matches(&text))
    }
}

impl Branch {
    fn new(text: &str) -> Self {
        let mut branch = Self::default();
        let mut rest = text.chars().peekable();
        if rest.peek() == Some(&'^') {
            branch.from_start = true;
            rest.next();
        }
        while let Some(c) = rest.next() {
            if c == '$' && rest.peek().is_none() {
                branch.to_end = true;
                break;
            }
            let item = match c {
                '.' => Item::Any,
                '\\' => Item::One(rest.next().unwrap_or('\\')),
                // Groups without repetition are what they hold.
                '(' | ')' => continue,
                '[' => class(&mut rest),
                c => Item::One(c),
            };
            let times = match rest.peek() {
                Some('*') => Times::Any,
                Some('+') => Times::Many,
                Some('?') => Times::Maybe,
                _ => Times::Once,
            };
            if times != Times::Once {
                rest.next();
            }
            branch.items.push((item, times));
        }
        branch
    }

    fn matches(&self, text: &[char]) -> bool {
        let count = self.items.len();
        let mut states = vec![false; count + 1];
        self.enter(&mut states, 0);
        for (index, c) in text.iter().enumerate() {
            if states[count] && !self.to_end {
                return true;
            }
            let mut next = vec![false; count + 1];
            for (position, (item, times)) in self.items.iter().enumerate() {
                if states[position] && item.fits(*c) {
                    if matches!(times, Times::Any | Times::Many) {
                        next[position] = true;
                    }
                    self.enter(&mut next, position + 1);
                    if *times == Times::Any {
                        self.enter(&mut next, position);
                    }
                }
            }
            if !self.from_start && index < text.len() {
                self.enter(&mut next, 0);
            }
            states = next;
        }
        states[count]
    }

    /// Marks a position, and those behind it that items which may be missing leave open.
    fn enter(&self, states: &mut [bool], position: usize) {
        states[position] = true;
        if let Some((_, Times::Any | Times::Maybe)) = self.items.get(position) {
            self.enter(states, position + 1);
        }
    }
}

impl Item {
    fn fits(&self, c: char) -> bool {
        match self {
            Self::Any => true,
            Self::One(own) => *own == c,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
        }
    }
}

fn class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Item {
    let negated = rest.peek() == Some(&'^');
    if negated {
        rest.next();
    }
    let mut ranges = Vec::new();
    while let Some(low) = rest.next() {
        if low == ']' && !ranges.is_empty() {
            break;
        }
        let mut high = low;
        if rest.peek() == Some(&'-') {
            rest.next();
            match rest.next() {
                None | Some(']') => {
                    ranges.push(('-', '-'));
                    ranges.push((low, low));
                    break;
                }
                Some(end) => high = end,
            }
        }
        ranges.push((low, high));
    }
    Item::Class { negated, ranges }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_s_patterns() {
        for (pattern, text, expected) in [
            ("web", "my-web-1", true),
            ("^web", "my-web", false),
            ("^web$", "web", true),
            ("^web$", "web1", false),
            ("w.b", "wxb", true),
            ("^a.*z$", "abcz", true),
            ("^a.*z$", "abc", false),
            ("a+b?c", "aac", true),
            ("^[a-c]+$", "abcabc", true),
            ("^[^a-c]+$", "xyz", true),
            ("x|^b", "bcd", true),
            ("^(web)$", "web", true),
            ("a\\.b", "axb", false),
            ("", "anything", true),
            ("a$", "ba", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} {text}");
        }
        let evil = format!("^{}$", "a*".repeat(50));
        assert!(!Pattern::new(&evil).matches(&format!("{}b", "a".repeat(500))));
    }
}

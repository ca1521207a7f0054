//! The names of a network: what the daemon writes, what resolvers read.
//!
//! ```text
//! hull-names 1
//! 172.18.0.2,fd00::2 web www 0123456789ab
//! ```
//! One line for each endpoint: its addresses, then its names, the first of which is the container's own.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::IpAddr;

use crate::settings::is_word;

const FIRST_LINE: &str = "hull-names 1";

/// An endpoint: a container's place in a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The container's name, then the others by which it is found.
    pub names: Vec<String>,
}

/// The names of a network.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Names {
    // In lower case, without order.
    by_name: HashMap<Box<str>, Vec<IpAddr>>,
    by_address: HashMap<IpAddr, Box<str>>,
}

impl Names {
    /// The text of a network's file. Names that can't be asked for are left out.
    pub fn write<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> String {
        let mut text = format!("{FIRST_LINE}\n");
        for entry in entries {
            let names: Vec<&str> =
                entry.names.iter().map(String::as_str).filter(|name| is_word(name)).collect();
            if names.is_empty() || entry.addresses.is_empty() {
                continue;
            }
            let addresses: Vec<String> = entry.addresses.iter().map(IpAddr::to_string).collect();
            // Writing to a String does not fail.
            let _ = writeln!(text, "{} {}", addresses.join(","), names.join(" "));
        }
        text
    }

    /// Reads it; the number of the line that is not understood otherwise.
    pub fn read(text: &str) -> Result<Self, usize> {
        let mut names = Self::default();
        let mut lines = text.lines();
        if lines.next() != Some(FIRST_LINE) {
            return Err(1);
        }
        for (number, line) in lines.enumerate() {
            names.read_line(line).ok_or(number + 2)?;
        }
        Ok(names)
    }

    fn read_line(&mut self, line: &str) -> Option<()> {
        let mut words = line.split_ascii_whitespace();
        let addresses: Option<Vec<IpAddr>> = words.next()?.split(',').map(|word| word.parse().ok()).collect();
        let addresses = addresses?;
        let own = line.split_ascii_whitespace().nth(1)?;
        for address in &addresses {
            self.by_address.entry(*address).or_insert_with(|| own.into());
        }
        for name in words {
            let known =
                self.by_name.entry(name.trim_end_matches('.').to_ascii_lowercase().into()).or_default();
            for address in &addresses {
                if !known.contains(address) {
                    known.push(*address);
                }
            }
        }
        Some(())
    }

    /// The addresses of a name in lower case.
    pub(crate) fn addresses(&self, name: &str) -> Option<&[IpAddr]> {
        self.by_name.get(name).map(Vec::as_slice)
    }

    /// The container that has an address.
    pub(crate) fn name_of(&self, address: IpAddr) -> Option<&str> {
        self.by_address.get(&address).map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let entry = |addresses: &[&str], names: &[&str]| Entry {
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        let entries = [
            entry(&["172.18.0.2", "fd00::2"], &["Web", "www", "bad name", "new\nline", ""]),
            entry(&["172.18.0.3"], &["other", "WWW"]),
            entry(&[], &["nowhere"]),
            entry(&["172.18.0.9"], &["\t"]),
        ];
        let text = Names::write(&entries);
        assert_eq!(text, "hull-names 1\n172.18.0.2,fd00::2 Web www\n172.18.0.3 other WWW\n");
        let names = Names::read(&text).unwrap();
        assert_eq!(names.addresses("www").unwrap().len(), 3);
        assert_eq!(names.addresses("web").unwrap().len(), 2);
        assert_eq!(names.addresses("nowhere"), None);
        assert_eq!(names.name_of("fd00::2".parse().unwrap()), Some("Web"));
    }

    #[test]
    fn what_is_not_understood_is_told() {
        for (text, line) in [
            ("", 1),
            ("hull-names 2\n", 1),
            ("hull-names 1\nx y\n", 2),
            ("hull-names 1\n1.1.1.1 a\n1.1.1.2\n", 3),
        ] {
            assert_eq!(Names::read(text), Err(line), "{text}");
        }
    }
}

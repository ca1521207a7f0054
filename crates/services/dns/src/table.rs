//! The names of a network: what the daemon writes, what resolvers read.
//!
//! ```text
//! hull-names 2
//! +172.18.0.2,fd00::2 web www 0123456789ab
//! +172.18.0.3,fd00::3 db 0123456789ac
//! -172.18.0.2,fd00::2 web www 0123456789ab
//! ```
//! One line for each endpoint that has come or (with the same words) is gone: its addresses, then its names, the first
//! of which is the container's own. Lines are appended; see [`crate::Journal`].

use std::collections::HashMap;
use std::net::IpAddr;

use crate::settings::is_word;

pub(crate) const FIRST_LINE: &str = "hull-names 2";
pub(crate) const COMES: char = '+';
pub(crate) const GOES: char = '-';

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

impl Entry {
    /// The words of its line, without the names that can't be asked for; `None` where nothing is left.
    pub(crate) fn record(&self) -> Option<String> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).filter(|name| is_word(name)).collect();
        if names.is_empty() || self.addresses.is_empty() {
            return None;
        }
        let addresses: Vec<String> = self.addresses.iter().map(IpAddr::to_string).collect();
        Some(format!("{} {}", addresses.join(","), names.join(" ")))
    }
}

impl Names {
    /// Reads a file; the number of the line that is not understood otherwise.
    pub fn read(text: &str) -> Result<Self, usize> {
        let mut names = Self::default();
        let (first, lines) = text.split_once('\n').ok_or(1_usize)?;
        if first != FIRST_LINE {
            return Err(1);
        }
        names.follow(lines).map_err(|line| line + 1)?;
        Ok(names)
    }

    /// Follows the lines that were appended.
    pub(crate) fn follow(&mut self, lines: &str) -> Result<(), usize> {
        lines.lines().enumerate().try_for_each(|(number, line)| self.follow_line(line).ok_or(number + 1))
    }

    fn follow_line(&mut self, line: &str) -> Option<()> {
        let mut characters = line.chars();
        let sign = characters.next()?;
        let mut words = characters.as_str().split_ascii_whitespace();
        let addresses: Option<Vec<IpAddr>> = words.next()?.split(',').map(|word| word.parse().ok()).collect();
        let addresses = addresses?;
        let own = words.clone().next()?;
        let names = words.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        match sign {
            COMES => self.add(&addresses, own, names),
            GOES => self.remove(&addresses, names),
            _ => return None,
        }
        Some(())
    }

    fn add(&mut self, addresses: &[IpAddr], own: &str, names: impl Iterator<Item = String>) {
        for address in addresses {
            self.by_address.entry(*address).or_insert_with(|| own.into());
        }
        for name in names {
            let known = self.by_name.entry(name.into()).or_default();
            for address in addresses {
                if !known.contains(address) {
                    known.push(*address);
                }
            }
        }
    }

    // No two endpoints of a network have one address.
    fn remove(&mut self, addresses: &[IpAddr], names: impl Iterator<Item = String>) {
        for address in addresses {
            self.by_address.remove(address);
        }
        for name in names {
            if let Some(known) = self.by_name.get_mut(name.as_str()) {
                known.retain(|address| !addresses.contains(address));
                if known.is_empty() {
                    self.by_name.remove(name.as_str());
                }
            }
        }
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
        let records: Vec<String> = entries.iter().filter_map(Entry::record).collect();
        assert_eq!(records, ["172.18.0.2,fd00::2 Web www", "172.18.0.3 other WWW"]);
        let mut text = format!("{FIRST_LINE}\n+{}\n+{}\n", records[0], records[1]);
        let names = Names::read(&text).unwrap();
        assert_eq!(names.addresses("www").unwrap().len(), 3);
        assert_eq!(names.addresses("web").unwrap().len(), 2);
        assert_eq!(names.addresses("nowhere"), None);
        assert_eq!(names.name_of("fd00::2".parse().unwrap()), Some("Web"));
        text += &format!("-{}\n", records[0]);
        let names = Names::read(&text).unwrap();
        assert_eq!((names.addresses("www").unwrap().len(), names.addresses("web")), (1, None));
        assert_eq!(names.name_of("fd00::2".parse().unwrap()), None);
        assert_eq!(Names::read(&format!("{text}-{}\n", records[1])).unwrap(), Names::default());
    }

    #[test]
    fn what_is_not_understood_is_told() {
        for (text, line) in [
            ("", 1),
            ("hull-names 1\n", 1),
            ("hull-names 2\n+x y\n", 2),
            ("hull-names 2\n1.1.1.1 a\n", 2),
            ("hull-names 2\n\n", 2),
            ("hull-names 2\n+1.1.1.1 a\n+1.1.1.2\n", 3),
        ] {
            assert_eq!(Names::read(text), Err(line), "{text}");
        }
    }
}

//! Here-documents: `<<EOF`, `<<-EOF`, `<<"EOF"`, with a number of a file before them where a shell reads them.

use crate::expand::Expander;

/// One here-document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it.
    pub name: String,
    /// The file descriptor before it; for a shell to see.
    pub descriptor: Option<u32>,
    /// Whether variables in it are expanded: its word has no quotes.
    pub expand: bool,
    /// Whether tabs at its lines' beginnings go.
    pub chomp: bool,
    /// Its lines, as they stand in the file.
    pub content: String,
}

impl Heredoc {
    /// Reads `2<<-"EOF"`; the content comes later.
    pub fn parse(word: &str) -> Option<Self> {
        let digits = word.find(|c: char| !c.is_ascii_digit())?;
        let rest = word[digits..].strip_prefix("<<")?;
        let (chomp, rest) = match rest.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        if rest.is_empty() || rest.contains('<') {
            return None;
        }
        let split =
            |raw| Expander { raw_quotes: raw, raw_escapes: raw, keep_unset: true, ..Expander::new('\\') };
        let raw = split(true).expand(rest, &|_| None).ok()?.words;
        let [raw] = raw.as_slice() else { return None };
        let plain = split(false).expand(rest, &|_| None).ok()?.words;
        let [name] = plain.as_slice() else { return None };
        Some(Self {
            name: name.clone(),
            descriptor: word[..digits].parse().ok(),
            expand: raw == name,
            chomp,
            content: String::new(),
        })
    }

    /// The documents that a line announces, in their order.
    pub(crate) fn announced(line: &str) -> Vec<Self> {
        if !line.contains("<<") {
            return Vec::new();
        }
        let options =
            Expander { raw_quotes: true, raw_escapes: true, keep_unset: true, ..Expander::new('\\') };
        let words = options.expand(line, &|_| None).map(|expanded| expanded.words).unwrap_or_default();
        words.iter().filter_map(|word| Self::parse(word)).collect()
    }

    /// Whether this line of the file ends it.
    pub(crate) fn ends_at(&self, line: &str) -> bool {
        let line = line.trim_end_matches(['\r', '\n']);
        (if self.chomp { line.trim_start_matches('\t') } else { line }) == self.name
    }

    /// The content, without the tabs that `<<-` takes away.
    pub fn text(&self) -> String {
        if !self.chomp {
            return self.content.clone();
        }
        self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

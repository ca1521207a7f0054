//! What a process asked of its files, read from strace's record.

use std::collections::HashMap;

/// A system call that ended well.
#[derive(Debug, Clone)]
pub struct Call {
    pub name: String,
    pub arguments: Vec<String>,
    pub result: i64,
}

impl Call {
    /// A quoted argument's bytes.
    pub fn bytes(&self, at: usize) -> Vec<u8> {
        unquote(&self.arguments[at])
    }
    pub fn text(&self, at: usize) -> String {
        String::from_utf8(self.bytes(at)).expect("paths of this test are UTF-8")
    }
    pub fn number(&self, at: usize) -> i64 {
        let text = self.arguments[at].as_str();
        match text {
            "AT_FDCWD" => -100,
            text => text.parse().unwrap_or_else(|_| panic!("no number in {self:?}")),
        }
    }
    pub fn has(&self, at: usize, flag: &str) -> bool {
        self.arguments.get(at).is_some_and(|text| text.split('|').any(|word| word == flag))
    }
}

/// The calls in the order in which they ended; failed ones left out. A `close` counts when it begins, since its number is
/// free then.
pub fn parse(record: &str) -> Vec<Call> {
    let mut begun: HashMap<&str, String> = HashMap::new();
    let mut calls = Vec::new();
    for line in record.lines() {
        let (process, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim_start();
        if let Some(start) = rest.strip_suffix("<unfinished ...>") {
            let start = start.trim_end();
            if let Some(number) = start.strip_prefix("close(") {
                calls.extend(whole(&format!("close({}) = 0", number.trim_end_matches(')'))));
            }
            begun.insert(process, start.to_owned());
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let (name, end) = resumed.split_once(" resumed>").expect("a resumed call");
            let start = begun.remove(process).expect("it began");
            if name != "close" {
                calls.extend(whole(&format!("{start}{end}")));
            }
        } else {
            calls.extend(whole(rest));
        }
    }
    calls
}

fn whole(line: &str) -> Option<Call> {
    let (name, rest) = line.split_once('(')?;
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None;
    }
    let close = rest.rfind(") ")?;
    let result = rest[close + 1..].trim_start().strip_prefix("= ")?.split_whitespace().next()?;
    let result: i64 = result.parse().ok().filter(|result| *result >= 0)?;
    Some(Call { name: name.into(), arguments: split(&rest[..close]), result })
}

// At commas outside of quotes and brackets.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut depth, mut quoted, mut start) = (Vec::new(), 0, false, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            // With -xx nothing within quotes is a quote.
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth -= 1,
            b',' if !quoted && depth == 0 => {
                parts.push(text[start..at].trim().to_owned());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim().to_owned());
    parts
}

fn unquote(text: &str) -> Vec<u8> {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let inner = inner.unwrap_or_else(|| panic!("not recorded whole: {}", &text[..text.len().min(80)]));
    let hex = |pair: &str| u8::from_str_radix(pair, 16).expect("hexadecimal");
    inner.split("\\x").skip(1).map(hex).collect()
}

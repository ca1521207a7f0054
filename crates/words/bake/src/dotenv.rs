//! `.env` files, as compose reads them.
//!
//! ```text
//!  NAME=value # comment     export NAME='as it is'     NAME="with \\n, \\" and ${OTHER}"     NAME: value
//! ```

use std::collections::BTreeMap;

/// Finds a variable.
type Look<'a> = &'a dyn Fn(&str) -> Option<String>;
/// Fills variables in.
type Fill<'a> = &'a dyn Fn(&str, Look<'_>) -> Result<String, String>;

/// The variables of a file. `look` finds those that it does not define itself, `interpolate` fills in variables.
pub(crate) fn parse(
    text: &str,
    look: Look<'_>,
    interpolate: Fill<'_>,
) -> Result<BTreeMap<String, String>, String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else { return Ok(found) };
        let end = rest.find('\n').unwrap_or(rest.len());
        let line = &rest[..end];
        if first == '#' {
            rest = &rest[end..];
            continue;
        }
        let unexported = line.strip_prefix("export ").map_or(line, str::trim_start);
        let Some(at) = unexported.find(['=', ':']) else {
            // A name alone is the environment's.
            let name = unexported.trim();
            check(name)?;
            found.extend(look(name).map(|value| (name.to_owned(), value)));
            rest = &rest[end..];
            continue;
        };
        let name = unexported[..at].trim();
        check(name)?;
        let begin = line.len() - unexported.len() + at + 1;
        let value = rest[begin..].trim_start_matches([' ', '\t']);
        let known = |name: &str| look(name).or_else(|| found.get(name).cloned());
        let (value, after) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let (inner, after) = quoted(&value[1..], quote)
                    .ok_or_else(|| format!("unterminated quoted value of {name}"))?;
                let inner =
                    if quote == '"' { interpolate(&unescaped(inner), &known)? } else { inner.to_owned() };
                let end = after.find('\n').unwrap_or(after.len());
                (inner, &after[end..])
            }
            _ => {
                let end = value.find('\n').unwrap_or(value.len());
                let plain = &value[..end];
                let comment = plain.find(" #").unwrap_or(plain.len());
                let plain = if plain.starts_with('#') { "" } else { plain[..comment].trim_end() };
                (interpolate(plain, &known)?, &value[end..])
            }
        };
        found.insert(name.to_owned(), value);
        rest = after;
    }
}

fn check(name: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-[]".contains(&byte);
    match !name.is_empty() && name.bytes().all(fits) {
        true => Ok(()),
        false => Err(format!("unexpected character in variable name {name:?}")),
    }
}

// What is before the closing quote, and after it.
fn quoted(text: &str, quote: char) -> Option<(&str, &str)> {
    let mut escaped = false;
    let end = text.char_indices().find(|(_, letter)| {
        let is_end = *letter == quote && !escaped;
        escaped = *letter == '\\' && !escaped;
        is_end
    });
    end.map(|(at, _)| (&text[..at], &text[at + 1..]))
}

fn unescaped(text: &str) -> String {
    let (mut out, mut letters) = (String::with_capacity(text.len()), text.chars());
    while let Some(letter) = letters.next() {
        match (letter, if letter == '\\' { letters.next() } else { None }) {
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some('r')) => out.push('\r'),
            ('\\', Some('t')) => out.push('\t'),
            ('\\', Some('$')) => out.push_str("$$"),
            ('\\', Some(other)) => out.push(other),
            (letter, _) => out.push(letter),
        }
    }
    out
}

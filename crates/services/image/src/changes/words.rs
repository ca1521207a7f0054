//! Words of an instruction: quotes, escapes and variables as in a shell, without its blanks between words.

/// The text with quotes and escapes taken away and `$NAME`, `${NAME}`, `${NAME:-word}` and `${NAME:+word}` filled in
/// from `environment`.
pub(super) fn expand(text: &str, environment: &[String]) -> Result<String, String> {
    let characters: Vec<char> = text.chars().collect();
    let mut out = String::new();
    let mut at = 0;
    let mut quote = None;
    while let Some(&character) = characters.get(at) {
        at += 1;
        match (character, quote) {
            ('\'', None) | ('"', None) => quote = Some(character),
            (closing, Some(open)) if closing == open => quote = None,
            ('\\', None) => {
                out.extend(characters.get(at));
                at += 1;
            }
            ('\\', Some('"')) => match characters.get(at) {
                Some(escaped @ ('"' | '$' | '\\')) => {
                    out.push(*escaped);
                    at += 1;
                }
                _ => out.push('\\'),
            },
            ('$', None | Some('"')) => at = variable(&characters, at, environment, &mut out)?,
            (other, _) => out.push(other),
        }
    }
    match quote {
        Some(open) => Err(format!("unexpected end of statement while looking for matching {open}")),
        None => Ok(out),
    }
}

// Puts the value of the variable whose name begins at `at`; gives where to go on.
fn variable(
    characters: &[char],
    at: usize,
    environment: &[String],
    out: &mut String,
) -> Result<usize, String> {
    let is_name = |character: &&char| character.is_ascii_alphanumeric() || **character == '_';
    let braced = characters.get(at) == Some(&'{');
    let start = if braced { at + 1 } else { at };
    let name: String = characters[start..].iter().take_while(is_name).collect();
    let mut end = start + name.len();
    let value = environment.iter().find_map(|entry| entry.strip_prefix(&name)?.strip_prefix('='));
    if !braced {
        match name.is_empty() {
            true => out.push('$'),
            false => out.push_str(value.unwrap_or_default()),
        }
        return Ok(end);
    }
    let close = characters[end..].iter().position(|character| *character == '}').map(|length| end + length);
    let Some(close) = close.filter(|_| !name.is_empty()) else {
        return Err("syntax error: missing '}' or bad modifier in a variable".into());
    };
    let modifier: String = characters[end..close].iter().collect();
    end = close + 1;
    let set = value.filter(|value| !value.is_empty());
    let word = |text: &str| expand(text, environment);
    match (modifier.get(..2), modifier.get(2..)) {
        (None, _) if modifier.is_empty() => out.push_str(value.unwrap_or_default()),
        (Some(":-"), Some(default)) => {
            out.push_str(&set.map_or_else(|| word(default), |set| Ok(set.to_owned()))?)
        }
        (Some(":+"), Some(other)) => out.push_str(&set.map_or_else(|| Ok(String::new()), |_| word(other))?),
        _ => return Err(format!("unsupported modifier ({modifier}) in substitution")),
    }
    Ok(end)
}

/// The words of a text, quotes and escapes kept.
pub(super) fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut quote, mut escaped) = (None, false);
    for character in text.chars() {
        if quote.is_none() && !escaped && character.is_whitespace() {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            continue;
        }
        match character {
            _ if escaped => escaped = false,
            '\\' if quote != Some('\'') => escaped = true,
            '"' | '\'' if quote.is_none() => quote = Some(character),
            _ if quote == Some(character) => quote = None,
            _ => {}
        }
        word.push(character);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// `name=value …`, or the older `name the rest`.
pub(super) fn pairs(
    text: &str,
    environment: &[String],
    instruction: &str,
) -> Result<Vec<(String, String)>, String> {
    let words = split(text);
    let Some(first) = words.first() else { return Ok(Vec::new()) };
    if !first.contains('=') {
        let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        if rest.trim().is_empty() {
            return Err(format!("{instruction} must have two arguments"));
        }
        return Ok(vec![(expand(name, environment)?, expand(rest.trim(), environment)?)]);
    }
    let pair = |word: &String| {
        let (name, value) = word.split_once('=').ok_or_else(|| {
            format!("Syntax error - can't find = in {word:?}. Must be of the form: name=value")
        })?;
        let name = expand(name, environment)?;
        match name.is_empty() {
            true => Err(format!("{instruction} names can not be blank")),
            false => Ok((name, expand(value, environment)?)),
        }
    };
    words.iter().map(pair).collect()
}

/// A Go duration such as `1m30s` in nanoseconds.
pub(super) fn duration(text: &str) -> Option<u64> {
    let mut total = 0_f64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit_end =
            rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |end| digits + end);
        total += number
            * match &rest[digits..unit_end] {
                "ns" => 1.0,
                "us" | "µs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                _ => return None,
            };
        rest = &rest[unit_end..];
    }
    (!text.is_empty()).then_some(total as u64)
}

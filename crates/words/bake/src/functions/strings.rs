//! Texts. Lengths and positions count characters.

use super::{Called, from_float, list, take, whole};
use crate::evaluate::{Outcome, text};
use crate::names;
use hcl::Value;
use regex::{Captures, Regex};

pub(super) fn call(name: &str, arguments: &[Value]) -> Called {
    Some(match name {
        "upper" => one(arguments, |text| text.to_uppercase()),
        "lower" => one(arguments, |text| text.to_lowercase()),
        "title" => one(arguments, title),
        "reverse" => one(arguments, |text| text.chars().rev().collect()),
        "chomp" => one(arguments, |text| text.trim_end_matches(['\n', '\r']).to_owned()),
        "trimspace" => one(arguments, |text| text.trim().to_owned()),
        "sanitize" => one(arguments, names::sanitize),
        "basename" => one(arguments, base),
        "dirname" => one(arguments, directory),
        "strlen" => take(arguments).and_then(|[value]| Ok(text(value)?.chars().count().into())),
        "byteslen" => take(arguments).and_then(|[value]| Ok(text(value)?.len().into())),
        "trim" => two(arguments, |text, set| text.trim_matches(|c| set.contains(c)).to_owned()),
        "trimprefix" => two(arguments, |text, end| text.strip_prefix(end).unwrap_or(text).to_owned()),
        "trimsuffix" => two(arguments, |text, end| text.strip_suffix(end).unwrap_or(text).to_owned()),
        "indent" => take(arguments).and_then(|[spaces, value]| indent(whole(spaces)?, &text(value)?)),
        "replace" => take(arguments)
            .and_then(|[value, old, new]| Ok(text(value)?.replace(text(old)?.as_str(), &text(new)?).into())),
        "substr" => take(arguments).and_then(|[value, offset, length]| substring(value, offset, length)),
        "split" => take(arguments).and_then(|[separator, value]| {
            let (separator, value) = (text(separator)?, text(value)?);
            Ok(Value::Array(value.split(separator.as_str()).map(Value::from).collect()))
        }),
        "join" => join(arguments),
        "format" => match arguments.split_first() {
            Some((pattern, values)) => {
                text(pattern).and_then(|pattern| format(&pattern, values)).map(Value::from)
            }
            None => Err("a format is missing".into()),
        },
        "formatlist" => format_list(arguments),
        "regex" => pattern(arguments).and_then(|(regex, text)| {
            regex
                .captures(&text)
                .map(|found| matched(&regex, &found))
                .ok_or_else(|| "pattern did not match any part of the given string".into())
        }),
        "regexall" => pattern(arguments).map(|(regex, text)| {
            Value::Array(regex.captures_iter(&text).map(|found| matched(&regex, &found)).collect())
        }),
        "regex_replace" => take(arguments).and_then(|[value, regex, new]| {
            let regex = compiled(regex)?;
            Ok(regex.replace_all(&text(value)?, text(new)?.as_str()).into_owned().into())
        }),
        _ => return None,
    })
}

fn one(arguments: &[Value], change: impl Fn(&str) -> String) -> Outcome<Value> {
    take(arguments).and_then(|[value]| Ok(change(&text(value)?).into()))
}

fn two(arguments: &[Value], change: impl Fn(&str, &str) -> String) -> Outcome<Value> {
    take(arguments).and_then(|[first, second]| Ok(change(&text(first)?, &text(second)?).into()))
}

fn title(text: &str) -> String {
    let mut beginning = true;
    let change = |c: char| {
        let first = std::mem::replace(&mut beginning, !(c.is_alphanumeric() || c == '_' || c == '\''));
        if first { c.to_uppercase().collect::<String>() } else { c.to_string() }
    };
    text.chars().map(change).collect()
}

// As Go's path package has them.
fn base(path: &str) -> String {
    if path.is_empty() {
        return ".".into();
    }
    let trimmed = path.trim_end_matches('/');
    let last = trimmed.rsplit('/').next().unwrap_or(trimmed);
    if last.is_empty() { "/".into() } else { last.into() }
}

fn directory(path: &str) -> String {
    let Some((above, _)) = path.rsplit_once('/') else { return ".".into() };
    let parts = above.split('/').filter(|part| !part.is_empty() && *part != ".");
    let mut kept: Vec<&str> = Vec::new();
    let absolute = path.starts_with('/');
    for part in parts {
        match (part, kept.last()) {
            ("..", Some(last)) if *last != ".." => _ = kept.pop(),
            ("..", None) if absolute => {}
            (part, _) => kept.push(part),
        }
    }
    match (absolute, kept.join("/")) {
        (true, rest) => format!("/{rest}"),
        (false, rest) if rest.is_empty() => ".".into(),
        (false, rest) => rest,
    }
}

fn indent(spaces: i64, text: &str) -> Outcome<Value> {
    let spaces = usize::try_from(spaces).map_err(|_| "a number from 0 is required")?;
    Ok(text.replace('\n', &format!("\n{}", " ".repeat(spaces.min(1000)))).into())
}

// A negative offset counts from the end; a length of -1 is all the rest.
fn substring(value: &Value, offset: &Value, length: &Value) -> Outcome<Value> {
    let characters: Vec<char> = text(value)?.chars().collect();
    let (count, offset, length) = (characters.len() as i64, whole(offset)?, whole(length)?);
    let start = if offset < 0 { (count + offset).max(0) } else { offset.min(count) };
    let end = if length < 0 { count } else { start.saturating_add(length).min(count) };
    Ok(Value::String(characters[start as usize..end as usize].iter().collect()))
}

fn join(arguments: &[Value]) -> Outcome<Value> {
    let (separator, lists) = arguments.split_first().ok_or("a separator is missing")?;
    let mut items = Vec::new();
    for value in lists {
        items.extend(list(value)?.iter().map(text).collect::<Outcome<Vec<_>>>()?);
    }
    Ok(items.join(&text(separator)?).into())
}

// Lists are walked in step; a value that is no list is the same at each step.
fn format_list(arguments: &[Value]) -> Outcome<Value> {
    let (pattern, values) = arguments.split_first().ok_or("a format is missing")?;
    let lengths: Vec<usize> = values.iter().filter_map(Value::as_array).map(Vec::len).collect();
    let length = lengths.first().copied().unwrap_or(1);
    if lengths.iter().any(|other| *other != length) {
        return Err("lists of different lengths".into());
    }
    let step = |at: usize| {
        let values: Vec<Value> =
            values.iter().map(|value| value.as_array().map_or(value, |items| &items[at]).clone()).collect();
        format(&text(pattern)?, &values).map(Value::from)
    };
    (0..length).map(step).collect::<Outcome<_>>().map(Value::Array)
}

// The verbs of HCL's `format`: v s q d f t x X o b e g, with flags, width, precision and [index].
fn format(pattern: &str, values: &[Value]) -> Outcome<String> {
    let verb =
        Regex::new(r"%(?:\[(\d+)\])?([-+ 0#]*)(\d+)?(?:\.(\d+))?(.)").map_err(|error| error.to_string())?;
    let (mut result, mut end, mut next) = (String::new(), 0, 0);
    for found in verb.captures_iter(pattern) {
        let (Some(all), Some(letter)) = (found.get(0), found.get(5)) else { continue };
        result.push_str(&pattern[end..all.start()]);
        end = all.end();
        if letter.as_str() == "%" {
            result.push('%');
            continue;
        }
        if let Some(index) = found.get(1) {
            next =
                index.as_str().parse::<usize>().ok().and_then(|at| at.checked_sub(1)).ok_or("a bad index")?;
        }
        let value = values.get(next).ok_or_else(|| format!("not enough arguments for {:?}", all.as_str()))?;
        next += 1;
        let precision = found.get(4).and_then(|digits| digits.as_str().parse::<usize>().ok());
        let plain = verb_text(letter.as_str(), value, precision)?;
        let flags = found.get(2).map_or("", |flags| flags.as_str());
        let width =
            found.get(3).and_then(|digits| digits.as_str().parse::<usize>().ok()).unwrap_or(0).min(4096);
        result.push_str(&padded(plain, flags, width, letter.as_str()));
    }
    result.push_str(&pattern[end..]);
    Ok(result)
}

fn verb_text(letter: &str, value: &Value, precision: Option<usize>) -> Outcome<String> {
    let cut = |text: String| match precision {
        Some(length) => text.chars().take(length).collect(),
        None => text,
    };
    Ok(match letter {
        "v" => match value {
            Value::Array(_) | Value::Object(_) | Value::Null => super::encoding::json_text(value)?,
            simple => text(simple)?,
        },
        "s" => cut(text(value)?),
        "q" => super::encoding::json_text(&text(value)?.into())?,
        "t" => crate::evaluate::boolean(value)?.to_string(),
        "d" => whole(value)?.to_string(),
        "x" => format!("{:x}", whole(value)?),
        "X" => format!("{:X}", whole(value)?),
        "o" => format!("{:o}", whole(value)?),
        "b" => format!("{:b}", whole(value)?),
        "f" | "F" => format!("{:.*}", precision.unwrap_or(6), super::float(value)?),
        "e" => format!("{:e}", super::float(value)?),
        "g" => text(&from_float(super::float(value)?)?)?,
        other => return Err(format!("unsupported format verb {other:?}")),
    })
}

fn padded(text: String, flags: &str, width: usize, letter: &str) -> String {
    let number = matches!(letter, "d" | "f" | "F" | "x" | "X" | "o" | "b" | "e" | "g");
    let sign = match (number && !text.starts_with('-'), flags.contains('+'), flags.contains(' ')) {
        (true, true, _) => "+",
        (true, false, true) => " ",
        _ => "",
    };
    let missing = width.saturating_sub(sign.len() + text.chars().count());
    if flags.contains('-') {
        return format!("{sign}{text}{}", " ".repeat(missing));
    }
    if number && flags.contains('0') {
        let (minus, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
        return format!("{sign}{minus}{}{digits}", "0".repeat(missing));
    }
    format!("{}{sign}{text}", " ".repeat(missing))
}

fn compiled(value: &Value) -> Outcome<Regex> {
    Regex::new(&text(value)?).map_err(|error| format!("invalid regular expression: {error}"))
}

fn pattern(arguments: &[Value]) -> Outcome<(Regex, String)> {
    take(arguments).and_then(|[pattern, value]| Ok((compiled(pattern)?, text(value)?)))
}

// What a pattern captures: an object of its names, a list of its groups, or all that fits.
fn matched(regex: &Regex, found: &Captures<'_>) -> Value {
    let captured = |group: Option<regex::Match<'_>>| group.map_or(Value::Null, |group| group.as_str().into());
    let names: Vec<&str> = regex.capture_names().flatten().collect();
    if !names.is_empty() {
        return Value::Object(
            names.iter().map(|name| ((*name).to_owned(), captured(found.name(name)))).collect(),
        );
    }
    match regex.captures_len() {
        1 => captured(found.get(0)),
        count => Value::Array((1..count).map(|at| captured(found.get(at))).collect()),
    }
}

//! Go's built-in template functions and docker's own.

use crate::format;
use serde_json::Value;
use std::cmp::Ordering;

const NAMES: [&str; 27] = [
    "and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len", "index", "slice", "print", "printf",
    "println", "html", "js", "urlquery", "json", "split", "join", "title", "lower", "upper", "pad",
    "truncate", "call",
];

pub fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Go's notion of an empty value.
pub fn truth(value: &Option<Value>) -> bool {
    match value {
        None | Some(Value::Null) => false,
        Some(Value::Bool(yes)) => *yes,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(map)) => !map.is_empty(),
    }
}

/// The Go type that such a value would have.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

type Arguments<'a> = &'a [Option<Value>];

/// The function's value, or Go's text of why it has none.
pub fn call(name: &str, arguments: Arguments<'_>) -> Result<Value, String> {
    let text = |index: usize| string(arguments, index);
    match name {
        "not" => Ok((!truth(one(arguments)?)).into()),
        "eq" => equal_any(arguments),
        "ne" => Ok((!equal(get(arguments, 0)?, get(arguments, 1)?)?).into()),
        "lt" => compare(arguments, |o| o == Ordering::Less),
        "le" => compare(arguments, |o| o != Ordering::Greater),
        "gt" => compare(arguments, |o| o == Ordering::Greater),
        "ge" => compare(arguments, |o| o != Ordering::Less),
        "len" => length(get(arguments, 0)?),
        "index" => index(arguments),
        "slice" => slice(arguments),
        "print" => Ok(format::print(arguments).into()),
        "println" => Ok(format::print_line(arguments).into()),
        "printf" => Ok(format::printf(&text(0)?, &arguments[1..]).into()),
        "html" => Ok(escape_html(&format::print(arguments)).into()),
        "js" => Ok(escape_js(&format::print(arguments)).into()),
        "urlquery" => Ok(escape_query(&format::print(arguments)).into()),
        "json" => Ok(serde_json::to_string(&one(arguments)?).map_err(|e| e.to_string())?.into()),
        "split" => Ok(text(0)?.split(&text(1)?).map(Value::from).collect()),
        "join" => join(get(arguments, 0)?, &text(1)?),
        "title" => Ok(title(&text(0)?).into()),
        "lower" => Ok(text(0)?.to_lowercase().into()),
        "upper" => Ok(text(0)?.to_uppercase().into()),
        "pad" => pad(&text(0)?, whole(arguments, 1)?, whole(arguments, 2)?),
        "truncate" => {
            let count = usize::try_from(whole(arguments, 1)?).map_err(|_| "negative length".to_owned())?;
            Ok(text(0)?.chars().take(count).collect::<String>().into())
        }
        _ => Err("call of nil".into()),
    }
}

fn one<'a>(arguments: Arguments<'a>) -> Result<&'a Option<Value>, String> {
    match arguments {
        [value] => Ok(value),
        _ => Err(format!("wrong number of args: want 1 got {}", arguments.len())),
    }
}

fn get<'a>(arguments: Arguments<'a>, at: usize) -> Result<&'a Value, String> {
    match arguments.get(at) {
        Some(value) => Ok(value.as_ref().unwrap_or(&Value::Null)),
        None => Err(format!("wrong number of args: want at least {} got {}", at + 1, arguments.len())),
    }
}

fn string(arguments: Arguments<'_>, at: usize) -> Result<String, String> {
    match get(arguments, at)? {
        Value::String(text) => Ok(text.clone()),
        other => Err(format!("wrong type for value; expected string; got {}", kind(other))),
    }
}

fn whole(arguments: Arguments<'_>, at: usize) -> Result<i64, String> {
    let value = get(arguments, at)?;
    value.as_i64().ok_or_else(|| format!("wrong type for value; expected int; got {}", kind(value)))
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => Ok(x == y || x.as_f64() == y.as_f64()),
        (Value::Array(_) | Value::Object(_), _) if !b.is_null() => Err("non-comparable type".into()),
        (Value::Null, _) | (_, Value::Null) => Ok(a.is_null() && b.is_null()),
        _ if std::mem::discriminant(a) != std::mem::discriminant(b) => {
            Err("incompatible types for comparison".into())
        }
        _ => Ok(a == b),
    }
}

fn equal_any(arguments: Arguments<'_>) -> Result<Value, String> {
    if arguments.len() < 2 {
        return Err("missing argument for comparison".into());
    }
    for at in 1..arguments.len() {
        if equal(get(arguments, 0)?, get(arguments, at)?)? {
            return Ok(true.into());
        }
    }
    Ok(false.into())
}

fn compare(arguments: Arguments<'_>, wanted: impl Fn(Ordering) -> bool) -> Result<Value, String> {
    let order = match (get(arguments, 0)?, get(arguments, 1)?) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => return Err("incompatible types for comparison".into()),
    };
    Ok(order.is_some_and(wanted).into())
}

fn length(value: &Value) -> Result<Value, String> {
    match value {
        Value::String(text) => Ok(text.len().into()),
        Value::Array(items) => Ok(items.len().into()),
        Value::Object(map) => Ok(map.len().into()),
        Value::Null => Err("len of nil pointer".into()),
        other => Err(format!("len of type {}", kind(other))),
    }
}

fn index(arguments: Arguments<'_>) -> Result<Value, String> {
    let mut value = get(arguments, 0)?.clone();
    for at in 1..arguments.len() {
        let key = get(arguments, at)?;
        value = match (value, key) {
            (Value::Array(mut items), Value::Number(number)) => {
                let position = number.as_i64().and_then(|n| usize::try_from(n).ok());
                match position.filter(|p| *p < items.len()) {
                    Some(position) => items.swap_remove(position),
                    None => return Err(format!("index out of range: {number}")),
                }
            }
            // An absent key of a Go map has the zero value.
            (Value::Object(mut map), Value::String(key)) => map.remove(key).unwrap_or(Value::Null),
            (Value::String(text), Value::Number(number)) => {
                let position = number.as_i64().and_then(|n| usize::try_from(n).ok());
                match position.and_then(|p| text.as_bytes().get(p)) {
                    Some(byte) => (*byte).into(),
                    None => return Err(format!("index out of range: {number}")),
                }
            }
            (Value::Null, _) => return Err("index of untyped nil".into()),
            (Value::Array(_) | Value::String(_), key) => {
                return Err(format!("cannot index slice/array with type {}", kind(key)));
            }
            (Value::Object(_), key) => return Err(format!("value has type {}; should be string", kind(key))),
            (other, _) => return Err(format!("can't index item of type {}", kind(&other))),
        };
    }
    Ok(value)
}

fn slice(arguments: Arguments<'_>) -> Result<Value, String> {
    let value = get(arguments, 0)?;
    let length = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len(),
        other => return Err(format!("can't slice item of type {}", kind(other))),
    };
    let bound = |at: usize, otherwise: usize| -> Result<usize, String> {
        if at >= arguments.len() {
            return Ok(otherwise);
        }
        let number = whole(arguments, at)?;
        usize::try_from(number)
            .ok()
            .filter(|n| *n <= length)
            .ok_or_else(|| format!("index out of range: {number}"))
    };
    let (from, to) = (bound(1, 0)?, bound(2, length)?);
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    match value {
        Value::Array(items) => Ok(items[from..to].to_vec().into()),
        Value::String(text) => Ok(String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned().into()),
        _ => Ok(Value::Null),
    }
}

fn join(list: &Value, separator: &str) -> Result<Value, String> {
    match list {
        Value::Array(items) => Ok(items.iter().map(format::value).collect::<Vec<_>>().join(separator).into()),
        Value::Null => Ok("".into()),
        other => Err(format!("wrong type for value; expected []string; got {}", kind(other))),
    }
}

fn title(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut start = true;
    for c in text.chars() {
        if start {
            result.extend(c.to_uppercase())
        } else {
            result.push(c)
        }
        start = !(c.is_alphanumeric() || c == '_' || c == '\'');
    }
    result
}

fn pad(text: &str, before: i64, after: i64) -> Result<Value, String> {
    let spaces =
        |count: i64| usize::try_from(count).map(|n| " ".repeat(n)).map_err(|_| "negative padding".to_owned());
    if text.is_empty() {
        return Ok(text.into());
    }
    Ok(format!("{}{text}{}", spaces(before)?, spaces(after)?).into())
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('\'', "&#39;")
        .replace('"', "&#34;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn escape_js(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => result.push_str("\\\\"),
            '\'' => result.push_str("\\'"),
            '"' => result.push_str("\\\""),
            '<' | '>' | '&' | '=' => result.push_str(&format!("\\u{:04X}", u32::from(c))),
            '\n' => result.push_str("\\n"),
            c if c.is_control() => result.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => result.push(c),
        }
    }
    result
}

fn escape_query(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                result.push(char::from(byte))
            }
            b' ' => result.push('+'),
            other => result.push_str(&format!("%{other:02X}")),
        }
    }
    result
}

//! Values as Go's `fmt` writes them: `%v` and the other verbs of `printf`.

use serde_json::Value;

/// A value where a template writes it.
pub fn found(found: &Option<Value>) -> String {
    match found {
        None | Some(Value::Null) => "<no value>".into(),
        Some(other) => value(other),
    }
}

/// `%v`.
pub fn value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::String(text) => text.clone(),
        Value::Bool(yes) => yes.to_string(),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) => general(float),
            None => number.to_string(),
        },
        Value::Array(items) => format!("[{}]", items.iter().map(self::value).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let mut pairs: Vec<String> =
                map.iter().map(|(key, item)| format!("{key}:{}", self::value(item))).collect();
            pairs.sort();
            format!("map[{}]", pairs.join(" "))
        }
    }
}

/// `%g` with the fewest digits: an exponent below 1e-4 and from 1e21 on, as Go's `%v` of a float has it.
fn general(float: f64) -> String {
    if float != 0.0 && !(1e-4..1e21).contains(&float.abs()) {
        let text = format!("{float:e}");
        if let Some((digits, exponent)) = text.split_once('e') {
            let (sign, size) = exponent.strip_prefix('-').map_or(('+', exponent), |size| ('-', size));
            return format!("{digits}e{sign}{size:0>2}");
        }
    }
    float.to_string()
}

/// Go's `Sprint`: spaces between operands when neither is a string.
pub fn print(arguments: &[Option<Value>]) -> String {
    let mut result = String::new();
    let mut previous_text = true;
    for (at, argument) in arguments.iter().enumerate() {
        let text = matches!(argument, Some(Value::String(_)));
        if at > 0 && !text && !previous_text {
            result.push(' ');
        }
        result.push_str(&argument.as_ref().map_or_else(|| "<nil>".into(), value));
        previous_text = text;
    }
    result
}

/// Go's `Sprintln`.
pub fn print_line(arguments: &[Option<Value>]) -> String {
    let words: Vec<String> =
        arguments.iter().map(|argument| argument.as_ref().map_or_else(|| "<nil>".into(), value)).collect();
    words.join(" ") + "\n"
}

/// Flags, width and precision of one verb.
#[derive(Default)]
struct Directive {
    left: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
}

/// Go's `Sprintf`.
pub fn printf(format: &str, arguments: &[Option<Value>]) -> String {
    let mut result = String::new();
    let mut chars = format.chars().peekable();
    let mut next = 0;
    while let Some(c) = chars.next() {
        if c != '%' {
            result.push(c);
            continue;
        }
        let directive = directive(&mut chars, arguments, &mut next);
        match chars.next() {
            None => result.push_str("%!(NOVERB)"),
            Some('%') => result.push('%'),
            Some(verb) => {
                match arguments.get(next) {
                    Some(argument) => {
                        result.push_str(&one(verb, &directive, argument.as_ref().unwrap_or(&Value::Null)))
                    }
                    None => result.push_str(&format!("%!{verb}(MISSING)")),
                }
                next += 1;
            }
        }
    }
    if next < arguments.len() {
        let extra: Vec<String> = arguments[next..]
            .iter()
            .map(|a| a.as_ref().unwrap_or(&Value::Null))
            .map(|a| format!("{}={}", crate::functions::kind(a), value(a)))
            .collect();
        result.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    result
}

fn directive(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    arguments: &[Option<Value>],
    next: &mut usize,
) -> Directive {
    let mut directive = Directive::default();
    while let Some(flag) = chars.next_if(|c| "-+# 0".contains(*c)) {
        match flag {
            '-' => directive.left = true,
            '+' => directive.plus = true,
            '#' => directive.sharp = true,
            ' ' => directive.space = true,
            _ => directive.zero = true,
        }
    }
    directive.width = number(chars, arguments, next).unwrap_or(0);
    if chars.next_if_eq(&'.').is_some() {
        directive.precision = Some(number(chars, arguments, next).unwrap_or(0));
    }
    directive
}

fn number(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    arguments: &[Option<Value>],
    next: &mut usize,
) -> Option<usize> {
    // A wider field than this is a mistake, not a wish.
    const MOST: usize = 1_000_000;
    if chars.next_if_eq(&'*').is_some() {
        let count = arguments.get(*next)?.as_ref()?.as_u64()?;
        *next += 1;
        return Some((count as usize).min(MOST));
    }
    let mut total = None;
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        let digit = digit as usize - '0' as usize;
        total = Some((total.unwrap_or(0) * 10 + digit).min(MOST));
    }
    total
}

fn one(verb: char, directive: &Directive, argument: &Value) -> String {
    let bad = || format!("%!{verb}({}={})", crate::functions::kind(argument), value(argument));
    let (sign, body) = match (verb, argument) {
        ('v', Value::Number(n)) if !n.is_f64() => signed(directive, argument, |n| n.to_string()),
        ('v', _) => (String::new(), cut(directive, value(argument))),
        ('T', _) => (String::new(), crate::functions::kind(argument).into()),
        ('t', Value::Bool(yes)) => (String::new(), yes.to_string()),
        ('d', Value::Number(n)) if !n.is_f64() => signed(directive, argument, |n| n.to_string()),
        ('b', Value::Number(n)) if !n.is_f64() => signed(directive, argument, |n| format!("{n:b}")),
        ('o', Value::Number(n)) if !n.is_f64() => signed(directive, argument, |n| format!("{n:o}")),
        ('x', Value::Number(n)) if !n.is_f64() => {
            signed(directive, argument, |n| format!("{}{n:x}", if directive.sharp { "0x" } else { "" }))
        }
        ('X', Value::Number(n)) if !n.is_f64() => {
            signed(directive, argument, |n| format!("{}{n:X}", if directive.sharp { "0X" } else { "" }))
        }
        ('c', Value::Number(n)) => {
            let c =
                n.as_u64().and_then(|n| u32::try_from(n).ok()).and_then(char::from_u32).unwrap_or('\u{fffd}');
            (String::new(), c.to_string())
        }
        ('e' | 'f' | 'F' | 'g', Value::Number(n)) if n.is_f64() => {
            float(verb, directive, n.as_f64().unwrap_or(0.0))
        }
        ('s', Value::String(text)) => (String::new(), cut(directive, text.clone())),
        ('s', Value::Array(_) | Value::Object(_)) => (String::new(), value(argument)),
        ('q', Value::String(text)) => (String::new(), quoted(text)),
        ('q', Value::Array(items)) => (String::new(), format!("[{}]", list(items))),
        ('x', Value::String(text)) => (String::new(), text.bytes().map(|b| format!("{b:02x}")).collect()),
        _ => return bad(),
    };
    pad(directive, &sign, &body, argument.is_number())
}

fn list(items: &[Value]) -> String {
    let texts: Vec<String> =
        items.iter().map(|item| item.as_str().map_or_else(|| value(item), quoted)).collect();
    texts.join(" ")
}

fn cut(directive: &Directive, text: String) -> String {
    match directive.precision {
        Some(precision) => text.chars().take(precision).collect(),
        None => text,
    }
}

fn signed(directive: &Directive, argument: &Value, digits: impl Fn(u64) -> String) -> (String, String) {
    let negative = argument.as_i64().is_some_and(|n| n < 0);
    let magnitude = argument.as_i64().map_or_else(|| argument.as_u64().unwrap_or(0), i64::unsigned_abs);
    let mut body = digits(magnitude);
    if let Some(precision) = directive.precision {
        body = format!("{body:0>precision$}");
    }
    (sign(directive, negative), body)
}

fn sign(directive: &Directive, negative: bool) -> String {
    match (negative, directive.plus, directive.space) {
        (true, _, _) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        _ => "",
    }
    .into()
}

fn float(verb: char, directive: &Directive, number: f64) -> (String, String) {
    let size = number.abs();
    let body = match (verb, directive.precision) {
        ('e', precision) => {
            let text = format!("{size:.*e}", precision.unwrap_or(6));
            match text.split_once('e') {
                Some((digits, exponent)) => {
                    let (sign, power) =
                        exponent.strip_prefix('-').map_or(('+', exponent), |power| ('-', power));
                    format!("{digits}e{sign}{power:0>2}")
                }
                None => text,
            }
        }
        ('g', None) => general(size),
        (_, precision) => format!("{size:.*}", precision.unwrap_or(6)),
    };
    (sign(directive, number < 0.0), body)
}

fn quoted(text: &str) -> String {
    let mut result = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => result.push_str("\\\""),
            '\\' => result.push_str("\\\\"),
            '\n' => result.push_str("\\n"),
            '\t' => result.push_str("\\t"),
            '\r' => result.push_str("\\r"),
            c if c.is_control() => result.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => result.push(c),
        }
    }
    result + "\""
}

fn pad(directive: &Directive, sign: &str, body: &str, numeric: bool) -> String {
    let missing = directive.width.saturating_sub(sign.chars().count() + body.chars().count());
    if directive.left {
        format!("{sign}{body}{}", " ".repeat(missing))
    } else if directive.zero && (numeric || directive.precision.is_none()) {
        format!("{sign}{}{body}", "0".repeat(missing))
    } else {
        format!("{}{sign}{body}", " ".repeat(missing))
    }
}

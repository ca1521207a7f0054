//! Checks of flags' values, with the words of the Go functions that Docker's flags use.

use crate::matches::go_quoted;

/// Go's `strconv.ParseInt(text, 0, 64)`.
pub fn parse_integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, radix) = match digits.get(..2) {
        Some("0x" | "0X") => (&digits[2..], 16),
        Some("0b" | "0B") => (&digits[2..], 2),
        Some("0o" | "0O") => (&digits[2..], 8),
        _ if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        _ => (digits, 10),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i128::from_str_radix(&digits.replace('_', ""), radix).ok()?;
    i64::try_from(if negative { -value } else { value }).ok()
}

fn number_error(function: &str, text: &str, plain: bool) -> String {
    let digits = text.trim_start_matches(['-', '+']);
    let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let why = if all_digits && plain { "value out of range" } else { "invalid syntax" };
    format!("strconv.{function}: parsing {}: {why}", go_quoted(text))
}

/// A whole number.
pub fn integer(text: &str) -> Result<(), String> {
    parse_integer(text).map(drop).ok_or_else(|| number_error("ParseInt", text, true))
}

/// A whole number of 0 and above.
pub fn unsigned(text: &str) -> Result<(), String> {
    match parse_integer(text) {
        Some(0..) if !text.starts_with(['-', '+']) => Ok(()),
        _ => Err(number_error("ParseUint", text, !text.starts_with(['-', '+']))),
    }
}

/// A whole number of 16 bits.
pub fn uint16(text: &str) -> Result<(), String> {
    unsigned(text)?;
    match parse_integer(text) {
        Some(0..=65535) => Ok(()),
        _ => Err(number_error("ParseUint", text, true)),
    }
}

/// A size in bytes.
pub fn bytes(text: &str) -> Result<(), String> {
    // `-1` is for --memory-swap; Docker's flag takes it only there, see `memory_swap`.
    crate::amount::bytes(text).map(drop)
}

/// A size in bytes or -1.
pub fn memory_swap(text: &str) -> Result<(), String> {
    if text == "-1" { Ok(()) } else { bytes(text) }
}

/// A number of processors.
pub fn cpus(text: &str) -> Result<(), String> {
    crate::amount::nano_cpus(text).map(drop)
}

/// A duration.
pub fn duration(text: &str) -> Result<(), String> {
    crate::duration::parse(text).map(drop)
}

/// `key=value`.
pub fn filter(text: &str) -> Result<(), String> {
    if text.is_empty() || text.contains('=') {
        return Ok(());
    }
    Err("bad format of filter (expected name=value)".into())
}

/// Filters, as the API wants them: names in lower case and without spaces.
pub fn filters(list: &[String]) -> hull_api_types::Filters {
    let mut all = hull_api_types::Filters::new();
    for (name, value) in list.iter().filter_map(|text| text.split_once('=')) {
        let values = all.entry(name.trim().to_lowercase()).or_default();
        if !values.iter().any(|known| known == value.trim()) {
            values.push(value.trim().to_owned());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_gos() {
        for (text, value) in [("5", 5), ("-1", -1), ("+3", 3), ("0x10", 16), ("010", 8), ("0", 0)] {
            assert_eq!(parse_integer(text), Some(value), "{text}");
        }
        for bad in ["", "x", "--1", "0x", "9223372036854775808", "1.5"] {
            assert!(integer(bad).is_err(), "{bad}");
        }
        assert!(uint16("65536").unwrap_err().ends_with("value out of range"));
        assert!(uint16("-1").unwrap_err().ends_with("invalid syntax"));
        assert!(filter("foo").is_err());
    }
}

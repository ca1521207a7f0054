//! Byte sizes as people write and read them (the forms of Docker's `units` package).

/// Bytes of `64m`, `1.5GiB`, `512`, `10kb`: a number with an optional unit of 1024 steps. `None` for anything else.
pub fn parse_binary(text: &str) -> Option<i64> {
    let text = text.trim();
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: i64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "ki" | "kib" => 1 << 10,
        "m" | "mb" | "mi" | "mib" => 1 << 20,
        "g" | "gb" | "gi" | "gib" => 1 << 30,
        "t" | "tb" | "ti" | "tib" => 1 << 40,
        "p" | "pb" | "pi" | "pib" => 1 << 50,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<i64>() {
        return whole.checked_mul(factor);
    }
    let value = number.parse::<f64>().ok()? * factor as f64;
    (value.is_finite() && value < i64::MAX as f64).then_some(value as i64)
}

fn scaled(mut value: f64, base: f64, units: &[&str], digits: usize) -> String {
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    format!("{}{}", significant(value, digits), units[unit])
}

/// A number with at most `digits` significant digits, like C's `%.*g`.
fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let exponent = value.abs().log10().floor() as i32;
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    let text = format!("{value:.decimals$}");
    let rounded_up =
        text.bytes().filter(u8::is_ascii_digit).count() > digits.max((exponent + 1).max(0) as usize);
    let text = if rounded_up && decimals > 0 { format!("{value:.*}", decimals - 1) } else { text };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

const DECIMAL: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
const BINARY: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];

/// `1.09MB`: steps of 1000, four significant digits.
pub fn decimal(bytes: f64) -> String {
    scaled(bytes, 1000.0, &DECIMAL, 4)
}
/// `1.1MB`: steps of 1000, this many significant digits (`images` and `ps -s` use three).
pub fn decimal_with(bytes: f64, digits: usize) -> String {
    scaled(bytes, 1000.0, &DECIMAL, digits)
}
/// `1.043MiB`: steps of 1024, four significant digits.
pub fn binary(bytes: f64) -> String {
    scaled(bytes, 1024.0, &BINARY, 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse() {
        for (text, bytes) in
            [("64m", 64 << 20), ("512", 512), ("1.5g", 3 << 29), ("10KiB", 10240), ("1 k", 1024)]
        {
            assert_eq!(parse_binary(text), Some(bytes), "{text}");
        }
        for bad in ["", "m", "-1", "1x", "1.2.3"] {
            assert_eq!(parse_binary(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_read_as_gos_units_do() {
        assert_eq!(decimal(1_090_000.0), "1.09MB");
        assert_eq!(decimal(0.0), "0B");
        assert_eq!(decimal(999.0), "999B");
        assert_eq!(decimal_with(2_163_450.0, 3), "2.16MB");
        assert_eq!(decimal_with(117_000_000.0, 3), "117MB");
        assert_eq!(binary(1_093_632.0), "1.043MiB");
        assert_eq!(decimal_with(1000.0, 3), "1kB");
    }
}

//! Sizes and numbers of processors.

/// Bytes of `64m`; Docker's words for anything else. Negative sizes are refused.
pub fn bytes(text: &str) -> Result<i64, String> {
    let wrong = || format!("invalid size: '{text}'");
    let trimmed = text.trim_end();
    if trimmed.is_empty() || trimmed.starts_with(['-', '+']) {
        return Err(wrong());
    }
    hull_types::size::parse_binary(trimmed).ok_or_else(wrong)
}

/// Thousand-millionths of a processor of `1.5` or `3/2`.
pub fn nano_cpus(text: &str) -> Result<i64, String> {
    const UNIT: i128 = 1_000_000_000;
    let wrong = || format!("failed to parse {text} as a rational number");
    let (numerator, denominator) = match text.split_once('/') {
        Some((over, under)) => {
            let under: i128 = under.parse().ok().filter(|under| *under > 0).ok_or_else(wrong)?;
            (over.parse::<i128>().map_err(|_| wrong())?, under)
        }
        None => decimal(text).ok_or_else(wrong)?,
    };
    let nano = numerator.checked_mul(UNIT).ok_or_else(wrong)?;
    if nano % denominator != 0 {
        return Err("value is too precise".into());
    }
    i64::try_from(nano / denominator).map_err(|_| wrong())
}

/// `1.25` → (125, 100).
fn decimal(text: &str) -> Option<(i128, i128)> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, exponent) = match digits.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok().filter(|e| e.abs() <= 18)?),
        None => (digits, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || all.len() > 18 || !all.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: i128 = all.parse().ok()?;
    let value = if negative { -value } else { value };
    let places = fraction.len() as i32 - exponent;
    let power = 10_i128.checked_pow(places.unsigned_abs())?;
    if places >= 0 { Some((value, power)) } else { Some((value.checked_mul(power)?, 1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_exact() {
        for (text, nano) in [
            ("1.5", 1_500_000_000),
            ("0.000000001", 1),
            ("3/2", 1_500_000_000),
            ("2", 2_000_000_000),
            (".5", 500_000_000),
        ] {
            assert_eq!(nano_cpus(text), Ok(nano), "{text}");
        }
        assert_eq!(nano_cpus("0.0000000001").unwrap_err(), "value is too precise");
        for bad in ["", "x", "1.2.3", "1/0", "."] {
            assert!(nano_cpus(bad).unwrap_err().ends_with("rational number"), "{bad}");
        }
    }

    #[test]
    fn sizes_are_never_negative() {
        assert_eq!(bytes("64m"), Ok(64 << 20));
        assert_eq!(bytes("xx").unwrap_err(), "invalid size: 'xx'");
        assert!(bytes("-1").is_err());
    }
}

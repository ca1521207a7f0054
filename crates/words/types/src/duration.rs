//! Durations as people write them (Go's `time.ParseDuration`).

const SECOND: i64 = 1_000_000_000;

/// Nanoseconds of `1h30m`, `-1.5s`, `0`; Go's words for anything else.
pub fn parse(text: &str) -> Result<i64, String> {
    let wrong = || format!("time: invalid duration {text:?}");
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        if number.is_empty() || number == "." {
            return Err(wrong());
        }
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let Some(factor) = unit_of(unit) else {
            return Err(format!("time: unknown unit {unit:?} in duration {text:?}"));
        };
        total += scaled(number, factor).ok_or_else(wrong)?;
        rest = tail;
    }
    let total = if negative { -total } else { total };
    i64::try_from(total).map_err(|_| wrong())
}

fn unit_of(unit: &str) -> Option<i64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3600 * SECOND,
        _ => return None,
    })
}

fn scaled(number: &str, factor: i64) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut total =
        if whole.is_empty() { 0 } else { whole.parse::<i128>().ok()? }.checked_mul(factor.into())?;
    let mut place = i128::from(factor);
    for digit in fraction.bytes() {
        place /= 10;
        total += place * i128::from(char::from(digit).to_digit(10)?);
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, value) in [
            ("1h30m", 5400 * SECOND),
            ("1.5s", 1_500_000_000),
            ("-1s", -SECOND),
            ("0", 0),
            ("10ms", 10_000_000),
            ("1us", 1000),
        ] {
            assert_eq!(parse(text), Ok(value), "{text}");
        }
        assert_eq!(parse("foo").unwrap_err(), "time: invalid duration \"foo\"");
        assert_eq!(parse("5").unwrap_err(), "time: missing unit in duration \"5\"");
        assert_eq!(parse("5x").unwrap_err(), "time: unknown unit \"x\" in duration \"5x\"");
    }
}

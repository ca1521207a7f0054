//! Points in time, as RFC 3339 texts.

use super::{Called, take};
use crate::evaluate::{Outcome, text};
use hcl::Value;
use hull_types::Timestamp;
use regex::Regex;

pub(super) fn call(name: &str, arguments: &[Value]) -> Called {
    Some(match name {
        "timestamp" => take(arguments)
            .map(|[]: &[Value; 0]| Timestamp { nanoseconds: 0, ..Timestamp::now() }.to_string().into()),
        "timeadd" => take(arguments).and_then(|[time, duration]| {
            let time = timestamp(&text(time)?)?;
            let sum = time.unix_nanoseconds() + nanoseconds(&text(duration)?)?;
            Ok(Timestamp::from_unix_nanoseconds(sum).to_string().into())
        }),
        "formatdate" => take(arguments)
            .and_then(|[pattern, time]| Ok(format(&text(pattern)?, timestamp(&text(time)?)?)?.into())),
        _ => return None,
    })
}

fn timestamp(text: &str) -> Outcome<Timestamp> {
    text.parse().map_err(|_| format!("not a valid RFC 3339 timestamp: {text:?}"))
}

// Go's durations: 1h30m, -1.5s.
fn nanoseconds(text: &str) -> Outcome<i128> {
    let invalid = || format!("invalid duration {text:?}");
    let (sign, rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let part = Regex::new(r"^([0-9]*\.?[0-9]+)(ns|us|µs|ms|s|m|h)").map_err(|error| error.to_string())?;
    let (mut total, mut rest) = (0.0, rest.strip_prefix('+').unwrap_or(rest));
    if rest.is_empty() {
        return Err(invalid());
    }
    while !rest.is_empty() {
        let found = part.captures(rest).ok_or_else(invalid)?;
        let number: f64 = found[1].parse().map_err(|_| invalid())?;
        total += number
            * match &found[2] {
                "ns" => 1.0,
                "us" | "µs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                _ => 3600e9,
            };
        rest = &rest[found[0].len()..];
    }
    Ok(sign * total as i128)
}

// HCL's patterns: YYYY YY MMMM MMM MM M DD D EEEE EEE hh h HH H mm m ss s AA aa ZZZZZ ZZZZ ZZZ Z, 'quoted'. In UTC.
fn format(pattern: &str, time: Timestamp) -> Outcome<String> {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
    let (year, month, day) = time.date();
    let (second, days) = (time.seconds.rem_euclid(86_400), time.seconds.div_euclid(86_400));
    let (hour, month_name) = (second / 3600, MONTHS[month as usize - 1]);
    // The epoch was a Thursday.
    let day_name = DAYS[days.rem_euclid(7) as usize];
    let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
    let token = Regex::new(r"'(?:[^']|'')*'|Y+|M+|D+|E+|h+|H+|m+|s+|A+|a+|Z+|[a-zA-Z]+|[^a-zA-Z']+")
        .map_err(|error| error.to_string())?;
    let part = |token: regex::Match<'_>| {
        let token = token.as_str();
        Ok(match token {
            "YYYY" => format!("{year:04}"),
            "YY" => format!("{:02}", year.rem_euclid(100)),
            "MMMM" => month_name.into(),
            "MMM" => month_name[..3].into(),
            "MM" => format!("{month:02}"),
            "M" => month.to_string(),
            "DD" => format!("{day:02}"),
            "D" => day.to_string(),
            "EEEE" => day_name.into(),
            "EEE" => day_name[..3].into(),
            "hh" => format!("{hour:02}"),
            "h" => hour.to_string(),
            "HH" => format!("{twelve:02}"),
            "H" => twelve.to_string(),
            "mm" => format!("{:02}", second / 60 % 60),
            "m" => (second / 60 % 60).to_string(),
            "ss" => format!("{:02}", second % 60),
            "s" => (second % 60).to_string(),
            "AA" => if hour < 12 { "AM" } else { "PM" }.into(),
            "aa" => if hour < 12 { "am" } else { "pm" }.into(),
            "ZZZZZ" => "+00:00".into(),
            "ZZZZ" => "+0000".into(),
            "ZZZ" => "UTC".into(),
            "Z" => "Z".into(),
            quoted if quoted.starts_with('\'') => quoted[1..quoted.len() - 1].replace("''", "'"),
            letters if letters.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                return Err(format!("invalid date format verb {letters:?}: words stand in ' '"));
            }
            other => other.to_owned(),
        })
    };
    token.find_iter(pattern).map(part).collect()
}

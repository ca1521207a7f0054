//! Durations and times as people write and read them (Docker's `units.HumanDuration`).

use crate::matches::go_quoted;
use hull_sys::local_time::Zone;
use hull_types::Timestamp;
pub use hull_types::duration::parse;

/// `About a minute`, `3 hours`, `2 weeks` of a number of seconds.
pub fn human(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds as f64 / 3600.0).round() as i64);
    match () {
        () if seconds < 1 => "Less than a second".into(),
        () if seconds == 1 => "1 second".into(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".into(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".into(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// How long ago this second of the epoch was: `3 hours ago`.
pub fn ago(created: i64) -> String {
    format!("{} ago", human(Timestamp::now().seconds - created))
}

/// A time that came in UTC as Go shows it: `2026-11-20 21:34:00.5 +0000 UTC`.
pub fn go_timestamp(time: Timestamp) -> String {
    format!("{} +0000 UTC", time.to_string().trim_end_matches('Z').replacen('T', " ", 1))
}

/// A second of the epoch as Go shows it in the local zone: `2026-11-20 22:34:00 +0100 CET`.
pub fn go_time(seconds: i64) -> String {
    go_time_in(&Zone::at(seconds), seconds)
}

fn go_time_in(zone: &Zone, seconds: i64) -> String {
    let shown = zone.clock(Timestamp { seconds, nanoseconds: 0 }).to_string();
    format!("{} {} {}", shown.trim_end_matches('Z').replacen('T', " ", 1), zone.hours(""), zone.name)
}

/// What `--since` and `--until` take: a duration before `now`, seconds of the epoch with a fraction, or a time with
/// as much of date, time and zone as is given; without zone it is the local one of `now`. As seconds with nanoseconds, the API's form.
pub fn timestamp(text: &str, now: Timestamp) -> Result<String, String> {
    if text.is_empty() || text == "0" {
        return Ok(text.into());
    }
    if let Ok(before) = parse(text) {
        let at = Timestamp::from_unix_nanoseconds(now.unix_nanoseconds() - i128::from(before));
        return Ok(shown(at));
    }
    if let Some(time) = Zone::at(now.seconds).dated(text) {
        return Ok(shown(time));
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if digits(seconds.trim_start_matches('-')) && digits(fraction) {
        return Ok(text.into());
    }
    Err(format!("failed to parse value as time or duration: {}", go_quoted(text)))
}

fn shown(time: Timestamp) -> String {
    format!("{}.{:09}", time.seconds, time.nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_dockers() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (61, "About a minute"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (5400, "2 hours"),
            (3 * 86400, "3 days"),
            (21 * 86400, "3 weeks"),
            (90 * 86400, "3 months"),
            (800 * 86400, "2 years"),
        ] {
            assert_eq!(human(seconds), text);
        }
    }

    #[test]
    fn times_are_taken_in_every_form() {
        let now = Timestamp { seconds: 1_000_000, nanoseconds: 0 };
        assert_eq!(timestamp("10s", now).unwrap(), "999990.000000000");
        assert_eq!(timestamp("1700000000.5", now).unwrap(), "1700000000.5");
        assert_eq!(timestamp("2023-11-14T22:13:20Z", now).unwrap(), "1700000000.000000000");
        assert_eq!(timestamp("2023-11-14", now).unwrap(), "1699920000.000000000");
        assert_eq!(timestamp("2023-11-14T22:13:20+01:00", now).unwrap(), "1699996400.000000000");
        assert!(timestamp("foo", now).is_err());
    }

    #[test]
    fn the_local_zone_goes_for_times_without_one() {
        let zone = Zone { offset: -18_000, name: "EST".into() };
        assert_eq!(go_time_in(&zone, 1_700_000_000), "2023-11-14 17:13:20 -0500 EST");
        for (text, seconds) in [
            ("2023-11-14T17:13:20", 1_700_000_000),
            ("2023-11-14T17:13:20Z", 1_699_982_000),
            ("2023-11-14T17:13:20-05:00", 1_700_000_000),
            ("2023-11-14", 1_699_938_000),
            ("2023-11-14T01:30", 1_699_943_400),
        ] {
            assert_eq!(zone.dated(text).unwrap().seconds, seconds, "{text}");
        }
    }
}

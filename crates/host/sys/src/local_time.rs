//! The zone that the process's clocks show: `TZ`, or the system's.

use hull_types::{Timestamp, duration};

/// A zone at one point in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Seconds that its clocks are ahead of UTC.
    pub offset: i32,
    /// Its short name, such as `CET`.
    pub name: String,
}

impl Zone {
    /// The local one at that second of the epoch; UTC where the second is beyond all calendars.
    pub fn at(seconds: i64) -> Self {
        // SAFETY: an all-zero tm is a valid value of it.
        let mut parts: libc::tm = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are valid for the call, which writes the second. It reads the environment, which
        // nothing in Hull changes.
        let done = unsafe { libc::localtime_r(&raw const seconds, &raw mut parts) };
        if done.is_null() || parts.tm_zone.is_null() {
            return Self { offset: 0, name: "UTC".into() };
        }
        // SAFETY: tm_zone is a C string of the library's that lives as long as the process.
        let name = unsafe { std::ffi::CStr::from_ptr(parts.tm_zone) };
        Self { offset: parts.tm_gmtoff as i32, name: name.to_string_lossy().into_owned() }
    }

    /// What a clock in the zone shows at that time, written as if it were UTC.
    pub fn clock(&self, time: Timestamp) -> Timestamp {
        Timestamp { seconds: time.seconds + i64::from(self.offset), ..time }
    }

    /// A time that a clock in the zone shows, `…Z` as if it were UTC, with the zone in its place: RFC 3339.
    pub fn mark(&self, text: &str) -> String {
        let text = text.trim_end_matches('Z');
        if self.offset == 0 { format!("{text}Z") } else { format!("{text}{}", self.hours(":")) }
    }

    /// The time that a text says with as much of date, time and zone as is given: `2006-01-02`, `2006-01-02T15`,
    /// `…:04`, `…:05`. Without a zone it is this one's.
    pub fn dated(&self, text: &str) -> Option<Timestamp> {
        if text.as_bytes().get(4) != Some(&b'-') {
            return None;
        }
        let (date, rest) = text.split_at_checked(10)?;
        let (time, zone) = match rest.find(['Z', '+', '-']) {
            Some(at) => (&rest[..at], rest[at..].to_owned()),
            None => (rest, self.hours(":")),
        };
        let time = match time.len() {
            0 => "T00:00:00".to_owned(),
            3 => format!("{time}:00:00"),
            6 => format!("{time}:00"),
            _ => time.to_owned(),
        };
        format!("{date}{time}{zone}").parse().ok()
    }

    /// `+01:00`, with that between the two.
    pub fn hours(&self, between: &str) -> String {
        let (sign, minutes) = (if self.offset < 0 { '-' } else { '+' }, self.offset.abs() / 60);
        format!("{sign}{:02}{between}{:02}", minutes / 60, minutes % 60)
    }
}

/// RFC 3339 in the local zone: `2026-11-20T23:11:08.5-05:00`.
pub fn rfc3339(time: Timestamp) -> String {
    let zone = Zone::at(time.seconds);
    zone.mark(&zone.clock(time).to_string())
}

/// A point in time as Docker's filters take it: a duration before `now` (`1h30m`), seconds of the epoch with or without
/// a fraction, or a date, in the local zone where it names none.
pub fn point(text: &str, now: Timestamp) -> Option<Timestamp> {
    point_in(&Zone::at(now.seconds), text, now)
}

fn point_in(zone: &Zone, text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(before) = duration::parse(text).ok().filter(|_| text != "0") {
        return Some(Timestamp::from_unix_nanoseconds(now.unix_nanoseconds() - i128::from(before)));
    }
    zone.dated(text).or_else(|| seconds(text))
}

fn seconds(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let nanoseconds = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Some(Timestamp { seconds: whole.parse().ok()?, nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_written_as_go_does() {
        let zone = |offset| Zone { offset, name: String::new() };
        let time = Timestamp { seconds: 1_700_000_000, nanoseconds: 500_000_000 };
        for (offset, text) in [
            (0, "2023-11-14T22:13:20.5Z"),
            (-18_000, "2023-11-14T17:13:20.5-05:00"),
            (20_700, "2023-11-15T03:58:20.5+05:45"),
            (-1_800, "2023-11-14T21:43:20.5-00:30"),
        ] {
            let zone = zone(offset);
            assert_eq!(zone.mark(&zone.clock(time).to_string()), text);
        }
        assert_eq!(zone(-12_600).hours(""), "-0330");
    }

    #[test]
    fn points_in_time_are_taken_in_every_form() {
        let now = Timestamp { seconds: 1_700_000_000, nanoseconds: 500_000_000 };
        let (utc, east) =
            (Zone { offset: 0, name: "UTC".into() }, Zone { offset: 7_200, name: "EET".into() });
        for (text, in_utc, in_east) in [
            ("1h30m", 1_699_994_600_500_000_000, 0),
            ("1.5s", 1_699_999_999_000_000_000, 0),
            ("1700000000.5", 1_700_000_000_500_000_000, 0),
            ("0", 0, 0),
            ("1970-01-01T02:00:01Z", 7_201_000_000_000, 0),
            ("1970-01-01T02:00:01+02:00", 1_000_000_000, 0),
            ("1970-01-02", 86_400_000_000_000, -7_200),
            ("1970-01-01T03", 10_800_000_000_000, -7_200),
            ("1970-01-01T02:01", 7_260_000_000_000, -7_200),
            ("1970-01-01T02:00:01.5", 7_201_500_000_000, -7_200),
        ] {
            let at = |zone| point_in(zone, text, now).unwrap().unix_nanoseconds();
            assert_eq!((at(&utc), at(&east)), (in_utc, in_utc + in_east * 1_000_000_000), "{text}");
        }
        for text in ["yesterday", "1x", "", "1970-13-01", "1.2.3", "-"] {
            assert_eq!(point_in(&utc, text, now), None, "{text}");
        }
    }

    #[test]
    fn the_local_zone_is_the_one_of_the_c_library() {
        let said = std::process::Command::new("date").args(["-d", "@1700000000", "+%z %Z"]).output().unwrap();
        let zone = Zone::at(1_700_000_000);
        let shown = format!("{} {}", zone.hours(""), zone.name);
        assert_eq!(shown, String::from_utf8(said.stdout).unwrap().trim_end());
    }
}

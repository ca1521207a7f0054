//! API versions: `/v1.41/…`.

use hull_api_types::{API_VERSION, MIN_API_VERSION};
use std::fmt;

/// A version of the Engine API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    /// 1 so far.
    pub major: u16,
    /// What changes.
    pub minor: u16,
}

impl ApiVersion {
    /// The newest that Hull serves, and what a path without version means.
    pub const NEWEST: Self = Self::of(API_VERSION);
    /// The oldest.
    pub const OLDEST: Self = Self::of(MIN_API_VERSION);
    // Before it, errors were plain text.
    const JSON_ERRORS: Self = Self::v1(24);

    /// Version 1.`minor`.
    pub const fn v1(minor: u16) -> Self {
        Self { major: 1, minor }
    }

    const fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let (mut index, mut minor) = (2, 0);
        while index < bytes.len() {
            minor = minor * 10 + (bytes[index] - b'0') as u16;
            index += 1;
        }
        Self::v1(minor)
    }

    /// `1.41`, or `1.41.0` and such; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(|part| {
            let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| part.parse::<u16>().ok()).flatten()
        });
        let major = numbers.next()??;
        let minor = numbers.next().unwrap_or(Some(0))?;
        numbers.all(|rest| rest.is_some()).then_some(Self { major, minor })
    }

    /// Why Hull does not serve this version, in Docker's words.
    pub fn refusal(self) -> Option<String> {
        if self > Self::NEWEST {
            Some(format!(
                "client version {self} is too new. Maximum supported API version is {}",
                Self::NEWEST
            ))
        } else if self < Self::OLDEST {
            Some(format!(
                "client version {self} is too old. Minimum supported API version is {}, please upgrade your client to a newer version",
                Self::OLDEST
            ))
        } else {
            None
        }
    }

    /// Whether clients of this version read errors as JSON.
    pub fn has_json_errors(self) -> bool {
        self >= Self::JSON_ERRORS
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        let v = |text| ApiVersion::parse(text).unwrap();
        assert!(v("1.9") < v("1.24") && v("1.51") == ApiVersion::NEWEST && v("1.24") == ApiVersion::OLDEST);
        assert!(v("1.41.0") == v("1.41") && v("2") > v("1.99"));
        for bad in ["", "1.", ".1", "1..2", "x", "1.70000"] {
            assert_eq!(ApiVersion::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn refusals_are_dockers() {
        let refusal = |minor| ApiVersion::v1(minor).refusal();
        assert_eq!(
            refusal(99).as_deref(),
            Some("client version 1.99 is too new. Maximum supported API version is 1.51")
        );
        assert!(
            refusal(12)
                .unwrap()
                .starts_with("client version 1.12 is too old. Minimum supported API version is 1.24,")
        );
        assert_eq!(refusal(41), None);
        assert!(!ApiVersion::v1(12).has_json_errors() && ApiVersion::v1(99).has_json_errors());
    }
}

//! The time that a build gives to what it makes: the same inputs give the same digest.

use hull_types::Timestamp;

/// For images that stand on nothing: 2 January 1980, the first day that archives of every kind and in every time
/// zone can write.
pub(crate) const EARLIEST: i64 = 315_619_200;

/// The moment of these seconds since 1970.
pub(crate) fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_unix_nanoseconds(i128::from(seconds) * 1_000_000_000)
}

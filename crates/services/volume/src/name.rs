//! What a local volume may be called.

use crate::{Error, Result};

/// `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, so that it can be a file name.
pub(crate) fn check(name: &str) -> Result<()> {
    if name.len() == 1 {
        return Err(Error::ShortName(name.into()));
    }
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    if first && rest && name.len() <= 255 { Ok(()) } else { Err(Error::Name { name: name.into() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["ab", "a_b.c-d", "0x", &"a".repeat(255)] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "_a", "..", "a/b", "/abs", "a b", "é1", "a\n", &"a".repeat(256)] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert_eq!(
            check("a/b").unwrap_err().to_string(),
            "create a/b: \"a/b\" includes invalid characters for a local volume name, only \
             \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
        );
        assert_eq!(
            check("a").unwrap_err().to_string(),
            "create a: volume name is too short, names should be at least two alphanumeric characters"
        );
    }
}

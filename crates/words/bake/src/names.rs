//! Names of targets.

use crate::error::{Error, Result};

fn fits(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

/// Whether `name` may be a target's or group's.
pub(crate) fn check(name: &str) -> Result<()> {
    if name.is_empty() || !name.chars().all(fits) {
        let cause = "only letters, digits, '_' and '-' are allowed";
        return Err(Error::Name { name: name.into(), cause });
    }
    Ok(())
}

/// `name` with `_` for what no name may have.
pub(crate) fn sanitize(name: &str) -> String {
    name.chars().map(|c| if fits(c) { c } else { '_' }).collect()
}

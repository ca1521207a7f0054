//! Names of members and paths of requests, as bytes: cleaned by their text alone, before any file is touched.

use crate::error::{Error, Result, lossy};

/// A member's name as a relative path without `.`, `..` and doubled slashes; empty for the root itself. A leading
/// slash is dropped, as every extractor does.
///
/// # Errors
/// [`Error::Breakout`] when `..` leads out of the tree, [`Error::Unsupported`] when no file can have the name.
pub fn clean(name: &[u8]) -> Result<Vec<u8>> {
    if name.contains(&0) {
        return Err(Error::Unsupported { name: lossy(name), reason: "a NUL in the name".into() });
    }
    // What the kernel takes in one path; it also bounds how deep an archive can make a tree.
    if name.len() >= 4096 {
        let name = lossy(&name[..64]);
        return Err(Error::Unsupported { name: format!("{name}…"), reason: "file name too long".into() });
    }
    let rooted = name.first() == Some(&b'/');
    let mut path: Vec<u8> = Vec::with_capacity(name.len());
    for component in name.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            // Nothing is above `/`.
            b".." if path.is_empty() && rooted => {}
            b".." if path.is_empty() => return Err(Error::Breakout { name: lossy(name) }),
            b".." => path.truncate(parent(&path).len()),
            component => push(&mut path, component),
        }
    }
    Ok(path)
}

/// A path of a request as Docker takes it: absolute and cleaned, but with its trailing `/` or `/.` kept.
pub(crate) fn absolute(path: &[u8]) -> Vec<u8> {
    let mut cleaned: Vec<u8> = Vec::with_capacity(path.len() + 1);
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => cleaned.truncate(parent(&cleaned).len()),
            component => push(&mut cleaned, component),
        }
    }
    cleaned.insert(0, b'/');
    let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    if last == b"." {
        if cleaned != b"/" {
            cleaned.push(b'/');
        }
        cleaned.push(b'.');
    } else if last.is_empty() && !path.is_empty() && cleaned != b"/" {
        cleaned.push(b'/');
    }
    cleaned
}

/// Go's `filepath.Base`: the last element without trailing slashes, `/` for the root.
pub(crate) fn base(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    if end == 0 {
        return if path.is_empty() { b"." } else { b"/" };
    }
    last(&path[..end])
}

/// The part of a cleaned path before its last slash; empty when there is none.
pub(crate) fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(&[], |slash| &path[..slash])
}

/// The part of a cleaned path after its last slash.
pub(crate) fn last(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(path, |slash| &path[slash + 1..])
}

/// Appends a component.
pub(crate) fn push(path: &mut Vec<u8>, component: &[u8]) {
    if !path.is_empty() && path.last() != Some(&b'/') {
        path.push(b'/');
    }
    path.extend_from_slice(component);
}

/// `directory/component`.
pub(crate) fn join(directory: &[u8], component: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(directory.len() + component.len() + 1);
    path.extend_from_slice(directory);
    if !component.is_empty() {
        push(&mut path, component);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_and_never_lead_out() {
        for (name, cleaned) in [
            ("a/b", "a/b"),
            ("./a//b/", "a/b"),
            ("/etc/passwd", "etc/passwd"),
            ("./", ""),
            ("a/../b", "b"),
            ("a/b/../../c", "c"),
            ("/../../x", "x"),
            ("...", "..."),
        ] {
            assert_eq!(clean(name.as_bytes()).unwrap(), cleaned.as_bytes(), "{name}");
        }
        for bad in ["..", "../x", "a/../../x", "./../x", "a\0b"] {
            assert!(clean(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn request_paths_keep_their_ending() {
        for (path, wanted, wanted_base) in [
            ("etc", "/etc", "etc"),
            ("/etc/", "/etc/", "etc"),
            ("/etc/.", "/etc/.", "."),
            ("/", "/", "/"),
            (".", "/.", "."),
            ("", "/", "/"),
            ("a/../../b/./c", "/b/c", "c"),
            ("/a/..", "/", "/"),
        ] {
            let absolute = absolute(path.as_bytes());
            assert_eq!(absolute, wanted.as_bytes(), "{path}");
            assert_eq!(base(&absolute), wanted_base.as_bytes(), "{path}");
        }
    }
}

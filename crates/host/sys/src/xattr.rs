//! Extended attributes by descriptor or path, as vectors.

use rustix::fs;
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// The names of an open file's attributes.
pub fn list(file: impl AsFd) -> io::Result<Vec<CString>> {
    grow(|buffer| fs::flistxattr(&file, buffer)).map(split)
}

/// The names of the attributes of what stands at a path (a symbolic link's own).
pub fn list_path(path: &Path) -> io::Result<Vec<CString>> {
    grow(|buffer| fs::llistxattr(path, buffer)).map(split)
}

/// An open file's attribute; `None` if it has none of that name.
pub fn get(file: impl AsFd, name: &CStr) -> io::Result<Option<Vec<u8>>> {
    missing_is_none(grow(|buffer| fs::fgetxattr(&file, name, buffer)))
}

/// The attribute of what stands at a path (a symbolic link's own); `None` if it has none of that name.
pub fn get_path(path: &Path, name: &CStr) -> io::Result<Option<Vec<u8>>> {
    missing_is_none(grow(|buffer| fs::lgetxattr(path, name, buffer)))
}

/// Sets an open file's attribute.
pub fn set(file: impl AsFd, name: &CStr, value: &[u8]) -> io::Result<()> {
    Ok(fs::fsetxattr(file, name, value, fs::XattrFlags::empty())?)
}

/// Sets the attribute of what stands at a path (a symbolic link's own).
pub fn set_path(path: &Path, name: &CStr, value: &[u8]) -> io::Result<()> {
    Ok(fs::lsetxattr(path, name, value, fs::XattrFlags::empty())?)
}

/// Removes an open file's attribute.
pub fn remove(file: impl AsFd, name: &CStr) -> io::Result<()> {
    Ok(fs::fremovexattr(file, name)?)
}

/// Reads into a buffer that grows until the answer fits.
fn grow(mut read: impl FnMut(&mut [u8]) -> Result<usize, Errno>) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 256];
    loop {
        match read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < 1 << 20 => buffer.resize(buffer.len() * 8, 0),
            Err(error) => return Err(error.into()),
        }
    }
}

fn missing_is_none(result: io::Result<Vec<u8>>) -> io::Result<Option<Vec<u8>>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.raw_os_error() == Some(libc::ENODATA) => Ok(None),
        Err(error) => Err(error),
    }
}

fn split(names: Vec<u8>) -> Vec<CString> {
    names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .filter_map(|name| CString::new(name).ok())
        .collect()
}

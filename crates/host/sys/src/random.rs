//! Random bytes of the kernel's, for ids that nobody may guess or meet twice (getrandom(2), the urandom source).

use std::fmt::Write;
use std::io;

/// `N` random bytes.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut buffer = [0; N];
    let mut filled = 0;
    while filled < N {
        let rest = &mut buffer[filled..];
        // SAFETY: the pointer and length are those of a buffer that this function alone holds.
        let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(got) {
            Ok(count) => filled += count,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(buffer)
}

/// `N` random bytes as twice as many hexadecimal digits in lower case.
pub fn hex<const N: usize>() -> io::Result<String> {
    let mut text = String::with_capacity(2 * N);
    for byte in bytes::<N>()? {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_many_and_never_the_same() {
        let (one, two) = (hex::<32>().unwrap(), hex::<32>().unwrap());
        assert_eq!(one.len(), 64);
        assert!(one.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
        assert_ne!(one, two);
        // More than the kernel gives without interruption.
        assert_ne!(bytes::<1000>().unwrap()[500..], [0; 500]);
    }
}

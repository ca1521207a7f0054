//! Finding the last lines of a file without reading it all.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const BLOCK: usize = 64 << 10;

/// Where the last `wanted` lines of the first `size` bytes begin, and how many they are: fewer when the file has
/// no more. What follows the last newline is no line yet.
pub(crate) fn last_lines(file: &File, size: u64, wanted: u64) -> io::Result<(u64, u64)> {
    let mut block = vec![0; BLOCK.min(size as usize)];
    let mut end = size;
    // Newlines seen so far; the line after the (wanted + 1)th from the end is the first wanted one.
    let mut newlines = 0;
    while end > 0 {
        let start = end.saturating_sub(BLOCK as u64);
        let part = &mut block[..(end - start) as usize];
        file.read_exact_at(part, start)?;
        for (index, _) in part.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            newlines += 1;
            if newlines > wanted {
                return Ok((start + index as u64 + 1, wanted));
            }
        }
        end = start;
    }
    Ok((0, newlines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn tails() {
        let mut file = tempfile::tempfile().unwrap();
        let long = "x".repeat(100_000);
        write!(file, "a\nb\n{long}\nd\nunfinished").unwrap();
        let size = file.metadata().unwrap().len();
        let from = |wanted| last_lines(&file, size, wanted).unwrap();
        assert_eq!(from(1), (4 + 100_001, 1));
        assert_eq!(from(2), (4, 2));
        assert_eq!(from(3), (2, 3));
        assert_eq!(from(4), (0, 4));
        assert_eq!(from(9), (0, 4));
        assert_eq!(from(0), (4 + 100_001 + 2, 0));
        assert_eq!(last_lines(&file, 0, 3).unwrap(), (0, 0));
    }
}

//! The modules of a Go program: its linker writes them at the beginning of the program's data.

use super::{Package, escaped};
use crate::files::Files;
use std::collections::BTreeSet;
use std::io::{self, Read};

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// What follows the magic before the texts.
const HEAD: usize = 32;
/// The texts are in the program, not pointed to: since Go 1.18.
const INLINE: u8 = 2;
/// As much of the data is looked at.
const WINDOW: u64 = 1 << 20;
/// Data that begins later is not looked for.
const FAR: u64 = 1 << 30;
/// Around the list of modules, for who looks for it in memory.
const GUARD: usize = 16;

pub(super) fn program(files: &dyn Files, path: &[u8], found: &mut BTreeSet<Package>) -> io::Result<()> {
    let mut reader = files.open(path)?;
    let mut head = Vec::new();
    reader.by_ref().take(4096).read_to_end(&mut head)?;
    let Some(offset) = data_offset(&head) else { return Ok(()) };
    let mut data = Vec::new();
    let at = match usize::try_from(offset) {
        Ok(offset) if offset < head.len() => {
            data.extend_from_slice(&head[offset..]);
            0
        }
        _ => offset - head.len() as u64,
    };
    io::copy(&mut reader.by_ref().take(at), &mut io::sink())?;
    reader.take(WINDOW).read_to_end(&mut data)?;
    let Some((version, modules)) = texts(&data) else { return Ok(()) };
    let found_in = String::from_utf8_lossy(path).into_owned();
    let mut add = |name: &str, version: &str| {
        // What was built where it lay has no version.
        if name.is_empty() || version.is_empty() || version == "(devel)" {
            return;
        }
        let parts: Vec<String> = name.split('/').map(escaped).collect();
        found.insert(Package {
            name: name.to_owned(),
            version: version.to_owned(),
            url: format!("pkg:golang/{}@{}", parts.join("/"), escaped(version)),
            license: String::new(),
            found: found_in.clone(),
        });
    };
    add("stdlib", version.strip_prefix("go").unwrap_or(&version));
    let mut last: Option<(&str, &str)> = None;
    for line in modules.lines() {
        let mut fields = line.split('\t');
        let (word, name, version) = (fields.next(), fields.next().unwrap_or(""), fields.next().unwrap_or(""));
        match word {
            Some("mod" | "dep") => {
                last.take().into_iter().for_each(|(name, version)| add(name, version));
                last = Some((name, version));
            }
            // In place of the one before.
            Some("=>") => last = Some((name, version)),
            _ => {}
        }
    }
    last.into_iter().for_each(|(name, version)| add(name, version));
    Ok(())
}

/// Where the first segment that may be written begins, in an ELF program of little endian.
fn data_offset(head: &[u8]) -> Option<u64> {
    let number = |at: usize, length: usize| -> Option<u64> {
        let bytes = head.get(at..at.checked_add(length)?)?;
        Some(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    if head.get(..4)? != b"\x7fELF" || number(5, 1)? != 1 {
        return None;
    }
    let wide = number(4, 1)? == 2;
    let (table, size, count) = match wide {
        true => (number(32, 8)?, number(54, 2)?, number(56, 2)?),
        false => (number(28, 4)?, number(42, 2)?, number(44, 2)?),
    };
    (0..count).find_map(|index| {
        let at = usize::try_from(table.checked_add(index * size)?).ok()?;
        let (flags, offset) = match wide {
            true => (number(at.checked_add(4)?, 4)?, number(at.checked_add(8)?, 8)?),
            false => (number(at.checked_add(24)?, 4)?, number(at.checked_add(4)?, 4)?),
        };
        (number(at, 4)? == 1 && flags & 2 != 0 && offset < FAR).then_some(offset)
    })
}

/// Go's version and the list of modules.
fn texts(data: &[u8]) -> Option<(String, String)> {
    let at = (0..data.len()).step_by(16).find(|at| data[*at..].starts_with(MAGIC))?;
    if data.get(at + 15)? & INLINE == 0 {
        return None;
    }
    let (version, rest) = text(data.get(at + HEAD..)?)?;
    let (modules, _) = text(rest)?;
    let modules = modules.get(GUARD..modules.len().checked_sub(GUARD)?)?;
    Some((String::from_utf8_lossy(version).into_owned(), String::from_utf8_lossy(modules).into_owned()))
}

/// A text after its length, seven bits a byte.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0usize;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return bytes[index + 1..].split_at_checked(length);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Context;

    #[test]
    fn modules_of_programs_are_read() {
        let guard = "0".repeat(GUARD);
        let list = format!(
            "{guard}path\texample.com/app\nmod\texample.com/app\t(devel)\t\ndep\texample.com/Old\tv1.0.0\th1:x\n=>\texample.com/new\tv2.0.0\th1:y\n\
             dep\tgolang.org/x/sys\tv0.1.0\th1:z\nbuild\t-trimpath=true\n{guard}"
        );
        let mut program = vec![0u8; 8192];
        program[..6].copy_from_slice(b"\x7fELF\x02\x01");
        program[32] = 64;
        program[54] = 56;
        program[56] = 2;
        // A segment of text, then one of data at 8000.
        program[64..72].copy_from_slice(&[1, 0, 0, 0, 5, 0, 0, 0]);
        program[120..128].copy_from_slice(&[1, 0, 0, 0, 6, 0, 0, 0]);
        program[128..136].copy_from_slice(&8000u64.to_le_bytes());
        program.truncate(8000);
        program.extend([0; 16]);
        program.extend(MAGIC);
        program.extend([8, INLINE]);
        program.extend([0; 16]);
        for text in ["go1.19.8", &list] {
            program.extend([0x80 | (text.len() & 0x7f) as u8, (text.len() >> 7) as u8]);
            program.extend(text.as_bytes());
        }
        let urls = |program: Vec<u8>| {
            let files = Context::of([("app".to_owned(), program)]);
            let mut found = BTreeSet::new();
            super::program(&files, b"app", &mut found).unwrap();
            found.into_iter().map(|package| package.url).collect::<Vec<_>>()
        };
        let wanted = [
            "pkg:golang/example.com/new@v2.0.0",
            "pkg:golang/golang.org/x/sys@v0.1.0",
            "pkg:golang/stdlib@1.19.8",
        ];
        assert_eq!(urls(program.clone()), wanted);
        // Cut anywhere, it is no program or one without a list.
        for length in (0..program.len()).step_by(7) {
            urls(program[..length].to_vec());
        }
        let mut random = 0x2545_f491_4f6c_dd1du64;
        for _ in 0..2000 {
            let mut broken = program.clone();
            for _ in 0..4 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let at = [random as usize % 200, 8000 + random as usize % 300][(random >> 40) as usize % 2];
                let at = at.min(broken.len() - 1);
                broken[at] = (random >> 32) as u8;
            }
            urls(broken);
        }
    }
}

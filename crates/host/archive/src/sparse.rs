//! Sparse members: archives that leave the zeros of a file out (GNU tar manual, "Storing Sparse Files").
//!
//! ```text
//! old GNU   type S   map in the header, then in blocks of its own       size: what is stored
//! PAX 0.0   GNU.sparse.offset, GNU.sparse.numbytes, again and again     name: path
//! PAX 0.1   GNU.sparse.map = offset,length,offset,length…               name: GNU.sparse.name
//! PAX 1.0   GNU.sparse.major = 1, .minor = 0; map before the contents   name: GNU.sparse.name
//! ```
//! GNU tar begins each part at a block, Go's reader doesn't: what they would see differently is refused, and so is a
//! map that is not in order, not inside of the file, or of another length than what is stored.

use crate::entry::Extent;
use crate::pax::decimal;

/// How the records of extended headers begin that speak of it.
pub(crate) const KEY: &[u8] = b"GNU.sparse.";
/// The most parts a file may have; a map is held in memory.
pub(crate) const MAX_EXTENTS: usize = 1 << 18;

/// What the records of an extended header say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Records {
    pub name: Option<Vec<u8>>,
    version: (Option<u64>, Option<u64>),
    size: Option<u64>,
    real_size: Option<u64>,
    count: Option<u64>,
    // Offsets and lengths in turn.
    numbers: Vec<u64>,
    has_map: bool,
}

/// Which form the records have.
#[derive(Debug, PartialEq)]
pub(crate) enum Form {
    /// The map is here.
    Map(Vec<Extent>),
    /// The map is before the contents.
    InContents,
}

impl Records {
    /// Takes a record in; `key` is what follows [`KEY`]. None for what can't be.
    pub fn set(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let number = || decimal(value).map(|number| number as u64);
        let once = |field: &mut Option<u64>| field.replace(number()?).is_none().then_some(());
        match key {
            b"name" if value.is_empty() || value.contains(&0) => None,
            b"name" => self.name.replace(value.to_vec()).is_none().then_some(()),
            b"major" => once(&mut self.version.0),
            b"minor" => once(&mut self.version.1),
            b"size" => once(&mut self.size),
            b"realsize" => once(&mut self.real_size),
            b"numblocks" => once(&mut self.count),
            b"offset" | b"numbytes" if !self.has_map => {
                let is_length = key == b"numbytes";
                self.numbers.push(number()?);
                // They come in turn.
                (self.numbers.len() % 2 == usize::from(!is_length)).then_some(())
            }
            b"map" if !self.has_map && self.numbers.is_empty() => {
                self.has_map = true;
                let parts = value.split(|byte| *byte == b',').filter(|_| !value.is_empty());
                self.numbers =
                    parts.map(|part| decimal(part).map(|number| number as u64)).collect::<Option<_>>()?;
                Some(())
            }
            _ => None,
        }
    }

    /// The form, and the file's real size.
    pub fn form(self) -> Result<(Form, u64), String> {
        let wrong = |what: &str| Err(format!("the records of a sparse member {what}"));
        if self.size.is_some() && self.real_size.is_some() {
            return wrong("have two sizes");
        }
        let Some(size) = self.size.or(self.real_size) else { return wrong("do not have its size") };
        match self.version {
            (Some(1), Some(0)) if self.numbers.is_empty() && !self.has_map && self.name.is_some() => {
                Ok((Form::InContents, size))
            }
            (None, None) | (Some(0), Some(0 | 1)) => {
                if !self.numbers.len().is_multiple_of(2) {
                    return wrong("end amid its map");
                }
                let map: Vec<Extent> = pairs(&self.numbers).collect();
                if self.count.is_some_and(|count| count != map.len() as u64) {
                    return wrong("have another number of parts than they say");
                }
                Ok((Form::Map(map), size))
            }
            _ => wrong("are of no version that is known"),
        }
    }
}

fn pairs(numbers: &[u64]) -> impl Iterator<Item = Extent> + '_ {
    numbers.chunks_exact(2).map(|pair| Extent { offset: pair[0], length: pair[1] })
}

/// Reads the map at the beginning of the contents (PAX 1.0): lines of a number each, their count first.
#[derive(Debug, Default)]
pub(crate) struct MapReader {
    number: Vec<u8>,
    wanted: Option<usize>,
    numbers: Vec<u64>,
}

impl MapReader {
    /// Takes a block in. The map, once it is complete; the rest of its last block is padding.
    pub fn block(&mut self, block: &[u8]) -> Result<Option<Vec<Extent>>, String> {
        for byte in block {
            if *byte != b'\n' {
                if self.number.len() == 20 {
                    return Err("the map of a sparse member has what is no number".into());
                }
                self.number.push(*byte);
                continue;
            }
            let number = decimal(&std::mem::take(&mut self.number));
            let number = number.ok_or("the map of a sparse member has what is no number")? as u64;
            match self.wanted {
                None if number > MAX_EXTENTS as u64 => return Err(too_many()),
                None => self.wanted = Some(2 * number as usize),
                Some(_) => self.numbers.push(number),
            }
            if self.wanted == Some(self.numbers.len()) {
                return Ok(Some(pairs(&self.numbers).collect()));
            }
        }
        Ok(None)
    }
}

/// Why a map is refused that goes on and on.
pub(crate) fn too_many() -> String {
    format!("a sparse member of more than {MAX_EXTENTS} parts")
}

/// Checks a map against the file's size and what is stored of it. Gives the parts that have bytes.
pub(crate) fn check(map: Vec<Extent>, size: u64, stored: u64) -> Result<Vec<Extent>, String> {
    let wrong = |what: &str| Err(format!("the map of a sparse member {what}"));
    if map.len() > MAX_EXTENTS {
        return Err(too_many());
    }
    if size > i64::MAX as u64 {
        return Err("the real size is too large".into());
    }
    let (mut end, mut total) = (0_u64, 0_u64);
    for Extent { offset, length } in &map {
        if *offset < end {
            return wrong("is not in order");
        }
        end = match offset.checked_add(*length) {
            Some(end) if end <= size => end,
            _ => return wrong("leads beyond its size"),
        };
        if *length > 0 && !total.is_multiple_of(512) {
            return wrong("has a part that does not fill its blocks");
        }
        total += length;
    }
    if total != stored {
        return wrong("is not as long as what is stored");
    }
    Ok(map.into_iter().filter(|extent| extent.length > 0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(list: &[(&str, &str)]) -> Option<Records> {
        let mut records = Records::default();
        list.iter().try_for_each(|(key, value)| records.set(key.as_bytes(), value.as_bytes()))?;
        Some(records)
    }

    #[test]
    fn records_that_contradict_themselves_are_refused() {
        let map = |list: &[(&str, &str)]| records(list).map(Records::form);
        let one = Form::Map(vec![Extent { offset: 512, length: 5 }]);
        assert_eq!(map(&[("size", "9"), ("offset", "512"), ("numbytes", "5")]), Some(Ok((one, 9))));
        assert_eq!(map(&[("size", "9"), ("map", "")]), Some(Ok((Form::Map(vec![]), 9))));
        for bad in [
            &[("offset", "1"), ("offset", "2")][..],
            &[("numbytes", "1")],
            &[("map", "1,2"), ("map", "1,2")],
            &[("map", "1,x")],
            &[("map", "-1,2")],
            &[("size", "1"), ("size", "1")],
            &[("size", "99999999999999999999")],
            &[("name", "")],
            &[("odd", "1")],
        ] {
            assert!(map(bad).is_none(), "{bad:?}");
        }
        for bad in [
            &[("map", "1,2")][..],
            &[("size", "1"), ("realsize", "1")],
            &[("size", "1"), ("map", "1,2,3")],
            &[("size", "1"), ("offset", "2")],
            &[("size", "1"), ("numblocks", "2"), ("map", "1,2")],
            &[("realsize", "1"), ("major", "1"), ("minor", "0")],
            &[("realsize", "1"), ("name", "a"), ("major", "1"), ("minor", "0"), ("map", "1,2")],
            &[("realsize", "1"), ("name", "a"), ("major", "1"), ("minor", "1")],
            &[("realsize", "1"), ("name", "a"), ("major", "2"), ("minor", "0")],
        ] {
            assert!(map(bad).unwrap().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn maps_are_in_order_inside_the_file_and_as_long_as_what_is_stored() {
        let check = |map: &[(u64, u64)], size, stored| {
            check(
                map.iter().map(|(offset, length)| Extent { offset: *offset, length: *length }).collect(),
                size,
                stored,
            )
        };
        assert_eq!(check(&[(0, 512), (1024, 5), (2000, 0)], 2000, 517).unwrap().len(), 2);
        assert!(check(&[], 1 << 60, 0).unwrap().is_empty());
        for (map, size, stored) in [
            (&[(512, 512), (0, 512)][..], 4096, 1024),
            (&[(0, 1024), (512, 512)], 4096, 1536),
            (&[(0, 512), (1024, 3073)], 4096, 3585),
            (&[(u64::MAX, 512)], 4096, 512),
            (&[(4096, u64::MAX)], 4096, 512),
            (&[(0, 5), (1024, 512)], 4096, 517),
            (&[(0, 512)], 4096, 1024),
            (&[(0, 512)], 4096, 0),
            (&[(0, 0)], u64::MAX, 0),
        ] {
            assert!(check(map, size, stored).is_err(), "{map:?}");
        }
        assert!(check(&vec![(0, 0); MAX_EXTENTS + 1], 1, 0).unwrap_err().contains("more than"));
    }

    #[test]
    fn a_map_in_the_contents_is_bounded() {
        let read = |text: &str| {
            let mut reader = MapReader::default();
            for block in text.as_bytes().chunks(512) {
                match reader.block(block) {
                    Ok(None) => {}
                    other => return other,
                }
            }
            Ok(None)
        };
        assert_eq!(read("1\n512\n5\n\0\0").unwrap().unwrap(), [Extent { offset: 512, length: 5 }]);
        assert_eq!(read("0\n\0").unwrap().unwrap(), []);
        assert_eq!(read("2\n512\n5\n").unwrap(), None);
        for bad in
            ["1\n-1\n5\n", "\n", "999999999\n", "1\n000000000000000000000", "x\n", "18446744073709551616\n"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}

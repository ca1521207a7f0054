//! Extended attributes: which sets of them there are, and where each stands in the image.

use std::collections::HashMap;

/// A set of attributes; 0 is the empty one.
pub(crate) type SetId = u32;

#[derive(Debug, PartialEq, Eq, Hash, Clone)]
struct Attribute {
    // The code of the name's prefix.
    prefix: u8,
    name: Box<[u8]>,
    value: Box<[u8]>,
}

#[derive(Debug)]
struct Set {
    attributes: Box<[u32]>,
    // Inodes that have the set.
    uses: u32,
}

// The prefixes that have a code, and what may stand behind them.
const PREFIXES: &[(&[u8], u8)] = &[(b"user.", 1), (b"trusted.", 4), (b"security.", 6)];
const ACCESS: &[u8] = b"system.posix_acl_access";
const DEFAULT: &[u8] = b"system.posix_acl_default";
// What `i_xattr_icount` can tell of.
const MOST_BYTES: usize = 12 + 4 * (u16::MAX as usize - 1);
// What one inode can share, by the count's width.
const MOST_SHARED: usize = 255;
const HEADER: usize = 12;

/// All sets, each once, and all attributes, each once.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    known: HashMap<Attribute, u32>,
    list: Vec<Attribute>,
    sets: Vec<Set>,
    by_members: HashMap<Box<[u32]>, SetId>,
    /// Bytes of names and values held.
    pub held: usize,
}

/// Where attributes are that several inodes have.
#[derive(Debug)]
pub(crate) struct Shared {
    // By attribute: its place in the shared area in words of 4 bytes.
    places: HashMap<u32, u32>,
    /// The area.
    pub area: Vec<u8>,
}

impl Attributes {
    /// The set of these attributes. Those that the format or the kernel can't have are left out.
    pub fn set<'a>(&mut self, attributes: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> SetId {
        let members: Vec<u32> = attributes.filter_map(|(name, value)| self.one(name, value)).collect();
        self.intern(members)
    }

    fn intern(&mut self, mut members: Vec<u32>) -> SetId {
        if members.is_empty() {
            return 0;
        }
        members.sort_unstable();
        members.dedup();
        while self.inline_size(&members) > MOST_BYTES {
            members.pop();
        }
        let members = members.into_boxed_slice();
        let next = self.sets.len() as SetId + 1;
        *self.by_members.entry(members.clone()).or_insert_with(|| {
            self.sets.push(Set { attributes: members, uses: 0 });
            next
        })
    }

    /// A set with one attribute more.
    pub fn with(&mut self, set: SetId, (name, value): (&[u8], &[u8])) -> SetId {
        let members = (set as usize).checked_sub(1).and_then(|at| self.sets.get(at));
        let mut members: Vec<u32> = members.map(|set| set.attributes.to_vec()).unwrap_or_default();
        members.extend(self.one(name, value));
        self.intern(members)
    }

    fn one(&mut self, name: &[u8], value: &[u8]) -> Option<u32> {
        let (prefix, rest) = match name {
            ACCESS => (2, &b""[..]),
            DEFAULT => (3, &b""[..]),
            _ => {
                let found =
                    PREFIXES.iter().find_map(|(prefix, code)| Some((*code, name.strip_prefix(*prefix)?)));
                found.filter(|(_, rest)| !rest.is_empty())?
            }
        };
        if rest.len() > 255 || value.len() > usize::from(u16::MAX) {
            return None;
        }
        let attribute = Attribute { prefix, name: rest.into(), value: value.into() };
        let next = self.list.len() as u32;
        Some(*self.known.entry(attribute).or_insert_with_key(|attribute| {
            self.held += 2 * (attribute.name.len() + attribute.value.len());
            self.list.push(attribute.clone());
            next
        }))
    }

    fn inline_size(&self, members: &[u32]) -> usize {
        HEADER + members.iter().map(|member| self.list[*member as usize].size()).sum::<usize>()
    }

    /// Tells that an inode has the set.
    pub fn used(&mut self, set: SetId) {
        if let Some(set) = (set as usize).checked_sub(1).and_then(|at| self.sets.get_mut(at)) {
            set.uses += 1;
        }
    }

    /// Decides which attributes are shared: those that several inodes have.
    pub fn share(&self) -> Shared {
        let mut uses = vec![0_u64; self.list.len()];
        for set in &self.sets {
            set.attributes.iter().for_each(|member| uses[*member as usize] += u64::from(set.uses));
        }
        let mut shared = Shared { places: HashMap::new(), area: Vec::new() };
        for (member, attribute) in (0..).zip(&self.list) {
            if uses[member as usize] > 1 {
                shared.places.insert(member, (shared.area.len() / 4) as u32);
                attribute.append(&mut shared.area);
            }
        }
        shared
    }

    /// What stands behind an inode with the set.
    pub fn append(&self, set: SetId, shared: &Shared, to: &mut Vec<u8>) {
        let Some(set) = (set as usize).checked_sub(1).and_then(|at| self.sets.get(at)) else { return };
        let place = |member: &u32| shared.places.get(member);
        let places: Vec<u32> = set.attributes.iter().filter_map(place).copied().take(MOST_SHARED).collect();
        to.extend_from_slice(&[0; HEADER]);
        let header = to.len() - HEADER;
        to[header + 4] = places.len() as u8;
        places.iter().for_each(|place| to.extend_from_slice(&place.to_le_bytes()));
        let mut told = 0;
        for member in &set.attributes {
            if place(member).is_some() && told < places.len() {
                told += 1;
            } else {
                self.list[*member as usize].append(to);
            }
        }
    }
}

impl Attribute {
    fn size(&self) -> usize {
        (4 + self.name.len() + self.value.len()).next_multiple_of(4)
    }

    fn append(&self, to: &mut Vec<u8>) {
        let start = to.len();
        to.extend_from_slice(&[self.name.len() as u8, self.prefix]);
        to.extend_from_slice(&(self.value.len() as u16).to_le_bytes());
        to.extend_from_slice(&self.name);
        to.extend_from_slice(&self.value);
        to.resize(start + self.size(), 0);
    }
}

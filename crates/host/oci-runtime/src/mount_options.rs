//! A mount's options, as `fstab` spells them, sorted by what they act on.

use hull_sys::mount::{Attributes, Change, Propagation};

/// A mount's options.
#[derive(Debug, Default)]
pub(crate) struct MountOptions {
    /// `bind` or `rbind`.
    pub bind: bool,
    /// `rbind`.
    pub recursive_bind: bool,
    /// What changes on the mount itself.
    pub own: Change,
    /// What changes on it and the mounts below it (`rro` and so on).
    pub recursive: Change,
    /// Propagation types in order, and whether each goes to the mounts below too.
    pub propagation: Vec<(Propagation, bool)>,
    /// `idmap` (false) or `ridmap` (true).
    pub id_map: Option<bool>,
    /// Flags of the file system itself, such as `sync`.
    pub file_system_flags: Vec<&'static str>,
    /// What only the file system's type knows: `size=64k`.
    pub data: Vec<(String, Option<String>)>,
}

/// What an option does to a mount's attributes.
#[derive(Clone, Copy)]
enum Effect {
    Set,
    Clear,
}

const ATTRIBUTES: [(&str, Effect, Attributes); 19] = [
    ("ro", Effect::Set, Attributes::MOUNT_ATTR_RDONLY),
    ("rw", Effect::Clear, Attributes::MOUNT_ATTR_RDONLY),
    ("nosuid", Effect::Set, Attributes::MOUNT_ATTR_NOSUID),
    ("suid", Effect::Clear, Attributes::MOUNT_ATTR_NOSUID),
    ("nodev", Effect::Set, Attributes::MOUNT_ATTR_NODEV),
    ("dev", Effect::Clear, Attributes::MOUNT_ATTR_NODEV),
    ("noexec", Effect::Set, Attributes::MOUNT_ATTR_NOEXEC),
    ("exec", Effect::Clear, Attributes::MOUNT_ATTR_NOEXEC),
    ("nodiratime", Effect::Set, Attributes::MOUNT_ATTR_NODIRATIME),
    ("diratime", Effect::Clear, Attributes::MOUNT_ATTR_NODIRATIME),
    ("noatime", Effect::Set, Attributes::MOUNT_ATTR_NOATIME),
    ("atime", Effect::Clear, Attributes::MOUNT_ATTR_NOATIME),
    ("strictatime", Effect::Set, Attributes::MOUNT_ATTR_STRICTATIME),
    ("nostrictatime", Effect::Clear, Attributes::MOUNT_ATTR_STRICTATIME),
    // relatime is the absence of the others.
    ("relatime", Effect::Clear, Attributes::MOUNT_ATTR__ATIME),
    ("norelatime", Effect::Clear, Attributes::empty()),
    ("nosymfollow", Effect::Set, Attributes::MOUNT_ATTR_NOSYMFOLLOW),
    ("symfollow", Effect::Clear, Attributes::MOUNT_ATTR_NOSYMFOLLOW),
    ("defaults", Effect::Clear, Attributes::empty()),
];

const PROPAGATIONS: [(&str, Propagation); 4] = [
    ("private", Propagation::Private),
    ("slave", Propagation::Slave),
    ("shared", Propagation::Shared),
    ("unbindable", Propagation::Unbindable),
];

/// Flags of a file system, as `fsconfig` takes them.
const FILE_SYSTEM_FLAGS: [&str; 4] = ["sync", "dirsync", "lazytime", "mand"];

/// Words that say what is so anyway, or what kernels ignore.
const IGNORED: [&str; 10] = [
    "silent",
    "async",
    "nolazytime",
    "nomand",
    "loud",
    "iversion",
    "noiversion",
    "remount",
    "nofail",
    "_netdev",
];

/// The words that a mount's options may hold, for `features`.
pub fn known_options() -> Vec<String> {
    let mut all: Vec<String> = ATTRIBUTES.iter().map(|(word, ..)| (*word).to_owned()).collect();
    let recursive = ATTRIBUTES.iter().map(|(word, ..)| *word).filter(|word| *word != "defaults");
    all.extend(recursive.map(|word| format!("r{word}")));
    for (word, _) in PROPAGATIONS {
        all.extend([word.to_owned(), format!("r{word}")]);
    }
    all.extend(["bind", "rbind", "idmap", "ridmap", "tmpcopyup"].map(str::to_owned));
    all.extend(FILE_SYSTEM_FLAGS.iter().chain(&IGNORED[..8]).map(|word| (*word).to_owned()));
    all
}

impl MountOptions {
    pub(crate) fn parse(options: &[String]) -> Self {
        let mut parsed = Self::default();
        for option in options {
            parsed.add(option);
        }
        parsed
    }

    fn add(&mut self, option: &str) {
        let plain = ATTRIBUTES.iter().find(|(word, ..)| *word == option);
        if let Some((_, effect, attributes)) = plain {
            return apply(&mut self.own, *effect, *attributes);
        }
        let below = option.strip_prefix('r').unwrap_or_default();
        if let Some((_, effect, attributes)) = ATTRIBUTES.iter().find(|(word, ..)| *word == below) {
            return apply(&mut self.recursive, *effect, *attributes);
        }
        for (word, propagation) in PROPAGATIONS {
            if option == word || below == word {
                return self.propagation.push((propagation, below == word));
            }
        }
        match option {
            "bind" => self.bind = true,
            "rbind" => (self.bind, self.recursive_bind) = (true, true),
            "idmap" => self.id_map = Some(false),
            "ridmap" => self.id_map = Some(true),
            _ if IGNORED.contains(&option) => {}
            _ => match FILE_SYSTEM_FLAGS.iter().find(|flag| **flag == option) {
                Some(flag) => self.file_system_flags.push(flag),
                None => self.data.push(match option.split_once('=') {
                    Some((key, value)) => (key.into(), Some(value.into())),
                    None => (option.into(), None),
                }),
            },
        }
    }

    /// Whether the mount is to be read-only.
    pub(crate) fn is_read_only(&self) -> bool {
        self.own.set.contains(Attributes::MOUNT_ATTR_RDONLY)
    }
}

/// A later option undoes an earlier one.
fn apply(change: &mut Change, effect: Effect, attributes: Attributes) {
    match effect {
        Effect::Set => {
            change.set |= attributes;
            change.clear -= attributes;
        }
        Effect::Clear => {
            change.clear |= attributes;
            change.set -= attributes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> MountOptions {
        MountOptions::parse(&text.split(',').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn words_are_sorted() {
        let options = parse("rbind,rprivate,ro,nosuid,size=64k,newinstance,rro");
        assert!(options.bind && options.recursive_bind && options.is_read_only());
        assert_eq!(options.propagation, [(Propagation::Private, true)]);
        assert_eq!(options.data, [("size".into(), Some("64k".into())), ("newinstance".into(), None)]);
        assert_eq!(options.recursive.set, Attributes::MOUNT_ATTR_RDONLY);
        assert!(options.own.set.contains(Attributes::MOUNT_ATTR_NOSUID));
    }

    #[test]
    fn the_last_word_counts() {
        assert!(!parse("ro,rw").is_read_only());
        assert!(parse("rw,ro").is_read_only());
        // "relatime" is no recursive "elatime", "rslave" no data.
        assert!(parse("relatime").data.is_empty());
        assert_eq!(parse("rslave").propagation, [(Propagation::Slave, true)]);
    }
}

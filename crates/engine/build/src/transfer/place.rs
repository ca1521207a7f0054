//! Where found files go: the destination resolved in the stage's tree, with the directories on the way.

use super::layer::{Layer, Member, Source};
use super::select::Found;
use crate::error::{Error, Result};
use crate::files::{self, Facts, Files, Name, join, parent, parts};
use hull_archive::EntryKind;
use hull_dockerfile::Mode;
use std::sync::Arc;

/// How files are placed.
pub(crate) struct Placement {
    /// The stage's tree; `None` with `--link`, which asks nothing of it.
    pub(crate) tree: Option<Arc<dyn Files>>,
    /// The destination, absolute.
    pub(crate) destination: String,
    /// Whether it is a directory whatever is there.
    pub(crate) into_directory: bool,
    /// `--chown`.
    pub(crate) owner: Option<(u32, u32)>,
    /// `--chmod`.
    pub(crate) mode: Option<Mode>,
    /// The time of what is copied from a context.
    pub(crate) epoch: i64,
}

/// Places files into the layer.
pub(crate) fn place(
    placement: &Placement,
    from: &Arc<dyn Files>,
    found: Vec<Found>,
    layer: &mut Layer,
) -> Result<()> {
    let slashed = placement.destination.ends_with('/') || placement.destination.ends_with("/.");
    let destination = placement.resolve(placement.destination.as_bytes())?;
    for one in found {
        let goes_along = !one.above.is_empty() || one.base.contains(&b'/');
        for (name, _, facts) in &one.above {
            placement.directory(&join(&destination, name), Some(placement.changed(from, facts)), layer)?;
        }
        if one.facts.is_directory() {
            let target = if goes_along { join(&destination, &one.base) } else { destination.clone() };
            let top = placement.directory(&target, None, layer)?;
            copy_directory(placement, from, &one, &top, layer)?;
            continue;
        }
        let is_directory = slashed
            || placement.into_directory
            || goes_along
            || placement.there(&destination)?.is_some_and(|facts| facts.is_directory())
            || layer.facts(&destination).is_some_and(Facts::is_directory);
        let target = if is_directory {
            let top = placement.directory(&destination, None, layer)?;
            join(&top, &one.base)
        } else {
            placement.directory(parent(&destination), None, layer)?;
            destination.clone()
        };
        let member = placement.member(from, &one.name, &one.facts);
        placement.file(target, member, layer, true)?;
    }
    Ok(())
}

fn copy_directory(
    placement: &Placement,
    from: &Arc<dyn Files>,
    one: &Found,
    top: &Name,
    layer: &mut Layer,
) -> Result<()> {
    // Where each directory of the source ended up: links of the stage lead elsewhere.
    let mut real: std::collections::HashMap<&[u8], (Name, bool)> = std::collections::HashMap::new();
    real.insert(&[], (top.clone(), placement.there(top)?.is_some()));
    for (path, facts) in &one.inside {
        let Some((above, known)) = real.get(parent(path)).cloned() else {
            // Its directory was left out, and it was not: the way there is made.
            let target = placement.directory(&join(top, parent(path)), None, layer)?;
            let member = placement.member(from, &join(&one.name, path), facts);
            placement.file(join(&target, files::base(path)), member, layer, true)?;
            continue;
        };
        let target = join(&above, files::base(path));
        if facts.is_directory() {
            let member = placement.changed(from, facts);
            let (target, there) = if known {
                let target = placement.directory(&target, Some(member), layer)?;
                let there = placement.there(&target)?.is_some();
                (target, there)
            } else {
                layer.add(target.clone(), Member { facts: member, source: Source::None })?;
                (target, false)
            };
            real.insert(path, (target, there));
        } else {
            let member = placement.member(from, &join(&one.name, path), facts);
            placement.file(target, member, layer, known)?;
        }
    }
    Ok(())
}

impl Placement {
    fn resolve(&self, path: &[u8]) -> Result<Name> {
        match &self.tree {
            None => Ok(files::clean(path)),
            Some(tree) => files::resolve(tree.as_ref(), path, true)
                .map_err(Error::io(format!("look at {}", String::from_utf8_lossy(path))))?
                .ok_or_else(|| {
                    Error::invalid(format!("{}: too many symbolic links", String::from_utf8_lossy(path)))
                }),
        }
    }

    fn there(&self, name: &[u8]) -> Result<Option<Facts>> {
        match &self.tree {
            None => Ok(None),
            Some(tree) => {
                tree.facts(name).map_err(Error::io(format!("look at /{}", String::from_utf8_lossy(name))))
            }
        }
    }

    /// Makes sure of a directory and of those above it; where it really is. One that is there keeps what it is.
    pub(crate) fn directory(&self, name: &[u8], facts: Option<Facts>, layer: &mut Layer) -> Result<Name> {
        let name = self.resolve(name)?;
        let mut path = Name::new();
        let count = parts(&name).count();
        for (index, part) in parts(&name).enumerate() {
            path = join(&path, part);
            if layer.facts(&path).is_some_and(Facts::is_directory) {
                continue;
            }
            let there = self.there(&path)?;
            if there.as_ref().is_some_and(|facts| !facts.is_directory()) {
                let text = format!("cannot copy to non-directory: /{}", String::from_utf8_lossy(&path));
                return Err(Error::Invalid(text));
            }
            let new = || {
                let own = facts.clone().filter(|_| index + 1 == count);
                own.unwrap_or_else(|| {
                    let (uid, gid) = self.owner.unwrap_or_default();
                    Facts { uid, gid, mtime: self.epoch, ..Facts::directory() }
                })
            };
            layer.add(path.clone(), Member { facts: there.unwrap_or_else(new), source: Source::None })?;
        }
        Ok(name)
    }

    fn file(&self, target: Name, member: Member, layer: &mut Layer, look: bool) -> Result<()> {
        if look && self.there(&target)?.is_some_and(|facts| facts.is_directory()) {
            let text = format!("cannot copy to directory: /{}", String::from_utf8_lossy(&target));
            return Err(Error::Invalid(text));
        }
        layer.add(target, member)
    }

    fn member(&self, from: &Arc<dyn Files>, name: &[u8], facts: &Facts) -> Member {
        let source = match facts.kind {
            EntryKind::File => Source::File(Arc::clone(from), name.to_vec()),
            _ => Source::None,
        };
        Member { facts: self.changed(from, facts), source }
    }

    fn changed(&self, from: &Arc<dyn Files>, facts: &Facts) -> Facts {
        let mut facts = facts.clone();
        if !from.keeps_owners() {
            (facts.uid, facts.gid) = (0, 0);
            facts.mtime = self.epoch;
            facts.xattrs.clear();
        }
        if let Some((uid, gid)) = self.owner {
            (facts.uid, facts.gid) = (uid, gid);
        }
        if let Some(mode) = &self.mode
            && !facts.is_symlink()
        {
            facts.mode = mode.apply(facts.mode, facts.is_directory());
        }
        facts
    }
}

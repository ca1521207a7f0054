//! `tag`, `rmi` and `image prune`, with Docker's rules of what conflicts with what.

use crate::Images;
use crate::catalogue::{Change, ImageRow, Record, Writer};
use crate::error::{ImageError, Result};
use crate::filters::{self, Age};
use crate::resolve;
use hull_api_types::{Filters, ImageDeleteItem, ImagesPruneResponse};
use hull_store::Durability;
use hull_types::{Digest, ImageRef, Timestamp, short_id};
use std::collections::BTreeMap;
use std::sync::Arc;

const PRUNE_FILTERS: [&str; 4] = ["dangling", "label", "label!", "until"];

pub(crate) fn tag(images: &Images, source: &str, repository: &str, tag: &str) -> Result<()> {
    let parsed: ImageRef = repository.parse()?;
    if parsed.digest().is_some() {
        return Err(ImageError::TagWithDigest);
    }
    let name = if tag.is_empty() { parsed.or_latest() } else { parsed.with_tag(tag)? };
    let writer = images.catalogue().write();
    let (record, row) = {
        let state = images.catalogue().read();
        let found = resolve::find(&state, source)?;
        // The manifest that the source name stands for; by id, that of any name of the image.
        let named = found.reference.as_ref().and_then(|name| state.references.get(name)).cloned();
        let any = || state.references.values().find(|row| row.image == found.record.id).cloned();
        let row = named.or_else(any).unwrap_or_else(|| images.nameless_row(&found.record));
        (found.record, row)
    };
    let mut tagged = record.row.clone();
    tagged.last_tagged = Timestamp::now();
    let updated = Record { id: record.id.clone(), row: tagged, config: record.config.clone() };
    let change = Change {
        put_image: Some(Arc::new(updated)),
        put_references: vec![(name.clone(), row)],
        ..Change::default()
    };
    writer.commit(change, Durability::Process)?;
    drop(writer);
    images.publish_index();
    images.event("tag", record.id.as_str(), &name.familiar(), Some(&record));
    Ok(())
}

pub(crate) fn remove(images: &Images, name: &str, force: bool) -> Result<Vec<ImageDeleteItem>> {
    let done = {
        let writer = images.catalogue().write();
        Removal { images, writer, items: Vec::new() }.run(name, force)?
    };
    images.publish_index();
    Ok(done)
}

// One removal, under the catalogue's lock from its checks to its commit.
struct Removal<'a> {
    images: &'a Images,
    writer: Writer<'a>,
    items: Vec<ImageDeleteItem>,
}

impl Removal<'_> {
    fn run(mut self, name: &str, force: bool) -> Result<Vec<ImageDeleteItem>> {
        let (found, names) = {
            let state = self.images.catalogue().read();
            let found = resolve::find(&state, name)?;
            let names = state.names_of(&found.record.id);
            (found, names)
        };
        let record = found.record;
        match found.reference {
            Some(reference) => {
                self.refuse_last_name_in_use(name, &record, &names, force)?;
                let remaining = self.untag_with_digests(&record, &reference, names)?;
                // Other names keep the image; and if something uses it, losing its name is all that was asked.
                if !remaining.is_empty() || self.conflict(&record.id, &remaining, force).is_some() {
                    return Ok(self.items);
                }
                self.delete(&record, &remaining)?;
            }
            None => {
                let names_to_check: &[ImageRef] = if single_repository(&names) { &[] } else { &names };
                if let Some(conflict) = self.conflict(&record.id, names_to_check, force) {
                    return Err(conflict);
                }
                self.delete(&record, &names)?;
            }
        }
        Ok(self.items)
    }

    fn refuse_last_name_in_use(
        &self,
        given: &str,
        record: &Record,
        names: &[ImageRef],
        force: bool,
    ) -> Result<()> {
        if force || !single_repository(names) {
            return Ok(());
        }
        let uses = self.images.uses();
        let Some(container) = uses.any(&record.id, true).or_else(|| uses.any(&record.id, false)) else {
            return Ok(());
        };
        Err(ImageError::InUse(format!(
            "unable to remove repository reference {given:?} (must force) - container {} is using its referenced image {}",
            short_id(&container),
            short_id(record.id.as_str()),
        )))
    }

    // Removes one name, and with a repository's last tag its digests. Returns the names left.
    fn untag_with_digests(
        &mut self,
        record: &Arc<Record>,
        name: &ImageRef,
        names: Vec<ImageRef>,
    ) -> Result<Vec<ImageRef>> {
        let same = |other: &ImageRef| other.repository() == name.repository();
        let mut gone = vec![name.clone()];
        let others: Vec<ImageRef> = names.into_iter().filter(|other| other != name).collect();
        let tags_left = others.iter().any(|other| same(other) && other.digest().is_none());
        let (digests, left): (Vec<ImageRef>, Vec<ImageRef>) = others.into_iter().partition(|other| {
            name.digest().is_none() && !tags_left && same(other) && other.digest().is_some()
        });
        gone.extend(digests);
        self.untag(record, gone)?;
        Ok(left)
    }

    fn untag(&mut self, record: &Arc<Record>, names: Vec<ImageRef>) -> Result<()> {
        let change = Change { remove_references: names.clone(), ..Change::default() };
        self.writer.commit(change, Durability::Process)?;
        self.tell_untagged(record, &names);
        Ok(())
    }
    fn tell_untagged(&mut self, record: &Record, names: &[ImageRef]) {
        for name in names {
            self.images.event("untag", record.id.as_str(), record.id.as_str(), Some(record));
            self.items.push(ImageDeleteItem { untagged: name.familiar(), ..ImageDeleteItem::default() });
        }
    }

    // Why the image may not go. Running containers are never forced away from theirs.
    fn conflict(&self, id: &Digest, names: &[ImageRef], force: bool) -> Option<ImageError> {
        let conflict = |how: &str, why: String| {
            Some(ImageError::InUse(format!("unable to delete {} ({how}) - {why}", short_id(id.as_str()))))
        };
        let uses = self.images.uses();
        if let Some(container) = uses.any(id, true) {
            let why = format!("image is being used by running container {}", short_id(&container));
            return conflict("cannot be forced", why);
        }
        if force {
            return None;
        }
        if !names.is_empty() {
            return conflict("must be forced", "image is referenced in multiple repositories".into());
        }
        let container = uses.any(id, false)?;
        conflict(
            "must be forced",
            format!("image is being used by stopped container {}", short_id(&container)),
        )
    }

    // Removes the image with its remaining names, then the layers and blobs that nothing else needs. Where containers
    // stand on it that comes with the last of them: one can be committed as long as it is there.
    fn delete(&mut self, record: &Arc<Record>, names: &[ImageRef]) -> Result<()> {
        let used = self.images.uses().count(&record.id) > 0;
        let mut change = Change { remove_references: names.to_vec(), ..Change::default() };
        if used {
            let row = ImageRow { removed: true, ..record.row.clone() };
            let record = Record { id: record.id.clone(), row, config: record.config.clone() };
            change.put_image = Some(Arc::new(record));
        } else {
            change.remove_image = Some(record.id.clone());
        }
        // On the disk before what it named goes: a row that came back without its layers would be a broken image.
        self.writer.commit(change, Durability::Power)?;
        self.tell_untagged(record, names);
        self.images.event("delete", record.id.as_str(), record.id.as_str(), Some(record));
        self.items.push(ImageDeleteItem { deleted: record.id.to_string(), ..ImageDeleteItem::default() });
        if used {
            return Ok(());
        }
        let gone = self.images.drop_layers(record);
        self.items.extend(
            gone.into_iter()
                .map(|chain| ImageDeleteItem { deleted: chain.0.to_string(), ..ImageDeleteItem::default() }),
        );
        self.images.drop_blobs(record);
        Ok(())
    }
}

/// Lets go of images that were removed under their containers, where no container is left.
pub(crate) fn release(images: &Images) -> Result<()> {
    let unused = |record: &&Arc<Record>| images.uses().count(&record.id) == 0;
    // Mostly there is none, and nothing to wait for.
    if !images.catalogue().read().removed.values().any(|record| unused(&record)) {
        return Ok(());
    }
    let writer = images.catalogue().write();
    let gone: Vec<Arc<Record>> = images.catalogue().read().removed.values().filter(unused).cloned().collect();
    for record in gone {
        let change = Change { remove_image: Some(record.id.clone()), ..Change::default() };
        // As in `Removal::delete`.
        writer.commit(change, Durability::Power)?;
        images.drop_layers(&record);
        images.drop_blobs(&record);
    }
    Ok(())
}

// Whether all of an image's names are of one repository, with one tag at most: then its id names them all.
fn single_repository(names: &[ImageRef]) -> bool {
    let tags = names.iter().filter(|name| name.digest().is_none()).count();
    tags <= 1 && names.windows(2).all(|pair| pair[0].repository() == pair[1].repository())
}

pub(crate) fn prune(images: &Images, given: &Filters) -> Result<ImagesPruneResponse> {
    filters::check(given, &PRUNE_FILTERS)?;
    let dangling_only = filters::boolean(given, "dangling")?.unwrap_or(true);
    let candidates: Vec<(Digest, Vec<ImageRef>)> = {
        let state = images.catalogue().read();
        let age = Age::of(given, &state)?;
        let admitted = state.images.values().filter(|r| age.admits(r) && filters::labels_admit(given, r));
        admitted.map(|record| (record.id.clone(), state.names_of(&record.id))).collect()
    };
    let sizes = images.layer_sizes();
    let mut items = Vec::new();
    for (id, names) in candidates {
        let tagged = names.iter().any(|name| name.digest().is_none());
        if (dangling_only && tagged) || images.uses().count(&id) > 0 {
            continue;
        }
        let asked: Vec<String> = match names.is_empty() {
            true => vec![id.to_string()],
            false => names.iter().map(ToString::to_string).collect(),
        };
        for name in asked {
            match remove(images, &name, false) {
                Ok(done) => items.extend(done),
                // Gone with its last tag, or taken into use meanwhile.
                Err(ImageError::NotFound(_) | ImageError::InUse(_)) => {}
                Err(error) => tracing::warn!(image = %name, %error, "image could not be pruned"),
            }
        }
    }
    images.sweep();
    if let Err(error) = images.catalogue().store().compact() {
        tracing::warn!(%error, "the store could not be compacted");
    }
    // Halves of blobs that broken pulls left: one who prunes wants the space more than a faster second try.
    let halves = images.content().sweep_partials()?;
    let space_reclaimed = freed(&items, &sizes) + halves;
    Ok(ImagesPruneResponse { images_deleted: (!items.is_empty()).then_some(items), space_reclaimed })
}

fn freed(items: &[ImageDeleteItem], sizes: &BTreeMap<String, u64>) -> u64 {
    items.iter().filter_map(|item| sizes.get(&item.deleted)).sum()
}

#[cfg(test)]
mod tests {
    use super::single_repository;
    use hull_types::ImageRef;

    #[test]
    fn one_repository_is_one_tag_with_its_digests() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let names = |texts: &[&str]| -> Vec<ImageRef> {
            texts.iter().map(|text| text.replace("@", &format!("@{digest}")).parse().unwrap()).collect()
        };
        for (texts, expected) in [
            (&[][..], true),
            (&["a:1"], true),
            (&["a:1", "a@"], true),
            (&["a:1", "a:2"], false),
            (&["a:1", "b@"], false),
            (&["a@", "b@"], false),
            (&["a:1", "b:1"], false),
        ] {
            assert_eq!(single_repository(&names(texts)), expected, "{texts:?}");
        }
    }
}

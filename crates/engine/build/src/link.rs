//! What builds came to, kept for a while: other builds start from it or copy from it, and no image is recorded.

use crate::build::{Build, lock, new_id};
use crate::error::{Error, Result};
use crate::stage::State;
use hull_image::Making;
use hull_types::Digest;
use hull_types::oci::image::Descriptor;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long one is kept whose client forgot it.
const LIFE: Duration = Duration::from_secs(3600);
/// How many are kept; the oldest goes.
const MOST: usize = 256;

/// A build's result.
pub struct Link {
    pub(crate) state: State,
    // Its layers' blobs stay as long as this.
    _making: Making,
    since: Instant,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("state", &self.state).finish_non_exhaustive()
    }
}

/// All that are kept, by an id that nobody guesses.
#[derive(Debug, Default)]
pub struct Links(Mutex<HashMap<String, Arc<Link>>>);

impl Links {
    /// The one of this id.
    pub fn get(&self, id: &str) -> Result<Arc<Link>> {
        let missing = || Error::NotFound(format!("no result of a build is kept as {id}"));
        lock(&self.0).get(id).cloned().ok_or_else(missing)
    }

    /// Forgets it; one that is not there is no mistake.
    pub fn forget(&self, id: &str) {
        lock(&self.0).remove(id);
    }

    fn keep(&self, state: State, making: Making) -> Result<String> {
        for made in &state.made {
            making.kept(&made.chain, &made.diff_id)?;
        }
        let id = new_id()?;
        let mut all = lock(&self.0);
        all.retain(|_, link| link.since.elapsed() < LIFE);
        if all.len() >= MOST {
            let oldest = all.iter().min_by_key(|(_, link)| link.since).map(|(id, _)| id.clone());
            oldest.and_then(|id| all.remove(&id));
        }
        all.insert(id.clone(), Arc::new(Link { state, _making: making, since: Instant::now() }));
        Ok(id)
    }
}

impl Build {
    /// Keeps the result, with the configuration that an image of it would have; its id.
    pub(crate) fn link(&self, state: &State) -> Result<String> {
        let state = State { config: self.final_config(state), ..state.clone() };
        self.builder.links.keep(state, self.builder.images.make())
    }

    /// An image of a state that no image is to be of, to look at: it is like no other, so that it can be removed.
    pub(crate) fn image_to_look_at(&self, mut state: State, id: &str) -> Result<Digest> {
        state.config.config.labels.insert("dev.hull.failed-step".into(), id.to_owned());
        state.config.created = Some(crate::time::timestamp(state.epoch));
        let mut layers: Vec<Descriptor> = match &state.base {
            Some(base) => self.making.layers_of(base.as_str())?,
            None => Vec::new(),
        };
        for made in &state.made {
            layers.push(self.making.kept(&made.chain, &made.diff_id)?);
        }
        Ok(self.making.image(&state.config, layers, None)?)
    }
}

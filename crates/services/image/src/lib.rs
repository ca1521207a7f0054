//! Images: from a registry into the stores, by name, and out again.
//!
//! ```text
//!  pull:  name ─resolve─► index ─platform─► manifest ─► configuration ─► layers ─► rows (one commit) ─► events
//!         (registry-client)        └──────── content: blobs ────────┘   └ snapshot: unpacked, verified
//!  by name, id, prefix ─► Record (memory) ─► run, inspect, history, list
//!  rmi:   conflicts? ─► rows (one commit) ─► layers and blobs that nothing else needs
//! ```
//!
//! Kept: the rows `references` (full name with tag or digest → target, manifest, image) and `images` (id → blobs,
//! layers with sizes) in the metadata store; every blob of an image, compressed layers included, in the content
//! store. That takes the disk twice, and is what a byte-identical push needs; a snapshot driver that keeps the tar
//! will end it. `content/index.json` names the tagged images for other tools; it is made anew from the rows.
//!
//! Invariants:
//! - An image's id is its configuration's digest. An image is there when its rows are: they are committed last, in
//!   one transaction, after its blobs and layers are on disk. What a killed pull leaves is swept at the next open.
//! - Every byte is verified: documents and blobs by their digests, unpacked layers by the configuration's diff ids.
//! - A layer or blob goes only when no image's row names it, no pull under way holds it and (the snapshotter sees
//!   to it) no container stands on it. With a damaged row nothing goes: unknown is never unreferenced.
//! - An image that is removed by force while a container stands on it is shown to nobody any more, and goes with the last
//!   of its containers.
//!
//! It must not know containers (it is told who [`Uses`] what), HTTP of the Engine API, or how layers are stored.

mod auth;
mod cached;
mod catalogue;
pub mod changes;
mod check;
mod documents;
mod download;
mod error;
mod filters;
mod hello;
mod import;
mod inspect;
mod layers;
mod list;
mod load;
mod make;
mod manifests;
mod packed;
mod parcel;
mod progress;
mod pull;
mod push;
mod remote;
mod remove;
mod resolve;
mod save;
mod shared;
mod slots;
mod sources;
mod sweep;
mod unpack;
mod uses;

pub use cached::Cached;
pub use error::{ImageError, Result};
pub use import::ImportOptions;
pub use load::LoadOptions;
pub use make::{EMPTY_LAYER, Making, is_empty_layer};
pub use parcel::{Compression, Form, Packing, Parcel};
pub use remote::Remote;
pub use save::Saving;
pub use shared::Keyed;
pub use uses::Uses;

use catalogue::{Catalogue, Record, State};
use hull_api_types::{
    AuthConfig, AuthResponse, Filters, HistoryItem, ImageDeleteItem, ImageInspect, ImageListOptions,
    ImageSummary, ImagesPruneResponse, JsonMessage, SystemCheck,
};
use hull_content::Content;
use hull_events::EventBus;
use hull_registry_client::Registry;
use hull_snapshot::Snapshotter;
use hull_store::Store;
use hull_types::oci::image::ImageConfig;
use hull_types::{ChainId, Digest, ImageRef, Platform};
use shared::Holds;
use slots::Slots;
use sources::Sources;
use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;

/// How the image service behaves.
#[derive(Debug, Clone)]
pub struct ImagesConfig {
    /// How many layers are downloaded at once, over all pulls (`--max-concurrent-downloads`).
    pub max_concurrent_downloads: usize,
    /// How many layers are uploaded at once, over all pushes (`--max-concurrent-uploads`).
    pub max_concurrent_uploads: usize,
    /// How often a broken download is tried (`--max-download-attempts`).
    pub max_download_attempts: u32,
    /// The program that the built-in image `hello` holds: hull-runtime. Empty: there is no such image.
    pub builtin_hello: PathBuf,
    /// Layers to keep although no image has them.
    pub cached: Cached,
}

impl Default for ImagesConfig {
    fn default() -> Self {
        Self {
            max_concurrent_downloads: 3,
            max_concurrent_uploads: 5,
            max_download_attempts: 5,
            builtin_hello: PathBuf::new(),
            cached: Cached::default(),
        }
    }
}

/// An image that is here.
#[derive(Debug, Clone)]
pub struct Image {
    /// The digest of its configuration.
    pub id: Digest,
    /// The configuration.
    pub config: ImageConfig,
    /// The configuration's size in bytes.
    pub config_size: u64,
    /// The stack of its layers; `None` for an image without layers.
    pub top: Option<ChainId>,
    /// Its names, with tag or digest.
    pub references: Vec<ImageRef>,
    /// The sum of its layers' sizes, uncompressed.
    pub size: u64,
}

fn described(state: &State, record: &Record) -> Image {
    Image {
        id: record.id.clone(),
        config: record.config.clone(),
        config_size: record.row.config_size,
        top: record.top().cloned(),
        references: state.names_of(&record.id),
        size: record.size(),
    }
}

/// The image service. Cheap to clone. All but `pull` and `login` block, for microseconds to milliseconds
/// (`remove`, `prune` and `sweep` longer): call them from a blocking thread where that matters.
#[derive(Clone)]
pub struct Images {
    inner: Arc<Inner>,
}

struct Inner {
    config: ImagesConfig,
    catalogue: Catalogue,
    content: Content,
    snapshotter: Arc<dyn Snapshotter>,
    registry: Registry,
    events: EventBus,
    uses: Uses,
    keyed: Keyed,
    holds: Holds,
    sources: Sources,
    downloading: Slots,
    uploading: Slots,
    attempts: AtomicU32,
    unpacking: Arc<Semaphore>,
    index: Mutex<()>,
    // Whether there may be layers that no image has: a pull failed, or a container kept them.
    orphans: AtomicBool,
}

impl Images {
    /// Loads the rows, and sweeps the layers and blobs that no row refers to.
    pub fn open(
        config: ImagesConfig,
        store: Store,
        content: Content,
        snapshotter: Arc<dyn Snapshotter>,
        registry: Registry,
        events: EventBus,
    ) -> Result<Self> {
        let sources = Sources::open(store.clone());
        let catalogue = Catalogue::open(store, &content, config.cached.clone())?;
        let uploading = Slots::new(config.max_concurrent_uploads);
        let downloading = Slots::new(config.max_concurrent_downloads);
        let attempts = AtomicU32::new(config.max_download_attempts);
        // Unpacking is processor and disk: while some wait for the disk, as many others work.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let inner = Inner {
            config,
            catalogue,
            content,
            snapshotter,
            registry,
            events,
            uses: Uses::default(),
            keyed: Keyed::default(),
            holds: Holds::default(),
            sources,
            downloading,
            uploading,
            attempts,
            unpacking: Arc::new(Semaphore::new((processors * 2).min(8))),
            index: Mutex::default(),
            orphans: AtomicBool::new(true),
        };
        let images = Self { inner: Arc::new(inner) };
        images.sweep();
        images.publish_index();
        Ok(images)
    }
    /// Takes these limits from now on: of layers that come, of layers that go, and of tries. What is under way goes on.
    pub fn set_limits(&self, downloads: usize, uploads: usize, attempts: u32) {
        self.inner.downloading.resize(downloads);
        self.inner.uploading.resize(uploads);
        self.inner.attempts.store(attempts, Ordering::Relaxed);
    }
    /// Pulls an image and returns its id. An error before the first message: nothing was sent, answer it with a
    /// status. An error after it belongs into the stream; the caller writes it. Dropping the future, or the
    /// receiver, cancels.
    pub async fn pull(
        &self,
        reference: &ImageRef,
        platform: Option<Platform>,
        auth: Option<AuthConfig>,
        progress: Sender<JsonMessage>,
    ) -> Result<Digest> {
        pull::pull(self, reference, platform, auth, progress).await
    }
    /// Pulls every tag of a repository.
    pub async fn pull_all(
        &self,
        repository: &ImageRef,
        platform: Option<Platform>,
        auth: Option<AuthConfig>,
        progress: Sender<JsonMessage>,
    ) -> Result<()> {
        pull::pull_all(self, repository, platform, auth, progress).await
    }
    /// Pushes the name's tag, or all tags of its repository that are here where it has none. Errors are as
    /// [`Images::pull`]'s. Dropping the future, or the receiver, cancels.
    pub async fn push(
        &self,
        reference: &ImageRef,
        platform: Option<Platform>,
        auth: Option<AuthConfig>,
        progress: Sender<JsonMessage>,
    ) -> Result<()> {
        push::push(self, reference, platform, auth, progress).await
    }
    /// The image of a name, `name@digest`, id, or an id's unambiguous beginning.
    pub fn resolve(&self, name: &str, platform: Option<&Platform>) -> Result<Image> {
        let state = self.inner.catalogue.read();
        let record = resolve::find(&state, name)?.record;
        let actual = record.config.platform();
        if let Some(wanted) = platform.filter(|wanted| !wanted.matches(&actual)) {
            let (actual, wanted) = (actual.to_string(), wanted.to_string());
            return Err(ImageError::PlatformMismatch { reference: name.into(), actual, wanted });
        }
        Ok(described(&state, &record))
    }
    /// `GET /images/json`. Containers are counted always; `SharedSize` is -1 unless asked for.
    pub fn list(&self, options: &ImageListOptions) -> Result<Vec<ImageSummary>> {
        list::list(self, options)
    }
    /// `GET /images/{name}/json`; with `manifests`, every one that the name stands for.
    pub fn inspect(&self, name: &str, manifests: bool) -> Result<ImageInspect> {
        inspect::inspect(self, name, manifests)
    }
    /// `GET /images/{name}/history`.
    pub fn history(&self, name: &str) -> Result<Vec<HistoryItem>> {
        inspect::history(self, name)
    }
    /// `POST /images/{source}/tag?repo=&tag=`.
    pub fn tag(&self, source: &str, repository: &str, tag: &str) -> Result<()> {
        remove::tag(self, source, repository, tag)
    }
    /// `DELETE /images/{name}?force=&noprune=`. There are no parent images here, so `noprune` changes nothing.
    pub fn remove(&self, name: &str, force: bool, _noprune: bool) -> Result<Vec<ImageDeleteItem>> {
        remove::remove(self, name, force)
    }
    /// `POST /images/prune?filters=`.
    pub fn prune(&self, filters: &Filters) -> Result<ImagesPruneResponse> {
        remove::prune(self, filters)
    }
    /// `GET /images/get`: finds the images of these names, all tags of a repository where a name has none, and keeps
    /// them until the archive is written.
    pub fn save(&self, names: &[String], platform: Option<&Platform>) -> Result<Saving> {
        save::prepare(self, names, platform)
    }
    /// `POST /images/load`: the images of an archive, compressed or not. What is told to `progress` is Docker's.
    pub fn load(
        &self,
        source: impl Read,
        options: &LoadOptions,
        progress: &Sender<JsonMessage>,
    ) -> Result<()> {
        load::load(self, source, options, progress)
    }
    /// `POST /images/create?fromSrc=`: an image of the files of a tar, compressed or not.
    pub fn import(&self, source: impl Read, options: &ImportOptions) -> Result<Digest> {
        import::import(self, source, options)
    }
    /// `POST /auth`.
    pub async fn login(&self, auth: &AuthConfig) -> Result<AuthResponse> {
        auth::login(self, auth).await
    }
    /// Removes layers and blobs that a build cache has just forgotten, as far as nothing else needs them.
    pub fn forget_cached(&self) {
        self.note_orphans();
        self.sweep();
    }
    /// The image that a container stands on, also where it was removed since.
    pub fn of_container(&self, image: &Digest) -> Result<Image> {
        let state = self.inner.catalogue.read();
        let record = state.kept(image).ok_or_else(|| ImageError::NotFound(image.to_string()))?;
        Ok(described(&state, record))
    }
    /// Lets go of the images that were removed while containers stood on them, as far as none does any more: call it
    /// when a container is gone, and once all that there are have been told to [`Images::uses`].
    pub fn release(&self) -> Result<()> {
        remove::release(self)
    }
    /// Which containers stand on which images: the container engine says so here.
    pub fn uses(&self) -> &Uses {
        &self.inner.uses
    }
    /// Every blob that an image's row names.
    pub fn blobs_of(&self, name: &str) -> Result<Vec<Digest>> {
        let state = self.inner.catalogue.read();
        Ok(resolve::find(&state, name)?.record.row.blobs.iter().cloned().collect())
    }
    /// `GET /system/check`: reads all blobs and layers, and says what is not what it should be; mends what can be mended
    /// if asked to.
    pub async fn check(&self, repair: bool) -> Result<SystemCheck> {
        check::check(self, repair).await
    }
    /// How many images there are.
    pub fn count(&self) -> usize {
        self.inner.catalogue.read().images.len()
    }
    /// Bytes that images take on the disk: blobs, and layers as the driver keeps them, what is shared counted once.
    pub fn disk_usage(&self) -> Result<u64> {
        list::disk_usage(self)
    }
    /// Bytes of all images' layers, shared ones once (`LayersSize` of `GET /system/df`).
    pub fn layers_size(&self) -> u64 {
        list::layers_size(&self.inner.catalogue.read())
    }
}

//! One build: what its stages share.

use crate::builder::Inner;
use crate::cache::Made;
use crate::commit;
use crate::error::{Error, Result};
use crate::files::{Context, Files, Tree};
use crate::plan::{self, Plan};
use crate::progress::{Event, Progress, StepInfo};
use crate::remote_cache::Imported;
use crate::request::{BuildRequest, NamedContext};
use crate::result::{Material, OWN_STEPS, Own, purl};
use crate::stage::{self, Done, State};
use crate::time;
use crate::transfer::Layer;
use hull_container::user::Accounts;
use hull_content::digest_of;
use hull_dockerfile::{Dockerfile, Globals, Scope, Step};
use hull_image::{Image, Making};
use hull_sys::in_root::InRoot;
use hull_types::{ChainId, ImageRef, Lower, Platform, Rootfs};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OnceCell, OwnedMutexGuard};

/// A build under way.
pub(crate) struct Build {
    pub(crate) builder: Arc<Inner>,
    pub(crate) request: BuildRequest,
    pub(crate) file: Dockerfile,
    pub(crate) plan: Plan,
    pub(crate) globals: Globals,
    pub(crate) progress: Progress,
    pub(crate) making: Making,
    /// SOURCE_DATE_EPOCH.
    pub(crate) epoch: Option<i64>,
    pub(crate) stages: Vec<OnceCell<Arc<State>>>,
    trees: Mutex<HashMap<ChainId, Arc<Tree>>>,
    keys: Mutex<HashSet<String>>,
    /// What steps came to, by their keys.
    results: Mutex<BTreeMap<String, Option<Made>>>,
    materials: Mutex<BTreeSet<Material>>,
    /// Whether a step had a network.
    networked: AtomicBool,
    imported: OnceCell<Vec<Arc<Imported>>>,
    next_step: AtomicUsize,
}

/// What the cache says of a step.
pub(crate) enum Cached {
    Here(Done),
    /// It has nothing: the step is to be done. Others that want the same wait until the guard is dropped.
    Missing(Option<OwnedMutexGuard<()>>),
}

/// A tree to copy from.
pub(crate) struct Found {
    pub(crate) files: Arc<dyn Files>,
    /// What it is, where that is known without reading it.
    pub(crate) identity: Option<String>,
}

impl Build {
    pub(crate) fn new(
        builder: Arc<Inner>,
        request: BuildRequest,
        file: Dockerfile,
        plan: Plan,
        globals: Globals,
        progress: Progress,
    ) -> Result<Self> {
        let epoch = request.args.get("SOURCE_DATE_EPOCH").filter(|text| !text.is_empty());
        let epoch = epoch.map(|text| {
            text.parse::<i64>().map_err(|_| Error::Invalid(format!("invalid SOURCE_DATE_EPOCH: {text}")))
        });
        let stages = file.stages.iter().map(|_| OnceCell::new()).collect();
        let making = builder.images.make();
        let next_step = AtomicUsize::new(request.first_step);
        Ok(Self {
            epoch: epoch.transpose()?,
            builder,
            request,
            file,
            plan,
            globals,
            progress,
            making,
            stages,
            trees: Mutex::default(),
            keys: Mutex::default(),
            results: Mutex::default(),
            materials: Mutex::default(),
            networked: AtomicBool::new(false),
            imported: OnceCell::new(),
            next_step,
        })
    }

    /// A stage's result; it is made by the first who asks.
    pub(crate) async fn stage(self: &Arc<Self>, index: usize) -> Result<Arc<State>> {
        let made = self.stages[index].get_or_try_init(|| async {
            Ok::<_, Error>(Arc::new(stage::make(Arc::clone(self), index).await?))
        });
        made.await.cloned()
    }

    pub(crate) fn target_platform(&self) -> Platform {
        self.request.platform.clone().unwrap_or_else(Platform::host)
    }

    /// What a FROM of an image begins with.
    pub(crate) async fn image_state(
        self: &Arc<Self>,
        name: &str,
        platform: Platform,
        step: usize,
    ) -> Result<State> {
        match self.request.contexts.get(name) {
            Some(NamedContext::Files(_)) => {
                return Err(Error::Invalid(format!(
                    "the build context {name} is no image: FROM cannot start from it"
                )));
            }
            Some(NamedContext::Image(other)) => {
                let other = other.clone();
                return Ok(self.state_of(self.image(&other, &platform, step).await?, platform));
            }
            Some(NamedContext::Link(link)) => {
                let mut state = link.state.clone();
                state.scope = Scope::new(&state.config.config.env);
                return Ok(state);
            }
            None => {}
        }
        Ok(self.state_of(self.image(name, &platform, step).await?, platform))
    }

    fn state_of(&self, image: Image, platform: Platform) -> State {
        if let Some(top) = &image.top {
            // Should the image be removed meanwhile, its layers stay; one that is gone by now is missed soon enough.
            self.making.hold(top);
        }
        let created = image.config.created.map_or(0, |created| created.seconds);
        let epoch = self.epoch.unwrap_or_else(|| created.max(time::EARLIEST));
        let mut config = image.config;
        let scope = Scope::new(&config.config.env);
        config.author.clear();
        State {
            scope,
            config,
            top: image.top,
            base: Some(image.id),
            made: Vec::new(),
            epoch,
            platform,
            command_set: false,
        }
    }

    /// An image, pulled where it is not here.
    async fn image(self: &Arc<Self>, name: &str, platform: &Platform, step: usize) -> Result<Image> {
        let images = &self.builder.images;
        if !self.request.pull
            && let Ok(found) = images.resolve(name, Some(platform))
        {
            self.note_image(name, &found);
            return Ok(found);
        }
        let reference: ImageRef = name
            .parse::<ImageRef>()
            .map_err(|_| {
                Error::Invalid(format!("failed to parse stage name {name:?}: invalid reference format"))
            })?
            .or_latest();
        let auth = self.builder.auth_for(&self.request.auth, &reference);
        // An image for another machine leaves the name with the one for this machine.
        let reference = match Platform::host().matches(platform) {
            true => reference,
            false => images.pinned(&reference, platform, auth.as_ref()).await.unwrap_or(reference),
        };
        let (sender, mut messages) = tokio::sync::mpsc::channel(16);
        let pulling = images.pull(&reference, Some(platform.clone()), auth, sender);
        let telling = async {
            while let Some(message) = messages.recv().await {
                self.progress.tell(Event::Status { step, message }).await;
            }
        };
        let (pulled, ()) = tokio::join!(pulling, telling);
        let found = match pulled {
            Ok(id) => images.resolve(id.as_str(), None)?,
            // An image that only this machine has cannot be pulled, and need not be.
            Err(error) => images.resolve(name, Some(platform)).map_err(|_| error)?,
        };
        self.note_image(name, &found);
        Ok(found)
    }

    /// Notes that the result is made of an image, too.
    fn note_image(&self, name: &str, image: &Image) {
        let Ok(reference) = name.parse::<ImageRef>().map(ImageRef::or_latest) else { return };
        let same = |known: &&ImageRef| known.repository() == reference.repository();
        let digest =
            reference.digest().or_else(|| image.references.iter().filter(same).find_map(ImageRef::digest));
        let digest = digest.unwrap_or(&image.id).clone();
        let uri = purl(&reference, Some(&digest), &image.config.platform());
        self.note_material(uri, Some(digest));
    }

    /// Notes that the result is made of this, too.
    pub(crate) fn note_material(&self, uri: String, digest: Option<hull_types::Digest>) {
        lock(&self.materials).insert(Material { uri, digest });
    }

    /// What the result is made of.
    pub(crate) fn materials(&self) -> BTreeSet<Material> {
        lock(&self.materials).clone()
    }

    /// Notes that a step has a network.
    pub(crate) fn note_network(&self) {
        self.networked.store(true, Ordering::Relaxed);
    }

    /// Whether no step had a network.
    pub(crate) fn is_hermetic(&self) -> bool {
        !self.networked.load(Ordering::Relaxed)
    }

    /// What the steps came to, by their keys.
    pub(crate) fn results(&self) -> BTreeMap<String, Option<Made>> {
        lock(&self.results).clone()
    }

    /// Reads the caches that the request names. One that can't be read is a warning.
    pub(crate) async fn import_caches(&self) {
        let mut found = Vec::new();
        for (number, source) in self.request.cache_from.iter().enumerate() {
            let name = match source {
                crate::remote_cache::CacheSource::Registry(name) => name.familiar(),
                crate::remote_cache::CacheSource::Files(name, _) => name.clone(),
            };
            let title = format!("importing cache manifest from {name}");
            let own =
                Own::begin(&self.progress, OWN_STEPS + 2000 + self.request.first_step + number, &title).await;
            match Imported::load(self, source).await {
                Ok(imported) => {
                    own.say(&format!("{} steps", imported.len())).await;
                    found.push(Arc::new(imported));
                }
                Err(error) => {
                    tracing::warn!(%name, %error, "a build's cache could not be imported");
                    own.say(&format!("WARNING: {error}")).await;
                }
            }
            let _ = own.end(Ok(())).await;
        }
        let _ = self.imported.set(found);
    }

    /// What an imported cache has under this key, as a layer upon `parent`.
    async fn imported_step(self: &Arc<Self>, key: &str, parent: Option<&ChainId>) -> Option<Option<Made>> {
        for imported in self.imported.get()? {
            let Some(local) = imported.local_key(key) else { continue };
            if let Some(made) = self.kept_row(&local) {
                lock(&self.keys).insert(local);
                return Some(made);
            }
            match Imported::take(Arc::clone(imported), Arc::clone(self), key, parent.cloned()).await {
                Ok(made) => {
                    self.builder.cache.put(&local, made.clone(), "imported");
                    lock(&self.keys).insert(local);
                    return Some(made);
                }
                Err(error) => tracing::warn!(%error, "a cached step could not be imported"),
            }
        }
        None
    }

    /// A row of the cache whose layer is still here, and stays until the build ends.
    fn kept_row(&self, key: &str) -> Option<Option<Made>> {
        let row = self.builder.cache.get(key)?;
        let gone = |made: &Made| self.making.kept(&made.chain, &made.diff_id).is_err();
        if row.made.as_ref().is_some_and(gone) {
            self.builder.cache.forget(key);
            return None;
        }
        Some(row.made)
    }

    /// What `--from` names: a context, a stage before this one, or an image.
    pub(crate) async fn files_of(self: &Arc<Self>, index: usize, name: &str, step: usize) -> Result<Found> {
        if let Some(NamedContext::Files(context)) = self.request.contexts.get(name) {
            return Ok(Found { files: Arc::new(context.clone()), identity: None });
        }
        let top = self.layers_of(index, name, step).await?;
        let own = Arc::clone(self);
        let identity = Some(top.as_ref().map_or(String::new(), |top| top.0.to_string()));
        let files = blocking(move || own.tree(top.as_ref())).await?;
        Ok(Found { files, identity })
    }

    /// The layers of what a name says; of the context where it is empty.
    pub(crate) async fn layers_of(
        self: &Arc<Self>,
        index: usize,
        name: &str,
        step: usize,
    ) -> Result<Option<ChainId>> {
        let context = match self.request.contexts.get(name) {
            Some(NamedContext::Files(context)) => Some(context.clone()),
            Some(NamedContext::Image(image)) => {
                return Ok(self.image(image, &self.target_platform(), step).await?.top);
            }
            Some(NamedContext::Link(link)) => return Ok(link.state.top.clone()),
            None if name.is_empty() => Some(self.request.context.clone()),
            None => None,
        };
        if let Some(context) = context {
            return self.context_layer(context).await;
        }
        if let Some(stage) = plan::earlier(&self.file, index, name, true) {
            return Ok(self.stage(stage).await?.top.clone());
        }
        if name.eq_ignore_ascii_case("scratch") {
            return Ok(None);
        }
        Ok(self.image(name, &self.target_platform(), step).await?.top)
    }

    /// A context as a layer of its own, for who mounts it.
    async fn context_layer(self: &Arc<Self>, context: Context) -> Result<Option<ChainId>> {
        let state = State::scratch(self.target_platform(), self.epoch.unwrap_or(time::EARLIEST));
        let epoch = state.epoch;
        let layer = blocking(move || {
            let files: Arc<dyn Files> = Arc::new(context);
            let none = hull_dockerfile::Ignore::default();
            let selection = crate::transfer::Selection {
                files: Arc::clone(&files),
                source: ".",
                exclude: &none,
                parents: false,
            };
            let found = crate::transfer::select(&selection)?;
            let placement = crate::transfer::Placement {
                tree: None,
                destination: "/".into(),
                into_directory: true,
                owner: None,
                mode: None,
                epoch,
            };
            let mut layer = Layer::default();
            crate::transfer::place(&placement, &files, found, &mut layer)?;
            Ok(layer)
        });
        let done = self.written(0, &state, layer.await?, "context".into()).await?;
        Ok(done.made.map(|made| made.chain))
    }

    /// The tree of layers, read-only, without what the driver adds at the bottom.
    pub(crate) fn tree(&self, top: Option<&ChainId>) -> Result<Arc<dyn Files>> {
        match top {
            None => Ok(Arc::new(Context::default())),
            Some(top) => Ok(self.mounted(top)?),
        }
    }

    pub(crate) fn mounted(&self, top: &ChainId) -> Result<Arc<Tree>> {
        if let Some(tree) = lock(&self.trees).get(top) {
            return Ok(Arc::clone(tree));
        }
        let mut rootfs = self.builder.snapshotter.view(Some(top))?;
        without_skeleton(&mut rootfs);
        let mounted = hull_sys::mount_rootfs(&rootfs, &self.builder.snapshotter.mounts(&rootfs));
        let mounted = mounted.map_err(Error::io("mount the layers of a stage"))?;
        let tree = Arc::new(Tree::new(InRoot::new(mounted)));
        lock(&self.trees).insert(top.clone(), Arc::clone(&tree));
        Ok(tree)
    }

    pub(crate) fn accounts(&self, top: Option<&ChainId>) -> Result<Accounts> {
        match top {
            None => Ok(Accounts::default()),
            Some(top) => Ok(Accounts::read(self.mounted(top)?.root())),
        }
    }

    /// What the cache has under this key, if this stage may use it. One build makes a step: another that wants it at
    /// the same time, or this one for another platform, takes what that came to.
    pub(crate) async fn cached(
        self: &Arc<Self>,
        index: usize,
        key: &str,
        parent: Option<&ChainId>,
    ) -> Cached {
        let stage = self.file.stages.get(index);
        let name = stage.and_then(|stage| stage.name.clone()).unwrap_or_default();
        let filtered =
            self.request.no_cache_filter.iter().any(|filter| *filter == name || *filter == index.to_string());
        if self.request.no_cache || filtered {
            return Cached::Missing(None);
        }
        let row = || {
            let made = self.kept_row(key)?;
            lock(&self.keys).insert(key.to_owned());
            Some(made)
        };
        let mut turn = None;
        let mut found = row();
        if found.is_none() {
            turn = Some(self.builder.steps.lock(key).await);
            found = row();
        }
        if found.is_none() {
            found = self.imported_step(key, parent).await;
        }
        match found {
            None => Cached::Missing(turn),
            Some(made) => {
                lock(&self.results).insert(key.to_owned(), made.clone());
                Cached::Here(Done { made, cached: true })
            }
        }
    }

    /// The layer of what is written, unless its like is there: the key is what is in it.
    pub(crate) async fn written(
        self: &Arc<Self>,
        index: usize,
        state: &State,
        layer: Layer,
        text: String,
    ) -> Result<Done> {
        let mut key = crate::key::Key::new("layer");
        key.add(state.top.as_ref().map_or("", |top| top.0.as_str()));
        let (layer, digest) = blocking(move || layer.digest().map(|digest| (layer, digest))).await?;
        key.add(digest);
        key.add(state.epoch.to_string());
        let key = key.finish();
        let turn = match self.cached(index, &key, state.top.as_ref()).await {
            Cached::Here(done) => return Ok(done),
            Cached::Missing(turn) => turn,
        };
        let (own, state) = (Arc::clone(self), state.clone());
        let done = blocking(move || own.commit_layer(&state, layer, &key, &text)).await;
        drop(turn);
        done
    }

    /// Notes a result.
    pub(crate) fn remember(&self, key: &str, made: Option<Made>, text: &str) {
        lock(&self.results).insert(key.to_owned(), made.clone());
        self.builder.cache.put(key, made, text);
        lock(&self.keys).insert(key.to_owned());
    }

    /// Writes a layer.
    pub(crate) fn commit_layer(&self, state: &State, layer: Layer, key: &str, text: &str) -> Result<Done> {
        let made = match layer.is_empty() {
            true => None,
            false => commit::commit(&self.making, state.top.as_ref(), |to| layer.write(state.epoch, to))?,
        };
        self.remember(key, made.clone(), text);
        Ok(Done { made, cached: false })
    }

    /// The keys that this build used or made.
    pub(crate) fn used_keys(&self) -> HashSet<String> {
        std::mem::take(&mut *lock(&self.keys))
    }

    /// The digest of the configuration so far: what classic clients take for the id of an image in between.
    pub(crate) fn id_so_far(&self, state: &State) -> String {
        if state.made.is_empty()
            && let Some(base) = &state.base
            && self
                .builder
                .images
                .resolve(base.as_str(), None)
                .is_ok_and(|image| image.config == state.config)
        {
            return base.to_string();
        }
        serde_json::to_vec(&self.final_config(state))
            .map(|text| digest_of(&text).to_string())
            .unwrap_or_default()
    }

    /// The configuration as an image of this state would have it.
    pub(crate) fn final_config(&self, state: &State) -> hull_types::oci::image::ImageConfig {
        let mut config = state.config.clone();
        config.config.labels.extend(self.request.labels.clone());
        config.created = Some(time::timestamp(state.epoch));
        config
    }

    /// What is told of a step; `number` is its place in its stage, none for FROM and triggers.
    pub(crate) fn step_info(&self, index: usize, number: Option<usize>, step: &Step) -> StepInfo {
        let steps = |index: usize| 1 + self.file.stages[index].steps.len();
        let before: usize =
            self.plan.needed.iter().filter(|other| **other < index).map(|other| steps(*other)).sum();
        let total: usize = self.plan.needed.iter().map(|other| steps(*other)).sum();
        let globals = self.file.arguments.len();
        let name = match number {
            None => self.step_name(index, 1, &step.text),
            Some(_) => String::new(),
        };
        StepInfo {
            id: self.next_step.fetch_add(1, Ordering::Relaxed),
            name,
            number: (globals + before + number.map_or(1, |number| number + 2), globals + total),
            text: step.text.clone(),
            span: step.span,
        }
    }

    /// `[stage 2/5] RUN make`.
    pub(crate) fn step_name(&self, index: usize, position: usize, text: &str) -> String {
        let stage = &self.file.stages[index];
        let of = 1 + stage.steps.iter().filter(|step| stage::is_visible(step)).count();
        let platform = self.request.label.as_ref().map(|label| format!("{label} ")).unwrap_or_default();
        let label = match self.plan.needed.len() {
            1 if stage.name.is_none() => platform,
            _ => format!("{platform}{} ", self.plan.stages[index].label),
        };
        format!("[{label}{:>width$}/{of}] {text}", position, width = of.to_string().len())
    }

    /// A file of its own to keep contents in; it has no name.
    pub(crate) fn spool(&self) -> Result<File> {
        spool(&self.builder.root)
    }

    /// All stages that are needed, as many at once as there are.
    pub(crate) async fn run(self: &Arc<Self>) -> Result<Arc<State>> {
        let state = self.run_stages().await?;
        if self.request.keep {
            self.progress.tell(Event::Kept(self.link(&state)?)).await;
        }
        Ok(state)
    }

    async fn run_stages(self: &Arc<Self>) -> Result<Arc<State>> {
        if !self.request.sequential {
            let needed: BTreeSet<usize> = self.plan.needed.clone();
            let all = needed.into_iter().map(|index| self.stage(index));
            futures::future::try_join_all(all).await?;
        } else {
            for index in self.plan.needed.clone() {
                self.stage(index).await?;
            }
        }
        self.stage(self.plan.target).await
    }
}

/// Takes away the bottom that the driver puts under every stack.
pub(crate) fn without_skeleton(rootfs: &mut Rootfs) {
    let Some(Lower::Directory(path)) = rootfs.lowers.last() else { return };
    if path.file_name().is_some_and(|name| name == "skeleton") {
        rootfs.lowers.pop();
    }
}

/// A nameless file below the builder's root.
pub(crate) fn spool(root: &Path) -> Result<File> {
    let directory = root.join("tmp");
    let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    let opened = rustix::fs::open(&directory, flags, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR);
    opened
        .map(File::from)
        .map_err(|error| Error::io(format!("make a file in {}", directory.display()))(error.into()))
}

/// 64 random hexadecimal digits.
pub(crate) fn new_id() -> Result<String> {
    let bytes = hull_sys::random::bytes::<32>().map_err(Error::io("get random bytes"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Runs what blocks on a thread that may.
pub(crate) async fn blocking<T, F>(act: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    match tokio::task::spawn_blocking(act).await {
        Ok(result) => result,
        Err(error) => Err(Error::io("run a step of a build")(std::io::Error::other(error))),
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

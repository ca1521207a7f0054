//! The builder: what all builds share, and the way of one.

use crate::build::{Build, blocking};
use crate::cache::{Cache, CacheRecord};
use crate::caches::Caches;
use crate::contexts::Contexts;
use crate::error::{Error, Result};
use crate::history::History;
use crate::link::Links;
use crate::outline;
use crate::plan::{self, Plan};
use crate::progress::{Event, Progress};
use crate::request::{BuildRequest, NamedContext};
use crate::result::{Products, Solved};
use crate::stage::State;
use hull_api_types::AuthConfig;
use hull_api_types::build::{BuildOutline, BuildTargets};
use hull_container::Containers;
use hull_dockerfile::lint::{Facts, Finding, lint};
use hull_dockerfile::{Dockerfile, Expander, Globals};
use hull_image::{Images, Keyed};
use hull_registry_client::Registry;
use hull_snapshot::Snapshotter;
use hull_types::oci::image::{Descriptor, ImageConfig};
use hull_types::{ChainId, Digest, ImageRef, Platform};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the builder keeps things.
#[derive(Debug, Clone)]
pub struct BuilderConfig {
    /// Contexts, caches of RUN steps, mounts: on disk.
    pub root: PathBuf,
    /// Secrets for the time of a step: in memory (the daemon's exec root).
    pub exec_root: PathBuf,
}

/// The builder. Cheap to clone.
#[derive(Clone)]
pub struct Builder {
    pub(crate) inner: Arc<Inner>,
}

/// What all builds share.
pub(crate) struct Inner {
    pub(crate) root: PathBuf,
    pub(crate) exec_root: PathBuf,
    pub(crate) cache: Cache,
    pub(crate) caches: Arc<Caches>,
    pub(crate) images: Images,
    pub(crate) containers: Containers,
    pub(crate) snapshotter: Arc<dyn Snapshotter>,
    pub(crate) registry: Registry,
    pub(crate) contexts: Contexts,
    pub(crate) products: Products,
    pub(crate) links: Links,
    history: History,
    /// Who makes which step: others that want it wait.
    pub(crate) steps: Keyed,
}

/// What a build came to.
#[derive(Debug, Clone)]
pub struct Built {
    /// The image, unless only its layers were wanted.
    pub image: Option<Digest>,
    /// The configuration.
    pub config: ImageConfig,
    /// The topmost layer.
    pub top: Option<ChainId>,
    /// What the lint rules found.
    pub findings: Vec<Finding>,
}

impl Builder {
    /// Opens the builder, and sweeps what a killed daemon left half done.
    pub fn open(
        config: BuilderConfig,
        cache: Cache,
        images: Images,
        containers: Containers,
        snapshotter: Arc<dyn Snapshotter>,
        registry: Registry,
    ) -> Result<Self> {
        let BuilderConfig { root, exec_root } = config;
        sweep(&root, &exec_root);
        let caches = Caches::open(&root)?;
        crate::mounts::make_private(&root.join("mounts"))?;
        let (steps, links) = (Keyed::default(), Links::default());
        let history = History::open(cache.store(), &root)?;
        let contexts = Contexts::new(&root, cache.limit() / 4);
        let products = Products::default();
        let inner = Inner {
            root,
            exec_root,
            cache,
            caches,
            images,
            containers,
            snapshotter,
            registry,
            contexts,
            products,
            links,
            history,
            steps,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// A nameless file to keep a context in.
    pub fn spool(&self) -> Result<std::fs::File> {
        crate::build::spool(&self.inner.root)
    }

    /// Where contexts that clients keep here are.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// The registry's client, for contexts of the web.
    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// The contexts that clients sent.
    pub fn contexts(&self) -> &Contexts {
        &self.inner.contexts
    }

    /// What builds came to that others start from.
    pub fn links(&self) -> &Links {
        &self.inner.links
    }

    /// What builds were.
    pub fn history(&self) -> &History {
        &self.inner.history
    }

    /// The cache.
    pub fn cache(&self) -> &Cache {
        &self.inner.cache
    }

    /// Reads the Dockerfile and applies the lint rules; nothing is built.
    pub fn check(&self, request: &BuildRequest) -> Result<(Dockerfile, Vec<Finding>)> {
        let (file, globals) = read(request)?;
        plan::find_target(&file, &request.target)?;
        let findings = self.inner.findings(&file, &globals, request);
        Ok((file, findings))
    }

    /// The targets of the Dockerfile.
    pub fn targets(&self, request: &BuildRequest) -> Result<BuildTargets> {
        Ok(outline::targets(&read(request)?.0))
    }

    /// What the target takes.
    pub fn outline(&self, request: &BuildRequest) -> Result<BuildOutline> {
        let (file, globals) = read(request)?;
        let plan = planned(&file, &globals, request)?;
        let base_env = |stage: usize| self.inner.base_env(&file, &globals, request, stage);
        Ok(outline::outline(&file, &plan, &globals, &base_env))
    }

    /// Builds. Dropping the future ends the build: its processes are killed, nothing of it stays but finished steps
    /// in the cache.
    pub async fn build(&self, request: BuildRequest, progress: Progress) -> Result<Built> {
        let solved = self.solve(request, progress).await?;
        blocking(move || record(&solved.build, &solved.state, solved.findings)).await
    }

    /// Builds the stages of one platform.
    pub(crate) async fn solve(&self, request: BuildRequest, progress: Progress) -> Result<Solved> {
        let (file, globals) = read(&request)?;
        let findings = self.inner.findings(&file, &globals, &request);
        let fails =
            request.check.as_ref().or(file.directives.check.as_ref()).is_some_and(|check| check.error);
        progress.tell(Event::Findings(findings.clone())).await;
        if fails && !findings.is_empty() {
            return Err(Error::invalid("lint violation found for rules: ".to_owned() + &names(&findings)));
        }
        let plan = planned(&file, &globals, &request)?;
        let build = Arc::new(Build::new(Arc::clone(&self.inner), request, file, plan, globals, progress)?);
        let ended = Ended(Arc::clone(&build));
        build.import_caches().await;
        let state = build.run().await?;
        drop(ended);
        Ok(Solved { build, state, findings })
    }

    /// Removes cached steps that `may_go` admits until at most `keep` bytes are left, and with `all` the caches of
    /// RUN steps too. What went, and how many bytes that freed.
    pub async fn prune(
        &self,
        keep: u64,
        all: bool,
        may_go: impl Fn(&CacheRecord) -> bool + Send + 'static,
    ) -> Result<(Vec<CacheRecord>, u64)> {
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let before = inner.cache.size();
            let gone = inner.cache.prune(keep, may_go)?;
            let mut freed = before.saturating_sub(inner.cache.size());
            inner.images.forget_cached();
            if all {
                freed += inner.caches.prune() + inner.contexts.prune();
            }
            Ok((gone, freed))
        })
        .await
    }

    /// Bytes of the cache: layers of steps and directories of `--mount=type=cache`.
    pub fn cache_size(&self) -> u64 {
        self.inner.cache.size() + self.inner.caches.size() + self.inner.contexts.size()
    }

    /// Bytes that are free where the builder keeps things.
    pub fn free_space(&self) -> Result<u64> {
        let disk = rustix::fs::statvfs(&self.inner.root)
            .map_err(|error| Error::io("ask how full the disk is")(error.into()))?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// The tree that a build came to, as one archive without whiteouts.
    pub fn export(&self, top: Option<&ChainId>, to: &mut dyn std::io::Write) -> Result<()> {
        let Some(top) = top else {
            hull_archive::Writer::new(to).finish()?;
            return Ok(());
        };
        let mut rootfs = self.inner.snapshotter.view(Some(top))?;
        crate::build::without_skeleton(&mut rootfs);
        let mounted = hull_sys::mount_rootfs(&rootfs, &self.inner.snapshotter.mounts(&rootfs));
        let mounted = mounted.map_err(Error::io("mount the layers of a stage"))?;
        hull_archive::export(std::os::fd::AsFd::as_fd(&mounted), to)?;
        Ok(())
    }
}

/// Keeps the cache's rows whatever becomes of the build: what a failed one finished is there for the next.
struct Ended(Arc<Build>);

impl Drop for Ended {
    fn drop(&mut self) {
        let keys = self.0.used_keys();
        // Not for the rows' sake alone, but for what they name.
        let kept = self.0.making.sync().map_err(Error::from);
        match kept.and_then(|()| self.0.builder.cache.commit(&keys)) {
            Ok(true) => {
                let images = self.0.builder.images.clone();
                std::thread::spawn(move || images.forget_cached());
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the build cache could not be written"),
        }
    }
}

fn names(findings: &[Finding]) -> String {
    let mut names: Vec<&str> = findings.iter().map(|finding| finding.rule.name()).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

fn read(request: &BuildRequest) -> Result<(Dockerfile, Globals)> {
    let file = Dockerfile::parse(&request.dockerfile_name, &request.dockerfile).map_err(|error| {
        let excerpt = error.excerpt(&request.dockerfile);
        Error::Parse { error, excerpt }
    })?;
    let globals = Globals::of(&file, &request.args, &predefined(request)).map_err(Error::Invalid)?;
    Ok((file, globals))
}

fn planned(file: &Dockerfile, globals: &Globals, request: &BuildRequest) -> Result<Plan> {
    plan::plan(file, &request.target, globals, &|name| request.contexts.contains_key(name))
}

/// The platform arguments.
fn predefined(request: &BuildRequest) -> BTreeMap<String, String> {
    let target = request.platform.clone().unwrap_or_else(Platform::host);
    let mut values = BTreeMap::new();
    for (prefix, platform) in [("BUILD", Platform::host()), ("TARGET", target)] {
        values.insert(format!("{prefix}PLATFORM"), platform.to_string());
        values.insert(format!("{prefix}OS"), platform.os);
        values.insert(format!("{prefix}ARCH"), platform.architecture);
        values.insert(format!("{prefix}VARIANT"), platform.variant);
    }
    let stage = if request.target.is_empty() { "default" } else { &request.target };
    values.insert("TARGETSTAGE".into(), stage.to_owned());
    values
}

/// Records the image.
fn record(build: &Build, state: &State, findings: Vec<Finding>) -> Result<Built> {
    let config = build.final_config(state);
    let top = state.top.clone();
    if build.request.without_image {
        return Ok(Built { image: None, config, top, findings });
    }
    let making = &build.making;
    let mut layers: Vec<Descriptor> = match &state.base {
        Some(base) => making.layers_of(base.as_str())?,
        None => Vec::new(),
    };
    for made in &state.made {
        layers.push(making.kept(&made.chain, &made.diff_id)?);
    }
    let mut names = build.request.tags.iter();
    let id = making.image(&config, layers, names.next())?;
    for name in names {
        build.builder.images.tag(id.as_str(), &name.familiar_name(), name.tag().unwrap_or("latest"))?;
    }
    Ok(Built { image: Some(id), config, top, findings })
}

impl Inner {
    /// What the lint rules find.
    fn findings(&self, file: &Dockerfile, globals: &Globals, request: &BuildRequest) -> Vec<Finding> {
        let base_env = |stage: usize| self.base_env(file, globals, request, stage);
        let facts = Facts {
            globals: globals.clone(),
            base_env: Some(&base_env),
            ignore: Some(&request.ignore),
            check: request.check.clone(),
        };
        lint(file, &facts)
    }

    /// The environment of the image that a stage starts from, as far as it is here: nothing is pulled for it.
    fn base_env(
        &self,
        file: &Dockerfile,
        globals: &Globals,
        request: &BuildRequest,
        stage: usize,
    ) -> Option<Vec<String>> {
        let stage = file.stages.get(stage)?;
        let expander = Expander::new(file.directives.escape);
        let expand = |text: &str| Some(expander.expand(text, &|name| globals.get(name)).ok()?.text);
        let platform = match &stage.platform {
            Some(text) => Some(expand(text)?.parse::<Platform>().ok()?),
            None => request.platform.clone(),
        };
        let name = expand(&stage.base)?;
        let name = match request.contexts.get(&name) {
            Some(NamedContext::Image(name)) => name.clone(),
            Some(NamedContext::Link(link)) => return Some(link.state.config.config.env.clone()),
            Some(NamedContext::Files(_)) => return None,
            None => name,
        };
        let platform = platform.unwrap_or_else(Platform::host);
        Some(self.images.resolve(&name, Some(&platform)).ok()?.config.config.env)
    }

    /// The credentials for an image's registry.
    pub(crate) fn auth_for(
        &self,
        given: &BTreeMap<String, AuthConfig>,
        reference: &ImageRef,
    ) -> Option<AuthConfig> {
        let domain = reference.domain();
        let names = match domain {
            "docker.io" => vec!["https://index.docker.io/v1/", "index.docker.io", "docker.io"],
            other => vec![other],
        };
        names.iter().find_map(|name| given.get(*name)).cloned()
    }
}

fn sweep(root: &Path, exec_root: &Path) {
    if let Ok(entries) = std::fs::read_dir(root.join("mounts")) {
        for entry in entries.flatten() {
            let _ = rustix::mount::unmount(entry.path(), rustix::mount::UnmountFlags::DETACH);
            let _ = std::fs::remove_dir(entry.path()).or_else(|_| std::fs::remove_file(entry.path()));
        }
    }
    let _ = std::fs::remove_dir_all(root.join("tmp"));
    let _ = std::fs::remove_dir_all(exec_root.join("build"));
}

/// A context that a client named: `docker-image://name`.
pub fn named_image(text: &str) -> Option<NamedContext> {
    text.strip_prefix("docker-image://").map(|name| NamedContext::Image(name.to_owned()))
}

//! What is to be built.

use crate::files::Context;
use crate::link::Link;
use crate::remote_cache::{CacheSource, CacheTarget};
use crate::result::Attest;
use hull_api_types::{AuthConfig, HostConfig};
use hull_dockerfile::{Check, Ignore};
use hull_types::{ImageRef, Platform};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A build.
#[derive(Debug, Clone, Default)]
pub struct BuildRequest {
    /// What the Dockerfile is called.
    pub dockerfile_name: String,
    /// Its text.
    pub dockerfile: String,
    /// The files.
    pub context: Context,
    /// Further contexts by name (`--build-context`), which go before stages and images of that name.
    pub contexts: BTreeMap<String, NamedContext>,
    /// The stage wanted, by name or number; the last where empty.
    pub target: String,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Names of the image.
    pub tags: Vec<ImageRef>,
    /// Nothing is taken from the cache.
    pub no_cache: bool,
    /// Nothing of these stages is.
    pub no_cache_filter: Vec<String>,
    /// Base images are pulled though they are here.
    pub pull: bool,
    /// For what is built; this machine's where not said.
    pub platform: Option<Platform>,
    /// The network of RUN steps: `default`, `none`, `host` or a network's name.
    pub network: String,
    /// Limits of RUN steps, their `/etc/hosts`, size of `/dev/shm`.
    pub host_config: HostConfig,
    /// Secrets by id.
    pub secrets: BTreeMap<String, Arc<[u8]>>,
    /// Sockets of ssh agents on this machine by id.
    pub ssh: BTreeMap<String, PathBuf>,
    /// Rights beyond the usual: `network.host`, `security.insecure`.
    pub entitlements: Vec<String>,
    /// Credentials by registry.
    pub auth: BTreeMap<String, AuthConfig>,
    /// What was left out of the context, for the lint rules.
    pub ignore: Ignore,
    /// Which lint rules apply, where the client says.
    pub check: Option<Check>,
    /// One step after the other, in the order of the file.
    pub sequential: bool,
    /// The image is not recorded: only its layers are wanted.
    pub without_image: bool,
    /// The result is kept, for builds that have it as a context.
    pub keep: bool,
    /// What a command that failed left becomes an image, to look at.
    pub debug: bool,
    /// What is attested of the result.
    pub attest: Attest,
    /// The image is a cache itself.
    pub inline_cache: bool,
    /// Where steps' results may be taken from.
    pub cache_from: Vec<CacheSource>,
    /// Where steps' results are written to.
    pub cache_to: Vec<CacheTarget>,
    /// The number of its first step.
    pub first_step: usize,
    /// What its steps are called by, beside their stage: the platform, where there are several.
    pub label: Option<String>,
}

/// A context that has a name.
#[derive(Debug, Clone)]
pub enum NamedContext {
    /// `docker-image://name`.
    Image(String),
    /// Files.
    Files(Context),
    /// What another build came to.
    Link(Arc<Link>),
}

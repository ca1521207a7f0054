//! What all supervisors share: the services below, and the index of containers.
//!
//! The index is behind a lock that is held for a lookup or an insertion only; the containers themselves are read from
//! what their supervisors publish.

use crate::config::ContainersConfig;
use crate::error::{Error, Result};
use crate::exec::Execs;
use crate::machine::Machine;
use crate::record::{ContainerSpec, State};
use crate::supervisor::{Handle, Published, links};
use crate::user::Accounts;
use hull_api_types::{EventMessage, Map};
use hull_events::EventBus;
use hull_image::Images;
use hull_network::Networks;
use hull_snapshot::Snapshotter;
use hull_store::{Store, Table};
use hull_types::oci::runtime::Seccomp;
use hull_types::{ChainId, short_id};
use hull_volume::Volumes;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The services that containers are made of, and the containers.
pub(crate) struct Engine {
    config: RwLock<Arc<ContainersConfig>>,
    pub machine: Machine,
    pub store: Store,
    pub specs: Table<ContainerSpec>,
    pub states: Table<State>,
    pub images: Images,
    pub snapshotter: Arc<dyn Snapshotter>,
    pub networks: Networks,
    pub volumes: Volumes,
    pub events: EventBus,
    pub execs: Execs,
    index: RwLock<Index>,
    accounts: Mutex<HashMap<ChainId, Arc<Accounts>>>,
    filters: Mutex<HashMap<FilterKey, Arc<Seccomp>>>,
}

/// What a translated seccomp profile depends on: its text, and the process's capabilities.
type FilterKey = (Option<String>, Vec<String>);

/// Containers by id and by name.
#[derive(Default)]
pub(crate) struct Index {
    pub handles: BTreeMap<String, Handle>,
    /// Name → id; a name is in here before its container is in `handles`.
    pub names: BTreeMap<String, String>,
    /// Rows that do not parse: their data is kept.
    pub damaged: BTreeMap<String, String>,
}

impl Engine {
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn new(
        config: ContainersConfig,
        store: Store,
        images: Images,
        snapshotter: Arc<dyn Snapshotter>,
        networks: Networks,
        volumes: Volumes,
        events: EventBus,
    ) -> Self {
        Self {
            config: RwLock::new(Arc::new(config)),
            machine: Machine::detect(),
            specs: store.table("containers"),
            states: store.table("container-states"),
            store,
            images,
            snapshotter,
            networks,
            volumes,
            events,
            execs: Execs::default(),
            index: RwLock::default(),
            accounts: Mutex::default(),
            filters: Mutex::default(),
        }
    }

    pub(crate) fn config(&self) -> Arc<ContainersConfig> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the configuration; who reads it later sees that.
    pub(crate) fn reconfigure(&self, change: impl FnOnce(&mut ContainersConfig)) {
        change(Arc::make_mut(&mut self.config.write().unwrap_or_else(PoisonError::into_inner)));
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The container of a full id, a name with or without slash, a link to it (`other/alias`), or an id's unambiguous
    /// beginning.
    pub(crate) fn find(&self, name: &str) -> Result<Handle> {
        let index = self.index();
        if let Some(handle) = index.handles.get(name) {
            return Ok(handle.clone());
        }
        let bare = name.strip_prefix('/').unwrap_or(name);
        if let Some(handle) = index.names.get(bare).and_then(|id| index.handles.get(id)) {
            return Ok(handle.clone());
        }
        let missing = || Error::NoSuchContainer(name.to_owned());
        if let Some((own, alias)) = bare.rsplit_once('/') {
            let own = index.names.get(own).and_then(|id| index.handles.get(id)).ok_or_else(missing)?;
            let own = own.published();
            let other = links::target(&own.spec, alias).and_then(|id| index.handles.get(id));
            return other.cloned().ok_or_else(missing);
        }
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(missing());
        }
        let mut matches = index.handles.range(name.to_owned()..).take_while(|(id, _)| id.starts_with(name));
        let (_, handle) = matches.next().ok_or_else(missing)?;
        match matches.next() {
            None => Ok(handle.clone()),
            Some(_) => Err(Error::AmbiguousPrefix(name.to_owned())),
        }
    }

    /// What a container's supervisor last published.
    pub(crate) fn published(&self, name: &str) -> Result<Arc<Published>> {
        Ok(self.find(name)?.published())
    }

    /// What all of them last published, in the order of ids.
    pub(crate) fn all(&self) -> Vec<Arc<Published>> {
        self.index().handles.values().map(Handle::published).collect()
    }

    /// Takes a name for an id.
    pub(crate) fn reserve_name(&self, name: &str, id: &str) -> Result<()> {
        let mut index = self.index_mut();
        match index.names.get(name) {
            Some(other) if other != id => Err(Error::conflict(format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{other}\". You have to \
                 remove (or rename) that container to be able to reuse that name."
            ))),
            _ => {
                index.names.insert(name.to_owned(), id.to_owned());
                Ok(())
            }
        }
    }

    /// Gives a name back, if it is that id's.
    pub(crate) fn release_name(&self, name: &str, id: &str) {
        let mut index = self.index_mut();
        if index.names.get(name).is_some_and(|holder| holder == id) {
            index.names.remove(name);
        }
    }

    /// The bundle's directory.
    pub(crate) fn bundle(&self, id: &str) -> PathBuf {
        self.config().exec_root.join("containers").join(id)
    }

    /// What outlives a reboot: the log.
    pub(crate) fn home(&self, id: &str) -> PathBuf {
        self.config().data_root.join("containers").join(id)
    }

    pub(crate) fn log_path(&self, id: &str) -> PathBuf {
        self.home(id).join(format!("{id}-json.log"))
    }

    pub(crate) fn runtime_state(&self) -> PathBuf {
        self.config().exec_root.join("runtime")
    }

    /// The cgroup's path.
    pub(crate) fn cgroup(&self, spec: &ContainerSpec) -> String {
        let asked = spec.host_config.resources.cgroup_parent.trim_matches('/');
        let config = self.config();
        let parent = if asked.is_empty() { config.cgroup_parent.trim_matches('/') } else { asked };
        format!("/{parent}/{}", spec.id)
    }

    /// Publishes an event of a container's.
    pub(crate) fn event(&self, spec: &ContainerSpec, action: &str, more: &[(&str, String)]) {
        let mut attributes: Map<String> = spec.config.labels.clone();
        attributes.insert("image".into(), spec.config.image.clone());
        attributes.insert("name".into(), spec.name.clone());
        for (key, value) in more {
            attributes.insert((*key).to_owned(), value.clone());
        }
        self.events.publish(EventMessage::now("container", action, &spec.id, attributes));
    }

    /// An image's accounts, read once.
    pub(crate) fn cached_accounts(
        &self,
        top: &ChainId,
        read: impl FnOnce() -> Result<Accounts>,
    ) -> Result<Arc<Accounts>> {
        if let Some(known) = lock(&self.accounts).get(top) {
            return Ok(Arc::clone(known));
        }
        let accounts = Arc::new(read()?);
        let mut cache = lock(&self.accounts);
        // Images come and go, and files may be large: the cache is no history.
        if cache.len() >= 64 {
            cache.clear();
        }
        cache.insert(top.clone(), Arc::clone(&accounts));
        Ok(accounts)
    }

    /// A seccomp profile for these capabilities, translated once. `None` is the built-in profile.
    pub(crate) fn seccomp(&self, profile: Option<String>, capabilities: &[String]) -> Result<Arc<Seccomp>> {
        let key = (profile, capabilities.to_vec());
        if let Some(known) = lock(&self.filters).get(&key) {
            return Ok(Arc::clone(known));
        }
        let text = key.0.as_deref().unwrap_or(hull_seccomp::DEFAULT_PROFILE);
        let filter = hull_seccomp::docker_profile_to_oci(text, capabilities)
            .map_err(|error| Error::invalid(format!("Decoding seccomp profile failed: {error}")))?;
        let filter = Arc::new(filter);
        let mut cache = lock(&self.filters);
        if cache.len() >= 32 {
            cache.clear();
        }
        cache.insert(key, Arc::clone(&filter));
        Ok(filter)
    }

    /// Which other containers' names stand for a container in its network's hosts files.
    pub(crate) fn short(id: &str) -> &str {
        short_id(id)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs what blocks on a thread that may.
pub(crate) async fn blocking<T, F>(act: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    match tokio::task::spawn_blocking(act).await {
        Ok(result) => result,
        Err(error) => {
            Err(Error::Io { action: "run a blocking step".into(), source: std::io::Error::other(error) })
        }
    }
}

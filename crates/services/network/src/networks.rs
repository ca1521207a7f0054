//! The networks themselves: opening, listing, creating, removing.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hull_api_types::{
    EventMessage, Filters, Network, NetworkCreateRequest, NetworkCreateResponse, NetworksPruneResponse,
};
use hull_events::EventBus;
use hull_netlink::RouteSocket;
use hull_nft::{Batch, NftSocket};
use hull_store::{Store, Table};

use crate::firewall::{self, Frame};
use crate::model::{Endpoint, NetworkRow, Sandbox};
use crate::namespaces::Namespaces;
use crate::records::Records;
use crate::state::State;
use crate::{Error, NetworksConfig, Result, bridge, definition, filters, predefined};

/// Tells, as long as the machine runs, that it was Hull who made the host forward packets.
const FORWARDING_ENABLED: &str = "forwarding-enabled-by-hull";

/// All networks of a daemon. Clones are the same. Every call is synchronous and takes up to a few milliseconds, the
/// removal of a network some 20; the calling threads have to be in the daemon's network namespace.
#[derive(Clone)]
pub struct Networks {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub config: NetworksConfig,
    pub rows: Table<NetworkRow>,
    pub events: EventBus,
    pub namespaces: Namespaces,
    pub records: Records,
    /// Held while a network's names are written.
    pub names: Mutex<()>,
    no_router: bool,
    // Order of locking: filter, then state; route alone.
    state: Mutex<State>,
    route: Mutex<RouteSocket>,
    filter: Mutex<NftSocket>,
}

impl fmt::Debug for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Networks").field("table", &self.inner.config.table).finish_non_exhaustive()
    }
}

impl Networks {
    /// Opens the networks: makes the predefined ones, the bridges that are missing, and the packet filter's table,
    /// in which containers that a former daemon left running keep their ports. What those have is theirs until
    /// [`Self::reconcile`].
    pub fn open(config: NetworksConfig, store: &Store, events: EventBus) -> Result<Self> {
        let records = Records::open(config.exec_root.join("network"))?;
        let kernel = |source| Error::Kernel { network: "host".into(), source };
        let mut route = RouteSocket::open().map_err(kernel)?;
        let filter =
            NftSocket::open().map_err(|source| Error::Filter { table: config.table.clone(), source })?;
        let rows = store.table::<NetworkRow>("networks");
        let mut state = State { networks: load(&rows)?, ..State::default() };
        for row in predefined::rows(&config, &state.networks, &mut route)? {
            if state.networks.get(&row.id) != Some(&row) {
                rows.put(&row.id, &row)?;
            }
            state.networks.insert(row.id.clone(), row);
        }
        if config.bridge == "none" {
            state.networks.retain(|_, row| row.name != "bridge");
        }
        if config.ip_forward && bridge::enable_forwarding()? {
            records.note(FORWARDING_ENABLED)?;
        }
        ensure_bridges(&state, &mut route, &config)?;
        for sandbox in records.list()? {
            state.recover(sandbox);
        }
        let no_router = !config.ip_forward_no_drop && records.is_noted(FORWARDING_ENABLED);
        let inner = Inner {
            namespaces: Namespaces::new(config.prepared_namespaces),
            config,
            rows,
            events,
            records,
            names: Mutex::default(),
            no_router,
            state: Mutex::new(state),
            route: Mutex::new(route),
            filter: Mutex::new(filter),
        };
        let networks = Self { inner: Arc::new(inner) };
        networks.rebuild_filter()?;
        Ok(networks)
    }

    /// The networks that match the filters, oldest first, without their containers.
    pub fn list(&self, filters: &Filters) -> Result<Vec<Network>> {
        let state = self.state();
        let in_use = |row: &NetworkRow| state.members(&row.id).next().is_some();
        let mut rows = filters::select(state.networks.values(), filters, in_use)?;
        rows.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        Ok(rows.into_iter().map(NetworkRow::to_api).collect())
    }

    /// A network by its id, name or the beginning of its id, with its running containers.
    pub fn inspect(&self, name_or_id: &str) -> Result<Network> {
        let state = self.state();
        let row = state.network(name_or_id)?;
        let member = |sandbox: &Sandbox| {
            let endpoint = sandbox.endpoint(&row.id)?;
            Some((sandbox.container_id.clone(), endpoint.row(sandbox)))
        };
        Ok(Network { containers: state.members(&row.id).filter_map(member).collect(), ..row.to_api() })
    }

    /// Creates a network.
    pub fn create(&self, request: &NetworkCreateRequest) -> Result<NetworkCreateResponse> {
        let config = &self.inner.config;
        let row = {
            let mut route = self.route();
            let mut state = self.state();
            let row = definition::define(request, config, &state.networks, &mut route)?;
            // From here on the name and the subnet are its own.
            state.networks.insert(row.id.clone(), row.clone());
            row
        };
        if let Err(error) = self.make(&row) {
            self.state().networks.remove(&row.id);
            let _ = self.unmake(&row);
            return Err(error);
        }
        self.publish_network("create", &row);
        Ok(NetworkCreateResponse { id: row.id, warning: String::new() })
    }

    /// The row comes before the interface: an interface without a row would belong to nobody, a row without an
    /// interface gets one at the next start.
    fn make(&self, row: &NetworkRow) -> Result<()> {
        self.inner.rows.put(&row.id, row)?;
        if let Some(made) = &row.bridge {
            bridge::ensure(&mut self.route(), &row.name, made, self.inner.config.ip_forward)?;
        }
        self.rebuild_filter()
    }

    fn unmake(&self, row: &NetworkRow) -> Result<()> {
        if let Some(made) = row.bridge.as_ref().filter(|made| made.managed) {
            bridge::remove(&mut self.route(), &row.name, &made.interface)?;
        }
        self.inner.rows.remove(&row.id)?;
        self.remove_names(&row.id);
        Ok(())
    }

    /// Removes a network without running containers.
    pub fn remove(&self, name_or_id: &str) -> Result<()> {
        let row = {
            let mut state = self.state();
            let row = state.network(name_or_id)?.clone();
            if row.is_predefined() {
                return Err(Error::Forbidden(format!(
                    "{} is a pre-defined network and cannot be removed",
                    row.name
                )));
            }
            let active: Vec<String> = state.members(&row.id).filter_map(|s| describe(s, &row.id)).collect();
            if !active.is_empty() {
                return Err(Error::ActiveEndpoints { name: row.name, endpoints: active.join(", ") });
            }
            state.networks.remove(&row.id);
            state.leases.remove(&row.id);
            row
        };
        if let Err(error) = self.unmake(&row) {
            self.state().networks.insert(row.id.clone(), row);
            return Err(error);
        }
        self.rebuild_filter()?;
        self.publish_network("destroy", &row);
        Ok(())
    }

    /// Removes the user-defined networks that match the filters and that no container is in. `in_use` are the
    /// names and ids of networks that containers, running or not, are configured with.
    pub fn prune(&self, filters: &Filters, in_use: &[String]) -> Result<NetworksPruneResponse> {
        let in_use: HashSet<&str> = in_use.iter().map(String::as_str).collect();
        let unused: Vec<NetworkRow> = {
            let state = self.state();
            let rows = filters::select_prunable(state.networks.values(), filters)?;
            let is_unused = |row: &&NetworkRow| {
                !in_use.contains(row.name.as_str())
                    && !in_use.contains(row.id.as_str())
                    && state.members(&row.id).next().is_none()
            };
            rows.into_iter().filter(is_unused).cloned().collect()
        };
        let mut deleted = Vec::new();
        for row in unused {
            match self.remove(&row.id) {
                Ok(()) => deleted.push(row.name),
                // A container came into it meanwhile, or another request removed it.
                Err(Error::ActiveEndpoints { .. } | Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let attributes = BTreeMap::from([("reclaimed".to_owned(), "0".to_owned())]);
        self.inner.events.publish(EventMessage::now("network", "prune", "", attributes));
        Ok(NetworksPruneResponse { networks_deleted: (!deleted.is_empty()).then_some(deleted) })
    }

    /// Removes what the networks left in the kernel: the table, and the bridges that Hull made. Containers that
    /// still run lose their network. The networks' rows stay. For tests and for uninstalling.
    pub fn teardown(&self) -> Result<()> {
        let rows: Vec<NetworkRow> = self.state().networks.values().cloned().collect();
        for (row, made) in
            rows.iter().filter_map(|row| Some((row, row.bridge.as_ref().filter(|made| made.managed)?)))
        {
            bridge::remove(&mut self.route(), &row.name, &made.interface)?;
        }
        if self.inner.config.packet_filter {
            self.apply(&mut self.filter(), &firewall::remove(&self.inner.config.table))?;
        }
        Ok(())
    }

    /// Applies a change of the table. Where that fails, another program may have removed the table or changed it:
    /// it is made anew, as a whole.
    pub(crate) fn change_filter(&self, batch: &Batch) -> Result<()> {
        if !self.inner.config.packet_filter || batch.changes.is_empty() {
            return Ok(());
        }
        let mut filter = self.filter();
        match filter.apply(batch) {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::warn!(table = self.inner.config.table, %error, "rebuilding the nftables table");
                self.rebuild(&mut filter)
            }
        }
    }

    /// Makes the table anew, in one batch: connections under way and published ports don't notice.
    pub(crate) fn rebuild_filter(&self) -> Result<()> {
        if !self.inner.config.packet_filter {
            return Ok(());
        }
        self.rebuild(&mut self.filter())
    }

    fn rebuild(&self, filter: &mut NftSocket) -> Result<()> {
        let frame = Frame { table: &self.inner.config.table, no_router: self.inner.no_router };
        let batch = {
            let state = self.state();
            firewall::whole(frame, state.networks.values(), state.sandboxes.values())
        };
        self.apply(filter, &batch)
    }

    fn apply(&self, filter: &mut NftSocket, batch: &Batch) -> Result<()> {
        let failed = |source| Error::Filter { table: self.inner.config.table.clone(), source };
        filter.apply(batch).map_err(failed)
    }

    fn publish_network(&self, action: &str, row: &NetworkRow) {
        let attributes =
            BTreeMap::from([("name".to_owned(), row.name.clone()), ("type".to_owned(), row.driver.clone())]);
        self.inner.events.publish(EventMessage::now("network", action, &row.id, attributes));
    }

    /// The event of a container that came into a network or left it.
    pub(crate) fn publish_endpoint(&self, action: &str, container_id: &str, endpoint: &Endpoint) {
        let driver = self.state().networks.get(&endpoint.network_id).map(|row| row.driver.clone());
        let attributes = BTreeMap::from([
            ("container".to_owned(), container_id.to_owned()),
            ("name".to_owned(), endpoint.network_name.clone()),
            ("type".to_owned(), driver.unwrap_or_default()),
        ]);
        self.inner.events.publish(EventMessage::now("network", action, &endpoint.network_id, attributes));
    }

    // After a panic under one of these locks the values are still whole: each change to them is one insertion or
    // removal.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn route(&self) -> MutexGuard<'_, RouteSocket> {
        self.inner.route.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn filter(&self) -> MutexGuard<'_, NftSocket> {
        self.inner.filter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn describe(sandbox: &Sandbox, network_id: &str) -> Option<String> {
    let endpoint = sandbox.endpoint(network_id)?;
    Some(format!("name:\"{}\" id:\"{}\"", sandbox.name, hull_types::short_id(&endpoint.id)))
}

fn load(rows: &Table<NetworkRow>) -> Result<BTreeMap<String, NetworkRow>> {
    let mut networks = BTreeMap::new();
    for (id, row) in rows.list()? {
        match row {
            Ok(row) => {
                networks.insert(id, row);
            }
            // It stays in the store, and so does what it may own.
            Err(damaged) => tracing::warn!(%id, error = %damaged, "damaged network record"),
        }
    }
    Ok(networks)
}

/// The default bridge has to be; another network whose bridge can't be made keeps the daemon from nothing but that.
fn ensure_bridges(state: &State, route: &mut RouteSocket, config: &NetworksConfig) -> Result<()> {
    for (row, made) in state.networks.values().filter_map(|row| Some((row, row.bridge.as_ref()?))) {
        match bridge::ensure(route, &row.name, made, config.ip_forward) {
            Err(error) if row.is_predefined() => return Err(error),
            Err(error) => tracing::warn!(network = row.name, %error, "cannot restore the network"),
            Ok(()) => {}
        }
    }
    Ok(())
}

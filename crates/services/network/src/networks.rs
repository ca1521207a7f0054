//! The networks themselves: opening, listing, creating, removing.

use std::collections::HashMap;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use hull_api_types::{
    EventMessage, Filters, FirewallInfo, Network, NetworkCreateRequest, NetworkCreateResponse,
    NetworksPruneResponse,
};
use hull_events::EventBus;
use hull_netlink::RouteSocket;
use hull_netlink::conntrack::{ConntrackSocket, Tracked};
use hull_nft::{Batch, Change, Dropper, NftSocket};
use hull_store::{Store, Table};

use crate::definition::Surroundings;
use crate::endpoint::{Endpoint, Protocol, Published, Sandbox};
use crate::firewall::{self, Frame};
use crate::model::{Medium, NetworkRow};
use crate::namespaces::Namespaces;
use crate::records::Records;
use crate::state::State;
use crate::{
    Error, NetworksConfig, Result, bridge, definition, filters, loopback, obedience, plan, predefined,
    sub_interface, watch,
};

/// Tells, as long as the machine runs, that it was Hull who made the host forward packets.
const FORWARDING_ENABLED: [&str; 2] = ["forwarding-enabled-by-hull", "ipv6-forwarding-enabled-by-hull"];

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
    /// The files of the networks' names; held while one is written.
    pub names: Mutex<HashMap<String, hull_dns::Journal>>,
    // Order of locking: filter, then route, then state.
    state: Mutex<State>,
    route: Mutex<RouteSocket>,
    filter: Mutex<NftSocket>,
    /// Whether the table has what makes published ports obey the host's own rules.
    obeying: AtomicBool,
    /// Ends the thread that watches the table.
    watch: OnceLock<OwnedFd>,
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
        let obey_host_rules = config.obey_host_rules;
        let mut state = State { networks: load(&rows)?, obey_host_rules, ..State::default() };
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
            records.note(FORWARDING_ENABLED[0])?;
        }
        if state.networks.values().any(needs_ipv6) {
            forward_ipv6(&config, &records)?;
        }
        ensure_media(&state, &mut route, &config)?;
        for mut sandbox in records.list()? {
            let otherwise = plan::reach(&state, &sandbox).obeys;
            plan::decide_who_obeys(&mut sandbox, otherwise);
            state.recover(sandbox);
        }
        let inner = Inner {
            namespaces: Namespaces::new(config.prepared_namespaces),
            config,
            rows,
            events,
            records,
            names: Mutex::default(),
            state: Mutex::new(state),
            route: Mutex::new(route),
            filter: Mutex::new(filter),
            obeying: AtomicBool::new(false),
            watch: OnceLock::new(),
        };
        let networks = Self { inner: Arc::new(inner) };
        networks.rebuild_filter()?;
        networks.watch_filter()?;
        if networks.inner.config.packet_filter {
            Self::warn_of_droppers(&mut networks.filter());
        }
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
            let networks = &state.networks;
            let row = definition::define(request, &mut Surroundings { config, networks, route: &mut route })?;
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
        let config = &self.inner.config;
        let became_router = needs_ipv6(row) && forward_ipv6(config, &self.inner.records)?;
        ensure_medium(row, &mut self.route(), config)?;
        if became_router {
            return self.rebuild_filter();
        }
        self.change_loopback(loopback::change_network(&config.table, Change::AddElements, row));
        self.change_filter(&firewall::add_network(&config.table, row))
    }

    fn unmake(&self, row: &NetworkRow) -> Result<()> {
        remove_medium(row, &mut self.route())?;
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
            if let Some(other) = state.networks.values().find(|other| other.config_from == row.name) {
                return Err(Error::Forbidden(format!(
                    "configuration network {:?} is in use by network {}",
                    row.name, other.name
                )));
            }
            state.networks.remove(&row.id);
            row.pools.iter().for_each(|pool| drop(state.leases.remove(&pool.subnet)));
            row
        };
        if let Err(error) = self.unmake(&row) {
            self.state().networks.insert(row.id.clone(), row);
            return Err(error);
        }
        let table = &self.inner.config.table;
        self.change_loopback(loopback::change_network(table, Change::DeleteElements, &row));
        self.change_filter(&firewall::remove_network(table, &row))?;
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
        // What is removed now is not to come back.
        for row in &rows {
            remove_medium(row, &mut self.route())?;
        }
        if self.inner.config.packet_filter {
            let mut filter = self.filter();
            self.apply(&mut filter, &firewall::remove(&self.inner.config.table))?;
            self.apply(&mut filter, &loopback::remove(&self.inner.config.table))?;
            obedience::remove(&mut self.route(), &mut filter, &self.inner.config.table)?;
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

    /// Applies a change of a container's ports. The first that obeys the host's own rules brings what that takes, and
    /// the last takes it away; `obeys`: one that is published or withdrawn does.
    pub(crate) fn change_ports(&self, batch: &Batch, obeys: bool) -> Result<()> {
        if obeys && self.obeys() != self.inner.obeying.load(Ordering::Relaxed) {
            return self.rebuild_filter();
        }
        self.change_filter(batch)
    }

    /// Whether ports obey the host's own rules, or may without further notice.
    fn obeys(&self) -> bool {
        let state = self.state();
        state.obey_host_rules || state.sandboxes.values().any(Sandbox::obeys)
    }

    /// Sees to it that what other programs remove of the table comes back.
    fn watch_filter(&self) -> Result<()> {
        if !self.inner.config.packet_filter {
            return Ok(());
        }
        let failed = |source| Error::Filter { table: self.inner.config.table.clone(), source };
        let own_port = self.filter().port().map_err(failed)?;
        let watch = watch::start(&self.inner, own_port)?;
        drop(self.inner.watch.set(watch));
        Ok(())
    }

    /// Has the kernel forget where it sends packets to ports that are published now, or no longer: of protocols
    /// without connections it would go on for as long as packets come.
    pub(crate) fn forget_connections(&self, ports: &[Published]) {
        let tracked = |port: &Published| Tracked {
            ipv6: port.host_address.is_ipv6(),
            protocol: port.protocol.number(),
            port: port.host_port,
        };
        let published = ports.iter().filter(|port| port.protocol != Protocol::Tcp && port.host_port != 0);
        let mut tracked = published.map(tracked).peekable();
        if tracked.peek().is_none() || !self.inner.config.packet_filter {
            return;
        }
        let forgotten = ConntrackSocket::open()
            .and_then(|mut socket| tracked.try_for_each(|connections| socket.forget(connections)));
        if let Err(error) = forgotten {
            tracing::warn!(%error, "packets that are under way may go where the port was published before");
        }
    }

    /// The packet filter as `/info` tells it: what published ports obey, and which chains of others bar them.
    pub fn firewall(&self) -> FirewallInfo {
        let pair = |label: &str, value: String| [label.to_owned(), value];
        let config = &self.inner.config;
        if !config.packet_filter {
            return FirewallInfo { driver: "none".into(), info: Vec::new() };
        }
        let rules = if config.obey_host_rules { "obeyed" } else { "bypassed" };
        let mut info = vec![pair("HostInputRules", rules.into())];
        match self.filter().forward_droppers() {
            Ok(found) => info.extend(found.iter().map(|found| pair("ForwardDroppedBy", shown(found)))),
            Err(error) => tracing::warn!(%error, "cannot see other programs' packet filters"),
        }
        FirewallInfo { driver: "nftables".into(), info }
    }

    /// A drop in any table wins: what another program's chain drops by policy, Hull can't let through, and it changes
    /// no rules but its own.
    fn warn_of_droppers(filter: &mut NftSocket) {
        for found in filter.forward_droppers().into_iter().flatten() {
            tracing::warn!(
                "the {} drops what is forwarded, and with it what comes to published ports and what containers send, \
                 unless a rule there accepts it: see \"Networks\" in docs/SECURITY.md",
                shown(&found)
            );
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
        let noted = |name| !self.inner.config.ip_forward_no_drop && self.inner.records.is_noted(name);
        let table = &self.inner.config.table;
        let obey = self.obeys();
        let obedience = match obey {
            true => Some(obedience::ensure(&mut self.route(), filter, table)?),
            false => None,
        };
        let no_router = FORWARDING_ENABLED.map(noted);
        let ipv6_loopback = self.rebuild_loopback(filter)?;
        let frame = Frame { table, no_router, ipv6_loopback, obedience: obedience.as_ref() };
        let batch = {
            let state = self.state();
            firewall::whole(frame, state.networks.values(), state.sandboxes.values())
        };
        self.apply(filter, &batch)?;
        self.inner.obeying.store(obey, Ordering::Relaxed);
        if obey {
            return Ok(());
        }
        // After a daemon that was configured otherwise, or the last port that obeyed.
        obedience::remove(&mut self.route(), filter, table)
    }

    /// Makes the table anew that leads replies back to `::1`. False where the kernel can't: ports aren't published there.
    fn rebuild_loopback(&self, filter: &mut NftSocket) -> Result<bool> {
        let table = &self.inner.config.table;
        let failed = |source| Error::Kernel { network: "host".into(), source };
        let Some(lo) = self.route().link_by_name("lo").map_err(failed)? else { return Ok(false) };
        let state = self.state();
        let bare = loopback::whole(table, lo.index, state.networks.values());
        let own: Vec<Batch> =
            state.sandboxes.values().filter_map(|own| loopback::publish(table, own)).collect();
        let mut whole = bare.clone();
        whole.changes.extend(own.iter().flat_map(|batch| batch.changes.iter().cloned()));
        if filter.apply(&whole).is_ok() {
            return Ok(true);
        }
        if let Err(error) = filter.apply(&bare) {
            tracing::warn!(%error, "ports are not published on ::1 (nftables' netdev family and fwd are needed)");
            return Ok(false);
        }
        // A container that has ended meanwhile has no interface any more: all others have theirs.
        for batch in own {
            if let Err(error) = filter.apply(&batch) {
                tracing::debug!(%error, "a container's ports are not published on ::1");
            }
        }
        Ok(true)
    }

    /// Publishes a container's ports.
    pub(crate) fn publish_ports(&self, sandbox: &Sandbox) -> Result<()> {
        let table = &self.inner.config.table;
        self.change_ports(&firewall::publish(table, sandbox, &sandbox.published), sandbox.obeys())?;
        self.change_loopback(loopback::publish(table, sandbox));
        Ok(())
    }

    /// Withdraws a container's ports.
    pub(crate) fn withdraw_ports(&self, sandbox: &Sandbox) -> Result<()> {
        let table = &self.inner.config.table;
        self.change_loopback(loopback::withdraw(table, sandbox).into_iter().flatten());
        self.change_ports(&firewall::withdraw(table, sandbox, &sandbox.published), sandbox.obeys())
    }

    pub(crate) fn change_loopback(&self, batches: impl IntoIterator<Item = Batch>) {
        for batch in batches.into_iter().filter(|_| self.inner.config.packet_filter) {
            // Where the table isn't there, starting has told so.
            if let Err(error) = self.filter().apply(&batch) {
                tracing::debug!(%error, "ports on ::1 are as they were");
            }
        }
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

fn shown(found: &Dropper) -> String {
    format!("chain {} of table {} {}", found.chain, found.family, found.table)
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
fn ensure_media(state: &State, route: &mut RouteSocket, config: &NetworksConfig) -> Result<()> {
    for row in state.networks.values() {
        match ensure_medium(row, route, config) {
            Err(error) if row.is_predefined() => return Err(error),
            Err(error) => tracing::warn!(network = row.name, %error, "cannot restore the network"),
            Ok(()) => {}
        }
    }
    Ok(())
}

fn ensure_medium(row: &NetworkRow, route: &mut RouteSocket, config: &NetworksConfig) -> Result<()> {
    match &row.medium {
        None => Ok(()),
        Some(Medium::Bridge(made)) => bridge::ensure(route, row, made, config.ip_forward),
        Some(Medium::Parent(parent)) => sub_interface::ensure(route, &row.name, parent),
    }
}

fn remove_medium(row: &NetworkRow, route: &mut RouteSocket) -> Result<()> {
    match &row.medium {
        Some(Medium::Bridge(made)) if made.managed => bridge::remove(route, &row.name, &made.interface),
        Some(Medium::Parent(parent)) => sub_interface::remove(route, &row.name, parent),
        _ => Ok(()),
    }
}

fn needs_ipv6(row: &NetworkRow) -> bool {
    row.enable_ipv6 && row.bridge().is_some()
}

/// Whether that is what made the host forward IPv6.
fn forward_ipv6(config: &NetworksConfig, records: &Records) -> Result<bool> {
    let enabled = config.ip_forward && bridge::enable_ipv6_forwarding()?;
    if enabled {
        records.note(FORWARDING_ENABLED[1])?;
    }
    Ok(enabled)
}

//! Listing: which containers, in what words.

use crate::duration::human;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::inspect::{mount_points, network_names};
use crate::options::ListOptions;
use crate::record::{ContainerSpec, Phase, State};
use crate::supervisor::{Published, links};
use hull_api_types::{ContainerSummary, Filters, Port, PortMap, SummaryHostConfig, SummaryNetworkSettings};
use hull_sys::local_time::point;
use hull_types::{DiffId, Pattern, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const KEYS: [&str; 15] = [
    "ancestor",
    "before",
    "exited",
    "id",
    "isolation",
    "label",
    "name",
    "status",
    "health",
    "since",
    "volume",
    "network",
    "is-task",
    "publish",
    "expose",
];

pub(crate) fn list(engine: &Engine, options: &ListOptions) -> Result<Vec<ContainerSummary>> {
    let wanted = Wanted::parse(engine, options)?;
    let mut all = engine.all();
    all.sort_by(|a, b| (b.spec.created, &b.spec.id).cmp(&(a.spec.created, &a.spec.id)));
    let limit = options.limit.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
    let links = links::names_of_all(all.iter().map(|one| &*one.spec));
    let chosen = all.into_iter().filter(|one| wanted.includes(engine, one)).take(limit.unwrap_or(usize::MAX));
    let mut names = BTreeMap::new();
    chosen
        .map(|one| {
            let own = vec![format!("/{}", one.spec.name)];
            let mut all_names = [own, links.get(&one.spec.id).cloned().unwrap_or_default()].concat();
            all_names.sort();
            summary(engine, &one, all_names, options.size, &mut names)
        })
        .collect()
}

/// Filters, parsed.
#[derive(Default)]
struct Wanted {
    all: bool,
    names: Vec<Pattern>,
    ids: Vec<String>,
    labels: Vec<String>,
    statuses: Vec<String>,
    health: Vec<String>,
    exited: Vec<i64>,
    /// Only those created before this one.
    before: Option<(Timestamp, String)>,
    /// Only those created after this one.
    since: Option<(Timestamp, String)>,
    volumes: Vec<String>,
    networks: Vec<String>,
    publish: Vec<Range>,
    expose: Vec<Range>,
    ancestors: Option<Ancestors>,
    tasks: bool,
}

struct Ancestors {
    ids: BTreeSet<String>,
    layers: Vec<Vec<DiffId>>,
}

struct Range {
    low: u16,
    high: u16,
    protocol: String,
}

impl Wanted {
    fn parse(engine: &Engine, options: &ListOptions) -> Result<Self> {
        let filters = &options.filters;
        if let Some(key) = filters.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(Error::invalid(format!("invalid filter '{key}'")));
        }
        let values = |key: &str| filters.get(key).cloned().unwrap_or_default();
        let all =
            options.all || options.limit.is_some_and(|limit| limit > 0) || filters.contains_key("status");
        let created = |name: &String| {
            let published = engine.published(name)?;
            Ok((published.spec.created, published.spec.id.clone()))
        };
        Ok(Self {
            all,
            names: values("name").iter().map(|text| Pattern::new(text)).collect(),
            ids: values("id"),
            labels: values("label"),
            statuses: statuses(values("status"))?,
            health: health(values("health"))?,
            exited: numbers(&values("exited"))?,
            before: values("before").iter().map(created).collect::<Result<Vec<_>>>()?.into_iter().min(),
            since: values("since").iter().map(created).collect::<Result<Vec<_>>>()?.into_iter().max(),
            volumes: values("volume"),
            networks: values("network"),
            publish: ranges("publish", &values("publish"))?,
            expose: ranges("expose", &values("expose"))?,
            ancestors: ancestors(engine, &values("ancestor")),
            tasks: values("is-task").iter().any(|value| value == "true" || value == "1"),
        })
    }

    fn includes(&self, engine: &Engine, one: &Published) -> bool {
        let (spec, state) = (&one.spec, &one.state);
        let any =
            |list: &[String], fits: &dyn Fn(&str) -> bool| list.is_empty() || list.iter().any(|v| fits(v));
        let key = (spec.created, spec.id.clone());
        // Nothing here is a task of a swarm's.
        !self.tasks
            && (self.all || state.phase.is_live() || state.phase == Phase::Restarting)
            && self.before.as_ref().is_none_or(|before| key < *before)
            && self.since.as_ref().is_none_or(|since| key > *since)
            && (self.names.is_empty()
                || self.names.iter().any(|p| p.matches(&spec.name) || p.matches(&format!("/{}", spec.name))))
            && any(&self.ids, &|id| spec.id.starts_with(id))
            && self.labels.iter().all(|label| has_label(spec, label))
            && any(&self.statuses, &|status| status == state.phase.word())
            && any(&self.health, &|status| status == health_word(state))
            && (self.exited.is_empty() || self.has_exited(state))
            && any(&self.volumes, &|volume| {
                spec.mounts.iter().any(|m| m.source == volume || m.destination == volume)
            })
            && any(&self.networks, &|network| is_in(engine, one, network))
            && in_ranges(&self.publish, &published_ports(spec, state))
            && in_ranges(&self.expose, &exposed_ports(spec))
            && self.ancestors.as_ref().is_none_or(|ancestors| ancestors.include(engine, spec))
    }

    fn has_exited(&self, state: &State) -> bool {
        !state.phase.is_live() && state.phase != Phase::Created && self.exited.contains(&state.exit_code)
    }
}

/// `name` or `name=value`.
pub(crate) fn has_label(spec: &ContainerSpec, label: &str) -> bool {
    match label.split_once('=') {
        None => spec.config.labels.contains_key(label),
        Some((name, value)) => spec.config.labels.get(name).is_some_and(|own| own == value),
    }
}

fn statuses(list: Vec<String>) -> Result<Vec<String>> {
    let known = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];
    match list.iter().find(|status| !known.contains(&status.as_str())) {
        Some(bad) => Err(Error::invalid(format!("invalid filter 'status={bad}'"))),
        None => Ok(list),
    }
}

fn health(list: Vec<String>) -> Result<Vec<String>> {
    let known = ["none", "starting", "healthy", "unhealthy"];
    match list.iter().find(|status| !known.contains(&status.as_str())) {
        Some(bad) => Err(Error::invalid(format!("invalid filter 'health={bad}'"))),
        None => Ok(list),
    }
}

fn numbers(list: &[String]) -> Result<Vec<i64>> {
    let number =
        |text: &String| text.parse().map_err(|_| Error::invalid(format!("invalid filter 'exited={text}'")));
    list.iter().map(number).collect()
}

fn ranges(key: &str, list: &[String]) -> Result<Vec<Range>> {
    let parse = |text: &String| {
        let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (low, high) = numbers.split_once('-').unwrap_or((numbers, numbers));
        Some(Range { low: low.parse().ok()?, high: high.parse().ok()?, protocol: protocol.to_lowercase() })
    };
    list.iter()
        .map(|text| parse(text).ok_or_else(|| Error::invalid(format!("invalid filter '{key}={text}'"))))
        .collect()
}

fn in_ranges(ranges: &[Range], ports: &[(u16, String)]) -> bool {
    let fits = |range: &Range| {
        ports
            .iter()
            .any(|(port, protocol)| (range.low..=range.high).contains(port) && *protocol == range.protocol)
    };
    ranges.is_empty() || ranges.iter().any(fits)
}

fn split_port(text: &str) -> Option<(u16, String)> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    Some((number.parse().ok()?, protocol.to_owned()))
}

fn published_ports(spec: &ContainerSpec, state: &State) -> Vec<(u16, String)> {
    let ports = if state.phase.is_live() { &state.network.ports } else { &spec.host_config.port_bindings };
    ports.iter().filter(|(_, hosts)| hosts.is_some()).filter_map(|(port, _)| split_port(port)).collect()
}

fn exposed_ports(spec: &ContainerSpec) -> Vec<(u16, String)> {
    spec.config.exposed_ports.iter().flat_map(|set| set.keys()).filter_map(|port| split_port(port)).collect()
}

fn is_in(engine: &Engine, one: &Published, network: &str) -> bool {
    if one.spec.networks.contains_key(network) || one.spec.host_config.network_mode == network {
        return true;
    }
    let by_id = one.state.network.endpoints.values().any(|endpoint| endpoint.network_id == network);
    by_id || engine.networks.inspect(network).is_ok_and(|found| one.spec.networks.contains_key(&found.name))
}

/// The images that count as these: themselves, and all that begin with their layers.
fn ancestors(engine: &Engine, names: &[String]) -> Option<Ancestors> {
    if names.is_empty() {
        return None;
    }
    let mut found = Ancestors { ids: BTreeSet::new(), layers: Vec::new() };
    for image in names.iter().filter_map(|name| engine.images.resolve(name, None).ok()) {
        found.ids.insert(image.id.to_string());
        if !image.config.rootfs.diff_ids.is_empty() {
            found.layers.push(image.config.rootfs.diff_ids);
        }
    }
    Some(found)
}

impl Ancestors {
    fn include(&self, engine: &Engine, spec: &ContainerSpec) -> bool {
        if self.ids.contains(spec.image.as_str()) {
            return true;
        }
        let Ok(image) = engine.images.resolve(spec.image.as_str(), None) else { return false };
        self.layers.iter().any(|layers| image.config.rootfs.diff_ids.starts_with(layers))
    }
}

fn summary(
    engine: &Engine,
    one: &Arc<Published>,
    all_names: Vec<String>,
    size: bool,
    names: &mut BTreeMap<String, Option<String>>,
) -> Result<ContainerSummary> {
    let (spec, state) = (&one.spec, &one.state);
    // A name that means another image by now would mislead.
    let known = names.entry(spec.image_name.clone()).or_insert_with(|| {
        engine.images.resolve(&spec.image_name, None).ok().map(|image| image.id.to_string())
    });
    let image = match known {
        Some(id) if id == spec.image.as_str() => spec.image_name.clone(),
        _ => spec.image.to_string(),
    };
    let sizes = if size { Some(crate::inspect::sizes(engine, spec)) } else { None };
    Ok(ContainerSummary {
        id: spec.id.clone(),
        names: all_names,
        image,
        image_id: spec.image.to_string(),
        image_manifest_descriptor: None,
        command: command(spec),
        created: spec.created.seconds,
        ports: ports(spec, state),
        size_rw: sizes.map(|(own, _)| own),
        size_root_fs: sizes.map(|(_, all)| all),
        labels: spec.config.labels.clone(),
        state: state.phase.word().into(),
        status: status(state, Timestamp::now()),
        host_config: SummaryHostConfig {
            network_mode: spec.host_config.network_mode.clone(),
            annotations: spec.host_config.annotations.clone(),
        },
        network_settings: SummaryNetworkSettings { networks: network_names(engine, one) },
        mounts: mount_points(engine, spec),
    })
}

fn command(spec: &ContainerSpec) -> String {
    let quoted =
        spec.args().into_iter().map(|word| if word.contains(' ') { format!("'{word}'") } else { word });
    std::iter::once(spec.path().to_owned()).chain(quoted).collect::<Vec<_>>().join(" ")
}

fn ports(spec: &ContainerSpec, state: &State) -> Vec<Port> {
    let nothing = PortMap::new();
    let actual = if state.phase.is_live() { &state.network.ports } else { &nothing };
    let mut list = BTreeSet::new();
    for (text, hosts) in actual {
        let Some((private_port, kind)) = split_port(text) else { continue };
        let plain = Port { private_port, kind, ..Port::default() };
        match hosts.as_deref() {
            None | Some([]) => {
                list.insert(plain);
            }
            Some(hosts) => list.extend(hosts.iter().map(|host| Port {
                ip: host.host_ip.clone(),
                public_port: host.host_port.parse().unwrap_or_default(),
                obeys_host_firewall: host.obeys_host_firewall,
                ..plain.clone()
            })),
        }
    }
    if state.phase.is_live() {
        for (private_port, kind) in exposed_ports(spec) {
            if !list.iter().any(|port| port.private_port == private_port && port.kind == kind) {
                list.insert(Port { private_port, kind, ..Port::default() });
            }
        }
    }
    list.into_iter().collect()
}

fn health_word(state: &State) -> &str {
    state.health.as_ref().map_or("none", |health| health.status.as_str())
}

/// The words of `docker ps`.
pub(crate) fn status(state: &State, now: Timestamp) -> String {
    let since = |at: Timestamp| human(now.seconds.saturating_sub(at.seconds));
    match state.phase {
        Phase::Created => "Created".into(),
        Phase::Running => {
            let up = format!("Up {}", since(state.started_at));
            match health_word(state) {
                "none" => up,
                "starting" => format!("{up} (health: starting)"),
                word => format!("{up} ({word})"),
            }
        }
        Phase::Paused => format!("Up {} (Paused)", since(state.started_at)),
        Phase::Restarting => format!("Restarting ({}) {} ago", state.exit_code, since(state.finished_at)),
        Phase::Removing => "Removal In Progress".into(),
        Phase::Dead => "Dead".into(),
        Phase::Exited if state.finished_at.is_zero() => String::new(),
        Phase::Exited => format!("Exited ({}) {} ago", state.exit_code, since(state.finished_at)),
    }
}

/// Whether a container is one of those that a prune's filters mean.
pub(crate) fn prunable(filters: &Filters, one: &Published) -> Result<bool> {
    for (key, values) in filters {
        let fits = match key.as_str() {
            "label" => values.iter().all(|label| has_label(&one.spec, label)),
            "label!" => !values.iter().any(|label| has_label(&one.spec, label)),
            "until" => {
                let until = values.iter().map(|text| until(text)).collect::<Result<Vec<_>>>()?;
                until.iter().all(|until| one.spec.created.seconds < until.seconds)
            }
            _ => return Err(Error::invalid(format!("invalid filter '{key}'"))),
        };
        if !fits {
            return Ok(false);
        }
    }
    Ok(true)
}

fn until(text: &str) -> Result<Timestamp> {
    point(text, Timestamp::now()).ok_or_else(|| Error::invalid(format!("invalid filter 'until={text}'")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hull_api_types::Health;

    #[test]
    fn dockers_words() {
        let at = |seconds| Timestamp { seconds, nanoseconds: 0 };
        let now = at(1_000_000);
        let mut state = State { started_at: at(999_820), finished_at: at(999_998), ..State::default() };
        assert_eq!(status(&state, now), "Created");
        for (phase, words) in [
            (Phase::Running, "Up 3 minutes"),
            (Phase::Paused, "Up 3 minutes (Paused)"),
            (Phase::Exited, "Exited (0) 2 seconds ago"),
            (Phase::Restarting, "Restarting (0) 2 seconds ago"),
            (Phase::Dead, "Dead"),
        ] {
            state.phase = phase;
            assert_eq!(status(&state, now), words);
        }
        state.phase = Phase::Running;
        for (word, words) in
            [("starting", "Up 3 minutes (health: starting)"), ("healthy", "Up 3 minutes (healthy)")]
        {
            state.health = Some(Health { status: word.into(), ..Default::default() });
            assert_eq!(status(&state, now), words);
        }
    }

    #[test]
    fn ages_parse() {
        let hour = until("1h30m").unwrap();
        let ago = Timestamp::now().seconds - hour.seconds;
        assert!((5399..=5402).contains(&ago), "{ago}");
        assert_eq!(until("5").unwrap().seconds, 5);
        assert!(until("1x").is_err() && until("").is_err());
    }
}

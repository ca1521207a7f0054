//! Flags as a build's options.

use super::call::Call;
use super::places;
use crate::container::options::ulimits;
use crate::failure::{Failure, file_error};
use crate::matches::Matches;
use crate::session::Session;
use base64::Engine;
use hull_api_types::build::BuildOptions;
use hull_api_types::{AuthConfig, HostConfig, Map};
use hull_dockerfile::hint;
use hull_types::size;
use std::io::Read;

/// Everything but contexts and the Dockerfile.
pub fn read(session: &Session, matches: &Matches) -> Result<BuildOptions, Failure> {
    let mut args: Map<String> = session.config().proxy_variables("").into_iter().collect();
    for text in matches.list("build-arg") {
        match text.split_once('=') {
            Some((name, value)) => drop(args.insert(name.to_owned(), value.to_owned())),
            // A name alone takes the variable of this environment, if there is one.
            None => {
                args.extend(std::env::var(&text).ok().map(|value| (text.clone(), value)));
            }
        }
    }
    // The same builds everywhere where the environment says so.
    if let (Ok(epoch), false) = (std::env::var("SOURCE_DATE_EPOCH"), args.contains_key("SOURCE_DATE_EPOCH")) {
        args.insert("SOURCE_DATE_EPOCH".into(), epoch);
    }
    if !matches!(matches.text("isolation"), "" | "default") {
        return Err(Failure::new(format!("unsupported isolation: {:?}", matches.text("isolation"))));
    }
    let labels = matches.list("label").into_iter().map(|text| match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (text, String::new()),
    });
    let mut options = BuildOptions {
        target: matches.text("target").to_owned(),
        args,
        labels: labels.collect(),
        tags: tags(matches)?,
        no_cache: matches.switch("no-cache"),
        no_cache_filter: matches.list("no-cache-filter"),
        pull: matches.switch("pull"),
        network: matches.text("network").to_owned(),
        host_config: host_config(matches)?,
        secrets: secrets(matches)?,
        ssh: ssh(matches)?,
        entitlements: matches.list("allow"),
        auth: credentials(session),
        call: Call::of(matches)?.map(|call| call.name).unwrap_or_default(),
        platforms: platforms(matches),
        attests: places::attests(matches)?,
        cache_from: places::caches(matches, "cache-from")?,
        cache_to: places::caches(matches, "cache-to")?,
        ..BuildOptions::default()
    };
    if let [platform] = options.platforms.as_slice() {
        options.platform.clone_from(platform);
        options.platforms.clear();
    }
    Ok(options)
}

fn platforms(matches: &Matches) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for text in matches.list("platform").iter().flat_map(|text| text.split(',')) {
        let text = match text.trim() {
            "local" => hull_types::Platform::host().to_string(),
            text => text.to_owned(),
        };
        if !text.is_empty() && !found.contains(&text) {
            found.push(text);
        }
    }
    found
}

/// The image's names, those of `--output name=` among them.
fn tags(matches: &Matches) -> Result<Vec<String>, Failure> {
    let tags = matches.list("tag");
    for tag in &tags {
        tag.parse::<hull_types::ImageRef>()
            .map_err(|error| Failure::new(format!("invalid tag {tag:?}: {error}")))?;
    }
    Ok(tags)
}

fn bytes(matches: &Matches, name: &str) -> Result<i64, Failure> {
    match matches.text(name) {
        "" => Ok(0),
        "-1" => Ok(-1),
        text => size::parse_binary(text).ok_or_else(|| {
            Failure::new(format!("invalid argument {text:?} for \"--{name}\" flag: invalid size: '{text}'"))
        }),
    }
}

fn host_config(matches: &Matches) -> Result<HostConfig, Failure> {
    let mut host = HostConfig { shm_size: bytes(matches, "shm-size")?, ..HostConfig::default() };
    let hosts = matches.list("add-host");
    host.extra_hosts =
        (!hosts.is_empty()).then(|| hosts.iter().map(|text| text.replacen('=', ":", 1)).collect());
    let limits = &mut host.resources;
    limits.memory = bytes(matches, "memory")?;
    limits.memory_swap = bytes(matches, "memory-swap")?;
    limits.cpu_shares = matches.integer("cpu-shares");
    limits.cpu_period = matches.integer("cpu-period");
    limits.cpu_quota = matches.integer("cpu-quota");
    limits.cpuset_cpus = matches.text("cpuset-cpus").to_owned();
    limits.cpuset_mems = matches.text("cpuset-mems").to_owned();
    limits.cgroup_parent = matches.text("cgroup-parent").to_owned();
    let given = ulimits::all(&matches.list("ulimit"))?;
    limits.ulimits = (!given.is_empty()).then_some(given);
    Ok(host)
}

/// `id=NAME,src=PATH`, `id=NAME,env=VARIABLE`, `id=NAME` for the variable or the file of that name.
fn secrets(matches: &Matches) -> Result<Map<String>, Failure> {
    let mut secrets = Map::new();
    for text in matches.list("secret") {
        let (mut id, mut source, mut variable, mut kind) = (String::new(), None, None, String::new());
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("id", value)) => id = value.to_owned(),
                Some(("src" | "source", value)) => source = Some(value.to_owned()),
                Some(("env", value)) => variable = Some(value.to_owned()),
                Some(("type", value)) => kind = value.to_owned(),
                Some((key, _)) => {
                    let hint = hint(key, ["id", "src", "source", "env", "type"]);
                    return Err(Failure::new(format!("unexpected key '{key}' in '{part}'{hint}")));
                }
                None => return Err(Failure::new(format!("invalid field '{part}' must be a key=value pair"))),
            }
        }
        if id.is_empty() {
            return Err(Failure::new(format!("secret missing \"id\": {text}")));
        }
        if kind == "env" && variable.is_none() {
            variable = Some(source.take().unwrap_or_else(|| id.clone()));
        }
        let content = match (source, variable) {
            (_, Some(name)) => std::env::var_os(&name)
                .map(|value| value.into_encoded_bytes())
                .ok_or_else(|| Failure::new(format!("secret {id}: the variable {name} is not set")))?,
            (Some(path), None) => read_secret(&id, &path)?,
            (None, None) => match std::env::var_os(&id) {
                Some(value) => value.into_encoded_bytes(),
                None => read_secret(&id, &id)?,
            },
        };
        if content.len() as u64 > SECRET_LIMIT {
            return Err(Failure::new(format!(
                "ERROR: failed to build: invalid secret size over 500KB: {id}"
            )));
        }
        secrets.insert(id, base64::engine::general_purpose::STANDARD.encode(content));
    }
    Ok(secrets)
}

/// The largest secret.
const SECRET_LIMIT: u64 = 500 << 10;

fn read_secret(id: &str, path: &str) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(format!("ERROR: failed to build: secret {id}: {}", file_error("open", path, &error)))
    };
    let mut content = Vec::new();
    // Not what the file's size says: it may be a pipe.
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(SECRET_LIMIT + 1).read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}

/// `default`, `id`, `id=SOCKET`; the agent's own socket where none is named.
fn ssh(matches: &Matches) -> Result<Map<String>, Failure> {
    let mut agents = Map::new();
    for text in matches.list("ssh") {
        let (id, socket) = text.split_once('=').unwrap_or((&text, ""));
        let socket = match socket {
            "" => std::env::var("SSH_AUTH_SOCK").unwrap_or_default(),
            socket => socket.to_owned(),
        };
        if socket.is_empty() {
            return Err(Failure::new(format!("ssh {id}: SSH_AUTH_SOCK is not set and no socket is named")));
        }
        agents.insert(id.to_owned(), socket);
    }
    Ok(agents)
}

/// All credentials that are stored in the configuration.
fn credentials(session: &Session) -> Map<AuthConfig> {
    let config = session.config();
    let known = config.document.get("auths").and_then(|auths| auths.as_object());
    let keys = known.into_iter().flat_map(|auths| auths.keys());
    keys.filter_map(|key| {
        let domain = if key == crate::credentials::HUB { "docker.io" } else { key };
        Some((key.clone(), crate::credentials::find(config, domain).ok().flatten()?))
    })
    .collect()
}

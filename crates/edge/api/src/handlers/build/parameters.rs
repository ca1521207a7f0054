//! The query of `POST /build` as a build's request.

use crate::query::Query;
use crate::status::Failure;
use hull_api_types::{AuthConfig, HostConfig, Ulimit};
use hull_build::{BuildRequest, CacheSource};
use hull_errors::Kind;
use hull_types::{ImageRef, Platform};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// Everything but the context and the Dockerfile's text.
pub fn request(query: &Query, registries: BTreeMap<String, AuthConfig>) -> Result<BuildRequest, Failure> {
    if query.flag("squash") {
        return Err(Failure::invalid("squash is only supported with experimental mode"));
    }
    if query.text("session").is_some() || query.get("remote") == Some("client-session") {
        let text = "a build with a BuildKit session is not available in Hull: send the context with the request, or use \
                    `hull build` or Hull's docker-buildx plugin";
        return Err(Failure::new(Kind::NotImplemented, text));
    }
    let outputs: Option<Vec<serde_json::Value>> = json(query, "outputs")?;
    if outputs.is_some_and(|outputs| !outputs.is_empty()) {
        return Err(not_here("outputs"));
    }
    if query.all("securityopt").any(|text| !matches!(text, "" | "null" | "[]")) {
        let text = "The daemon on this platform does not support setting security options on build";
        return Err(Failure::invalid(text));
    }
    let isolation = query.text("isolation").unwrap_or_default();
    if !matches!(isolation.to_lowercase().as_str(), "" | "default") {
        return Err(Failure::invalid(format!("unsupported isolation: {isolation:?}")));
    }
    let arguments: BTreeMap<String, Option<String>> = json(query, "buildargs")?;
    let platform = query.text("platform").map(str::parse::<Platform>).transpose();
    Ok(BuildRequest {
        dockerfile_name: query.text("dockerfile").unwrap_or("Dockerfile").to_owned(),
        target: query.text("target").unwrap_or_default().to_owned(),
        args: arguments.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
        labels: json(query, "labels")?,
        tags: query.all("t").filter(|tag| !tag.is_empty()).map(tag).collect::<Result<_, _>>()?,
        no_cache: query.flag("nocache"),
        pull: query.flag("pull"),
        platform: platform.map_err(|error| Failure::invalid(error.to_string()))?,
        network: query.text("networkmode").unwrap_or("default").to_owned(),
        host_config: host_config(query)?,
        auth: registries,
        cache_from: cache_from(query)?,
        sequential: query.get("version") != Some("2"),
        ..BuildRequest::default()
    })
}

/// Images whose caches may help. One that has none is not looked at any further.
fn cache_from(query: &Query) -> Result<Vec<CacheSource>, Failure> {
    let names: Option<Vec<String>> = json(query, "cachefrom")?;
    let parsed = names.into_iter().flatten().filter(|name| !name.is_empty()).map(|name| {
        let parsed: Result<ImageRef, _> = name.parse();
        parsed.map(|name| CacheSource::Registry(name.or_latest()))
    });
    parsed.collect::<Result<_, _>>().map_err(|error| Failure::invalid(format!("invalid cachefrom: {error}")))
}

fn not_here(name: &str) -> Failure {
    Failure::new(
        Kind::NotImplemented,
        format!("the build parameter {name} is not available in Hull: use `hull build`"),
    )
}

fn tag(text: &str) -> Result<ImageRef, Failure> {
    let invalid =
        |error: hull_types::ImageRefError| Failure::invalid(format!("invalid reference format: {error}"));
    let reference: ImageRef = text.parse().map_err(invalid)?;
    if reference.digest().is_some() {
        return Err(Failure::invalid("build tag cannot contain a digest"));
    }
    Ok(reference.or_latest())
}

fn json<T: DeserializeOwned + Default>(query: &Query, name: &str) -> Result<T, Failure> {
    match query.text(name) {
        None | Some("null") => Ok(T::default()),
        Some(text) => serde_json::from_str(text)
            .map_err(|error| Failure::invalid(format!("invalid {name}: {text:?}: {error}"))),
    }
}

fn host_config(query: &Query) -> Result<HostConfig, Failure> {
    let mut host = HostConfig::default();
    let number = |name: &str| query.number::<i64>(name).map(Option::unwrap_or_default);
    host.shm_size = number("shmsize")?;
    host.extra_hosts = extra_hosts(query)?;
    let limits = &mut host.resources;
    limits.memory = number("memory")?;
    limits.memory_swap = number("memswap")?;
    limits.cpu_shares = number("cpushares")?;
    limits.cpu_period = number("cpuperiod")?;
    limits.cpu_quota = number("cpuquota")?;
    limits.cpuset_cpus = query.text("cpusetcpus").unwrap_or_default().to_owned();
    limits.cpuset_mems = query.text("cpusetmems").unwrap_or_default().to_owned();
    limits.cgroup_parent = query.text("cgroupparent").unwrap_or_default().to_owned();
    limits.ulimits = json::<Option<Vec<Ulimit>>>(query, "ulimits")?;
    Ok(host)
}

/// docker sends one parameter for each, docker-py a text of JSON.
fn extra_hosts(query: &Query) -> Result<Option<Vec<String>>, Failure> {
    let mut hosts = Vec::new();
    for text in query.all("extrahosts").filter(|text| !text.is_empty()) {
        if text.starts_with('[') {
            let list: Vec<String> = serde_json::from_str(text)
                .map_err(|error| Failure::invalid(format!("invalid extrahosts: {error}")))?;
            hosts.extend(list);
        } else if text.starts_with('{') {
            let map: BTreeMap<String, String> = serde_json::from_str(text)
                .map_err(|error| Failure::invalid(format!("invalid extrahosts: {error}")))?;
            hosts.extend(map.into_iter().map(|(name, address)| format!("{name}:{address}")));
        } else {
            hosts.push(text.to_owned());
        }
    }
    Ok((!hosts.is_empty()).then_some(hosts))
}

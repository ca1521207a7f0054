//! What is mounted in a container, from the five ways of asking for it: `-v`, `--mount`, `--tmpfs`, an image's
//! `VOLUME`s and `--volumes-from`.

use super::id_map::IdMap;
use crate::error::{Error, Result};
use hull_api_types::{ContainerConfig, HostConfig, Map, Mount, TmpfsOptions};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What sort of mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A path of the host.
    Bind,
    /// A volume.
    Volume,
    /// Memory.
    Tmpfs,
    /// An image's files, read-only.
    Image,
}

/// How to make a volume that is not there yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeSource {
    /// Its driver; empty is `local`.
    pub driver: String,
    /// The driver's options.
    pub options: Map<String>,
    /// Its labels.
    pub labels: Map<String>,
}

/// A mount of a container's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MountSpec {
    /// What sort.
    pub kind: MountKind,
    /// The path on the host, the volume's name (empty until an anonymous one is made), or the image.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Where in the container; absolute and clean.
    pub destination: String,
    /// As `-v` gave it, shown by inspect.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mode: String,
    /// Not to be written.
    #[serde(default, skip_serializing_if = "is_false")]
    pub read_only: bool,
    /// Of a bind mount; `rprivate` where nothing was said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub propagation: String,
    /// Without the mounts below it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub non_recursive: bool,
    /// Where it is not to be written, the mounts below it still are.
    #[serde(default, skip_serializing_if = "is_false")]
    pub writable_below: bool,
    /// Whose files they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_map: Option<IdMap>,
    /// A bind source that is not there is made, as a directory.
    #[serde(default, skip_serializing_if = "is_false")]
    pub create_source: bool,
    /// A volume that nobody named: it goes with the last container that has it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub anonymous: bool,
    /// An empty volume is not filled with what the image has there.
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_copy: bool,
    /// The part of the volume or image that is mounted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subpath: String,
    /// Options of a tmpfs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tmpfs: Vec<String>,
    /// How to make the volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeSource>,
    /// Whether inspect lists it (`--tmpfs` is shown in `HostConfig` only).
    #[serde(default, skip_serializing_if = "is_false")]
    pub hidden: bool,
}

fn is_false(value: &bool) -> bool {
    !*value
}

impl MountSpec {
    /// An ordinary read-write mount.
    pub fn new(kind: MountKind, source: &str, destination: &str) -> Self {
        Self {
            kind,
            source: source.into(),
            destination: destination.into(),
            mode: String::new(),
            read_only: false,
            propagation: if kind == MountKind::Bind { "rprivate".into() } else { String::new() },
            non_recursive: false,
            writable_below: false,
            id_map: None,
            create_source: false,
            anonymous: false,
            no_copy: false,
            subpath: String::new(),
            tmpfs: Vec::new(),
            volume: None,
            hidden: false,
        }
    }
}

/// Plans the mounts of a container, sorted so that parents come first.
pub fn plan(
    config: &ContainerConfig,
    host: &HostConfig,
    inherited: Vec<MountSpec>,
) -> Result<Vec<MountSpec>> {
    let mut mounts: Vec<MountSpec> = Vec::new();
    // `--volumes-from`: a later one replaces an earlier one, and what is asked for by itself replaces both.
    for mount in inherited {
        mounts.retain(|known| known.destination != mount.destination);
        mounts.push(mount);
    }
    let mut asked: BTreeSet<String> = BTreeSet::new();
    let binds = host.binds.iter().flatten().map(|raw| parse_bind(raw, &host.volume_driver));
    let typed = host.mounts.iter().flatten().map(|mount| from_mount(mount, &host.volume_driver));
    let tmpfs = host.tmpfs.iter().flatten().map(|(path, options)| from_tmpfs(path, options));
    for mount in binds.chain(typed).chain(tmpfs) {
        let mount = mount?;
        if !asked.insert(mount.destination.clone()) {
            return Err(Error::invalid(format!("Duplicate mount point: {}", mount.destination)));
        }
        mounts.retain(|known| known.destination != mount.destination);
        mounts.push(mount);
    }
    for path in config.volumes.iter().flat_map(|set| set.keys()) {
        let destination = clean(path);
        if destination == "/" {
            return Err(invalid_spec(path, "destination can't be '/'"));
        }
        if !mounts.iter().any(|known| known.destination == destination) {
            let mut mount = MountSpec::new(MountKind::Volume, "", &destination);
            mount.anonymous = true;
            mount.volume =
                Some(VolumeSource { driver: host.volume_driver.clone(), ..VolumeSource::default() });
            mounts.push(mount);
        }
    }
    mounts.sort_by_key(|mount| depth(&mount.destination));
    Ok(mounts)
}

fn depth(path: &str) -> usize {
    path.split('/').filter(|part| !part.is_empty()).count()
}

/// An absolute path without `.`, `..` and doubled slashes; `..` stops at the root.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn invalid_spec(raw: &str, why: &str) -> Error {
    Error::invalid(format!(
        "invalid volume specification: '{raw}': invalid mount config for type \"volume\": invalid specification: {why}"
    ))
}

/// `[source:]destination[:mode]`.
fn parse_bind(raw: &str, driver: &str) -> Result<MountSpec> {
    let bad = || Error::invalid(format!("invalid volume specification: '{raw}'"));
    let parts: Vec<&str> = raw.splitn(3, ':').collect();
    let (source, destination, mode) = match parts.as_slice() {
        [destination] => ("", *destination, ""),
        [_, mode] if parse_mode(mode).is_some() => return Err(bad()),
        [source, destination] => (*source, *destination, ""),
        [source, destination, mode] => (*source, *destination, *mode),
        _ => return Err(bad()),
    };
    if parts[0].is_empty() || destination.is_empty() {
        return Err(bad());
    }
    let Some(flags) = parse_mode(mode) else { return Err(Error::invalid(format!("invalid mode: {mode}"))) };
    let kind = if source.starts_with('/') { MountKind::Bind } else { MountKind::Volume };
    let in_spec = |error: Error| Error::invalid(format!("invalid volume specification: '{raw}': {error}"));
    let destination = check_destination(kind, destination).map_err(in_spec)?;
    let source = if kind == MountKind::Bind { clean(source) } else { source.to_owned() };
    let mut mount = MountSpec::new(kind, &source, &destination);
    mount.mode = mode.to_owned();
    mount.read_only = flags.read_only;
    mount.no_copy = flags.no_copy;
    match kind {
        MountKind::Bind => {
            if flags.no_copy {
                return Err(in_spec(config_error("bind", "field VolumeOptions must not be specified")));
            }
            mount.create_source = true;
            if let Some(propagation) = flags.propagation {
                mount.propagation = propagation;
            }
        }
        _ => {
            if flags.propagation.is_some() {
                return Err(in_spec(config_error("volume", "field BindOptions must not be specified")));
            }
            mount.anonymous = source.is_empty();
            if mount.mode.is_empty() && !mount.anonymous {
                // What Docker shows for a named volume of the local driver.
                mount.mode = "z".into();
            }
            mount.volume = Some(VolumeSource { driver: driver.to_owned(), ..VolumeSource::default() });
        }
    }
    Ok(mount)
}

#[derive(Default)]
struct Flags {
    read_only: bool,
    no_copy: bool,
    propagation: Option<String>,
}

/// The words after the second colon of `-v`; each kind of word at most once.
fn parse_mode(mode: &str) -> Option<Flags> {
    let mut flags = Flags::default();
    if mode.is_empty() {
        return Some(flags);
    }
    let (mut access, mut label, mut consistency, mut copy) = (0, 0, 0, 0);
    for word in mode.split(',') {
        match word {
            "ro" => {
                flags.read_only = true;
                access += 1;
            }
            "rw" => access += 1,
            "z" | "Z" => label += 1,
            "nocopy" => {
                flags.no_copy = true;
                copy += 1;
            }
            "consistent" | "cached" | "delegated" => consistency += 1,
            word if is_propagation(word) => {
                if flags.propagation.replace(word.to_owned()).is_some() {
                    return None;
                }
            }
            _ => return None,
        }
    }
    (access <= 1 && label <= 1 && consistency <= 1 && copy <= 1).then_some(flags)
}

fn is_propagation(word: &str) -> bool {
    matches!(word, "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared")
}

fn config_error(kind: &str, why: impl std::fmt::Display) -> Error {
    Error::invalid(format!("invalid mount config for type {kind:?}: {why}"))
}

fn check_destination(kind: MountKind, destination: &str) -> Result<String> {
    let word = match kind {
        MountKind::Bind => "bind",
        MountKind::Volume => "volume",
        MountKind::Tmpfs => "tmpfs",
        MountKind::Image => "image",
    };
    if destination.is_empty() {
        return Err(config_error(word, "field Target must not be empty"));
    }
    if !destination.starts_with('/') {
        return Err(config_error(
            word,
            format!("invalid mount path: '{destination}' mount path must be absolute"),
        ));
    }
    if destination.contains(['\0', '\n']) {
        return Err(config_error(word, format!("invalid mount path: {destination:?}")));
    }
    let destination = clean(destination);
    if destination == "/" {
        return Err(config_error(word, "invalid specification: destination can't be '/'"));
    }
    Ok(destination)
}

fn from_mount(mount: &Mount, default_driver: &str) -> Result<MountSpec> {
    let kind = match mount.kind.as_str() {
        "bind" => MountKind::Bind,
        "volume" => MountKind::Volume,
        "tmpfs" => MountKind::Tmpfs,
        "image" => MountKind::Image,
        other => return Err(config_error(other, "mount type unknown")),
    };
    let destination = check_destination(kind, &mount.target)?;
    let foreign = [
        ("BindOptions", mount.bind_options.is_some(), MountKind::Bind),
        ("VolumeOptions", mount.volume_options.is_some(), MountKind::Volume),
        ("TmpfsOptions", mount.tmpfs_options.is_some(), MountKind::Tmpfs),
        ("ImageOptions", mount.image_options.is_some(), MountKind::Image),
    ];
    if let Some((name, ..)) = foreign.iter().find(|(_, there, of)| *there && *of != kind) {
        return Err(config_error(&mount.kind, format!("field {name} must not be specified")));
    }
    let mut spec = MountSpec::new(kind, &mount.source, &destination);
    spec.read_only = mount.read_only;
    match kind {
        MountKind::Bind => bind_details(mount, &mut spec)?,
        MountKind::Volume => volume_details(mount, default_driver, &mut spec)?,
        MountKind::Tmpfs => {
            if !mount.source.is_empty() {
                return Err(config_error("tmpfs", "field Source must not be specified"));
            }
            spec.tmpfs = tmpfs_details(mount.tmpfs_options.as_ref())?;
        }
        MountKind::Image => {
            if mount.source.is_empty() {
                return Err(config_error("image", "field Source must not be empty"));
            }
            spec.subpath =
                mount.image_options.as_ref().map(|options| options.subpath.clone()).unwrap_or_default();
            check_subpath("image", &spec.subpath)?;
            spec.read_only = true;
        }
    }
    Ok(spec)
}

fn bind_details(mount: &Mount, spec: &mut MountSpec) -> Result<()> {
    if mount.source.is_empty() {
        return Err(config_error("bind", "field Source must not be empty"));
    }
    if !mount.source.starts_with('/') {
        return Err(config_error(
            "bind",
            format!("invalid mount path: '{}' mount path must be absolute", mount.source),
        ));
    }
    spec.source = clean(&mount.source);
    let Some(options) = &mount.bind_options else { return Ok(()) };
    if !options.propagation.is_empty() {
        if !is_propagation(&options.propagation) {
            return Err(config_error("bind", format!("invalid propagation mode: {}", options.propagation)));
        }
        spec.propagation = options.propagation.clone();
    }
    if options.read_only_non_recursive || options.read_only_force_recursive {
        let word =
            if options.read_only_force_recursive { "ReadOnlyForceRecursive" } else { "ReadOnlyNonRecursive" };
        if !mount.read_only {
            return Err(config_error("bind", format!("mount must be read-only when {word} is specified")));
        }
        if options.read_only_non_recursive && options.read_only_force_recursive {
            return Err(config_error(
                "bind",
                "ReadOnlyNonRecursive and ReadOnlyForceRecursive are mutually exclusive",
            ));
        }
        if options.read_only_force_recursive && !matches!(options.propagation.as_str(), "" | "rprivate") {
            return Err(config_error("bind", "ReadOnlyForceRecursive requires the propagation rprivate"));
        }
    }
    spec.writable_below = options.read_only_non_recursive;
    spec.id_map = options
        .id_map
        .as_deref()
        .map(IdMap::parse)
        .transpose()
        .map_err(|error| config_error("bind", error))?;
    spec.non_recursive = options.non_recursive;
    spec.create_source = options.create_mountpoint;
    Ok(())
}

fn volume_details(mount: &Mount, default_driver: &str, spec: &mut MountSpec) -> Result<()> {
    let options = mount.volume_options.clone().unwrap_or_default();
    spec.anonymous = mount.source.is_empty();
    for (set, word) in [(mount.read_only, "ReadOnly mode"), (!options.subpath.is_empty(), "Subpath")] {
        if spec.anonymous && set {
            return Err(config_error("volume", format!("must not set {word} when using anonymous volumes")));
        }
    }
    check_subpath("volume", &options.subpath)?;
    // What Docker shows for the local driver.
    spec.mode = "z".into();
    spec.no_copy = options.no_copy;
    spec.subpath = options.subpath;
    let driver = options.driver_config.unwrap_or_default();
    let name = if driver.name.is_empty() { default_driver.to_owned() } else { driver.name };
    spec.volume = Some(VolumeSource { driver: name, options: driver.options, labels: options.labels });
    Ok(())
}

fn check_subpath(kind: &str, subpath: &str) -> Result<()> {
    if subpath.starts_with('/') || subpath.split('/').any(|part| part == "..") {
        let why = format!("subpath must be a relative path within the {kind}: {subpath:?}");
        return Err(config_error(kind, why));
    }
    Ok(())
}

fn tmpfs_details(options: Option<&TmpfsOptions>) -> Result<Vec<String>> {
    let mut list = Vec::new();
    let Some(options) = options else { return Ok(list) };
    if options.size_bytes < 0 {
        return Err(config_error("tmpfs", "invalid tmpfs size"));
    }
    if options.mode != 0 {
        list.push(format!("mode={:o}", options.mode & 0o7777));
    }
    if options.size_bytes > 0 {
        list.push(format!("size={}", options.size_bytes));
    }
    for option in options.options.iter().flatten() {
        let text = option.join("=");
        if option.len() > 2 || !is_tmpfs_option(&text) {
            return Err(config_error("tmpfs", format!("invalid option: {text:?}")));
        }
        list.push(text);
    }
    Ok(list)
}

/// `--tmpfs path:options`.
fn from_tmpfs(path: &str, options: &str) -> Result<MountSpec> {
    let destination = match clean(path) {
        _ if !path.starts_with('/') => {
            return Err(Error::invalid(format!("invalid mount path: '{path}' mount path must be absolute")));
        }
        root if root == "/" => return Err(Error::invalid("invalid specification: destination can't be '/'")),
        _ => check_destination(MountKind::Tmpfs, path)?,
    };
    let list: Vec<String> = options.split(',').filter(|o| !o.is_empty()).map(str::to_owned).collect();
    if let Some(wrong) = list.iter().find(|option| !is_tmpfs_option(option)) {
        return Err(Error::invalid(format!("invalid tmpfs option [{wrong:?}]")));
    }
    let mut mount = MountSpec::new(MountKind::Tmpfs, "", &destination);
    mount.read_only = list.iter().any(|option| option == "ro");
    mount.tmpfs = list;
    mount.hidden = true;
    Ok(mount)
}

/// What `--tmpfs` and the API take, with Docker's list.
fn is_tmpfs_option(option: &str) -> bool {
    const FLAGS: [&str; 30] = [
        "ro",
        "rw",
        "exec",
        "noexec",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "atime",
        "noatime",
        "relatime",
        "norelatime",
        "strictatime",
        "nostrictatime",
        "diratime",
        "nodiratime",
        "sync",
        "async",
        "dirsync",
        "bind",
        "rbind",
        "private",
        "rprivate",
        "slave",
        "rslave",
        "shared",
        "rshared",
        "unbindable",
        "runbindable",
        "defaults",
    ];
    const KEYS: [&str; 7] = ["mode", "uid", "gid", "size", "nr_inodes", "nr_blocks", "mpol"];
    match option.split_once('=') {
        None => FLAGS.contains(&option),
        Some((key, value)) => KEYS.contains(&key) && !value.contains(['\n', '\0', ',']),
    }
}

/// `--volumes-from name[:mode]`: the name, and whether what it lends is not to be written.
pub fn parse_volumes_from(text: &str) -> Result<(&str, bool)> {
    if text.is_empty() {
        return Err(Error::invalid("volumes-from specification cannot be an empty string"));
    }
    let (name, mode) = text.split_once(':').unwrap_or((text, ""));
    let flags = parse_mode(mode).filter(|flags| flags.propagation.is_none() && !flags.no_copy);
    let Some(flags) = flags else {
        return Err(Error::invalid(format!("invalid mode: {mode}")));
    };
    if name.is_empty() {
        return Err(Error::invalid("invalid name or ID supplied: \"\""));
    }
    Ok((name, flags.read_only))
}

/// The mounts that another container lends.
pub fn lent(mounts: &[MountSpec], read_only: bool) -> impl Iterator<Item = MountSpec> {
    let lent = mounts.iter().filter(|mount| !mount.hidden && mount.kind != MountKind::Tmpfs);
    lent.cloned().map(move |mut mount| {
        mount.read_only |= read_only;
        mount.mode = String::new();
        mount
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(raw: &str) -> std::result::Result<MountSpec, String> {
        parse_bind(raw, "").map_err(|error| error.to_string())
    }

    #[test]
    fn binds_parse_as_dockers() {
        let mount = bind("/a/../b:/c:ro,z").unwrap();
        assert_eq!((mount.source.as_str(), mount.destination.as_str()), ("/b", "/c"));
        assert!(mount.read_only && mount.create_source && mount.kind == MountKind::Bind);
        let mount = bind("data:/c").unwrap();
        assert_eq!((mount.kind, mount.mode.as_str(), mount.anonymous), (MountKind::Volume, "z", false));
        assert!(bind("/c").unwrap().anonymous);
        for bad in ["", ":", "/a:", ":/b", "/a:ro"] {
            assert_eq!(bind(bad).unwrap_err(), format!("invalid volume specification: '{bad}'"), "{bad}");
        }
        assert_eq!(bind("/a:/b:nope").unwrap_err(), "invalid mode: nope");
        assert_eq!(bind("/a:/b:ro,rw").unwrap_err(), "invalid mode: ro,rw");
        assert_eq!(
            bind("x:y").unwrap_err(),
            "invalid volume specification: 'x:y': invalid mount config for type \"volume\": invalid mount path: \
             'y' mount path must be absolute"
        );
        assert!(bind("/a:/").unwrap_err().ends_with("invalid specification: destination can't be '/'"));
    }

    #[test]
    fn image_volumes_stay_inside() {
        let config = ContainerConfig {
            volumes: Some(hull_api_types::set_of(["/../../etc/x".to_owned(), "/data/".to_owned()])),
            ..Default::default()
        };
        let host = HostConfig { binds: Some(vec!["/h:/data".into()]), ..Default::default() };
        let mounts = plan(&config, &host, Vec::new()).unwrap();
        let paths: Vec<_> = mounts.iter().map(|mount| (mount.kind, mount.destination.as_str())).collect();
        assert_eq!(paths, [(MountKind::Bind, "/data"), (MountKind::Volume, "/etc/x")]);
    }

    #[test]
    fn a_tmpfs_has_the_options_of_both_ways() {
        let options = |options: &[&[&str]]| TmpfsOptions {
            size_bytes: 5,
            mode: 0o1770,
            options: Some(
                options.iter().map(|words| words.iter().map(|w| (*w).to_owned()).collect()).collect(),
            ),
        };
        assert_eq!(
            tmpfs_details(Some(&options(&[&["exec"], &["uid", "7"], &["nr_inodes", "9"]]))).unwrap(),
            ["mode=1770", "size=5", "exec", "uid=7", "nr_inodes=9"]
        );
        for bad in [&["what"][..], &["uid"], &["uid", "1,mode=777"], &["uid", "1", "2"], &["exec", "1"]] {
            let error = tmpfs_details(Some(&options(&[bad]))).unwrap_err().to_string();
            assert!(error.starts_with("invalid mount config for type \"tmpfs\": invalid option"), "{error}");
        }
        assert_eq!(from_tmpfs("/t", "uid=5,exec").unwrap().tmpfs, ["uid=5", "exec"]);
        assert_eq!(from_tmpfs("/t", "a=b").unwrap_err().to_string(), "invalid tmpfs option [\"a=b\"]");
    }

    #[test]
    fn duplicates_are_refused() {
        let host = HostConfig { binds: Some(vec!["/h:/d".into(), "v:/d/".into()]), ..Default::default() };
        let error = plan(&ContainerConfig::default(), &host, Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "Duplicate mount point: /d");
    }
}

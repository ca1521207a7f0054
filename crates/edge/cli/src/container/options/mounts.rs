//! `--mount`: `type=bind,source=/a,target=/b,readonly,…`.

use super::csv;
use super::volumes::absolute;
use crate::matches::parse_bool;
use hull_api_types::{BindOptions, DriverConfig, Map, Mount, VolumeOptions};
use hull_types::size;

/// Checks one value.
pub fn check(text: &str) -> Result<(), String> {
    parse(text).map(drop)
}

/// Reads one value.
pub fn parse(text: &str) -> Result<Mount, String> {
    let mut mount = Mount { kind: "volume".into(), ..Mount::default() };
    for field in csv::record(text)? {
        match field.split_once('=') {
            Some((key, value)) => set(&mut mount, &key.to_lowercase(), value, &field)?,
            None => set_alone(&mut mount, &field)?,
        }
    }
    verify(&mount)?;
    Ok(mount)
}

fn set_alone(mount: &mut Mount, field: &str) -> Result<(), String> {
    match field.to_lowercase().as_str() {
        "readonly" | "ro" => mount.read_only = true,
        "volume-nocopy" => volume(mount).no_copy = true,
        "bind-nonrecursive" => mount.bind_options.get_or_insert_default().non_recursive = true,
        "bind-create-src" => mount.bind_options.get_or_insert_default().create_mountpoint = true,
        "idmap" => mount.bind_options.get_or_insert_default().id_map = Some(String::new()),
        _ => return Err(format!("invalid field '{field}' must be a key=value pair")),
    }
    Ok(())
}

fn set(mount: &mut Mount, key: &str, value: &str, field: &str) -> Result<(), String> {
    let invalid = || format!("invalid value for {key}: {value}");
    let boolean = || parse_bool(value).ok_or_else(invalid);
    match key {
        "type" => mount.kind = value.to_lowercase(),
        "source" | "src" => {
            mount.source = if value.starts_with('.') { absolute(value) } else { value.to_owned() };
        }
        "target" | "dst" | "destination" => mount.target = value.to_owned(),
        "readonly" | "ro" => mount.read_only = boolean()?,
        "consistency" => mount.consistency = value.to_lowercase(),
        "bind-propagation" => mount.bind_options.get_or_insert_default().propagation = value.to_lowercase(),
        "bind-nonrecursive" => mount.bind_options.get_or_insert_default().non_recursive = boolean()?,
        "bind-create-src" => mount.bind_options.get_or_insert_default().create_mountpoint = boolean()?,
        "bind-recursive" => set_recursive(mount.bind_options.get_or_insert_default(), value)?,
        "idmap" => mount.bind_options.get_or_insert_default().id_map = Some(value.to_owned()),
        "volume-subpath" => volume(mount).subpath = value.to_owned(),
        "volume-nocopy" => volume(mount).no_copy = boolean()?,
        "volume-label" => add_pair(&mut volume(mount).labels, value),
        "volume-driver" => driver(mount).name = value.to_owned(),
        "volume-opt" => add_pair(&mut driver(mount).options, value),
        "image-subpath" => mount.image_options.get_or_insert_default().subpath = value.to_owned(),
        "tmpfs-size" => {
            mount.tmpfs_options.get_or_insert_default().size_bytes =
                size::parse_binary(value).ok_or_else(invalid)?;
        }
        "tmpfs-mode" => {
            let mode = u32::from_str_radix(value, 8).map_err(|_| invalid())?;
            mount.tmpfs_options.get_or_insert_default().mode = mode;
        }
        _ => return Err(format!("unexpected key '{key}' in '{field}'")),
    }
    Ok(())
}

// Whatever option of a volume is given, Docker sends the driver's along.
fn volume(mount: &mut Mount) -> &mut VolumeOptions {
    let options = mount.volume_options.get_or_insert_default();
    options.driver_config.get_or_insert_default();
    options
}
fn driver(mount: &mut Mount) -> &mut DriverConfig {
    volume(mount).driver_config.get_or_insert_default()
}
fn add_pair(map: &mut Map<String>, text: &str) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    map.insert(key.to_owned(), value.to_owned());
}

fn set_recursive(bind: &mut BindOptions, value: &str) -> Result<(), String> {
    let word = match parse_bool(value) {
        Some(true) => "enabled",
        Some(false) => "disabled",
        None => value,
    };
    match word {
        "enabled" => {}
        "disabled" => bind.non_recursive = true,
        "writable" => bind.read_only_non_recursive = true,
        "readonly" => bind.read_only_force_recursive = true,
        _ => {
            return Err(format!(
                "invalid value for bind-recursive: {value} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"
            ));
        }
    }
    Ok(())
}

fn verify(mount: &Mount) -> Result<(), String> {
    let kind = mount.kind.as_str();
    if kind.is_empty() {
        return Err("type is required".into());
    }
    if mount.target.is_empty() {
        return Err("target is required".into());
    }
    for (present, of) in [
        (mount.volume_options.is_some(), "volume"),
        (mount.image_options.is_some(), "image"),
        (mount.bind_options.is_some(), "bind"),
        (mount.tmpfs_options.is_some(), "tmpfs"),
    ] {
        if present && kind != of {
            return Err(format!("cannot mix '{of}-*' options with mount type '{kind}'"));
        }
    }
    let Some(bind) = &mount.bind_options else { return Ok(()) };
    let needs = |option: &str, what: &str| {
        Err(format!("option 'bind-recursive={option}' requires '{what}' to be specified in conjunction"))
    };
    if bind.read_only_non_recursive && !mount.read_only {
        return needs("writable", "readonly");
    }
    if bind.read_only_force_recursive && !mount.read_only {
        return needs("readonly", "readonly");
    }
    if bind.read_only_force_recursive && bind.propagation != "rprivate" {
        return needs("readonly", "bind-propagation=rprivate");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_read() {
        let mount = parse("type=bind,src=/a,dst=/b,ro,bind-propagation=rshared").unwrap();
        assert_eq!((mount.kind.as_str(), mount.source.as_str(), mount.target.as_str()), ("bind", "/a", "/b"));
        assert!(mount.read_only);
        assert_eq!(mount.bind_options.unwrap().propagation, "rshared");
        let mount =
            parse("source=v,target=/d,volume-opt=type=nfs,\"volume-opt=o=a,b\",volume-label=x").unwrap();
        let volume = mount.volume_options.unwrap();
        assert_eq!(volume.driver_config.unwrap().options["o"], "a,b");
        assert_eq!(volume.labels["x"], "");
        for (word, made) in
            [("bind-create-src", true), ("bind-create-src=1", true), ("bind-create-src=false", false)]
        {
            let mount = parse(&format!("type=bind,src=/a,dst=/b,{word}")).unwrap();
            assert_eq!(mount.bind_options.unwrap().create_mountpoint, made);
        }
        let mount = parse("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770").unwrap();
        assert_eq!(mount.tmpfs_options.unwrap().mode, 0o1770);
    }

    #[test]
    fn wrong_mounts_have_dockers_words() {
        for (text, why) in [
            ("type=bind,foo", "invalid field 'foo' must be a key=value pair"),
            ("type=bind,foo=1", "unexpected key 'foo' in 'foo=1'"),
            ("type=volume,src=x", "target is required"),
            ("type=tmpfs,dst=/t,volume-opt=a=b", "cannot mix 'volume-*' options with mount type 'tmpfs'"),
            ("type=bind,src=/a,dst=/b,readonly=x", "invalid value for readonly: x"),
            ("type=tmpfs,dst=/t,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"),
        ] {
            assert_eq!(parse(text).unwrap_err(), why);
        }
    }
}

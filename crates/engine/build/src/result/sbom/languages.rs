//! Packages of languages, by the metadata that is installed with them: python's `dist-info` and `egg-info`, node's
//! `package.json`, and what Go's linker writes into programs.

use super::{Package, escaped, go, text};
use crate::files::{Files, join};
use hull_archive::EntryKind;
use std::collections::BTreeSet;
use std::io;

/// More files than these are not looked at.
const MOST: usize = 2_000_000;

pub(super) fn scan(files: &dyn Files, found: &mut BTreeSet<Package>) -> io::Result<()> {
    let mut open: Vec<Vec<u8>> = vec![Vec::new()];
    let mut seen = 0;
    while let Some(directory) = open.pop() {
        let path = String::from_utf8_lossy(&directory).into_owned();
        if path.ends_with(".dist-info") {
            python(files, &format!("{path}/METADATA"), found)?;
            continue;
        }
        if path.ends_with(".egg-info") {
            python(files, &format!("{path}/PKG-INFO"), found)?;
            continue;
        }
        if is_node_package(&path) {
            node(files, &format!("{path}/package.json"), found)?;
        }
        for name in files.list(&directory)? {
            seen += 1;
            if seen > MOST {
                return Ok(());
            }
            let name = join(&directory, &name);
            // What the kernel shows there is nothing of the image.
            let kernel = matches!(name.as_slice(), b"proc" | b"sys" | b"dev");
            let Some(facts) = files.facts(&name)?.filter(|_| !kernel) else { continue };
            match facts.kind {
                EntryKind::Directory => open.push(name),
                EntryKind::File if name.ends_with(b".egg-info") => {
                    python(files, &String::from_utf8_lossy(&name), found)?;
                }
                EntryKind::File if facts.mode & 0o111 != 0 => go::program(files, &name, found)?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// `…/node_modules/NAME`, `…/node_modules/@SCOPE/NAME`.
fn is_node_package(path: &str) -> bool {
    let mut parts = path.rsplit('/').skip(1);
    match parts.next() {
        Some("node_modules") => true,
        Some(scope) if scope.starts_with('@') => parts.next() == Some("node_modules"),
        _ => false,
    }
}

fn python(files: &dyn Files, path: &str, found: &mut BTreeSet<Package>) -> io::Result<()> {
    let Some(text) = text(files, path)? else { return Ok(()) };
    let head = text.split("\n\n").next().unwrap_or_default();
    let value = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| *key == name).map(|(_, value)| value.trim()).unwrap_or_default()
    };
    let (name, version) = (value("Name"), value("Version"));
    if name.is_empty() || version.is_empty() {
        return Ok(());
    }
    // A name as the index writes it.
    let normal = name.to_lowercase().replace(['_', '.'], "-");
    found.insert(Package {
        name: name.to_owned(),
        version: version.to_owned(),
        url: format!("pkg:pypi/{}@{}", escaped(&normal), escaped(version)),
        license: value("License").to_owned(),
        found: path.to_owned(),
    });
    Ok(())
}

fn node(files: &dyn Files, path: &str, found: &mut BTreeSet<Package>) -> io::Result<()> {
    let Some(text) = text(files, path)? else { return Ok(()) };
    let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) else { return Ok(()) };
    let field = |name: &str| value.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    let (name, version) = (field("name"), field("version"));
    if name.is_empty() || version.is_empty() {
        return Ok(());
    }
    let escaped_name = name.split('/').map(escaped).collect::<Vec<_>>().join("/");
    found.insert(Package {
        url: format!("pkg:npm/{escaped_name}@{}", escaped(&version)),
        name,
        version,
        license: field("license"),
        found: path.to_owned(),
    });
    Ok(())
}

//! Packages of distributions: dpkg's and apk's databases.

use super::{Package, escaped, text};
use crate::files::{Files, resolve};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Which distribution it is.
#[derive(Debug, Default)]
pub(super) struct Release {
    id: String,
    version: String,
}

impl Release {
    fn query(&self, architecture: &str) -> String {
        let mut parts = Vec::new();
        if !architecture.is_empty() {
            parts.push(format!("arch={}", escaped(architecture)));
        }
        if !self.id.is_empty() {
            let dash = if self.version.is_empty() { "" } else { "-" };
            parts.push(format!("distro={}{dash}{}", escaped(&self.id), escaped(&self.version)));
        }
        if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
    }
}

pub(super) fn release(files: &dyn Files) -> Release {
    let read = |path| text(files, path).ok().flatten();
    let Some(text) = read("etc/os-release").or_else(|| read("usr/lib/os-release")) else {
        return Release::default();
    };
    let value = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        let found = lines.find(|(key, _)| *key == name).map(|(_, value)| value.trim().trim_matches('"'));
        found.unwrap_or_default().to_owned()
    };
    Release { id: value("ID"), version: value("VERSION_ID") }
}

/// `/var/lib/dpkg/status`, and the pieces of it that distroless images have in `status.d`.
pub(super) fn dpkg(files: &dyn Files, release: &Release, found: &mut BTreeSet<Package>) -> io::Result<()> {
    let mut paths = vec!["var/lib/dpkg/status".to_owned()];
    let directory = resolve(files, b"var/lib/dpkg/status.d", true)?.unwrap_or_default();
    if files.facts(&directory)?.is_some_and(|facts| facts.is_directory()) && !directory.is_empty() {
        let names = files.list(&directory)?;
        let names = names.iter().map(|name| String::from_utf8_lossy(name).into_owned());
        paths.extend(
            names
                .filter(|name| !name.ends_with(".md5sums"))
                .map(|name| format!("var/lib/dpkg/status.d/{name}")),
        );
    }
    for path in paths {
        let Some(text) = text(files, &path)? else { continue };
        for paragraph in text.split("\n\n") {
            let fields: BTreeMap<&str, &str> = paragraph
                .lines()
                .filter(|line| !line.starts_with([' ', '\t']))
                .filter_map(|line| line.split_once(':'))
                .map(|(key, value)| (key, value.trim()))
                .collect();
            let installed = fields.get("Status").is_none_or(|status| status.ends_with(" installed"));
            let (Some(name), Some(version), true) = (fields.get("Package"), fields.get("Version"), installed)
            else {
                continue;
            };
            let architecture = fields.get("Architecture").copied().unwrap_or_default();
            let id = if release.id.is_empty() { "debian" } else { &release.id };
            found.insert(Package {
                name: (*name).to_owned(),
                version: (*version).to_owned(),
                url: format!(
                    "pkg:deb/{id}/{}@{}{}",
                    escaped(name),
                    escaped(version),
                    release.query(architecture)
                ),
                license: String::new(),
                found: path.clone(),
            });
        }
    }
    Ok(())
}

/// apk's database: one letter a field, an empty line between packages.
pub(super) fn apk(files: &dyn Files, release: &Release, found: &mut BTreeSet<Package>) -> io::Result<()> {
    for path in ["lib/apk/db/installed", "usr/lib/apk/db/installed"] {
        let Some(text) = text(files, path)? else { continue };
        for paragraph in text.split("\n\n") {
            let value = |letter: &str| {
                let mut lines = paragraph.lines().filter_map(|line| line.split_once(':'));
                lines.find(|(key, _)| *key == letter).map(|(_, value)| value.trim()).unwrap_or_default()
            };
            let (name, version) = (value("P"), value("V"));
            if name.is_empty() || version.is_empty() {
                continue;
            }
            let id = if release.id.is_empty() { "alpine" } else { &release.id };
            found.insert(Package {
                name: name.to_owned(),
                version: version.to_owned(),
                url: format!(
                    "pkg:apk/{id}/{}@{}{}",
                    escaped(name),
                    escaped(version),
                    release.query(value("A"))
                ),
                license: value("L").to_owned(),
                found: path.to_owned(),
            });
        }
        // The second path is the first by another name where /lib is a link.
        break;
    }
    Ok(())
}

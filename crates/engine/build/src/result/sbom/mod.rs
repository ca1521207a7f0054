//! What is in an image: an SPDX 2.3 document of the packages that its files tell of.
//!
//! The scan reads the mounted layers in this process; every path is resolved inside them, files are read up to a
//! limit, and nothing of the image is run. Times and the document's name are the image's: the same image gives the
//! same document.

mod go;
mod languages;
mod system;

use super::Solved;
use crate::error::{Error, Result};
use crate::files::{Files, resolve};
use hull_content::digest_of;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Read;

pub(super) const PREDICATE: &str = "https://spdx.dev/Document";
/// More of a file is not read.
const FILE_LIMIT: u64 = 64 << 20;

/// A package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    /// Its package URL.
    pub(super) url: String,
    /// What its metadata says; not checked to be an SPDX expression.
    pub(super) license: String,
    /// The file that told of it.
    pub(super) found: String,
}

pub(super) fn document(solved: &Solved) -> Result<Value> {
    let files = solved.build.tree(solved.state.top.as_ref())?;
    let packages = scan(files.as_ref()).map_err(Error::io("list the packages of the image"))?;
    let created = crate::time::timestamp(solved.state.epoch).to_string();
    Ok(spdx(&packages, &created))
}

fn scan(files: &dyn Files) -> std::io::Result<BTreeSet<Package>> {
    let release = system::release(files);
    let mut found = BTreeSet::new();
    system::dpkg(files, &release, &mut found)?;
    system::apk(files, &release, &mut found)?;
    languages::scan(files, &mut found)?;
    Ok(found)
}

fn spdx(packages: &BTreeSet<Package>, created: &str) -> Value {
    let mut relations = vec![json!({
        "spdxElementId": "SPDXRef-DOCUMENT",
        "relatedSpdxElement": "SPDXRef-image",
        "relationshipType": "DESCRIBES",
    })];
    let mut listed = vec![json!({
        "SPDXID": "SPDXRef-image",
        "name": "image",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": "CONTAINER",
    })];
    for package in packages {
        let id = format!("SPDXRef-Package-{}", &digest_of(format!("{package:?}").as_bytes()).hex()[..16]);
        relations.push(json!({
            "spdxElementId": "SPDXRef-image",
            "relatedSpdxElement": id,
            "relationshipType": "CONTAINS",
        }));
        let mut entry = json!({
            "SPDXID": id,
            "name": package.name,
            "versionInfo": package.version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "NOASSERTION",
            "copyrightText": "NOASSERTION",
            "sourceInfo": format!("found in /{}", package.found),
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": package.url,
            }],
        });
        if !package.license.is_empty() {
            entry["licenseComments"] = format!("declared: {}", package.license).into();
        }
        listed.push(entry);
    }
    let name = digest_of(format!("{packages:?}").as_bytes());
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "image",
        "documentNamespace": format!("urn:hull:sbom:{}", name.hex()),
        "creationInfo": { "creators": [concat!("Tool: hull-", env!("CARGO_PKG_VERSION"))], "created": created },
        "packages": listed,
        "relationships": relations,
    })
}

/// A file's text, wherever links inside the tree lead; `None` where there is none.
fn text(files: &dyn Files, path: &str) -> std::io::Result<Option<String>> {
    let Some(name) = resolve(files, path.as_bytes(), true)? else { return Ok(None) };
    let Some(facts) = files.facts(&name)? else { return Ok(None) };
    if facts.kind != hull_archive::EntryKind::File || facts.size > FILE_LIMIT {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    files.open(&name)?.take(FILE_LIMIT).read_to_end(&mut bytes)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// A name or version as a part of a package URL.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~+:".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Context;

    fn packages(list: &[(&str, &str)]) -> Vec<String> {
        let files = list.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
        let found = scan(&Context::of(files)).unwrap();
        found.into_iter().map(|package| package.url).collect()
    }

    #[test]
    fn packages_are_found() {
        let found = packages(&[
            ("etc/os-release", "NAME=\"Debian\"\nID=debian\nVERSION_ID=\"12\"\n"),
            (
                "var/lib/dpkg/status",
                "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9+deb12u4\nDescription: x\n Package: no\n\n\
                 Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n",
            ),
            ("lib/apk/db/installed", "P:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\n\nP:busybox\nV:1.36\nA:x86_64\n"),
            (
                "usr/lib/python3/dist-packages/x-1.dist-info/METADATA",
                "Metadata-Version: 2.1\nName: X_Y\nVersion: 1.0\n\nName: no\n",
            ),
            ("usr/lib/python3/dist-packages/old.egg-info/PKG-INFO", "Name: Old\nVersion: 2\n"),
            ("usr/lib/python3/dist-packages/single-3.egg-info", "Name: single\nVersion: 3\n"),
            ("app/node_modules/left/package.json", r#"{"name":"left","version":"1.2.3","license":"MIT"}"#),
            ("app/node_modules/@a/b/package.json", r#"{"name":"@a/b","version":"2.0.0"}"#),
            ("app/node_modules/left/test/package.json", r#"{"name":"no","version":"0"}"#),
            ("app/node_modules/broken/package.json", "{"),
        ]);
        let wanted = [
            "pkg:npm/%40a/b@2.0.0",
            "pkg:npm/left@1.2.3",
            "pkg:deb/debian/libc6@2.36-9+deb12u4?arch=amd64&distro=debian-12",
            "pkg:apk/debian/musl@1.2.4-r2?arch=x86_64&distro=debian-12",
            "pkg:apk/debian/busybox@1.36?arch=x86_64&distro=debian-12",
            "pkg:pypi/x-y@1.0",
            "pkg:pypi/old@2",
            "pkg:pypi/single@3",
        ];
        let mut wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        let mut found = found;
        wanted.sort();
        found.sort();
        assert_eq!(found, wanted);
    }
}

//! The lists under way: `<configuration>/manifests/<list>/<image>`, one file an image, `:` and `/` in names written
//! `-` and `_`.

use super::full;
use crate::config::ConfigFile;
use crate::failure::{Failure, file_error};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hull_types::ImageRef;
use hull_types::oci::image::{Descriptor, media_type};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::ErrorKind;
use std::path::PathBuf;

/// An image of a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Image {
    /// Its whole name.
    #[serde(rename = "Ref")]
    pub name: String,
    /// Its manifest, with the platform that it is for.
    #[serde(rename = "Descriptor")]
    pub descriptor: Descriptor,
    /// The manifest's text, in base64.
    #[serde(rename = "Raw")]
    pub raw: String,
    /// The manifest, where it is Docker's.
    #[serde(rename = "SchemaV2Manifest", default, skip_serializing_if = "Option::is_none")]
    pub docker: Option<Value>,
    /// The manifest, where it is OCI's.
    #[serde(rename = "OCIManifest", default, skip_serializing_if = "Option::is_none")]
    pub oci: Option<Value>,
}

impl Image {
    /// Of a manifest's text.
    pub fn new(name: &ImageRef, descriptor: Descriptor, document: &[u8]) -> Result<Self, Failure> {
        let value: Value = serde_json::from_slice(document)
            .map_err(|error| Failure::new(format!("{}: {error}", full(name))))?;
        let is_oci = descriptor.media_type == media_type::OCI_MANIFEST;
        let (docker, oci) = if is_oci { (None, Some(value)) } else { (Some(value), None) };
        Ok(Self { name: full(name), descriptor, raw: STANDARD.encode(document), docker, oci })
    }
    /// The manifest's text.
    pub fn document(&self) -> Result<Vec<u8>, Failure> {
        STANDARD.decode(&self.raw).map_err(|error| Failure::new(format!("{}: {error}", self.name)))
    }
    /// Its name, parsed.
    pub fn reference(&self) -> Result<ImageRef, Failure> {
        self.name.parse().map_err(|error| Failure::new(format!("{}: {error}", self.name)))
    }
    /// The manifest.
    pub fn manifest(&self) -> Option<&Value> {
        self.docker.as_ref().or(self.oci.as_ref())
    }
}

/// All lists of one configuration.
pub struct Lists {
    root: PathBuf,
}

impl Lists {
    /// Of a configuration.
    pub fn of(config: &ConfigFile) -> Self {
        Self { root: config.directory.join("manifests") }
    }
    fn directory(&self, list: &ImageRef) -> PathBuf {
        self.root.join(file_name(list))
    }
    /// The images of a list in their files' order; `None` where there is no such list.
    pub fn list(&self, list: &ImageRef) -> Result<Option<Vec<Image>>, Failure> {
        let directory = self.directory(list);
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::new(file_error("open", directory, &error))),
        };
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        files.iter().map(read).collect::<Result<Vec<Image>, Failure>>().map(Some)
    }
    /// One image of a list.
    pub fn get(&self, list: &ImageRef, image: &ImageRef) -> Result<Option<Image>, Failure> {
        let file = self.directory(list).join(file_name(image));
        if file.is_file() { read(&file).map(Some) } else { Ok(None) }
    }
    /// Keeps an image in a list.
    pub fn keep(&self, list: &ImageRef, name: &ImageRef, image: &Image) -> Result<(), Failure> {
        let directory = self.directory(list);
        let file = directory.join(file_name(name));
        let text = serde_json::to_vec(image).map_err(|error| Failure::new(error.to_string()))?;
        std::fs::create_dir_all(&directory)
            .and_then(|()| std::fs::write(&file, text))
            .map_err(|error| Failure::new(file_error("write", file, &error)))
    }
    /// Removes a list; whether there was one.
    pub fn remove(&self, list: &ImageRef) -> Result<bool, Failure> {
        let directory = self.directory(list);
        match std::fs::remove_dir_all(&directory) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Failure::new(file_error("remove", directory, &error))),
        }
    }
}

fn file_name(name: &ImageRef) -> String {
    full(name).replace(':', "-").replace('/', "_")
}

fn read(file: &PathBuf) -> Result<Image, Failure> {
    let text = std::fs::read(file).map_err(|error| Failure::new(file_error("read", file, &error)))?;
    serde_json::from_slice(&text).map_err(|error| Failure::new(format!("{}: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_kept_as_docker_keeps_them() {
        let directory = tempfile::tempdir().unwrap();
        let config = ConfigFile { directory: directory.path().into(), document: Value::Null };
        let lists = Lists::of(&config);
        let (list, image): (ImageRef, ImageRef) =
            ("r.example:5000/a/b:1".parse().unwrap(), "busybox:2".parse().unwrap());
        let descriptor = serde_json::from_str(
            r#"{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":2,"platform":{"architecture":"amd64","os":"linux"}}"#,
        )
        .unwrap();
        let made = Image::new(&image, descriptor, b"{}").unwrap();
        assert!(lists.list(&list).unwrap().is_none());
        lists.keep(&list, &image, &made).unwrap();
        let file = directory.path().join("manifests/r.example-5000_a_b-1/docker.io_library_busybox-2");
        let text = std::fs::read_to_string(file).unwrap();
        assert!(
            text.starts_with(r#"{"Ref":"docker.io/library/busybox:2","Descriptor":{"mediaType":"#),
            "{text}"
        );
        assert!(text.ends_with(r#""Raw":"e30=","SchemaV2Manifest":{}}"#), "{text}");
        assert_eq!(lists.list(&list).unwrap().unwrap()[0].document().unwrap(), b"{}");
        assert!(lists.remove(&list).unwrap() && !lists.remove(&list).unwrap());
    }
}

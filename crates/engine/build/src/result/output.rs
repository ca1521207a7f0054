//! Outputs as they are asked for.

use super::Annotation;
use super::annotation::Place;
use crate::error::{Error, Result};
use hull_image::{Compression, Form, Packing};
use hull_types::ImageRef;
use std::collections::BTreeMap;

/// Where an output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// To the images here.
    Store,
    /// To the images here, and from there to the registries of its names.
    Registry,
    /// To whoever asks for the archive.
    Archive(Form),
}

/// An output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Where it goes.
    pub kind: Kind,
    /// Its names.
    pub names: Vec<ImageRef>,
    /// How layers go out; `None` for the usual way of the kind.
    pub packing: Option<Packing>,
    /// Notes.
    pub annotations: Vec<Annotation>,
}

impl Output {
    /// An image here.
    pub fn store(names: Vec<ImageRef>) -> Self {
        Self { kind: Kind::Store, names, packing: None, annotations: Vec::new() }
    }

    /// Reads buildx's `type` and attributes; `names` stand where `name` does not say others. `None` for kinds that
    /// need nothing but the files: `local`, `tar`, `cacheonly`.
    pub fn read(
        kind: &str,
        attributes: &BTreeMap<String, String>,
        names: &[ImageRef],
    ) -> Result<Option<Self>> {
        let given = |name: &str| attributes.get(name).map(String::as_str).unwrap_or_default();
        let push = truth(attributes, "push")?;
        let kind = match kind {
            "image" if push => Kind::Registry,
            "registry" => Kind::Registry,
            "image" | "moby" => Kind::Store,
            "docker" if given("dest").is_empty() => Kind::Store,
            "docker" => Kind::Archive(Form::Docker),
            "oci" => Kind::Archive(Form::Oci),
            "local" | "tar" | "cacheonly" => return Ok(None),
            other => {
                let text = "image, registry, docker, oci, local, tar and cacheonly are known";
                return Err(Error::Invalid(format!("unsupported output type {other:?}: {text}")));
            }
        };
        let mut output = Self {
            kind,
            names: names.to_vec(),
            packing: packing(attributes, kind)?,
            annotations: Vec::new(),
        };
        if !given("name").is_empty() {
            output.names = given("name").split(',').map(name).collect::<Result<_>>()?;
        }
        for (attribute, value) in attributes {
            match attribute.as_str() {
                "type" | "name" | "push" | "dest" | "tar" | "load" | "compression" | "compression-level"
                | "force-compression" | "oci-mediatypes" | "rewrite-timestamp" | "unpack" | "store"
                | "buildinfo" | "oci-artifact" => {}
                _ => match Annotation::read(attribute, value)? {
                    Some(annotation) => output.annotations.push(annotation),
                    None => {
                        let text = format!("the output's option {attribute:?} is not available in Hull");
                        return Err(Error::Invalid(text));
                    }
                },
            }
        }
        // Layers that are made here have no later times anyway.
        truth(attributes, "rewrite-timestamp")?;
        if kind == Kind::Registry && output.names.is_empty() {
            return Err(Error::invalid("tag is needed when pushing to registry"));
        }
        Ok(Some(output))
    }

    /// Whether this can be made of that many platforms.
    pub(super) fn check(&self, platforms: usize) -> Result<()> {
        if platforms > 1 && self.kind == Kind::Archive(Form::Docker) {
            return Err(Error::invalid(
                "docker exporter does not support exporting manifest lists: use type=oci for several platforms",
            ));
        }
        Ok(())
    }

    pub(super) fn title(&self) -> &'static str {
        match self.kind {
            Kind::Store => "exporting to image",
            Kind::Registry => "exporting to image and registry",
            Kind::Archive(Form::Docker) => "exporting to docker image format",
            Kind::Archive(Form::Oci) => "exporting to oci image format",
        }
    }

    pub(super) fn has(&self, place: Place) -> bool {
        self.annotations.iter().any(|annotation| annotation.place == place)
    }
}

fn name(text: &str) -> Result<ImageRef> {
    let parsed: std::result::Result<ImageRef, _> = text.parse();
    parsed.map(ImageRef::or_latest).map_err(|error| Error::Invalid(format!("invalid name {text:?}: {error}")))
}

fn truth(attributes: &BTreeMap<String, String>, name: &str) -> Result<bool> {
    match attributes.get(name).map(String::as_str) {
        None | Some("false" | "0") => Ok(false),
        Some("" | "true" | "1") => Ok(true),
        Some(other) => Err(Error::Invalid(format!("non-bool value {other:?} for {name}"))),
    }
}

fn packing(attributes: &BTreeMap<String, String>, kind: Kind) -> Result<Option<Packing>> {
    let compression = attributes.get("compression").map(String::as_str);
    let level = attributes.get("compression-level");
    let level = level.map(|text| {
        let level = text.parse::<i32>().ok().filter(|level| (0..=22).contains(level));
        level.ok_or_else(|| Error::Invalid(format!("invalid compression-level {text:?}")))
    });
    let (level, force) = (level.transpose()?, truth(attributes, "force-compression")?);
    let oci = attributes.contains_key("oci-mediatypes").then(|| truth(attributes, "oci-mediatypes"));
    let docker = match oci.transpose()? {
        Some(oci) => !oci,
        None => kind == Kind::Archive(Form::Docker) && compression != Some("zstd"),
    };
    let compression = match compression {
        None if kind == Kind::Store && level.is_none() && !force && !docker => return Ok(None),
        None if kind == Kind::Store && level.is_none() => Compression::Uncompressed,
        None | Some("gzip") => Compression::Gzip,
        Some("uncompressed") => Compression::Uncompressed,
        Some("zstd") if docker => {
            return Err(Error::invalid("compression=zstd needs oci-mediatypes=true"));
        }
        Some("zstd") => Compression::Zstd,
        Some("estargz") => {
            return Err(Error::NotImplemented(
                "compression=estargz is not available: gzip, zstd or uncompressed".into(),
            ));
        }
        Some(other) => {
            let text =
                format!("unsupported compression type {other:?}: gzip, zstd and uncompressed are known");
            return Err(Error::Invalid(text));
        }
    };
    Ok(Some(Packing { compression, level, force, docker }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, attributes: &[(&str, &str)]) -> Result<Option<Output>> {
        let attributes = attributes.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        Output::read(kind, &attributes, &["a/b:1".parse().unwrap()])
    }

    #[test]
    fn outputs_are_read() {
        let image = read("image", &[]).unwrap().unwrap();
        assert_eq!((image.kind, image.packing, image.names.len()), (Kind::Store, None, 1));
        let pushed = read("image", &[("push", "true"), ("name", "x:1,y")]).unwrap().unwrap();
        assert_eq!(pushed.kind, Kind::Registry);
        assert_eq!(pushed.names[1].to_string(), "docker.io/library/y:latest");
        let zstd = read("oci", &[("compression", "zstd"), ("compression-level", "9")]).unwrap().unwrap();
        let packing = zstd.packing.unwrap();
        assert_eq!((packing.compression, packing.level, packing.docker), (Compression::Zstd, Some(9), false));
        assert!(read("docker", &[("dest", "x")]).unwrap().unwrap().packing.unwrap().docker);
        assert!(read("local", &[("dest", "x")]).unwrap().is_none());
        for (kind, attribute, value) in [
            ("nope", "dest", "x"),
            ("image", "compression", "lzma"),
            ("image", "push", "maybe"),
            ("oci", "compression-level", "77"),
            ("oci", "colour", "blue"),
            ("oci", "rewrite-timestamp", "maybe"),
        ] {
            assert!(read(kind, &[(attribute, value)]).is_err(), "{kind} {attribute}={value}");
        }
    }
}

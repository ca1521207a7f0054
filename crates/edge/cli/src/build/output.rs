//! `--output`, `--push`, `--load`: where the result goes.
//!
//! Images and registries are the engine's; files are written here, out of what the engine sends, and never outside of
//! the directory that was named.

use super::places;
use super::run::Finished;
use crate::failure::{Failure, file_error};
use crate::matches::Matches;
use crate::streams;
use hull_api_types::Map;
use hull_api_types::build::{BuildOptions, BuildPlace};
use hull_client::{Client, Method};
use std::io::Write;
use std::path::Path;

/// One output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The engine's: an image, a registry.
    Engine,
    /// The files in a directory.
    Local(String),
    /// The files as a tar; `-` is standard output.
    Tar(String),
    /// An image's archive: the number of it among the engine's outputs, and whether it is left packed.
    Archive { number: usize, destination: String, packed: bool },
    /// Nothing.
    Nothing,
}

/// Reads the flags, and asks the engine for what is its part.
pub fn read(matches: &Matches, options: &mut BuildOptions) -> Result<Vec<Output>, Failure> {
    let mut asked = Vec::new();
    for text in matches.list("output") {
        asked.push(match text.as_str() {
            "-" => place("tar", "-"),
            text if !text.contains('=') => place("local", text),
            text => places::parse(text, "output")?,
        });
    }
    let images = |kind: &str| matches!(kind, "image" | "registry");
    if matches.switch("push") {
        match asked.iter_mut().find(|place| images(&place.kind)) {
            Some(place) => drop(place.attributes.insert("push".into(), "true".into())),
            None => asked.push(BuildPlace { kind: "registry".into(), ..BuildPlace::default() }),
        }
    }
    if matches.switch("load") && !asked.iter().any(|place| place.kind == "docker") {
        asked.push(BuildPlace { kind: "docker".into(), ..BuildPlace::default() });
    }
    let annotations = places::annotations(matches)?;
    let further = !annotations.is_empty() || !options.attests.is_empty();
    if asked.is_empty() && further {
        asked.push(BuildPlace { kind: "image".into(), ..BuildPlace::default() });
    }
    let mut outputs = Vec::new();
    for mut place in asked {
        if matches!(place.kind.as_str(), "image" | "registry" | "docker" | "oci") {
            place.attributes.extend(annotations.clone());
        }
        outputs.push(one(&place, options.outputs.len())?);
        if matches!(outputs.last(), Some(Output::Engine | Output::Archive { .. })) {
            options.outputs.push(place);
        }
    }
    options.without_image = options.outputs.is_empty() && !outputs.is_empty();
    Ok(outputs)
}

fn place(kind: &str, destination: &str) -> BuildPlace {
    let attributes = Map::from([("dest".to_owned(), destination.to_owned())]);
    BuildPlace { kind: kind.into(), attributes }
}

fn one(place: &BuildPlace, number: usize) -> Result<Output, Failure> {
    let destination = place.attributes.get("dest").cloned().unwrap_or_default();
    let packed = place.attributes.get("tar").is_none_or(|tar| tar != "false");
    let wanted = match place.kind.as_str() {
        "docker" | "image" | "registry" if destination.is_empty() => return Ok(Output::Engine),
        "cacheonly" => return Ok(Output::Nothing),
        "local" => Output::Local(destination.clone()),
        "tar" => Output::Tar(destination.clone()),
        "docker" | "oci" => Output::Archive { number, destination: destination.clone(), packed },
        "" => return Err("type is required for output".into()),
        other => {
            return Err(Failure::new(format!(
                "unsupported output type {other:?}{}: image, registry, docker, oci, local, tar and cacheonly are known",
                hull_dockerfile::hint(
                    other,
                    ["image", "registry", "docker", "oci", "local", "tar", "cacheonly"]
                )
            )));
        }
    };
    let files = !matches!(&wanted, Output::Local(_) | Output::Archive { packed: false, .. });
    if destination == "-" && !files {
        return Err(Failure::new(format!("dest cannot be stdout for {} output", place.kind)));
    }
    if destination == "-" && streams::is_terminal(std::io::stdout()) {
        return Err("dest file is required: refusing to write an archive to the terminal".into());
    }
    if destination.is_empty() {
        return Err(Failure::new(format!("dest is required for {} output", place.kind)));
    }
    Ok(wanted)
}

impl Output {
    /// Writes it.
    pub async fn write(&self, client: &Client, finished: &Finished) -> Result<(), Failure> {
        let platforms = &finished.result.platforms;
        match self {
            Self::Engine | Self::Nothing => Ok(()),
            Self::Local(directory) if platforms.len() > 1 => {
                for one in platforms {
                    let below = format!("{directory}/{}", one.platform.replace('/', "_"));
                    local(&mut tree(client, &one.top).await?, &below).await?;
                }
                Ok(())
            }
            Self::Local(directory) => local(&mut tree(client, &finished.top).await?, directory).await,
            Self::Tar(_) if platforms.len() > 1 => {
                Err("a tar of several platforms is not available: use type=local".into())
            }
            Self::Tar(path) => copy(&mut tree(client, &finished.top).await?, path).await,
            Self::Archive { number, destination, packed } => {
                let mut response = result(client, finished, "archives", *number).await?;
                match packed {
                    true => copy(&mut response, destination).await,
                    false => local(&mut response, destination).await,
                }
            }
        }
    }
}

/// Writes the caches that go to directories.
pub async fn write_caches(
    client: &Client,
    finished: &Finished,
    options: &BuildOptions,
) -> Result<(), Failure> {
    let directories = options.cache_to.iter().filter(|place| place.kind == "local");
    for (number, place) in directories.enumerate().take(finished.result.caches) {
        let Some(directory) = place.attributes.get("dest") else { continue };
        local(&mut result(client, finished, "caches", number).await?, directory).await?;
    }
    Ok(())
}

async fn result(
    client: &Client,
    finished: &Finished,
    kind: &str,
    number: usize,
) -> Result<hull_client::Response, Failure> {
    let path = format!("/hull/results/{}/{kind}/{number}", finished.result.id);
    Ok(client.request(Method::GET, &path).send().await?)
}

async fn tree(client: &Client, top: &str) -> Result<hull_client::Response, Failure> {
    let call = client.request(Method::GET, "/hull/tree").query(|query| {
        query.text("top", top);
    });
    Ok(call.send().await?)
}

async fn copy(response: &mut hull_client::Response, path: &str) -> Result<(), Failure> {
    if path == "-" {
        while let Some(piece) = response.chunk().await? {
            streams::print_bytes(&piece);
        }
        return Ok(());
    }
    let failed = |error: std::io::Error| Failure::new(file_error("open", path, &error));
    let mut file = std::fs::File::create(path).map_err(failed)?;
    while let Some(piece) = response.chunk().await? {
        file.write_all(&piece).map_err(failed)?;
    }
    Ok(())
}

/// Unpacks files into a directory, by descriptor: nothing that the image says leads out of it.
async fn local(response: &mut hull_client::Response, directory: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(file_error("open", directory, &error));
    std::fs::create_dir_all(directory).map_err(failed)?;
    let mut spool = tempfile_in(directory).map_err(failed)?;
    while let Some(piece) = response.chunk().await? {
        spool.write_all(&piece).map_err(failed)?;
    }
    std::io::Seek::rewind(&mut spool).map_err(failed)?;
    let root = hull_sys::in_root::InRoot::open_dir(directory).map_err(failed)?;
    let privileged = rustix::process::geteuid().is_root();
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let options =
        hull_archive::UnpackOptions { no_overwrite_dir_non_dir: false, owner: (!privileged).then_some(own) };
    hull_archive::unpack(root.as_fd(), Path::new("/"), spool, &options)
        .map_err(|error| Failure::new(format!("unpack into {directory}: {error}")))
}

fn tempfile_in(directory: &str) -> std::io::Result<std::fs::File> {
    let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    Ok(rustix::fs::open(directory, flags, mode)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Output, Failure> {
        one(&places::parse(text, "output")?, 2)
    }

    #[test]
    fn outputs_are_read() {
        assert_eq!(parse("type=tar,dest=a.tar").ok(), Some(Output::Tar("a.tar".into())));
        let archive = |packed| Output::Archive { number: 2, destination: "a".into(), packed };
        assert_eq!(parse("type=oci,dest=a").ok(), Some(archive(true)));
        assert_eq!(parse("type=oci,tar=false,dest=a").ok(), Some(archive(false)));
        assert_eq!(parse("type=image,name=a").ok(), Some(Output::Engine));
        assert_eq!(parse("type=docker").ok(), Some(Output::Engine));
        for wrong in ["type=local", "type=nope,dest=x", "type=local,dest=-", "dest=x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}

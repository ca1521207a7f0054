//! `--output`: where the result goes.

use super::run::Finished;
use crate::failure::{Failure, file_error};
use crate::matches::Matches;
use crate::progress::{self, Target};
use crate::session::Session;
use crate::{credentials, streams};
use hull_api_types::JsonMessage;
use hull_api_types::build::BuildOptions;
use hull_client::{Client, Method};
use hull_types::ImageRef;
use std::io::Write;
use std::path::Path;

/// One output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The engine's images, under further names.
    Image(Vec<String>),
    /// The files in a directory.
    Local(String),
    /// The files as a tar; `-` is standard output.
    Tar(String),
    /// The image as an archive that `load` takes, which is an OCI layout too.
    Archive(String),
}

/// Reads the flags; `type=` may be left out for a directory or `-`.
pub fn read(matches: &Matches) -> Result<Vec<Output>, Failure> {
    matches.list("output").iter().map(|text| parse(text).map_err(Failure::new)).collect()
}

fn parse(text: &str) -> Result<Output, String> {
    if !text.contains('=') {
        return Ok(if text == "-" { Output::Tar("-".into()) } else { Output::Local(text.to_owned()) });
    }
    let (mut kind, mut destination, mut names) = (String::new(), String::new(), Vec::new());
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("type", value)) => kind = value.to_owned(),
            Some(("dest", value)) => destination = value.to_owned(),
            Some(("name", value)) => names.push(value.to_owned()),
            // The registry's and the archive's own options are the engine's defaults here.
            Some(("push", "false") | ("load", _) | ("oci-mediatypes", _)) => {}
            Some((key, _)) => return Err(format!("the output's option {key:?} is not available: {text}")),
            None => return Err(format!("invalid value {part:?} of --output: expected key=value")),
        }
    }
    let needed = |output: fn(String) -> Output| match destination.as_str() {
        "" => Err(format!("dest is required for {kind} output")),
        _ => Ok(output(destination.clone())),
    };
    match kind.as_str() {
        "image" | "docker" if destination.is_empty() => Ok(Output::Image(names)),
        "local" => needed(Output::Local),
        "tar" => needed(Output::Tar),
        "docker" | "oci" => needed(Output::Archive),
        other => {
            Err(format!("unsupported output type {other:?}: image, docker, oci, local and tar are known"))
        }
    }
}

impl Output {
    /// Further names of the image.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Image(names) => names.clone(),
            _ => Vec::new(),
        }
    }

    /// Whether the engine has to record an image for it.
    pub fn needs_image(&self) -> bool {
        matches!(self, Self::Image(_) | Self::Archive(_))
    }

    /// Writes it.
    pub async fn write(
        &self,
        client: &Client,
        finished: &Finished,
        options: &BuildOptions,
    ) -> Result<(), Failure> {
        match self {
            Self::Image(_) => Ok(()),
            Self::Local(directory) => local(client, &finished.top, directory).await,
            Self::Tar(path) => {
                let mut response = tree(client, &finished.top).await?;
                copy(&mut response, path).await
            }
            Self::Archive(path) => {
                let name = options.tags.first().unwrap_or(&finished.image);
                let get = format!("/images/{name}/get");
                let mut response = client.request(Method::GET, &get).send().await?;
                copy(&mut response, path).await
            }
        }
    }
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

/// Unpacks the files into a directory, by descriptor: nothing that the image says leads out of it.
async fn local(client: &Client, top: &str, directory: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(file_error("open", directory, &error));
    std::fs::create_dir_all(directory).map_err(failed)?;
    let mut response = tree(client, top).await?;
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

/// `--push`: every name goes to its registry.
pub async fn push(session: &Session, client: &Client, tags: &[String]) -> Result<(), Failure> {
    if tags.is_empty() {
        return Err("tag is needed when pushing to registry".into());
    }
    for tag in tags {
        let name: ImageRef = tag.parse().map_err(|error| Failure::new(format!("{error}")))?;
        let name = name.or_latest();
        let auth = credentials::find(session.config(), name.domain());
        let path = format!("/images/{}/push", name.familiar_name());
        let call = client.request(Method::POST, &path).query(|query| {
            query.text("tag", name.tag().unwrap_or_default());
        });
        let call = call.header("x-registry-auth", &Client::registry_auth(auth.as_ref()));
        let mut stream = call.send().await?.messages::<JsonMessage>();
        progress::show(&mut stream, Target::Nowhere, |_| {}).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_read() {
        assert_eq!(parse("out"), Ok(Output::Local("out".into())));
        assert_eq!(parse("-"), Ok(Output::Tar("-".into())));
        assert_eq!(parse("type=tar,dest=a.tar"), Ok(Output::Tar("a.tar".into())));
        assert_eq!(parse("type=oci,dest=a"), Ok(Output::Archive("a".into())));
        assert_eq!(parse("type=image,name=a"), Ok(Output::Image(vec!["a".into()])));
        assert!(parse("type=local").unwrap_err().contains("dest is required"));
        assert!(parse("type=nope,dest=x").unwrap_err().contains("unsupported output type"));
    }
}

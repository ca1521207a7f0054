//! `--verify`: the build again, without cache, and the first file that differs.

use super::run::{self, Finished, Wanted};
use super::show::{Form, Show};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::streams;
use hull_api_types::build::BuildOptions;
use hull_archive::{Archive, Entry};
use hull_client::{Client, Method};
use std::fs::File;
use std::io::{Seek, Write};

pub async fn verify(
    client: &Client,
    matches: &Matches,
    wanted: &Wanted,
    options: &BuildOptions,
    first: &Finished,
) -> Result<(), Failure> {
    let mut again = options.clone();
    (again.no_cache, again.tags, again.without_image) = (true, Vec::new(), true);
    (again.outputs, again.cache_from, again.cache_to) = Default::default();
    again.contexts.clear();
    let second = run::hull(client, matches, wanted, &mut again, &mut Show::new(Form::Quiet)).await?;
    let Some(second) = second else { return Err("the engine cannot verify builds".into()) };
    let mut pairs = first.result.platforms.iter().zip(&second.result.platforms);
    let Some((one, other)) = pairs.find(|(one, other)| one != other) else {
        streams::complain("verified: the build came to the same again");
        return Ok(());
    };
    let difference = compare(spooled(client, &one.top).await?, spooled(client, &other.top).await?)
        .map_err(|error| Failure::new(format!("compare the builds: {error}")))?;
    let text = match difference {
        Some(path) => format!("the build is not reproducible: /{path} differs"),
        None => "the build is not reproducible: the configurations differ, the files do not".into(),
    };
    Err(Failure::new(text))
}

async fn spooled(client: &Client, top: &str) -> Result<File, Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("keep a build's files: {error}"));
    let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    let opened = rustix::fs::open(std::env::temp_dir(), flags, mode).map_err(|error| failed(error.into()))?;
    let mut file = File::from(opened);
    let call = client.request(Method::GET, "/hull/tree").query(|query| {
        query.text("top", top);
    });
    let mut response = call.send().await?;
    while let Some(piece) = response.chunk().await? {
        file.write_all(&piece).map_err(failed)?;
    }
    file.rewind().map_err(failed)?;
    Ok(file)
}

/// The first path at which two archives differ.
fn compare(one: File, other: File) -> hull_archive::Result<Option<String>> {
    let (mut one, mut other) = (Archive::new(one), Archive::new(other));
    loop {
        let (left, right) = (next(&mut one)?, next(&mut other)?);
        match (left, right) {
            (None, None) => return Ok(None),
            (Some((left, _)), None) => return Ok(Some(name(&left))),
            (None, Some((right, _))) => return Ok(Some(name(&right))),
            (Some(left), Some(right)) if left == right => {}
            (Some((left, _)), Some((right, _))) => return Ok(Some(name(&left).min(name(&right)))),
        }
    }
}

fn name(entry: &Entry) -> String {
    String::from_utf8_lossy(&entry.name).trim_start_matches("./").to_owned()
}

fn next(archive: &mut Archive<File>) -> hull_archive::Result<Option<(Entry, Vec<u8>)>> {
    let Some(entry) = archive.next_entry()? else { return Ok(None) };
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    loop {
        let piece = archive.contents()?;
        if piece.is_empty() {
            break;
        }
        context.update(piece);
    }
    Ok(Some((entry, context.finish().as_ref().to_vec())))
}

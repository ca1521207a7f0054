//! A walked directory to the daemon: first what there is, then what of it is missing there.

use super::context::Directory;
use bytes::Bytes;
use hull_api_types::build::{ContextAnswer, ContextFile};
use hull_client::{Client, Method};
use std::fs::File;
use std::io::{self, Read};
use tokio::sync::mpsc;

/// How much was sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sent {
    pub files: usize,
    pub bytes: u64,
}

/// Sends a context; its id.
pub async fn context(client: &Client, directory: Directory) -> Result<(String, Sent), hull_client::Error> {
    let offer = client.request(Method::POST, "/hull/contexts").json(&directory.manifest);
    let ContextAnswer { id, missing } = offer.fetch().await?;
    let mut sent = Sent { files: missing.len(), bytes: 0 };
    if missing.is_empty() {
        return Ok((id, sent));
    }
    let wanted = missing.iter().filter_map(|index| directory.manifest.files.get(*index as usize).cloned());
    let wanted: Vec<ContextFile> = wanted.collect();
    sent.bytes = wanted.iter().map(|file| file.3).sum();
    let (sender, receiver) = mpsc::channel(8);
    let root = directory.root.clone();
    std::thread::spawn(move || {
        if let Err(error) = write(&root, &wanted, &sender) {
            let _ = sender.blocking_send(Err(error));
        }
    });
    let path = format!("/hull/contexts/{id}");
    client.request(Method::POST, &path).stream("application/octet-stream", receiver).done().await?;
    Ok((id, sent))
}

fn write(
    root: &std::path::Path,
    files: &[ContextFile],
    to: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    const PIECE: usize = 256 << 10;
    let mut buffer = Vec::with_capacity(PIECE);
    for ContextFile(path, _, _, size, _) in files {
        let mut file = File::open(root.join(path))?.take(*size);
        loop {
            let before = buffer.len();
            file.by_ref().take((PIECE - before) as u64).read_to_end(&mut buffer)?;
            if buffer.len() == PIECE {
                let full = std::mem::replace(&mut buffer, Vec::with_capacity(PIECE));
                to.blocking_send(Ok(full.into())).map_err(|_| io::ErrorKind::BrokenPipe)?;
            } else if buffer.len() == before {
                break;
            }
        }
        if file.limit() > 0 {
            return Err(io::Error::other(format!("{path} became shorter while it was sent")));
        }
    }
    to.blocking_send(Ok(buffer.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
}

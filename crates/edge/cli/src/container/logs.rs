//! `logs`.

use super::hijacked::{copy_frames, copy_raw};
use crate::duration;
use crate::failure::Failure;
use crate::matches::{Matches, go_quoted};
use crate::session::Session;
use crate::streams::Output;
use bytes::Bytes;
use hull_api_types::ContainerInspect;
use hull_client::{FrameReader, LogsQuery, Response};
use hull_types::Timestamp;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// `logs`.
pub async fn logs(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let now = Timestamp::now();
    let time = |name: &str| {
        let text = matches.text(name);
        duration::timestamp(text, now)
            .map_err(|why| Failure::new(format!("invalid value for {}: {why}", go_quoted(name))))
    };
    let client = session.client().await?;
    let container: ContainerInspect = client.container_inspect(matches.argument(0), false).await?;
    let query = LogsQuery {
        stdout: true,
        stderr: true,
        follow: matches.switch("follow"),
        timestamps: matches.switch("timestamps"),
        details: matches.switch("details"),
        since: time("since")?,
        until: time("until")?,
        tail: matches.text("tail").to_owned(),
    };
    let response = client.container_logs(&container.id, &query).await?;
    let body = body_reader(response);
    let mut output = Output::stdout();
    if container.config.tty {
        return copy_raw(body, &mut output).await;
    }
    copy_frames(FrameReader::new(body), &mut output, &mut Output::stderr()).await
}

/// An answer's body as a reader.
pub fn body_reader(response: Response) -> impl AsyncRead + Unpin {
    let pieces = futures::stream::unfold(response, |mut response| async move {
        let piece = response.chunk().await.transpose()?;
        Some((piece.map_err(std::io::Error::other), response))
    });
    Reader { pieces: Box::pin(pieces), rest: Bytes::new(), ended: false }
}

struct Reader<S> {
    pieces: Pin<Box<S>>,
    rest: Bytes,
    // A stream must not be asked again after its end, a reader may be.
    ended: bool,
}

impl<S: futures::Stream<Item = std::io::Result<Bytes>>> AsyncRead for Reader<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        while self.rest.is_empty() && !self.ended {
            match ready!(self.pieces.as_mut().poll_next(context)) {
                Some(piece) => self.rest = piece?,
                None => self.ended = true,
            }
        }
        let length = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest.split_to(length));
        Poll::Ready(Ok(()))
    }
}

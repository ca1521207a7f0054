//! Calls about containers.

use crate::{Client, Hijacked, JsonStream, Response, Result};
use bytes::Bytes;
use hull_api_types::{
    ContainerCreateRequest, ContainerCreateResponse, ContainerPathStat, ContainerStats, ContainerSummary,
    ContainerTopResponse, ContainerUpdateRequest, ContainerUpdateResponse, ContainerWaitResponse,
    ContainersPruneResponse, FilesystemChange, Filters, IdResponse,
};
use hyper::Method;
use std::io;
use tokio::sync::mpsc;

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// Stopped ones too.
    pub all: bool,
    /// At most so many of the newest; negative for no limit.
    pub limit: i64,
    /// With sizes.
    pub size: bool,
    /// Only those that match.
    pub filters: Filters,
}

/// Which streams of a container to attach to.
#[derive(Debug, Clone, Default)]
pub struct AttachQuery {
    /// Its input.
    pub stdin: bool,
    /// Its output.
    pub stdout: bool,
    /// Its error output.
    pub stderr: bool,
    /// The past output first.
    pub logs: bool,
    /// Keys that detach; empty for the engine's default.
    pub detach_keys: String,
}

/// Which part of the logs to read.
#[derive(Debug, Clone, Default)]
pub struct LogsQuery {
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// Go on as the container writes.
    pub follow: bool,
    /// Each line with its time.
    pub timestamps: bool,
    /// With the log's attributes.
    pub details: bool,
    /// From this time on; seconds since the epoch with a fraction.
    pub since: String,
    /// Up to this time.
    pub until: String,
    /// So many lines from the end, or `all`.
    pub tail: String,
}

/// What to make an image of.
#[derive(Debug, Clone, Default)]
pub struct CommitQuery {
    /// The repository, normalized; may be empty.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// The author.
    pub author: String,
    /// The message.
    pub comment: String,
    /// Dockerfile instructions to apply.
    pub changes: Vec<String>,
    /// Whether the container is not paused meanwhile.
    pub no_pause: bool,
}

/// A wait that the engine has taken up.
#[derive(Debug)]
pub struct Waiting(Response);

impl Waiting {
    /// How it ended.
    pub async fn finish(self) -> Result<ContainerWaitResponse> {
        self.0.json().await
    }
}

/// Samples as they come.
pub type StatsStream = JsonStream<ContainerStats>;

fn path(id: &str, action: &str) -> String {
    format!("/containers/{id}/{action}")
}

impl Client {
    /// `POST /containers/create`.
    pub async fn container_create(
        &self,
        name: &str,
        platform: &str,
        request: &ContainerCreateRequest,
    ) -> Result<ContainerCreateResponse> {
        let call = self.request(Method::POST, "/containers/create");
        let call = call.query(|query| {
            query.text("name", name);
            if self.at_least("1.41") {
                query.text("platform", platform);
            }
        });
        call.json(request).fetch().await
    }
    /// `POST /containers/{id}/start`.
    pub async fn container_start(&self, id: &str, checkpoint: &str, checkpoint_dir: &str) -> Result<()> {
        let call = self.request(Method::POST, &path(id, "start"));
        let call = call.query(|query| {
            query.text("checkpoint", checkpoint).text("checkpoint-dir", checkpoint_dir);
        });
        call.done().await
    }
    /// `POST /containers/{id}/stop`; the engine's own time where `timeout` is none.
    pub async fn container_stop(&self, id: &str, signal: &str, timeout: Option<i64>) -> Result<()> {
        self.ending(id, "stop", signal, timeout).await
    }
    /// `POST /containers/{id}/restart`.
    pub async fn container_restart(&self, id: &str, signal: &str, timeout: Option<i64>) -> Result<()> {
        self.ending(id, "restart", signal, timeout).await
    }
    async fn ending(&self, id: &str, action: &str, signal: &str, timeout: Option<i64>) -> Result<()> {
        let call = self.request(Method::POST, &path(id, action));
        let call = call.query(|query| {
            if self.at_least("1.42") {
                query.text("signal", signal);
            }
            if let Some(seconds) = timeout {
                query.add("t", &seconds.to_string());
            }
        });
        call.done().await
    }
    /// `POST /containers/{id}/kill`; SIGKILL where `signal` is empty.
    pub async fn container_kill(&self, id: &str, signal: &str) -> Result<()> {
        let call = self.request(Method::POST, &path(id, "kill"));
        call.query(|query| {
            query.text("signal", signal);
        })
        .done()
        .await
    }
    /// `POST /containers/{id}/pause`.
    pub async fn container_pause(&self, id: &str) -> Result<()> {
        self.request(Method::POST, &path(id, "pause")).done().await
    }
    /// `POST /containers/{id}/unpause`.
    pub async fn container_unpause(&self, id: &str) -> Result<()> {
        self.request(Method::POST, &path(id, "unpause")).done().await
    }
    /// `POST /containers/{id}/rename`.
    pub async fn container_rename(&self, id: &str, name: &str) -> Result<()> {
        let call = self.request(Method::POST, &path(id, "rename"));
        call.query(|query| {
            query.add("name", name);
        })
        .done()
        .await
    }
    /// `POST /containers/{id}/wait`: returns when the engine has taken the wait up. `condition` is empty,
    /// `not-running`, `next-exit` or `removed`.
    pub async fn container_wait(&self, id: &str, condition: &str) -> Result<Waiting> {
        let call = self.request(Method::POST, &path(id, "wait"));
        let call = call.query(|query| {
            query.text("condition", condition);
        });
        Ok(Waiting(call.send().await?))
    }
    /// `DELETE /containers/{id}`.
    pub async fn container_remove(&self, id: &str, volumes: bool, link: bool, force: bool) -> Result<()> {
        let call = self.request(Method::DELETE, &format!("/containers/{id}"));
        call.query(|query| {
            query.flag("v", volumes).flag("link", link).flag("force", force);
        })
        .done()
        .await
    }
    /// `POST /containers/prune`.
    pub async fn containers_prune(&self, filters: &Filters) -> Result<ContainersPruneResponse> {
        let call = self.request(Method::POST, "/containers/prune");
        call.query(|query| {
            query.filters(filters);
        })
        .fetch()
        .await
    }
    /// `GET /containers/json`.
    pub async fn containers(&self, list: &ListQuery) -> Result<Vec<ContainerSummary>> {
        let call = self.request(Method::GET, "/containers/json");
        let call = call.query(|query| {
            query.flag("all", list.all);
            if list.limit > 0 {
                query.add("limit", &list.limit.to_string());
            }
            query.flag("size", list.size).filters(&list.filters);
        });
        call.fetch().await
    }
    /// `GET /containers/{id}/json`, as the struct that `T` is: the caller may want few of its fields.
    pub async fn container_inspect<T: serde::de::DeserializeOwned>(&self, id: &str, size: bool) -> Result<T> {
        let call = self.request(Method::GET, &path(id, "json"));
        call.query(|query| {
            query.flag("size", size);
        })
        .fetch()
        .await
    }
    /// `POST /containers/{id}/attach`.
    pub async fn container_attach(&self, id: &str, attach: &AttachQuery) -> Result<Hijacked> {
        let call = self.request(Method::POST, &path(id, "attach")).header("content-type", "text/plain");
        let call = call.query(|query| {
            query.text("detachKeys", &attach.detach_keys);
            query.flag("logs", attach.logs).flag("stderr", attach.stderr).flag("stdin", attach.stdin);
            query.flag("stdout", attach.stdout).flag("stream", true);
        });
        call.hijack().await
    }
    /// `POST /containers/{id}/resize`.
    pub async fn container_resize(&self, id: &str, height: u16, width: u16) -> Result<()> {
        self.resize(&path(id, "resize"), height, width).await
    }
    pub(crate) async fn resize(&self, path: &str, height: u16, width: u16) -> Result<()> {
        let call = self.request(Method::POST, path);
        call.query(|query| {
            query.add("h", &height.to_string()).add("w", &width.to_string());
        })
        .done()
        .await
    }
    /// `GET /containers/{id}/logs`.
    pub async fn container_logs(&self, id: &str, logs: &LogsQuery) -> Result<Response> {
        let call = self.request(Method::GET, &path(id, "logs"));
        let call = call.query(|query| {
            query.flag("details", logs.details).flag("follow", logs.follow).text("since", &logs.since);
            query.flag("stderr", logs.stderr).flag("stdout", logs.stdout).text("tail", &logs.tail);
            query.flag("timestamps", logs.timestamps).text("until", &logs.until);
        });
        call.send().await
    }
    /// `GET /containers/{id}/top`.
    pub async fn container_top(&self, id: &str, arguments: &str) -> Result<ContainerTopResponse> {
        let call = self.request(Method::GET, &path(id, "top"));
        call.query(|query| {
            query.text("ps_args", arguments);
        })
        .fetch()
        .await
    }
    /// `GET /containers/{id}/stats`.
    pub async fn container_stats(&self, id: &str, stream: bool) -> Result<StatsStream> {
        let call = self.request(Method::GET, &path(id, "stats"));
        let call = call.query(|query| {
            query.add("stream", if stream { "1" } else { "0" });
        });
        Ok(call.send().await?.messages())
    }
    /// `GET /containers/{id}/changes`.
    pub async fn container_changes(&self, id: &str) -> Result<Vec<FilesystemChange>> {
        let changes: Option<Vec<_>> = self.request(Method::GET, &path(id, "changes")).fetch().await?;
        Ok(changes.unwrap_or_default())
    }
    /// `GET /containers/{id}/export`: a tar.
    pub async fn container_export(&self, id: &str) -> Result<Response> {
        self.request(Method::GET, &path(id, "export")).send().await
    }
    /// `POST /containers/{id}/update`.
    pub async fn container_update(
        &self,
        id: &str,
        update: &ContainerUpdateRequest,
    ) -> Result<ContainerUpdateResponse> {
        self.request(Method::POST, &path(id, "update")).json(update).fetch().await
    }
    /// `POST /commit`.
    pub async fn container_commit(&self, id: &str, commit: &CommitQuery) -> Result<IdResponse> {
        let call = self.request(Method::POST, "/commit");
        let call = call.query(|query| {
            query.add("author", &commit.author);
            for change in &commit.changes {
                query.add("changes", change);
            }
            query.add("comment", &commit.comment).add("container", id);
            if commit.no_pause {
                query.add("pause", "0");
            }
            query.add("repo", &commit.repository).add("tag", &commit.tag);
        });
        call.fetch().await
    }
    /// `HEAD /containers/{id}/archive`: what stands at `at`.
    pub async fn container_stat(&self, id: &str, at: &str) -> Result<ContainerPathStat> {
        let call = self.request(Method::HEAD, &path(id, "archive"));
        let response = call
            .query(|query| {
                query.add("path", at);
            })
            .send()
            .await?;
        path_stat(&response)
    }
    /// `GET /containers/{id}/archive`: what stands at `at`, and its tar.
    pub async fn container_archive(&self, id: &str, at: &str) -> Result<(ContainerPathStat, Response)> {
        let call = self.request(Method::GET, &path(id, "archive"));
        let response = call
            .query(|query| {
                query.add("path", at);
            })
            .send()
            .await?;
        Ok((path_stat(&response)?, response))
    }
    /// `PUT /containers/{id}/archive`: unpacks a tar in the directory `at`.
    pub async fn container_unpack(
        &self,
        id: &str,
        at: &str,
        overwrite_directory: bool,
        copy_uid_gid: bool,
        tar: mpsc::Receiver<io::Result<Bytes>>,
    ) -> Result<()> {
        let call = self.request(Method::PUT, &path(id, "archive"));
        let call = call.query(|query| {
            if copy_uid_gid {
                query.add("copyUIDGID", "true");
            }
            if !overwrite_directory {
                query.add("noOverwriteDirNonDir", "true");
            }
            query.add("path", at);
        });
        call.stream("application/x-tar", tar).done().await
    }
}

fn path_stat(response: &Response) -> Result<ContainerPathStat> {
    use base64::Engine as _;
    let header = response.header("x-docker-container-path-stat").unwrap_or_default();
    let decoded = base64::engine::general_purpose::STANDARD.decode(header).unwrap_or_default();
    serde_json::from_slice(&decoded)
        .map_err(|source| crate::Error::Decode { path: response.path().into(), source })
}

//! Calls about processes started in a running container.

use crate::{Client, Hijacked, Result};
use hull_api_types::{ExecCreateRequest, ExecInspect, ExecStartRequest, IdResponse};
use hyper::Method;

impl Client {
    /// `POST /containers/{id}/exec`.
    pub async fn exec_create(&self, container: &str, request: &ExecCreateRequest) -> Result<IdResponse> {
        self.request(Method::POST, &format!("/containers/{container}/exec")).json(request).fetch().await
    }
    /// `POST /exec/{id}/start`, in the background.
    pub async fn exec_start(&self, id: &str, request: &ExecStartRequest) -> Result<()> {
        self.request(Method::POST, &format!("/exec/{id}/start")).json(request).done().await
    }
    /// `POST /exec/{id}/start`, with its streams.
    pub async fn exec_attach(&self, id: &str, request: &ExecStartRequest) -> Result<Hijacked> {
        self.request(Method::POST, &format!("/exec/{id}/start")).json(request).hijack().await
    }
    /// `GET /exec/{id}/json`.
    pub async fn exec_inspect(&self, id: &str) -> Result<ExecInspect> {
        self.request(Method::GET, &format!("/exec/{id}/json")).fetch().await
    }
    /// `POST /exec/{id}/resize`.
    pub async fn exec_resize(&self, id: &str, height: u16, width: u16) -> Result<()> {
        self.resize(&format!("/exec/{id}/resize"), height, width).await
    }
}

//! Exec: a further process in a running container.

use crate::{Map, is_default, null};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExecCreateRequest {
    #[serde(deserialize_with = "null")]
    pub user: String,
    #[serde(deserialize_with = "null")]
    pub privileged: bool,
    #[serde(deserialize_with = "null")]
    pub tty: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_size: Option<[u32; 2]>,
    #[serde(deserialize_with = "null")]
    pub attach_stdin: bool,
    #[serde(deserialize_with = "null")]
    pub attach_stderr: bool,
    #[serde(deserialize_with = "null")]
    pub attach_stdout: bool,
    #[serde(deserialize_with = "null")]
    pub detach: bool,
    #[serde(deserialize_with = "null")]
    pub detach_keys: String,
    pub env: Option<Vec<String>>,
    #[serde(deserialize_with = "null")]
    pub working_dir: String,
    #[serde(deserialize_with = "crate::container::words")]
    pub cmd: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExecStartRequest {
    #[serde(deserialize_with = "null")]
    pub detach: bool,
    #[serde(deserialize_with = "null")]
    pub tty: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_size: Option<[u32; 2]>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExecProcessConfig {
    pub tty: bool,
    pub entrypoint: String,
    #[serde(deserialize_with = "null")]
    pub arguments: Vec<String>,
    pub privileged: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub user: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExecInspect {
    #[serde(rename = "ID")]
    pub id: String,
    pub running: bool,
    pub exit_code: Option<i64>,
    pub process_config: ExecProcessConfig,
    pub open_stdin: bool,
    pub open_stderr: bool,
    pub open_stdout: bool,
    pub can_remove: bool,
    #[serde(rename = "ContainerID")]
    pub container_id: String,
    pub detach_keys: Option<String>,
    pub pid: i64,
}

/// Answers of the form `{"Id": "…"}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IdResponse {
    pub id: String,
}

/// Labels and such, key to value.
pub type Labels = Map<String>;

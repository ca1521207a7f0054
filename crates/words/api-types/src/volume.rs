//! Volumes.

use crate::{Map, is_default, null};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeUsage {
    pub size: i64,
    pub ref_count: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Volume {
    /// RFC 3339, whole seconds.
    #[serde(skip_serializing_if = "is_default")]
    pub created_at: String,
    pub driver: String,
    pub labels: Option<Map<String>>,
    pub mountpoint: String,
    pub name: String,
    pub options: Option<Map<String>>,
    pub scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Map<serde_json::Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_data: Option<VolumeUsage>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeCreateOptions {
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null")]
    pub name: String,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null")]
    pub driver: String,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null")]
    pub driver_opts: Map<String>,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null")]
    pub labels: Map<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeListResponse {
    #[serde(deserialize_with = "null")]
    pub volumes: Vec<Volume>,
    pub warnings: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumesPruneResponse {
    pub volumes_deleted: Option<Vec<String>>,
    pub space_reclaimed: u64,
}

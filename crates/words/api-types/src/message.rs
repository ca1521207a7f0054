//! Streams of JSON messages: progress of pulls and pushes, events, errors.

use crate::{Map, is_default, null};
use serde::{Deserialize, Serialize};

/// `{"message": "…"}`, the body of every error.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ErrorResponse {
    pub message: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JsonError {
    #[serde(skip_serializing_if = "is_default")]
    pub code: i64,
    pub message: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JsonProgress {
    #[serde(skip_serializing_if = "is_default")]
    pub current: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub total: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub hidecounts: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub units: String,
}

/// One message of a progress stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JsonMessage {
    #[serde(skip_serializing_if = "is_default")]
    pub stream: String,
    #[serde(skip_serializing_if = "is_default")]
    pub status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_detail: Option<JsonProgress>,
    /// The bar, for clients before 1.48.
    #[serde(skip_serializing_if = "is_default")]
    pub progress: String,
    #[serde(skip_serializing_if = "is_default")]
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_detail: Option<JsonError>,
    #[serde(skip_serializing_if = "is_default")]
    pub error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aux: Option<serde_json::Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventActor {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(rename = "Attributes", deserialize_with = "null")]
    pub attributes: Map<String>,
}

/// One message of `GET /events`. `status`, `id` and `from` are for clients up to 1.51, on container and image events.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventMessage {
    #[serde(skip_serializing_if = "is_default")]
    pub status: String,
    #[serde(skip_serializing_if = "is_default")]
    pub id: String,
    #[serde(skip_serializing_if = "is_default")]
    pub from: String,
    /// `container`, `image`, `volume`, `network`, `daemon`…
    #[serde(rename = "Type")]
    pub kind: String,
    #[serde(rename = "Action")]
    pub action: String,
    #[serde(rename = "Actor")]
    pub actor: EventActor,
    /// Always `local` here.
    pub scope: String,
    /// Seconds since the epoch.
    pub time: i64,
    /// Nanoseconds since the epoch.
    pub time_nano: i64,
}

impl EventMessage {
    /// An event of this moment, with the older clients' fields filled in.
    pub fn now(kind: &str, action: &str, id: &str, attributes: Map<String>) -> Self {
        let at = hull_types::Timestamp::now();
        let legacy = matches!(kind, "container" | "image");
        Self {
            status: if legacy { action.into() } else { String::new() },
            id: if legacy { id.into() } else { String::new() },
            from: if kind == "container" {
                attributes.get("image").cloned().unwrap_or_default()
            } else {
                String::new()
            },
            kind: kind.into(),
            action: action.into(),
            actor: EventActor { id: id.into(), attributes },
            scope: "local".into(),
            time: at.seconds,
            time_nano: at.unix_nanoseconds() as i64,
        }
    }
}

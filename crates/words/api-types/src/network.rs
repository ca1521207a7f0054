//! Networks and endpoints.

use crate::{Map, is_default, null};
use hull_types::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EndpointIpamConfig {
    #[serde(rename = "IPv4Address", skip_serializing_if = "is_default", deserialize_with = "null")]
    pub ipv4_address: String,
    #[serde(rename = "IPv6Address", skip_serializing_if = "is_default", deserialize_with = "null")]
    pub ipv6_address: String,
    #[serde(rename = "LinkLocalIPs", skip_serializing_if = "is_default", deserialize_with = "null")]
    pub link_local_ips: Vec<String>,
}

/// A container's place in one network: what was asked for, and, while it runs, what it got.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EndpointSettings {
    #[serde(rename = "IPAMConfig")]
    pub ipam_config: Option<EndpointIpamConfig>,
    pub links: Option<Vec<String>>,
    pub aliases: Option<Vec<String>>,
    #[serde(deserialize_with = "null")]
    pub mac_address: String,
    pub driver_opts: Option<Map<String>>,
    #[serde(deserialize_with = "null")]
    pub gw_priority: i64,
    #[serde(rename = "NetworkID", deserialize_with = "null")]
    pub network_id: String,
    #[serde(rename = "EndpointID", deserialize_with = "null")]
    pub endpoint_id: String,
    #[serde(deserialize_with = "null")]
    pub gateway: String,
    #[serde(rename = "IPAddress", deserialize_with = "null")]
    pub ip_address: String,
    #[serde(rename = "IPPrefixLen", deserialize_with = "null")]
    pub ip_prefix_len: i64,
    #[serde(rename = "IPv6Gateway", deserialize_with = "null")]
    pub ipv6_gateway: String,
    #[serde(rename = "GlobalIPv6Address", deserialize_with = "null")]
    pub global_ipv6_address: String,
    #[serde(rename = "GlobalIPv6PrefixLen", deserialize_with = "null")]
    pub global_ipv6_prefix_len: i64,
    #[serde(rename = "DNSNames")]
    pub dns_names: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkingConfig {
    #[serde(deserialize_with = "endpoints")]
    pub endpoints_config: Map<EndpointSettings>,
}

/// Clients send null for an endpoint without settings.
fn endpoints<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Map<EndpointSettings>, D::Error> {
    let map = Option::<Map<Option<EndpointSettings>>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(map.into_iter().map(|(name, settings)| (name, settings.unwrap_or_default())).collect())
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IpamConfig {
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null")]
    pub subnet: String,
    #[serde(rename = "IPRange", skip_serializing_if = "is_default", deserialize_with = "null")]
    pub ip_range: String,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null")]
    pub gateway: String,
    #[serde(rename = "AuxiliaryAddresses", skip_serializing_if = "is_default", deserialize_with = "null")]
    pub auxiliary_addresses: Map<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ipam {
    #[serde(deserialize_with = "null")]
    pub driver: String,
    pub options: Option<Map<String>>,
    #[serde(deserialize_with = "null")]
    pub config: Vec<IpamConfig>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ConfigReference {
    #[serde(deserialize_with = "null")]
    pub network: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkContainer {
    pub name: String,
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    pub mac_address: String,
    #[serde(rename = "IPv4Address")]
    pub ipv4_address: String,
    #[serde(rename = "IPv6Address")]
    pub ipv6_address: String,
}

/// The answer of `GET /networks/{id}`; lists have the same rows, with `containers` empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Network {
    pub name: String,
    pub id: String,
    pub created: Timestamp,
    pub scope: String,
    pub driver: String,
    #[serde(rename = "EnableIPv4")]
    pub enable_ipv4: bool,
    #[serde(rename = "EnableIPv6")]
    pub enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    pub ipam: Ipam,
    pub internal: bool,
    pub attachable: bool,
    pub ingress: bool,
    pub config_from: ConfigReference,
    pub config_only: bool,
    #[serde(deserialize_with = "null")]
    pub containers: Map<NetworkContainer>,
    #[serde(deserialize_with = "null")]
    pub options: Map<String>,
    #[serde(deserialize_with = "null")]
    pub labels: Map<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkCreateRequest {
    pub name: String,
    #[serde(deserialize_with = "null")]
    pub driver: String,
    #[serde(deserialize_with = "null")]
    pub scope: String,
    /// Until 1.43, without effect. Clients that send it know nothing of what came later.
    #[serde(skip_serializing)]
    pub check_duplicate: Option<bool>,
    #[serde(rename = "EnableIPv4", skip_serializing_if = "Option::is_none")]
    pub enable_ipv4: Option<bool>,
    #[serde(rename = "EnableIPv6", skip_serializing_if = "Option::is_none")]
    pub enable_ipv6: Option<bool>,
    #[serde(rename = "IPAM", skip_serializing_if = "Option::is_none")]
    pub ipam: Option<Ipam>,
    #[serde(deserialize_with = "null")]
    pub internal: bool,
    #[serde(deserialize_with = "null")]
    pub attachable: bool,
    #[serde(deserialize_with = "null")]
    pub ingress: bool,
    #[serde(deserialize_with = "null")]
    pub config_only: bool,
    pub config_from: Option<ConfigReference>,
    #[serde(deserialize_with = "null")]
    pub options: Map<String>,
    #[serde(deserialize_with = "null")]
    pub labels: Map<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkCreateResponse {
    pub id: String,
    pub warning: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkConnectRequest {
    pub container: String,
    pub endpoint_config: Option<EndpointSettings>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkDisconnectRequest {
    pub container: String,
    #[serde(deserialize_with = "null")]
    pub force: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworksPruneResponse {
    pub networks_deleted: Option<Vec<String>>,
}

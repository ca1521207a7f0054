//! Operating system, architecture and variant of an image (image specification, "Image Index", `platform`).

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A platform such as `linux/arm64/v8`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Platform {
    /// Go's GOARCH name, such as `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// Go's GOOS name, such as `linux`.
    #[serde(default)]
    pub os: String,
    /// The operating system's version; Windows only.
    #[serde(rename = "os.version", default, skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// Features that the operating system must have.
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// The architecture's variant, such as `v8`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl Platform {
    /// The platform this program runs on.
    pub fn host() -> Self {
        let (architecture, variant) = normalize(std::env::consts::ARCH, "");
        Self { os: "linux".into(), architecture, variant, ..Self::default() }
    }
    /// Whether an image of platform `offered` serves one who asks for `self`.
    pub fn matches(&self, offered: &Platform) -> bool {
        let (architecture, variant) = normalize(&offered.architecture, &offered.variant);
        let (wanted, wanted_variant) = normalize(&self.architecture, &self.variant);
        self.os == offered.os
            && wanted == architecture
            && (wanted_variant == variant || wanted_variant.is_empty())
    }
}

fn normalize(architecture: &str, variant: &str) -> (String, String) {
    match (architecture, variant) {
        ("x86_64" | "x86-64", "v1") | ("amd64", "v1") => ("amd64".into(), String::new()),
        ("x86_64" | "x86-64", v) => ("amd64".into(), v.into()),
        ("aarch64" | "arm64", "8" | "v8" | "") => ("arm64".into(), "v8".into()),
        ("aarch64", v) => ("arm64".into(), v.into()),
        ("i386" | "i486" | "i586" | "i686" | "x86", _) => ("386".into(), String::new()),
        ("armhf", _) => ("arm".into(), "v7".into()),
        ("armel", _) => ("arm".into(), "v6".into()),
        ("arm", "") => ("arm".into(), "v7".into()),
        (a, v) => (a.into(), v.into()),
    }
}

/// Why a text is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is an invalid OS component of a platform: expected os[/architecture[/variant]], such as linux/arm64"
)]
pub struct PlatformError(pub String);

impl FromStr for Platform {
    type Err = PlatformError;
    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let plain =
            |p: &&str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if parts.len() > 3 || !parts.iter().all(plain) {
            return Err(PlatformError(text.into()));
        }
        let known_os = ["linux", "windows", "darwin", "freebsd"];
        let lower = text.to_ascii_lowercase();
        let parts: Vec<&str> = lower.split('/').collect();
        let (os, architecture, variant) = match parts.as_slice() {
            [one] if known_os.contains(one) => (*one, std::env::consts::ARCH, ""),
            [one] => ("linux", *one, ""),
            [os, architecture] => (*os, *architecture, ""),
            [os, architecture, variant] => (*os, *architecture, *variant),
            _ => return Err(PlatformError(text.into())),
        };
        let (architecture, variant) = normalize(architecture, variant);
        Ok(Self { os: os.into(), architecture, variant, ..Self::default() })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalized() {
        for (text, shown) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/arm64", "linux/arm64/v8"),
            ("arm", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm/v6"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), shown);
        }
        assert!("a/b/c/d".parse::<Platform>().is_err());
        assert!("linux//v8".parse::<Platform>().is_err());
    }

    #[test]
    fn an_offer_without_variant_serves_arm64() {
        let wanted: Platform = "linux/arm64".parse().unwrap();
        let offered = Platform { os: "linux".into(), architecture: "arm64".into(), ..Default::default() };
        assert!(wanted.matches(&offered));
    }
}

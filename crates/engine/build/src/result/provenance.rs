//! How an image came to be: SLSA provenance 0.2, as BuildKit writes it by default, without what would make the same
//! build differ from itself (times, an invocation's id) and without what is nobody's business (secrets; build
//! arguments unless `mode=max` asks for them).

use super::Solved;
use crate::error::Result;
use hull_types::{Digest, ImageRef, Platform};
use serde_json::{Map, Value, json};

pub(super) const PREDICATE: &str = "https://slsa.dev/provenance/v0.2";
const BUILD_TYPE: &str = "https://mobyproject.org/buildkit@v1";

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    Off,
    /// What it was made of.
    Min,
    /// Arguments, labels and the Dockerfile, too.
    Max,
}

/// Something that a build took in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Material {
    pub(crate) uri: String,
    pub(crate) digest: Option<Digest>,
}

pub(super) fn predicate(solved: &Solved, mode: Mode) -> Result<Value> {
    let (build, request) = (&solved.build, &solved.build.request);
    let materials: Vec<Value> = build
        .materials()
        .into_iter()
        .map(|material| match material.digest {
            Some(digest) => json!({ "uri": material.uri, "digest": { digest.algorithm(): digest.hex() } }),
            None => json!({ "uri": material.uri }),
        })
        .collect();
    let mut parameters = Map::new();
    parameters.insert("frontend".into(), "dockerfile.v0".into());
    let mut args = Map::new();
    if !request.target.is_empty() {
        args.insert("target".into(), request.target.clone().into());
    }
    if request.no_cache {
        args.insert("no-cache".into(), "".into());
    }
    if mode == Mode::Max {
        args.extend(
            request.args.iter().map(|(name, value)| (format!("build-arg:{name}"), value.clone().into())),
        );
        args.extend(
            request.labels.iter().map(|(name, value)| (format!("label:{name}"), value.clone().into())),
        );
        let ids: Vec<Value> =
            request.secrets.keys().map(|id| json!({ "id": id, "optional": true })).collect();
        if !ids.is_empty() {
            parameters.insert("secrets".into(), ids.into());
        }
        let ids: Vec<Value> = request.ssh.keys().map(|id| json!({ "id": id, "optional": true })).collect();
        if !ids.is_empty() {
            parameters.insert("ssh".into(), ids.into());
        }
    }
    if !args.is_empty() {
        parameters.insert("args".into(), args.into());
    }
    parameters.insert("locals".into(), json!([{ "name": "context" }, { "name": "dockerfile" }]));
    let mut predicate = json!({
        "builder": { "id": request.attest.builder_id },
        "buildType": BUILD_TYPE,
        "materials": materials,
        "invocation": {
            "configSource": { "entryPoint": request.dockerfile_name },
            "parameters": parameters,
            "environment": { "platform": Platform::host().to_string() },
        },
        "metadata": {
            "completeness": { "parameters": mode == Mode::Max, "environment": true, "materials": false },
            "reproducible": false,
        },
    });
    if mode == Mode::Max {
        let digest = hull_content::digest_of(request.dockerfile.as_bytes());
        predicate["invocation"]["configSource"]["digest"] = json!({ digest.algorithm(): digest.hex() });
        predicate["metadata"]["https://mobyproject.org/buildkit@v1#metadata"] = json!({
            "source": { "infos": [{ "filename": request.dockerfile_name, "data": encoded(&request.dockerfile) }] },
        });
    }
    Ok(predicate)
}

fn encoded(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// An image's name as a package URL.
pub(crate) fn purl(name: &ImageRef, digest: Option<&Digest>, platform: &Platform) -> String {
    let mut text = format!("pkg:docker/{}", name.familiar_name().replace(':', "%3A"));
    if let Some(tag) = name.tag() {
        text.push_str(&format!("@{tag}"));
    }
    let platform = platform.to_string().replace('/', "%2F");
    let digest = digest.map(|digest| format!("digest={digest}&")).unwrap_or_default();
    format!("{text}?{digest}platform={platform}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_package_urls() {
        let platform: Platform = "linux/amd64".parse().unwrap();
        let name: ImageRef = "alpine:3.18".parse().unwrap();
        assert_eq!(purl(&name, None, &platform), "pkg:docker/alpine@3.18?platform=linux%2Famd64");
        let name: ImageRef = "127.0.0.1:5000/a/b:c".parse().unwrap();
        assert_eq!(purl(&name, None, &platform), "pkg:docker/127.0.0.1%3A5000/a/b@c?platform=linux%2Famd64");
    }
}

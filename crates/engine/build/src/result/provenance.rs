//! How an image came to be: SLSA provenance 0.2 or 1, in BuildKit's fields, without what would make the same
//! build differ from itself (times, an invocation's id) and without what is nobody's business (secrets; build
//! arguments unless `mode=max` asks for them).

use super::Solved;
use hull_types::{Digest, ImageRef, Platform};
use serde_json::{Map, Value, json};

const PREDICATE_V02: &str = "https://slsa.dev/provenance/v0.2";
const PREDICATE_V1: &str = "https://slsa.dev/provenance/v1";
const BUILD_TYPE_V02: &str = "https://mobyproject.org/buildkit@v1";
const BUILD_TYPE_V1: &str =
    "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md";

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

/// The form of the statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// SLSA 0.2, which is written by default.
    #[default]
    V02,
    /// SLSA 1.
    V1,
}

/// Something that a build took in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Material {
    pub(crate) uri: String,
    pub(crate) digest: Option<Digest>,
}

/// What a build came from, and the type of this statement.
pub(super) fn predicate(solved: &Solved, mode: Mode) -> (&'static str, Value) {
    let request = &solved.build.request;
    match request.attest.version {
        Version::V02 => (PREDICATE_V02, v02(solved, mode)),
        Version::V1 => (PREDICATE_V1, v1(solved, mode)),
    }
}

fn v02(solved: &Solved, mode: Mode) -> Value {
    let (build, request) = (&solved.build, &solved.build.request);
    let mut predicate = json!({
        "builder": { "id": request.attest.builder_id },
        "buildType": BUILD_TYPE_V02,
        "materials": materials(solved),
        "invocation": {
            "configSource": source(solved, mode, "entryPoint"),
            "parameters": parameters(solved, mode),
            "environment": { "platform": Platform::host().to_string() },
        },
        "metadata": {
            "completeness": { "parameters": mode == Mode::Max, "environment": true, "materials": false },
            "reproducible": request.attest.reproducible,
            "https://mobyproject.org/buildkit@v1#hermetic": build.is_hermetic(),
        },
    });
    if mode == Mode::Max {
        predicate["metadata"]["https://mobyproject.org/buildkit@v1#metadata"] = dockerfile(solved);
    }
    predicate
}

fn v1(solved: &Solved, mode: Mode) -> Value {
    let (build, request) = (&solved.build, &solved.build.request);
    let mut predicate = json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE_V1,
            "externalParameters": {
                "configSource": source(solved, mode, "path"),
                "request": parameters(solved, mode),
            },
            "internalParameters": { "builderPlatform": Platform::host().to_string() },
            "resolvedDependencies": materials(solved),
        },
        "runDetails": {
            "builder": { "id": request.attest.builder_id },
            "metadata": {
                "buildkit_hermetic": build.is_hermetic(),
                "buildkit_completeness": { "request": mode == Mode::Max, "resolvedDependencies": false },
                "buildkit_reproducible": request.attest.reproducible,
            },
        },
    });
    if mode == Mode::Max {
        predicate["runDetails"]["metadata"]["buildkit_metadata"] = dockerfile(solved);
    }
    predicate
}

fn materials(solved: &Solved) -> Vec<Value> {
    let value = |material: Material| match material.digest {
        Some(digest) => json!({ "uri": material.uri, "digest": { digest.algorithm(): digest.hex() } }),
        None => json!({ "uri": material.uri }),
    };
    solved.build.materials().into_iter().map(value).collect()
}

/// The Dockerfile: its name, under the key that the version has for it, and its digest.
fn source(solved: &Solved, mode: Mode, key: &str) -> Value {
    let request = &solved.build.request;
    let mut source = json!({ key: request.dockerfile_name });
    if mode == Mode::Max {
        let digest = hull_content::digest_of(request.dockerfile.as_bytes());
        source["digest"] = json!({ digest.algorithm(): digest.hex() });
    }
    source
}

fn dockerfile(solved: &Solved) -> Value {
    let request = &solved.build.request;
    let text = encoded(&request.dockerfile);
    json!({ "source": { "infos": [{ "filename": request.dockerfile_name, "data": text }] } })
}

/// What was asked for.
fn parameters(solved: &Solved, mode: Mode) -> Map<String, Value> {
    let request = &solved.build.request;
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
    parameters
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

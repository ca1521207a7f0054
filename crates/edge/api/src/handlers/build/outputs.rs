//! What a build's options say of platforms, outputs, attestations and caches; and the outputs that clients get.

use super::hull::source;
use crate::request::Call;
use crate::response::{self, Outcome};
use crate::status::Failure;
use hull_api_types::Map;
use hull_api_types::build::{BuildOptions, BuildOutput, BuildPlace, BuildPlatform, BuildResult};
use hull_build::{
    Attest, BuildRequest, Builder, CachePlace, CacheSource, CacheTarget, Checkout, Mode, Output, Product,
    Version,
};
use hull_dockerfile::hint;
use hull_image::{Compression, Packing};
use hull_types::{ImageRef, Platform};

/// The ways of a build besides its request.
pub struct Ways {
    pub platforms: Vec<Platform>,
    pub outputs: Vec<Output>,
    attest: Attest,
    cache_from: Vec<CacheSource>,
    cache_to: Vec<CacheTarget>,
    inline_cache: bool,
}

impl Ways {
    pub async fn read(builder: &Builder, options: &BuildOptions) -> Result<Self, Failure> {
        let invalid = |error: &dyn std::fmt::Display| Failure::invalid(error.to_string());
        let platforms = options.platforms.iter().map(|text| text.parse::<Platform>());
        let platforms: Vec<Platform> =
            platforms.collect::<Result<_, _>>().map_err(|error| invalid(&error))?;
        let names = options.tags.iter().map(|text| name(text)).collect::<Result<Vec<_>, _>>()?;
        let mut outputs = Vec::new();
        for output in &options.outputs {
            outputs.extend(Output::read(&output.kind, &output.attributes, &names)?);
        }
        if options.outputs.is_empty() && !options.without_image {
            outputs.push(Output::store(names));
        }
        let mut cache_from = Vec::new();
        for place in &options.cache_from {
            cache_from.push(cache_source(builder, place).await?);
        }
        let (inline, others): (Vec<_>, Vec<_>) =
            options.cache_to.iter().partition(|place| place.kind == "inline");
        let cache_to = others.into_iter().map(cache_target).collect::<Result<_, _>>()?;
        let attest = attest(&options.attests)?;
        // As BuildKit's frontend is asked for it by who has no --cache-to.
        let argument =
            options.args.get("BUILDKIT_INLINE_CACHE").is_some_and(|text| text == "1" || text == "true");
        let inline_cache = argument || !inline.is_empty();
        Ok(Self { platforms, outputs, attest, cache_from, cache_to, inline_cache })
    }

    /// The request with all that is its own.
    pub fn apply(&self, request: BuildRequest) -> BuildRequest {
        BuildRequest {
            attest: self.attest.clone(),
            cache_from: self.cache_from.clone(),
            cache_to: self.cache_to.clone(),
            inline_cache: self.inline_cache,
            ..request
        }
    }
}

fn name(text: &str) -> Result<ImageRef, Failure> {
    let parsed: Result<ImageRef, _> = text.parse();
    parsed
        .map(ImageRef::or_latest)
        .map_err(|error| Failure::invalid(format!("invalid name {text:?}: {error}")))
}

fn given<'a>(place: &'a BuildPlace, key: &str) -> &'a str {
    place.attributes.get(key).map(String::as_str).unwrap_or_default()
}

async fn cache_source(builder: &Builder, place: &BuildPlace) -> Result<CacheSource, Failure> {
    match place.kind.as_str() {
        "registry" => Ok(CacheSource::Registry(name(given(place, "ref"))?)),
        "local" => {
            let files = source(builder, given(place, "context"), "", Checkout::default()).await?;
            Ok(CacheSource::Files(given(place, "src").to_owned(), files))
        }
        other => Err(unknown_cache(other)),
    }
}

fn unknown_cache(kind: &str) -> Failure {
    let hint = hint(kind, ["registry", "local", "inline"]);
    Failure::invalid(format!("unknown cache type {kind:?}{hint}: registry, local and inline are known"))
}

fn cache_target(place: &BuildPlace) -> Result<CacheTarget, Failure> {
    let target = match place.kind.as_str() {
        "registry" => CachePlace::Registry(name(given(place, "ref"))?),
        "local" => CachePlace::Files,
        other => return Err(unknown_cache(other)),
    };
    let max = match given(place, "mode") {
        "" | "min" => false,
        "max" => true,
        other => return Err(Failure::invalid(format!("invalid cache mode {other:?}: min or max"))),
    };
    let compression = match given(place, "compression") {
        "" | "gzip" => Compression::Gzip,
        "zstd" => Compression::Zstd,
        "uncompressed" => Compression::Uncompressed,
        other => return Err(Failure::invalid(format!("unsupported compression type {other:?}"))),
    };
    let level = match given(place, "compression-level") {
        "" => None,
        text => {
            Some(text.parse().map_err(|_| Failure::invalid(format!("invalid compression-level {text:?}")))?)
        }
    };
    let packing = Packing { compression, level, ..Packing::default() };
    Ok(CacheTarget { place: target, max, packing, ignore_error: given(place, "ignore-error") == "true" })
}

/// `provenance` and `sbom` with their attributes.
fn attest(given: &Map<String>) -> Result<Attest, Failure> {
    let mut attest = Attest::default();
    for (kind, text) in given {
        let mut wanted = true;
        let mut mode = Mode::Min;
        for part in text.split(',').filter(|part| !part.is_empty()) {
            match (kind.as_str(), part.split_once('=').unwrap_or((part, ""))) {
                (_, ("true", "") | ("disabled", "false")) => {}
                (_, ("false", "") | ("disabled", "true")) => wanted = false,
                ("provenance", ("mode", "min")) => mode = Mode::Min,
                ("provenance", ("mode", "max")) => mode = Mode::Max,
                ("provenance", ("builder-id", id)) => attest.builder_id = id.to_owned(),
                ("provenance", ("version", "v0.2")) => attest.version = Version::V02,
                ("provenance", ("version", "v1")) => attest.version = Version::V1,
                ("provenance", ("reproducible", truth @ ("true" | "false"))) => {
                    attest.reproducible = truth == "true";
                }
                ("provenance", ("inline-only", _)) => {}
                ("sbom", ("generator", image)) => {
                    return Err(Failure::invalid(format!(
                        "the SBOM generator {image} cannot be run: Hull scans images itself, use --sbom=true"
                    )));
                }
                _ => {
                    return Err(Failure::invalid(format!(
                        "unknown attribute {part:?} of the attestation {kind}"
                    )));
                }
            }
        }
        match kind.as_str() {
            "provenance" => attest.provenance = Some(if wanted { mode } else { Mode::Off }),
            "sbom" => attest.sbom = wanted,
            other => {
                let hint = hint(other, ["provenance", "sbom"]);
                let text = format!("unknown attestation {other:?}{hint}: provenance and sbom are known");
                return Err(Failure::invalid(text));
            }
        }
    }
    Ok(attest)
}

/// What a client is told of a result: image, topmost layer, all.
pub fn done(product: &Product) -> (String, String, BuildResult) {
    let platform = |one: &hull_build::Finished| BuildPlatform {
        platform: one.platform.to_string(),
        top: one.top.as_ref().map(|top| top.0.to_string()).unwrap_or_default(),
        config: one.config.as_ref().map(ToString::to_string).unwrap_or_default(),
    };
    let output = |given: &hull_build::Given| BuildOutput {
        descriptor: given.root.clone(),
        config: given.config.as_ref().map(ToString::to_string).unwrap_or_default(),
        names: given.output.names.iter().map(ToString::to_string).collect(),
    };
    let result = BuildResult {
        id: String::new(),
        reference: String::new(),
        platforms: product.platforms.iter().map(platform).collect(),
        outputs: product.outputs.iter().map(output).collect(),
        caches: product.caches(),
    };
    let image = product.image.as_ref().map(ToString::to_string).unwrap_or_default();
    let top = result.platforms.first().map(|platform| platform.top.clone()).unwrap_or_default();
    (image, top, result)
}

/// An output or a cache as one archive.
pub async fn get(builder: Builder, call: Call) -> Outcome {
    let product = builder.kept(call.param("id"))?;
    let number: usize =
        call.param("number").parse().map_err(|_| Failure::invalid("an output's number is a number"))?;
    let caches = match call.param("kind") {
        "archives" => false,
        "caches" => true,
        other => return Err(Failure::invalid(format!("{other:?} is neither archives nor caches"))),
    };
    response::written("application/x-tar", move |writer| match caches {
        true => product.cache(number, writer),
        false => product.archive(number, writer),
    })
}

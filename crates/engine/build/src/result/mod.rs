//! What becomes of a build: manifests for each platform, what is attested of them, the index over both, and where
//! all of it goes. Files on the client's machine are the client's to write: it gets archives and trees.

mod annotation;
mod inline;
mod kept;
mod manifest;
mod output;
mod provenance;
mod sbom;

pub use annotation::Annotation;
pub(crate) use inline::FIELD as INLINE_FIELD;
pub use kept::Kept;
pub(crate) use kept::Products;
pub use output::{Kind, Output};
pub(crate) use provenance::{Material, purl};
pub use provenance::{Mode, Version};

use crate::build::{Build, blocking};
use crate::builder::Builder;
use crate::error::{Error, Result};
use crate::progress::{Event, Progress, StepInfo};
use crate::request::BuildRequest;
use crate::stage::State;
use futures::{StreamExt, TryStreamExt};
use hull_api_types::JsonMessage;
use hull_dockerfile::{Span, lint::Finding};
use hull_image::{Form, Packing, Parcel};
use hull_types::oci::image::{Descriptor, ImageConfig};
use hull_types::{ChainId, Digest, ImageRef, Platform};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is said of the result beside the result.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attest {
    /// How it came to be; `None` where nobody said: then outputs that leave this machine say the least.
    pub provenance: Option<Mode>,
    /// In which form that is told.
    pub version: Version,
    /// Who built it, for the provenance.
    pub builder_id: String,
    /// Whether whoever asked says that the build gives the same each time.
    pub reproducible: bool,
    /// What is in it.
    pub sbom: bool,
}

/// A build of one platform that came to an end.
pub(crate) struct Solved {
    pub(crate) build: Arc<Build>,
    pub(crate) state: Arc<State>,
    pub(crate) findings: Vec<Finding>,
}

/// One platform's result.
#[derive(Debug, Clone)]
pub struct Finished {
    /// For what.
    pub platform: Platform,
    /// The topmost layer.
    pub top: Option<ChainId>,
    /// The digest of the configuration.
    pub config: Option<Digest>,
    /// What the lint rules found.
    pub findings: Vec<Finding>,
}

/// What one output came to.
pub struct Given {
    /// What was asked for.
    pub output: Output,
    /// What names stand for: a manifest or an index; none for an image that only has its rows here.
    pub root: Option<Descriptor>,
    /// The configuration of the image, or of the first of several.
    pub config: Option<Digest>,
    /// For archives: everything.
    parcel: Option<Parcel>,
    annotations: BTreeMap<String, String>,
}

/// A build's results. What it holds of the stores it holds until it is dropped.
pub struct Product {
    /// By platform.
    pub platforms: Vec<Finished>,
    /// By output.
    pub outputs: Vec<Given>,
    /// The image here, where one was wanted.
    pub image: Option<Digest>,
    pub(crate) caches: Vec<Parcel>,
}

impl Product {
    /// How many caches a client is to get.
    pub fn caches(&self) -> usize {
        self.caches.len()
    }

    /// Whether a client is to get something of it.
    pub fn is_awaited(&self) -> bool {
        !self.caches.is_empty() || self.outputs.iter().any(|given| given.parcel.is_some())
    }

    /// Writes the archive of an output.
    pub fn archive(&self, output: usize, to: impl std::io::Write) -> Result<()> {
        let given = self.outputs.get(output);
        let Some((given, parcel)) = given.and_then(|given| Some((given, given.parcel.as_ref()?))) else {
            return Err(Error::NotFound(format!("the build has no archive of number {output}")));
        };
        let form = if given.output.kind == Kind::Archive(Form::Docker) { Form::Docker } else { Form::Oci };
        Ok(parcel.archive(form, &given.output.names, &given.annotations, to)?)
    }

    /// Writes the cache of that number as an OCI layout.
    pub fn cache(&self, number: usize, to: impl std::io::Write) -> Result<()> {
        let parcel = self.caches.get(number);
        let parcel =
            parcel.ok_or_else(|| Error::NotFound(format!("the build has no cache of number {number}")))?;
        Ok(parcel.archive(Form::Oci, &[], &BTreeMap::new(), to)?)
    }
}

/// A step that is no instruction's.
pub(crate) struct Own<'a> {
    progress: &'a Progress,
    id: usize,
}

impl<'a> Own<'a> {
    pub(crate) async fn begin(progress: &'a Progress, id: usize, name: &str) -> Own<'a> {
        let text = name.to_owned();
        let info = StepInfo { id, name: text.clone(), number: (0, 0), text, span: Span::default() };
        progress.tell(Event::Begin(info)).await;
        Self { progress, id }
    }
    pub(crate) async fn say(&self, text: &str) {
        let bytes = format!("{text}\n").into();
        self.progress.tell(Event::Output { step: self.id, stderr: false, bytes }).await;
    }
    pub(crate) async fn end<T>(self, result: Result<T>) -> Result<T> {
        let event = match &result {
            Ok(_) => Event::End { step: self.id, cached: false, id: String::new() },
            Err(error) => Event::Failed { step: self.id, error: error.to_string() },
        };
        self.progress.tell(event).await;
        result
    }
}

/// Numbers of steps that are no instruction's begin here.
pub(crate) const OWN_STEPS: usize = 1 << 40;
/// Between the first steps of two platforms.
const STEPS_OF_PLATFORM: usize = 1 << 20;

impl Builder {
    /// Builds for each of `platforms` (the request's own where there are none), and makes the outputs. Dropping the
    /// future ends it, as with [`Builder::build`].
    pub async fn produce(
        &self,
        request: BuildRequest,
        platforms: Vec<Platform>,
        outputs: Vec<Output>,
        progress: Progress,
    ) -> Result<Product> {
        for output in &outputs {
            output.check(platforms.len())?;
        }
        let several = platforms.len() > 1;
        let platforms = match platforms.is_empty() {
            true => vec![request.platform.clone().unwrap_or_else(Platform::host)],
            false => platforms,
        };
        // Steps that are the same for several of them are made once: the first makes them, the others wait.
        let at_once = match request.sequential {
            true => 1,
            false => std::thread::available_parallelism().map_or(1, usize::from).max(2),
        };
        let solved = platforms.into_iter().enumerate().map(|(number, platform)| {
            let mut one = request.clone();
            one.platform = Some(plain(platform));
            one.first_step = number * STEPS_OF_PLATFORM;
            one.label = if several { one.platform.as_ref().map(ToString::to_string) } else { None };
            self.solve(one, progress.clone())
        });
        let solved: Vec<Solved> = futures::stream::iter(solved).buffered(at_once).try_collect().await?;
        let solved = Arc::new(solved);
        let mut product = Product {
            platforms: solved.iter().map(Solved::finished).collect(),
            outputs: Vec::new(),
            image: None,
            caches: Vec::new(),
        };
        for (number, output) in outputs.into_iter().enumerate() {
            let pushed =
                |given: &&Given| given.output.kind == Kind::Registry && given.output.names == output.names;
            if output.kind == Kind::Store
                && output.packing.is_none()
                && let Some(there) = product.outputs.iter().find(pushed)
            {
                // It is here already, as it was pushed.
                let (root, config) = (there.root.clone(), there.config.clone());
                let (parcel, annotations) = (None, BTreeMap::new());
                product.outputs.push(Given { output, root, config, parcel, annotations });
                continue;
            }
            let step = OWN_STEPS + number;
            let own = Own::begin(&progress, step, output.title()).await;
            let made = self.give(&solved, output, &own, step).await;
            let (given, image) = own.end(made).await?;
            product.image = product.image.or(image);
            product.outputs.push(given);
        }
        self.export_caches(&solved, &mut product, &progress).await?;
        Ok(product)
    }

    async fn give(
        &self,
        solved: &Arc<Vec<Solved>>,
        output: Output,
        own: &Own<'_>,
        step: usize,
    ) -> Result<(Given, Option<Digest>)> {
        let (all, wanted) = (Arc::clone(solved), output.clone());
        if output.kind == Kind::Store && output.is_plain(solved) {
            let (image, config) = blocking(move || all[0].record(&wanted.names)).await?;
            own.say(&format!("writing image {image}")).await;
            let given = Given { output, root: None, config, parcel: None, annotations: BTreeMap::new() };
            return Ok((given, Some(image)));
        }
        let (packed, wanted) = blocking(move || Ok((manifest::pack(&all, &wanted)?, wanted))).await?;
        let packed = Arc::new(packed);
        let config = packed.images.first().map(|image| image.config_digest.clone());
        if let Some(root) = packed.parcel.root() {
            own.say(&format!("exporting manifest {}", root.digest)).await;
        }
        let mut image = None;
        if matches!(wanted.kind, Kind::Store | Kind::Registry) {
            let (all, kept, names) = (Arc::clone(solved), Arc::clone(&packed), wanted.names.clone());
            let id = blocking(move || kept.keep(&all, &names)).await?;
            image = Some(id);
        }
        if wanted.kind == Kind::Registry {
            for name in &wanted.names {
                own.say(&format!("pushing {}", name.familiar())).await;
                self.push(solved, &packed.parcel, name, step).await?;
            }
        }
        let root = packed.parcel.root().cloned();
        let (mut parcel, mut annotations) = (None, BTreeMap::new());
        if let (Kind::Archive(_), Ok(packed)) = (wanted.kind, Arc::try_unwrap(packed)) {
            (parcel, annotations) = (Some(packed.parcel), packed.descriptor_annotations);
        }
        Ok((Given { output, root, config, parcel, annotations }, image))
    }

    async fn push(&self, solved: &[Solved], parcel: &Parcel, name: &ImageRef, step: usize) -> Result<()> {
        let build = &solved[0].build;
        let auth = build.builder.auth_for(&build.request.auth, name);
        let (sender, mut messages) = tokio::sync::mpsc::channel::<JsonMessage>(16);
        let telling = async {
            while let Some(message) = messages.recv().await {
                build.progress.tell(Event::Status { step, message }).await;
            }
        };
        let (sent, ()) = tokio::join!(parcel.send(name, auth, sender), telling);
        sent?;
        Ok(())
    }
}

/// `linux/arm64/v8` is `linux/arm64` everywhere else.
fn plain(mut platform: Platform) -> Platform {
    if platform.architecture == "arm64" && platform.variant == "v8" {
        platform.variant.clear();
    }
    platform
}

impl Solved {
    fn finished(&self) -> Finished {
        Finished {
            platform: self.state.platform.clone(),
            top: self.state.top.clone(),
            config: serde_json::to_vec(&self.config()).ok().map(|text| hull_content::digest_of(&text)),
            findings: self.findings.clone(),
        }
    }

    pub(crate) fn config(&self) -> ImageConfig {
        self.build.final_config(&self.state)
    }

    /// The layers' blobs, each with whether it was made by this build.
    pub(crate) fn layers(&self) -> Result<Vec<(Descriptor, bool)>> {
        let making = &self.build.making;
        let mut layers = match &self.state.base {
            Some(base) => making.layers_of(base.as_str())?.into_iter().map(|layer| (layer, false)).collect(),
            None => Vec::new(),
        };
        for made in &self.state.made {
            layers.push((making.kept(&made.chain, &made.diff_id)?, true));
        }
        Ok(layers)
    }

    /// The image as it is kept here: its layers uncompressed.
    fn record(&self, names: &[ImageRef]) -> Result<(Digest, Option<Digest>)> {
        let layers = self.layers()?.into_iter().map(|(layer, _)| layer).collect();
        let mut names = names.iter();
        let id = self.build.making.image(&self.config(), layers, names.next())?;
        for name in names {
            let tag = name.tag().unwrap_or("latest");
            self.build.builder.images.tag(id.as_str(), &name.familiar_name(), tag)?;
        }
        Ok((id.clone(), Some(id)))
    }
}

impl Output {
    /// Whether the image can be kept as images that are made here are.
    fn is_plain(&self, solved: &[Solved]) -> bool {
        let request = &solved[0].build.request;
        self.packing.is_none()
            && solved.len() == 1
            && self.annotations.is_empty()
            && !request.attest.sbom
            && matches!(request.attest.provenance, None | Some(Mode::Off))
            && !request.inline_cache
    }
    fn packing(&self) -> Packing {
        let stored = Packing { compression: hull_image::Compression::Uncompressed, ..Packing::default() };
        self.packing.unwrap_or(if self.kind == Kind::Store { stored } else { Packing::default() })
    }
}

//! What can go wrong with images, in Docker's words where clients match on them.

use hull_errors::{HasKind, Kind};
use hull_types::Digest;

/// The crate's result.
pub type Result<T, E = ImageError> = std::result::Result<T, E>;

/// A failed act of the image service.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// No image of that name or id.
    #[error("No such image: {0}")]
    NotFound(String),
    /// The image is there, for another platform than asked for.
    #[error(
        "image with reference {reference} was found but its platform ({actual}) does not match the specified platform ({wanted})"
    )]
    PlatformMismatch {
        /// The name asked for.
        reference: String,
        /// What is here.
        actual: String,
        /// What was asked for.
        wanted: String,
    },
    /// What is attested of an image did not come with it.
    #[error(
        "attestations of {name} ({digest}) are not here, only listed: a pull leaves them at the registry (`docker buildx imagetools inspect` shows them there)"
    )]
    NotKept {
        /// The image.
        name: String,
        /// The manifest that holds them.
        digest: Digest,
    },
    /// An id's beginning that more than one image has.
    #[error("image id prefix {0:?} is ambiguous: more than one image begins with it")]
    Ambiguous(String),
    /// The text is no image name.
    #[error(transparent)]
    Reference(#[from] hull_types::ImageRefError),
    /// A name with a digest was given as a tag.
    #[error("refusing to create a tag with a digest reference")]
    TagWithDigest,
    /// A name with a digest was to be pushed.
    #[error("cannot push a digest reference")]
    PushDigest,
    /// There is nothing of that repository to push.
    #[error("An image does not exist locally with the tag: {0}")]
    NotLocal(String),
    /// The repository is here, but not that tag of it.
    #[error("tag does not exist: {0}")]
    NoTag(String),
    /// A filter that there is not, or a value that it does not take.
    #[error("{0}")]
    Filter(String),
    /// The image or reference is in use, or stands for more than was meant.
    #[error("conflict: {0}")]
    InUse(String),
    /// The registry failed or refused.
    #[error(transparent)]
    Registry(#[from] hull_registry_client::RegistryError),
    /// No manifest of an index serves the platform.
    #[error(
        "no matching manifest for {0} in the manifest list entries: no match for platform in manifest: not found"
    )]
    NoPlatform(String),
    /// Docker's oldest manifest format, which nothing verifies.
    #[error(
        "support for Docker Image Format v1 and Docker Image manifest version 2, schema 1 has been removed: {0} has to be pushed anew in a current format"
    )]
    Schema1(String),
    /// A document that is no image's.
    #[error("{reference}: {cause}")]
    Document {
        /// The name pulled.
        reference: String,
        /// What is wrong with the document.
        cause: String,
    },
    /// A layer did not arrive as its manifest says.
    #[error("filesystem layer verification failed for digest {digest}: {cause}")]
    Layer {
        /// The layer's blob.
        digest: Digest,
        /// What is wrong.
        cause: String,
    },
    /// A layer could not be unpacked.
    #[error("failed to register layer {digest}: {cause}")]
    Unpack {
        /// The layer's blob.
        digest: Digest,
        /// Why.
        cause: String,
    },
    /// The image that ships inside Hull could not be made.
    #[error("make the built-in image hello from {path}: {cause}")]
    BuiltIn {
        /// The program that goes into it.
        path: String,
        /// Why.
        cause: String,
    },
    /// An archive could not be read or written.
    #[error(transparent)]
    Archive(hull_archive::Error),
    /// What was given is no archive of images.
    #[error("invalid archive: {0}")]
    Load(String),
    /// A `--change` that there is not, or that can't be read.
    #[error("{0}")]
    Change(String),
    /// Blobs could not be read or written.
    #[error(transparent)]
    Content(#[from] hull_content::ContentError),
    /// Layers could not be read, made or removed.
    #[error(transparent)]
    Snapshot(#[from] hull_snapshot::Error),
    /// Rows could not be read or written.
    #[error(transparent)]
    Store(#[from] hull_store::Error),
    /// The client went away.
    #[error("context canceled")]
    Cancelled,
    /// A blocking thread of Hull's own broke.
    #[error("image task ended unexpectedly: {0}")]
    Task(String),
}

impl HasKind for ImageError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotLocal(_) | Self::NoTag(_) => Kind::NotFound,
            Self::NotFound(_) | Self::PlatformMismatch { .. } | Self::NoPlatform(_) => Kind::NotFound,
            Self::NotKept { .. } => Kind::NotFound,
            Self::Ambiguous(_)
            | Self::Reference(_)
            | Self::TagWithDigest
            | Self::PushDigest
            | Self::Filter(_)
            | Self::Schema1(_) => Kind::InvalidParameter,
            Self::Document { .. } | Self::Layer { .. } => Kind::InvalidParameter,
            Self::Unpack { .. } | Self::BuiltIn { .. } | Self::Task(_) => Kind::Internal,
            Self::Load(_) | Self::Change(_) => Kind::InvalidParameter,
            Self::Archive(error) => error.kind(),
            Self::InUse(_) => Kind::Conflict,
            Self::Registry(error) => error.kind(),
            Self::Content(error) => error.kind(),
            Self::Snapshot(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Cancelled => Kind::Cancelled,
        }
    }
}

impl From<tokio::task::JoinError> for ImageError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Task(error.to_string())
    }
}

//! One stage: its steps, one after the other, each from the state that the one before left.

mod configuration;
mod copy;
mod devices;
mod run;
mod steps;
mod text;

pub(crate) use steps::{Done, is_visible, make};

use crate::cache::Made;
use hull_dockerfile::Scope;
use hull_types::oci::image::{History, ImageConfig};
use hull_types::{ChainId, DiffId, Digest, Platform};

/// What a stage has come to.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// Variables.
    pub(crate) scope: Scope,
    /// The configuration of the image that it would be now.
    pub(crate) config: ImageConfig,
    /// The topmost layer.
    pub(crate) top: Option<ChainId>,
    /// The image that the lowest layers are of.
    pub(crate) base: Option<Digest>,
    /// The layers made here, above the base's.
    pub(crate) made: Vec<Made>,
    /// The time that everything new is given, in seconds.
    pub(crate) epoch: i64,
    /// For what it is built.
    pub(crate) platform: Platform,
    /// Whether a command was set here: an ENTRYPOINT leaves it alone then.
    pub(crate) command_set: bool,
}

impl State {
    pub(crate) fn scratch(platform: Platform, epoch: i64) -> Self {
        let config = ImageConfig {
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            variant: platform.variant.clone(),
            ..ImageConfig::default()
        };
        Self {
            scope: Scope::default(),
            config,
            top: None,
            base: None,
            made: Vec::new(),
            epoch,
            platform,
            command_set: false,
        }
    }

    /// The program that a shell form is given to.
    pub(crate) fn shell(&self) -> Vec<String> {
        let set = self.config.config.shell.clone().filter(|shell| !shell.is_empty());
        set.unwrap_or_else(|| vec!["/bin/sh".into(), "-c".into()])
    }

    /// Notes what a step did.
    pub(crate) fn note(&mut self, created_by: String, made: Option<Made>) {
        self.config.history.push(History {
            created: Some(crate::time::timestamp(self.epoch)),
            created_by,
            author: String::new(),
            comment: "buildkit.dockerfile.v0".into(),
            empty_layer: made.is_none(),
        });
        if let Some(made) = made {
            self.top = Some(made.chain.clone());
            self.config.rootfs.diff_ids.push(DiffId(made.diff_id.0.clone()));
            self.made.push(made);
        }
    }
}

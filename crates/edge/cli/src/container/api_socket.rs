//! `--use-api-socket`: the engine's socket and the registries' credentials, inside the container.

use crate::config::ConfigFile;
use crate::failure::Failure;
use crate::session::Session;
use hull_api_types::{BindOptions, ContainerCreateRequest, Mount};
use hull_client::Host;

const INSIDE: &str = "/var/run/docker.sock";
const CONFIG: &str = "/run/secrets/docker";

/// Adds the mounts.
pub fn add(session: &Session, request: &mut ContainerCreateRequest, host: &Host) -> Result<(), Failure> {
    let Host::Unix(socket) = host else {
        return Err(Failure::new(format!("--use-api-socket needs an engine on a unix socket, not {host}")));
    };
    let bind = |source: String, target: &str, read_only| Mount {
        kind: "bind".into(),
        source,
        target: target.into(),
        read_only,
        bind_options: Some(BindOptions::default()),
        ..Mount::default()
    };
    let mounts = request.host_config.mounts.get_or_insert_default();
    mounts.push(bind(socket.display().to_string(), INSIDE, false));
    let config: &ConfigFile = session.config();
    if config.directory.join("config.json").is_file() {
        mounts.push(bind(config.directory.display().to_string(), CONFIG, true));
        request.config.env.get_or_insert_default().push(format!("DOCKER_CONFIG={CONFIG}"));
    }
    Ok(())
}

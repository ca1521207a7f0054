//! `create`, and what `run` shares with it: the request, the pull of an image that isn't there.

use super::options::{self, Plan};
use crate::credentials;
use crate::failure::{Failure, file_error};
use crate::matches::{Matches, go_quoted};
use crate::progress::{self, Target};
use crate::session::Session;
use crate::streams::{complain, print_line};
use hull_api_types::ContainerCreateRequest;
use hull_client::{Client, PullQuery};
use hull_types::ImageRef;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The code of failures before the container's process ran.
pub const NOT_RUN: i32 = 125;

/// `create`.
pub async fn create(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let plan = plan(session, matches)?;
    let id = create_container(session, matches, &plan).await?;
    print_line(&id);
    Ok(())
}

/// The failure with the program's name and a pointer to its help, as Docker words those of `run` and `create`.
pub fn explain(session: &Session, matches: &Matches, failure: Failure) -> Failure {
    let code = exit_code(&failure.message);
    let program = session.program;
    let name = matches.path.rsplit(' ').next().unwrap_or_default();
    let text =
        format!("{program}: {}\n\nRun '{program} {name} --help' for more information", failure.message);
    Failure::new(text).with_code(code)
}

/// 127 for a program that isn't there, 126 for one that can't be run, 125 for all else.
fn exit_code(message: &str) -> i32 {
    let has = |text: &str| message.contains(text);
    if has("executable file not found")
        || has("no such file or directory")
        || has("system cannot find the file specified")
    {
        return 127;
    }
    if has("permission denied") || has("is a directory") { 126 } else { NOT_RUN }
}

/// Reads the flags.
pub fn plan(session: &Session, matches: &Matches) -> Result<Plan, Failure> {
    let fail = |why: String| {
        let failure = explain(session, matches, Failure::new(why));
        // What is wrong in the flags is never the program in the container.
        failure.with_code(NOT_RUN)
    };
    let pull = matches.text("pull");
    if !matches!(pull, "always" | "missing" | "never") {
        let text =
            format!("invalid pull option: '{pull}': must be one of \"always\", \"missing\" or \"never\"");
        return Err(fail(text));
    }
    let endpoint = session.endpoint()?;
    let proxies = session.config().proxy_variables(&endpoint.options.host.to_string());
    let mut plan = options::read(matches, &proxies).map_err(fail)?;
    if matches.switch("use-api-socket") {
        super::api_socket::add(session, &mut plan.request, &endpoint.options.host)?;
    }
    Ok(plan)
}

/// Creates the container, pulling its image as the flags have it. Returns the id.
pub async fn create_container(session: &Session, matches: &Matches, plan: &Plan) -> Result<String, Failure> {
    let image = &plan.request.config.image;
    let reference = match hull_types::is_full_id(image.trim_start_matches("sha256:")) {
        true => None,
        false => {
            Some(image.parse::<ImageRef>().map_err(|error| Failure::new(error.to_string()))?.or_latest())
        }
    };
    warn_of_local_dns(plan);
    let id_file = IdFile::open(matches.text("cidfile"))?;
    let client = session.client().await?;
    check_system(client, matches)?;
    let request = adapted(client, &plan.request);
    let quiet = matches.switch("quiet");
    if let Some(reference) = reference.as_ref().filter(|_| matches.text("pull") == "always") {
        pull(session, client, reference, &plan.platform, quiet).await?;
    }
    let created = match client.container_create(&plan.name, &plan.platform, &request).await {
        Err(error) if error.is_not_found() && matches.text("pull") == "missing" && reference.is_some() => {
            let Some(reference) = &reference else { return Err(error.into()) };
            if !quiet {
                complain(&format!("Unable to find image '{}' locally", reference.familiar()));
            }
            pull(session, client, reference, &plan.platform, quiet).await?;
            client.container_create(&plan.name, &plan.platform, &request).await?
        }
        result => result?,
    };
    for warning in &created.warnings {
        complain(&format!("WARNING: {warning}"));
    }
    id_file.write(&created.id)?;
    Ok(created.id)
}

/// Flags that only an engine on Windows takes.
const WINDOWS: [&str; 4] = ["cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops"];

fn check_system(client: &Client, matches: &Matches) -> Result<(), Failure> {
    let system = client.ping().os_type.as_str();
    if matches!(system, "" | "windows") {
        return Ok(());
    }
    let wrong = WINDOWS.iter().filter(|flag| matches.changed(flag)).map(|flag| {
        format!(
            "\"--{flag}\" is only supported on a Docker daemon running on windows, but the Docker daemon is running on {system}"
        )
    });
    let wrong: Vec<_> = wrong.collect();
    if wrong.is_empty() { Ok(()) } else { Err(Failure::new(wrong.join("\n"))) }
}

/// The request without what engines of this version no longer take at its old place.
fn adapted(client: &Client, request: &ContainerCreateRequest) -> ContainerCreateRequest {
    let mut request = request.clone();
    if client.at_least("1.42") {
        request.host_config.resources.kernel_memory = 0;
    }
    if client.at_least("1.44") {
        // It is the endpoint's.
        request.config.mac_address.clear();
    }
    request
}

/// Pulls an image, with its progress on standard error.
pub async fn pull(
    session: &Session,
    client: &Client,
    reference: &ImageRef,
    platform: &str,
    quiet: bool,
) -> Result<(), Failure> {
    let tag =
        reference.digest().map(|digest| digest.as_str()).or_else(|| reference.tag()).unwrap_or_default();
    let query = PullQuery {
        repository: reference.bare().familiar(),
        tag: tag.to_owned(),
        platform: platform.to_owned(),
        auth: credentials::find(session.config(), reference.domain())?,
    };
    let mut stream = client.image_pull(&query).await?;
    let target = if quiet { Target::Nowhere } else { Target::Error };
    progress::show(&mut stream, target, |_| {}).await
}

fn warn_of_local_dns(plan: &Plan) {
    let servers = plan.request.host_config.dns.iter().flatten();
    let local =
        |server: &&String| server.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if let Some(server) = servers.into_iter().find(local) {
        complain(&format!("WARNING: Localhost DNS setting (--dns={server}) may fail in containers."));
    }
}

/// The file that gets the container's id. It goes again where there is none to write.
struct IdFile {
    file: Option<(File, PathBuf)>,
    written: bool,
}

impl IdFile {
    fn open(path: &str) -> Result<Self, Failure> {
        if path.is_empty() {
            return Ok(Self { file: None, written: false });
        }
        let path = Path::new(path);
        match File::create_new(path) {
            Ok(file) => Ok(Self { file: Some((file, path.to_owned())), written: false }),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(Failure::new(format!(
                "container ID file found, make sure the other container isn't running or delete {}",
                path.display()
            ))),
            Err(error) => Err(Failure::new(format!(
                "failed to create the container ID file: {}",
                file_error("open", path, &error)
            ))),
        }
    }
    fn write(mut self, id: &str) -> Result<(), Failure> {
        let Some((file, path)) = &mut self.file else { return Ok(()) };
        let written = file.write_all(id.as_bytes());
        written.map_err(|error| {
            Failure::new(format!(
                "failed to write the container ID ({}): {error}",
                go_quoted(&path.display().to_string())
            ))
        })?;
        self.written = true;
        Ok(())
    }
}

impl Drop for IdFile {
    fn drop(&mut self) {
        if let Some((_, path)) = self.file.as_ref().filter(|_| !self.written) {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_tell_why_nothing_ran() {
        assert_eq!(exit_code("exec: \"nope\": executable file not found in $PATH: unknown"), 127);
        assert_eq!(exit_code("exec: \"/etc\": is a directory"), 126);
        assert_eq!(exit_code("exec: \"/etc/passwd\": permission denied"), 126);
        assert_eq!(exit_code("pull access denied for x"), 125);
    }

    #[test]
    fn an_id_file_without_an_id_goes_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cid");
        drop(IdFile::open(path.to_str().unwrap()).unwrap());
        assert!(!path.exists());
        IdFile::open(path.to_str().unwrap()).unwrap().write("abc").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "abc");
        assert!(IdFile::open(path.to_str().unwrap()).is_err());
    }
}

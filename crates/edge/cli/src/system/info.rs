//! `info`.

use crate::command::{Action, Arguments, Command};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use crate::{endpoint, format, list, streams};
use hull_api_types::SystemInfo;
use hull_client::Method;
use hull_types::size;
use serde_json::{Value, json};

pub static INFO: Command = Command {
    usage: "[OPTIONS]",
    about: "Display system-wide information",
    names: &["system info", "info"],
    flags: &[list::INSPECT_FLAG],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(info(session, matches))),
};

async fn info(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let client = json!({
        "Debug": session.globals.debug,
        "Context": endpoint::context_name(&session.globals, session.config()),
        "Plugins": [],
        "Version": env!("CARGO_PKG_VERSION"),
    });
    let asked =
        async { Ok::<Value, Failure>(session.client().await?.request(Method::GET, "/info").fetch().await?) };
    let document = match asked.await {
        Ok(document) => document,
        Err(failure) => {
            if matches.text("format").is_empty() {
                streams::print(&shown_client(&client));
                streams::print("\nServer:\n");
                return Err(Failure::new(format!("{failure}\nerrors pretty printing info")));
            }
            return Err(failure);
        }
    };
    match matches.text("format") {
        "" => {
            let info: SystemInfo = serde_json::from_value(document)
                .map_err(|error| Failure::new(format!("the engine's answer: {error}")))?;
            streams::print(&shown_client(&client));
            streams::print(&format!("\nServer:\n{}", shown_server(&info)));
            for warning in info.warnings.iter().flatten() {
                streams::complain(warning);
            }
        }
        template => {
            let mut document = document;
            document["ClientInfo"] = client;
            let names = [
                ("CpuCfsPeriod", "CPUCfsPeriod"),
                ("CpuCfsQuota", "CPUCfsQuota"),
                ("HttpProxy", "HTTPProxy"),
                ("HttpsProxy", "HTTPSProxy"),
            ];
            list::with_go_names(&mut document, template, &names);
            streams::print(&format::one(template, &document)?);
        }
    }
    Ok(())
}

fn shown_client(client: &Value) -> String {
    format!(
        "Client: Hull\n Version:    {}\n Context:    {}\n Debug Mode: {}\n",
        client["Version"].as_str().unwrap_or_default(),
        client["Context"].as_str().unwrap_or_default(),
        client["Debug"]
    )
}

/// Docker's lines, in its order; what the engine did not say is left out.
fn shown_server(info: &SystemInfo) -> String {
    let mut text = String::new();
    line(&mut text, "Containers", info.containers.to_string());
    line(&mut text, " Running", info.containers_running.to_string());
    line(&mut text, " Paused", info.containers_paused.to_string());
    line(&mut text, " Stopped", info.containers_stopped.to_string());
    line(&mut text, "Images", info.images.to_string());
    line(&mut text, "Server Version", info.server_version.clone());
    line(&mut text, "Storage Driver", info.driver.clone());
    for [name, value] in &info.driver_status {
        line(&mut text, &format!(" {name}"), value.clone());
    }
    line(&mut text, "Logging Driver", info.logging_driver.clone());
    line(&mut text, "Cgroup Driver", info.cgroup_driver.clone());
    line(&mut text, "Cgroup Version", info.cgroup_version.clone());
    line(&mut text, "Plugins", " ".into());
    line(&mut text, " Volume", info.plugins.volume.join(" "));
    line(&mut text, " Network", info.plugins.network.join(" "));
    line(&mut text, " Log", info.plugins.log.join(" "));
    line(&mut text, "Swarm", info.swarm.local_node_state.clone());
    line(&mut text, "Runtimes", info.runtimes.keys().cloned().collect::<Vec<_>>().join(" "));
    line(&mut text, "Default Runtime", info.default_runtime.clone());
    line(&mut text, "Init Binary", info.init_binary.clone());
    if !info.security_options.is_empty() {
        line(&mut text, "Security Options", " ".into());
    }
    for option in &info.security_options {
        let mut parts = option.split(',');
        let name = parts.next().unwrap_or_default();
        line(&mut text, &format!(" {}", name.strip_prefix("name=").unwrap_or(name)), " ".into());
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            line(&mut text, &format!("  {}", capitalized(key)), value.to_owned());
        }
    }
    if let Some(firewall) = &info.firewall_backend {
        line(&mut text, "Firewall Backend", firewall.driver.clone());
        for [name, value] in &firewall.info {
            line(&mut text, &format!("  {name}"), value.clone());
        }
    }
    line(&mut text, "Kernel Version", info.kernel_version.clone());
    line(&mut text, "Operating System", info.operating_system.clone());
    line(&mut text, "OSType", info.os_type.clone());
    line(&mut text, "Architecture", info.architecture.clone());
    line(&mut text, "CPUs", info.ncpu.to_string());
    line(&mut text, "Total Memory", size::binary(info.mem_total as f64));
    line(&mut text, "Name", info.name.clone());
    line(&mut text, "ID", info.id.clone());
    line(&mut text, "Docker Root Dir", info.docker_root_dir.clone());
    line(&mut text, "Debug Mode", info.debug.to_string());
    line(&mut text, "HTTP Proxy", info.http_proxy.clone());
    line(&mut text, "HTTPS Proxy", info.https_proxy.clone());
    line(&mut text, "No Proxy", info.no_proxy.clone());
    for (at, label) in info.labels.iter().enumerate() {
        if at == 0 {
            line(&mut text, "Labels", " ".into());
        }
        text.push_str(&format!("  {label}\n"));
    }
    line(&mut text, "Experimental", info.experimental_build.to_string());
    let registries = &info.registry_config;
    let insecure =
        registries.index_configs.values().filter(|index| !index.secure).map(|index| index.name.clone());
    let insecure: Vec<String> = insecure.chain(registries.insecure_registry_cidrs.iter().cloned()).collect();
    if !insecure.is_empty() {
        text.push_str(" Insecure Registries:\n");
        for name in insecure {
            text.push_str(&format!("  {name}\n"));
        }
    }
    let mirrors = registries.mirrors.clone().unwrap_or_default();
    if !mirrors.is_empty() {
        text.push_str(" Registry Mirrors:\n");
        for mirror in mirrors {
            text.push_str(&format!("  {mirror}\n"));
        }
    }
    text.push_str(&format!(" Live Restore Enabled: {}\n", info.live_restore_enabled));
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// A line, unless there is nothing to say.
fn line(text: &mut String, name: &str, value: String) {
    if !value.is_empty() {
        text.push_str(&format!(" {name}: {value}\n"));
    }
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

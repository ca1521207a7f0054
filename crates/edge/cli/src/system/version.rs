//! `version`.

use crate::command::{Action, Arguments, Command};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use crate::{endpoint, format, list, streams, table};
use hull_api_types::SystemVersion;
use hull_client::Method;
use serde_json::{Value, json};
use std::fmt::Write as _;

pub static VERSION: Command = Command {
    usage: "[OPTIONS]",
    about: "Show the Hull version information",
    names: &[],
    flags: &[list::INSPECT_FLAG],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(version(session, matches))),
};

async fn version(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let context = endpoint::context_name(&session.globals, session.config());
    // Without an engine the client still tells of itself, and then of the failure.
    let (server, agreed, failure) = match server(session).await {
        Ok((server, agreed)) => (Some(server), agreed, None),
        Err(failure) => (None, hull_api_types::API_VERSION.to_owned(), Some(failure)),
    };
    let architecture = hull_types::Platform::host().architecture;
    let client = json!({
        "Platform": {"Name": "Hull"},
        "Version": env!("CARGO_PKG_VERSION"),
        "ApiVersion": agreed,
        "DefaultAPIVersion": hull_api_types::API_VERSION,
        "GitCommit": option_env!("HULL_BUILD").unwrap_or("unknown"),
        "GoVersion": "",
        "Os": "linux",
        "Arch": architecture,
        "BuildTime": "",
        "Context": context,
    });
    let text = match matches.text("format") {
        "" => shown(&client, server.as_ref()),
        template => {
            let server = server
                .as_ref()
                .map(serde_json::to_value)
                .transpose()
                .map_err(|e| Failure::new(e.to_string()))?;
            let mut document = json!({"Client": client, "Server": server});
            for side in ["Client", "Server"] {
                list::with_go_names(&mut document[side], template, &[("ApiVersion", "APIVersion")]);
            }
            format::one(template, &document)?
        }
    };
    streams::print(&text);
    failure.map_or(Ok(()), Err)
}

async fn server(session: &Session) -> Result<(SystemVersion, String), Failure> {
    let client = session.client().await?;
    let version: SystemVersion = client.request(Method::GET, "/version").fetch().await?;
    Ok((version, client.version().to_owned()))
}

fn shown(client: &Value, server: Option<&SystemVersion>) -> String {
    let field = |name: &str| client[name].as_str().unwrap_or_default().to_owned();
    let mut text = String::from("Client: Hull\n");
    let api = match (field("ApiVersion"), field("DefaultAPIVersion")) {
        (agreed, newest) if agreed == newest => agreed,
        (agreed, newest) => format!("{agreed} (downgraded from {newest})"),
    };
    for (name, value) in [
        ("Version", field("Version")),
        ("API version", api),
        ("Git commit", field("GitCommit")),
        ("OS/Arch", format!("{}/{}", field("Os"), field("Arch"))),
        ("Context", field("Context")),
    ] {
        let _ = writeln!(text, " {name}:\t{value}");
    }
    let Some(server) = server else { return table::layout_with(&text, 20, 1) };
    let _ = writeln!(text, "\nServer: {}", server.platform.name);
    let _ = writeln!(text, " Engine:");
    for (name, value) in [
        ("Version", server.version.clone()),
        ("API version", format!("{} (minimum version {})", server.api_version, server.min_api_version)),
        ("Git commit", server.git_commit.clone()),
        ("OS/Arch", format!("{}/{}", server.os, server.arch)),
        ("Kernel", server.kernel_version.clone()),
        ("Experimental", server.experimental.to_string()),
    ] {
        let _ = writeln!(text, "  {name}:\t{value}");
    }
    for component in server.components.iter().filter(|component| component.name != "Engine") {
        let _ = writeln!(text, " {}:", component.name);
        let _ = writeln!(text, "  Version:\t{}", component.version);
        if let Some(commit) = component.details.get("GitCommit") {
            let _ = writeln!(text, "  GitCommit:\t{commit}");
        }
    }
    table::layout_with(&text, 20, 1)
}

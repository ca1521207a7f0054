//! `ps`.

use super::ports;
use crate::check;
use crate::duration;
use crate::failure::Failure;
use crate::format::{self, Listing};
use crate::matches::{Matches, go_quoted};
use crate::session::Session;
use crate::streams::{complain, print};
use crate::table::ellipsis;
use hull_api_types::ContainerSummary;
use hull_client::ListQuery;
use hull_types::{ImageRef, short_id, size};
use serde_json::{Value, json};

const HEADINGS: &[(&str, &str)] = &[
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Labels", "LABELS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Mounts", "MOUNTS"),
    ("Names", "NAMES"),
    ("Networks", "NETWORKS"),
    ("Platform", "PLATFORM"),
    ("Ports", "PORTS"),
    ("RunningFor", "CREATED"),
    ("Size", "SIZE"),
    ("State", "STATE"),
    ("Status", "STATUS"),
];
const COLUMNS: &[&str] = &["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names", "Size"];

const RAW: &str = "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\ncreated_at: {{.CreatedAt}}\nstate: {{- pad .State 1 0}}\nstatus: {{- pad .Status 1 0}}\nnames: {{.Names}}\nlabels: {{- pad .Labels 1 0}}\nports: {{- pad .Ports 1 0}}\n";

/// `ps`.
pub async fn list(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let quiet = matches.switch("quiet");
    let chosen = match matches.text("format") {
        "" if !quiet => session.config().text("psFormat").to_owned(),
        text => text.to_owned(),
    };
    let template = template(chosen, quiet);
    let size = matches.switch("size");
    let limit = match (matches.switch("latest"), matches.integer("last")) {
        (true, -1) => 1,
        (_, last) => last,
    };
    let query = ListQuery {
        all: matches.switch("all"),
        limit,
        // Sizes cost the engine a walk over the files: only where they are shown.
        size: size || template.contains(".Size") || template.contains("{{json .}}"),
        filters: check::filters(&matches.list("filter")),
    };
    // A wrong template is told of before the engine is asked.
    let columns = if size { COLUMNS } else { &COLUMNS[..COLUMNS.len() - 1] };
    let listing = Listing { headings: HEADINGS, columns };
    format::verify(&template)?;
    let containers = session.client().await?.containers(&query).await?;
    let rows: Vec<_> =
        containers.iter().map(|container| row(container, !matches.switch("no-trunc"))).collect();
    print(&format::rows(&template, listing, &rows)?);
    Ok(())
}

/// What to lay the rows out by.
fn template(chosen: String, quiet: bool) -> String {
    if quiet {
        if !chosen.is_empty() {
            complain("WARNING: Ignoring custom format, because both --format and --quiet are set.");
        }
        return "{{.ID}}".into();
    }
    match chosen.as_str() {
        "raw" => RAW.into(),
        _ => chosen,
    }
}

/// A container's row.
pub fn row(container: &ContainerSummary, short: bool) -> Value {
    let labels: Vec<_> = container.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mounts: Vec<_> = container
        .mounts
        .iter()
        .map(|mount| if mount.name.is_empty() { &mount.source } else { &mount.name })
        .map(|name| if short { ellipsis(name, 15) } else { name.clone() })
        .collect();
    let networks: Vec<_> = container.network_settings.networks.keys().map(String::as_str).collect();
    let command = if short { ellipsis(&container.command, 20) } else { container.command.clone() };
    let local = container.mounts.iter().filter(|mount| mount.driver == "local").count();
    json!({
        "Command": go_quoted(&command),
        "CreatedAt": duration::go_time(container.created),
        "ID": if short { short_id(&container.id) } else { &container.id },
        "Image": image(container, short),
        "Labels": labels.join(","),
        "LocalVolumes": local.to_string(),
        "Mounts": mounts.join(","),
        "Names": names(container, short),
        "Networks": networks.join(","),
        "Platform": platform(container),
        "Ports": ports::displayed(&container.ports),
        "RunningFor": duration::ago(container.created),
        "Size": sizes(container),
        "State": container.state,
        "Status": container.status,
    })
}

fn platform(container: &ContainerSummary) -> Value {
    let descriptor = container.image_manifest_descriptor.as_ref();
    descriptor.and_then(|descriptor| descriptor.get("platform")).cloned().unwrap_or(Value::Null)
}

fn image(container: &ContainerSummary, short: bool) -> String {
    if container.image.is_empty() {
        return "<no image>".into();
    }
    if !short {
        return container.image.clone();
    }
    if !container.image_id.is_empty() && short_id(&container.image_id) == short_id(&container.image) {
        return short_id(&container.image_id).to_owned();
    }
    // A name with a tag needs no digest besides.
    match container.image.parse::<ImageRef>() {
        Ok(name) if name.digest().is_some() => match name.tag().map(|tag| name.with_tag(tag)) {
            Some(Ok(tagged)) => tagged.familiar(),
            _ => container.image.clone(),
        },
        _ => container.image.clone(),
    }
}

fn names(container: &ContainerSummary, short: bool) -> String {
    let names = container.names.iter().map(|name| name.strip_prefix('/').unwrap_or(name));
    // Names by links have the other container's before them.
    let shown: Vec<_> = names.filter(|name| !short || !name.contains('/')).collect();
    shown.join(",")
}

fn sizes(container: &ContainerSummary) -> String {
    let shown = |bytes: i64| size::decimal_with(bytes as f64, 3);
    let own = shown(container.size_rw.unwrap_or(0));
    match container.size_root_fs.unwrap_or(0) {
        0 => own,
        all => format!("{own} (virtual {})", shown(all)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_dockers() {
        let container: ContainerSummary = serde_json::from_value(json!({
            "Id": "0123456789abcdef0123", "Names": ["/web", "/other/alias"], "Image": "nginx:1@sha256:0000000000000000000000000000000000000000000000000000000000000000",
            "Command": "nginx -g 'daemon off;' and more", "Created": 1_700_000_000, "SizeRw": 2048, "SizeRootFs": 117_000_000,
            "Labels": {"b": "2", "a": "1"}, "State": "running", "Status": "Up 2 hours",
            "Mounts": [{"Type": "volume", "Name": "a_long_volume_name", "Driver": "local", "Source": "", "Destination": "/x", "Mode": "", "RW": true, "Propagation": ""}],
            "NetworkSettings": {"Networks": {"bridge": {}}}
        }))
        .unwrap();
        let row = row(&container, true);
        for (field, text) in [
            ("ID", "0123456789ab"),
            ("Image", "nginx:1"),
            ("Command", "\"nginx -g 'daemon of…\""),
            ("Names", "web"),
            ("Labels", "a=1,b=2"),
            ("Mounts", "a_long_volume_…"),
            ("Size", "2.05kB (virtual 117MB)"),
            ("LocalVolumes", "1"),
            ("CreatedAt", "2023-11-14 22:13:20 +0000 UTC"),
        ] {
            assert_eq!(row[field], text, "{field}");
        }
    }
}

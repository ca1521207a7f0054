//! `system df`.

use crate::command::{Action, Arguments, Command, Flag};
use crate::failure::Failure;
use crate::format::{self, Listing};
use crate::matches::Matches;
use crate::session::Session;
use crate::{duration, list, streams};
use hull_api_types::{ContainerSummary, DiskUsage};
use hull_client::Method;
use hull_types::{short_id, size};
use serde_json::{Value, json};

pub static DISK_USAGE: Command = Command {
    usage: "[OPTIONS]",
    about: "Show docker disk usage",
    names: &[],
    flags: &[list::LIST_FLAG, Flag::switch("verbose", "Show detailed information on space usage").short('v')],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(disk_usage(session, matches))),
};

const LISTING: Listing<'static> = Listing {
    headings: &[
        ("Type", "TYPE"),
        ("TotalCount", "TOTAL"),
        ("Active", "ACTIVE"),
        ("Size", "SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
    ],
    columns: &["Type", "TotalCount", "Active", "Size", "Reclaimable"],
};

async fn disk_usage(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let client = session.client().await?;
    let usage: DiskUsage = client.request(Method::GET, "/system/df").fetch().await?;
    if matches.switch("verbose") {
        streams::print(&verbose(&usage)?);
        return Ok(());
    }
    let rows = summary(&usage);
    streams::print(&format::rows(matches.text("format"), LISTING, &rows)?);
    Ok(())
}

fn active(container: &ContainerSummary) -> bool {
    matches!(container.state.as_str(), "running" | "paused" | "restarting")
}

fn summary(usage: &DiskUsage) -> Vec<Value> {
    let row = |name: &str, total: usize, active: usize, bytes: i64, free: i64| {
        let share = if bytes > 0 && free > 0 { format!(" ({}%)", free * 100 / bytes) } else { String::new() };
        json!({
            "Type": name,
            "TotalCount": total.to_string(),
            "Active": active.to_string(),
            "Size": size::decimal(bytes as f64),
            "Reclaimable": format!("{}{share}", size::decimal(free as f64)),
        })
    };
    let used = usage.images.iter().filter(|image| image.containers > 0);
    let used_bytes: i64 = used.clone().map(|image| image.size - image.shared_size.max(0)).sum();
    let containers = &usage.containers;
    let written = |only_idle: bool| {
        let all = containers.iter().filter(|container| !only_idle || !active(container));
        all.filter_map(|container| container.size_rw).sum::<i64>()
    };
    let volume_sizes = |only_idle: bool| {
        let all = usage.volumes.iter().filter_map(|volume| volume.usage_data.as_ref());
        all.filter(|data| !only_idle || data.ref_count == 0).map(|data| data.size.max(0)).sum::<i64>()
    };
    let held =
        usage.volumes.iter().filter(|v| v.usage_data.as_ref().is_some_and(|data| data.ref_count > 0)).count();
    vec![
        row(
            "Images",
            usage.images.len(),
            used.count(),
            usage.layers_size,
            (usage.layers_size - used_bytes).max(0),
        ),
        row(
            "Containers",
            containers.len(),
            containers.iter().filter(|container| active(container)).count(),
            written(false),
            written(true),
        ),
        row("Local Volumes", usage.volumes.len(), held, volume_sizes(false), volume_sizes(true)),
        row("Build Cache", usage.build_cache.len(), 0, 0, 0),
    ]
}

fn verbose(usage: &DiskUsage) -> Result<String, Failure> {
    let images: Vec<Value> = usage.images.iter().flat_map(image_rows).collect();
    let containers: Vec<Value> = usage.containers.iter().map(container_row).collect();
    let volumes: Vec<Value> = usage
        .volumes
        .iter()
        .map(|volume| {
            let data = volume.usage_data.clone().unwrap_or_default();
            json!({"Name": volume.name, "Links": data.ref_count.to_string(), "Size": size::decimal(data.size.max(0) as f64)})
        })
        .collect();
    let table = |headings: &[(&str, &str)], rows: &[Value]| {
        let columns: Vec<&str> = headings.iter().map(|(field, _)| *field).collect();
        format::rows("", Listing { headings, columns: &columns }, rows)
    };
    Ok(format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}\nBuild cache usage: 0B\n\n{}",
        table(
            &[
                ("Repository", "REPOSITORY"),
                ("Tag", "TAG"),
                ("ID", "IMAGE ID"),
                ("CreatedSince", "CREATED"),
                ("Size", "SIZE"),
                ("SharedSize", "SHARED SIZE"),
                ("UniqueSize", "UNIQUE SIZE"),
                ("Containers", "CONTAINERS"),
            ],
            &images,
        )?,
        table(
            &[
                ("ID", "CONTAINER ID"),
                ("Image", "IMAGE"),
                ("Command", "COMMAND"),
                ("LocalVolumes", "LOCAL VOLUMES"),
                ("Size", "SIZE"),
                ("RunningFor", "CREATED"),
                ("Status", "STATUS"),
                ("Names", "NAMES"),
            ],
            &containers,
        )?,
        table(&[("Name", "VOLUME NAME"), ("Links", "LINKS"), ("Size", "SIZE")], &volumes)?,
        table(&[("ID", "CACHE ID"), ("CacheType", "CACHE TYPE"), ("Size", "SIZE")], &[])?,
    ))
}

fn image_rows(image: &hull_api_types::ImageSummary) -> Vec<Value> {
    let row = |repository: &str, tag: &str| {
        json!({
            "Repository": repository,
            "Tag": tag,
            "ID": short_id(&image.id),
            "CreatedSince": duration::ago(image.created),
            "Size": size::decimal_with(image.size as f64, 3),
            "SharedSize": size::decimal(image.shared_size.max(0) as f64),
            "UniqueSize": size::decimal((image.size - image.shared_size.max(0)) as f64),
            "Containers": image.containers.max(0).to_string(),
        })
    };
    let tagged: Vec<Value> =
        image.repo_tags.iter().filter_map(|name| name.rsplit_once(':')).map(|(r, t)| row(r, t)).collect();
    if tagged.is_empty() { vec![row("<none>", "<none>")] } else { tagged }
}

fn container_row(container: &ContainerSummary) -> Value {
    json!({
        "ID": short_id(&container.id),
        "Image": container.image,
        "Command": format!("\"{}\"", container.command),
        "LocalVolumes": container.mounts.iter().filter(|mount| mount.kind == "volume").count().to_string(),
        "Size": size::decimal_with(container.size_rw.unwrap_or(0) as f64, 3),
        "RunningFor": duration::ago(container.created),
        "Status": container.status,
        "Names": container.names.first().map(|name| name.trim_start_matches('/')).unwrap_or_default(),
    })
}

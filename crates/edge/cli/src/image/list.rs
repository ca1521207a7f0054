//! `images`, `image ls`.

use super::tree;
use crate::command::{Action, Arguments, Command, Flag};
use crate::failure::Failure;
use crate::format::Listing;
use crate::matches::Matches;
use crate::session::Session;
use crate::{check, duration, list};
use hull_api_types::ImageSummary;
use hull_client::Method;
use hull_types::{short_id, size};
use serde_json::{Value, json};

pub static LIST: Command = Command {
    usage: "[OPTIONS] [REPOSITORY[:TAG]]",
    about: "List images",
    names: &["image ls", "image list", "images"],
    flags: &[
        Flag::switch("all", "Show all images (default hides intermediate images)").short('a'),
        Flag::switch("digests", "Show digests"),
        Flag::list("filter", "filter", "Filter output based on conditions provided")
            .short('f')
            .check(check::filter),
        list::LIST_FLAG,
        Flag::switch("no-trunc", "Don't truncate output"),
        Flag::switch("quiet", "Only show image IDs").short('q'),
        Flag::switch("tree", "List multi-platform images as a tree (EXPERIMENTAL)"),
    ],
    arguments: Arguments::AtMost(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(images(session, matches))),
};

const HEADINGS: &[(&str, &str)] = &[
    ("Containers", "CONTAINERS"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedSince", "CREATED"),
    ("Digest", "DIGEST"),
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("SharedSize", "SHARED SIZE"),
    ("Size", "SIZE"),
    ("Tag", "TAG"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("VirtualSize", "SIZE"),
];
const PLAIN: Listing<'static> =
    Listing { headings: HEADINGS, columns: &["Repository", "Tag", "ID", "CreatedSince", "Size"] };
const DIGESTS: Listing<'static> =
    Listing { headings: HEADINGS, columns: &["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"] };

async fn images(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let tree = matches.switch("tree");
    if tree {
        tree::check(matches)?;
    }
    let mut filters = check::filters(&matches.list("filter"));
    if let Some(name) = matches.arguments().first() {
        filters.entry("reference".into()).or_default().push(name.clone());
    }
    let client = session.client().await?;
    let call = client.request(Method::GET, "/images/json").query(|query| {
        query.flag("all", matches.switch("all")).flag("manifests", tree).filters(&filters);
    });
    let images: Vec<ImageSummary> = call.fetch().await?;
    if tree {
        tree::print(&images);
        return Ok(());
    }
    // A template that asks for digests gets a row for each, as the flag does.
    let digests = matches.switch("digests") || matches.text("format").contains(".Digest");
    let whole = matches.switch("no-trunc");
    let once = matches.switch("quiet");
    let rows: Vec<Value> = images.iter().flat_map(|image| rows(image, digests, whole, once)).collect();
    let listing = if matches.switch("digests") { DIGESTS } else { PLAIN };
    list::print(session, matches, "imagesFormat", "ID", listing, &rows)
}

/// A row a name; with digests shown, a row a name and digest.
fn rows(image: &ImageSummary, digests: bool, whole: bool, once: bool) -> Vec<Value> {
    let names = names(image, digests);
    let count = if once { 1 } else { names.len() };
    let row = |(repository, tag, digest): &(String, String, String)| {
        json!({
            "Containers": counted(image.containers),
            "CreatedAt": duration::go_time(image.created),
            "CreatedSince": if image.created <= 0 { "N/A".into() } else { duration::ago(image.created) },
            "Digest": digest,
            "ID": if whole { &image.id } else { short_id(&image.id) },
            "Repository": repository,
            "SharedSize": bytes(image.shared_size),
            "Size": size::decimal_with(image.size as f64, 3),
            "Tag": tag,
            "UniqueSize": if image.shared_size < 0 { "N/A".into() } else { bytes(image.size - image.shared_size) },
            "VirtualSize": size::decimal_with(image.size as f64, 3),
        })
    };
    names.iter().take(count).map(row).collect()
}

fn counted(number: i64) -> String {
    if number < 0 { "N/A".into() } else { number.to_string() }
}

fn bytes(number: i64) -> String {
    if number < 0 { "N/A".into() } else { size::decimal_with(number as f64, 3) }
}

/// Repository, tag and digest of each row.
fn names(image: &ImageSummary, digests: bool) -> Vec<(String, String, String)> {
    const NONE: &str = "<none>";
    let tags: Vec<(&str, &str)> = image
        .repo_tags
        .iter()
        .filter(|name| *name != "<none>:<none>")
        .filter_map(|name| name.rsplit_once(':'))
        .collect();
    let known: Vec<(&str, &str)> = image
        .repo_digests
        .iter()
        .filter(|name| *name != "<none>@<none>")
        .filter_map(|name| name.split_once('@'))
        .collect();
    let mut rows = Vec::new();
    for (repository, tag) in &tags {
        let own: Vec<&str> =
            known.iter().filter(|(name, _)| name == repository).map(|(_, digest)| *digest).collect();
        if digests && !own.is_empty() {
            rows.extend(own.iter().map(|digest| ((*repository).into(), (*tag).into(), (*digest).into())));
        } else {
            rows.push(((*repository).into(), (*tag).into(), NONE.into()));
        }
    }
    // A digest of a repository that has no tag left stands by itself.
    for (repository, digest) in
        known.iter().filter(|(name, _)| !tags.iter().any(|(tagged, _)| tagged == name))
    {
        if digests || tags.is_empty() {
            let shown = if digests { digest } else { NONE };
            rows.push(((*repository).into(), NONE.into(), shown.into()));
        }
    }
    if rows.is_empty() {
        rows.push((NONE.into(), NONE.into(), NONE.into()));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_a_row_for_each_name() {
        let image = ImageSummary {
            repo_tags: vec!["a:1".into(), "localhost:5000/b:2".into()],
            repo_digests: vec!["a@sha256:aa".into(), "c@sha256:cc".into()],
            ..ImageSummary::default()
        };
        let shown = |digests| {
            let rows = names(&image, digests);
            rows.iter().map(|(r, t, d)| format!("{r} {t} {d}")).collect::<Vec<_>>()
        };
        assert_eq!(shown(false), ["a 1 <none>", "localhost:5000/b 2 <none>"]);
        assert_eq!(shown(true), ["a 1 sha256:aa", "localhost:5000/b 2 <none>", "c <none> sha256:cc"]);
        assert_eq!(names(&ImageSummary::default(), false).len(), 1);
    }
}

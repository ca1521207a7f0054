//! `manifest annotate`.

use super::store::Lists;
use super::{full, name};
use crate::command::{Action, Arguments, Command, Flag};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use hull_types::Platform;

pub static ANNOTATE: Command = Command {
    usage: "[OPTIONS] MANIFEST_LIST MANIFEST",
    about: "Add additional information to a local image manifest",
    names: &[],
    flags: &[
        Flag::text("arch", "string", "Set architecture"),
        Flag::text("os", "string", "Set operating system"),
        Flag::list("os-features", "strings", "Set operating system feature"),
        Flag::text("os-version", "string", "Set operating system version"),
        Flag::text("variant", "string", "Set architecture variant"),
    ],
    arguments: Arguments::Exactly(2),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(annotate(session, matches))),
};

/// What Go compiles for: anything else is a slip of the pen.
const KNOWN: [(&str, &str); 47] = [
    ("aix", "ppc64"),
    ("android", "386"),
    ("android", "amd64"),
    ("android", "arm"),
    ("android", "arm64"),
    ("darwin", "386"),
    ("darwin", "amd64"),
    ("darwin", "arm"),
    ("darwin", "arm64"),
    ("dragonfly", "amd64"),
    ("freebsd", "386"),
    ("freebsd", "amd64"),
    ("freebsd", "arm"),
    ("freebsd", "arm64"),
    ("illumos", "amd64"),
    ("ios", "arm64"),
    ("js", "wasm"),
    ("linux", "386"),
    ("linux", "amd64"),
    ("linux", "arm"),
    ("linux", "arm64"),
    ("linux", "loong64"),
    ("linux", "mips"),
    ("linux", "mips64"),
    ("linux", "mips64le"),
    ("linux", "mipsle"),
    ("linux", "ppc64"),
    ("linux", "ppc64le"),
    ("linux", "riscv64"),
    ("linux", "s390x"),
    ("netbsd", "386"),
    ("netbsd", "amd64"),
    ("netbsd", "arm"),
    ("netbsd", "arm64"),
    ("openbsd", "386"),
    ("openbsd", "amd64"),
    ("openbsd", "arm"),
    ("openbsd", "arm64"),
    ("plan9", "386"),
    ("plan9", "amd64"),
    ("plan9", "arm"),
    ("solaris", "amd64"),
    ("wasip1", "wasm"),
    ("windows", "386"),
    ("windows", "amd64"),
    ("windows", "arm"),
    ("windows", "arm64"),
];

async fn annotate(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let (list, image) = (name(matches.argument(0))?, name(matches.argument(1))?);
    let lists = Lists::of(session.config());
    if lists.list(&list)?.is_none() {
        return Err(Failure::new(format!("No such manifest: {}", full(&list))));
    }
    let Some(mut found) = lists.get(&list, &image)? else {
        let text = format!("manifest for image {} does not exist in {}", full(&image), full(&list));
        return Err(Failure::new(text));
    };
    let mut platform = found.descriptor.platform.take().unwrap_or_default();
    change(&mut platform, matches);
    if !KNOWN.contains(&(platform.os.as_str(), platform.architecture.as_str())) {
        let (os, architecture) = (&platform.os, &platform.architecture);
        return Err(Failure::new(format!(
            "manifest entry for image has unsupported os/arch combination: {os}/{architecture}"
        )));
    }
    found.descriptor.platform = Some(platform);
    lists.keep(&list, &image, &found)
}

fn change(platform: &mut Platform, matches: &Matches) {
    let fields = [
        ("os", &mut platform.os),
        ("arch", &mut platform.architecture),
        ("variant", &mut platform.variant),
        ("os-version", &mut platform.os_version),
    ];
    for (flag, field) in fields {
        if !matches.text(flag).is_empty() {
            *field = matches.text(flag).to_owned();
        }
    }
    for feature in matches.list("os-features").iter().flat_map(|given| given.split(',')) {
        if !feature.is_empty() && !platform.os_features.iter().any(|known| known == feature) {
            platform.os_features.push(feature.to_owned());
        }
    }
}

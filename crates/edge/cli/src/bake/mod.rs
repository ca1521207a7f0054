//! `bake`: several builds as files describe them.
//!
//! ```text
//!  files, flags ─(hull-bake)─► Plan ─ words: each target as the flags of `build`
//!                                └─ make: as many at once as there are processors, those first that others start from
//! ```

mod files;
mod list;
mod make;
mod place;
mod words;

use crate::build::Call;
use crate::buildx::BUILDER;
use crate::command::{Action, Arguments, Command, Flag, FlagKind};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use crate::streams;
use files::{Files, Words};
use hull_bake::{Options, Plan};
use hull_types::Platform;

pub static BAKE: Command = Command {
    usage: "[OPTIONS] [TARGET...]",
    about: "Build from a file",
    names: &["buildx bake", "bake"],
    flags: FLAGS,
    arguments: Arguments::Any,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(bake(session, matches))),
};

const FLAGS: &[Flag] = &[
    Flag::list("allow", "stringArray", "Allow build to access specified resources"),
    BUILDER,
    Flag::text(
        "call",
        "string",
        "Set method for evaluating build (\"build\", \"check\", \"outline\", \"targets\")",
    )
    .default("build"),
    Flag::switch("check", "Shorthand for \"--call=check\""),
    Flag::list("file", "stringArray", "Build definition file").short('f'),
    Flag::text("list", "string", "List targets or variables"),
    Flag::switch("list-targets", "List available targets").hidden(),
    Flag::switch("list-variables", "List defined variables").hidden(),
    Flag::switch("load", "Shorthand for \"--set=*.output=type=docker\""),
    Flag::text("metadata-file", "string", "Write build result metadata to a file"),
    Flag::switch("no-cache", "Do not use cache when building the image"),
    Flag::switch("print", "Print the options without building"),
    Flag::text(
        "progress",
        "string",
        "Set type of progress output (\"auto\", \"plain\", \"tty\", \"quiet\", \"rawjson\")",
    )
    .default("auto"),
    Flag::text("provenance", "string", "Shorthand for \"--set=*.attest=type=provenance\""),
    Flag::switch("pull", "Always attempt to pull all referenced images"),
    Flag::switch("push", "Shorthand for \"--set=*.output=type=registry\""),
    Flag::text("sbom", "string", "Shorthand for \"--set=*.attest=type=sbom\""),
    Flag::list("set", "stringArray", "Override target value (e.g., \"targetpattern.key=value\")"),
    Flag::list("var", "stringArray", "Set a variable value (e.g., \"name=value\")"),
    Flag::alias("variable", "var", FlagKind::List),
];

async fn bake(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let words = Words::of(matches.arguments());
    let files = files::read(session, matches, &words).await?;
    let Some(mut plan) = read(matches, &words, &files)? else { return Ok(()) };
    if let Some(root) = &files.root {
        place::within(&mut plan, root)?;
    }
    if matches.switch("print") {
        streams::print_line(&format!("{:#}", plan.to_json()));
        return Ok(());
    }
    entitled(&plan, &matches.list("allow"))?;
    make::all(session, matches, &plan).await
}

/// What is to be built; nothing where a list was asked for and printed.
fn read(matches: &Matches, words: &Words<'_>, found: &Files) -> Result<Option<Plan>, Failure> {
    let files: Vec<hull_bake::File<'_>> =
        found.texts.iter().map(|(name, text)| hull_bake::File { name, text }).collect();
    let overrides = overrides(matches, Call::of(matches)?.as_ref());
    let mut given = Vec::new();
    for text in matches.list("var") {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| Failure::new(format!("ERROR: invalid variable {text:?}: expected name=value")))?;
        given.push((name.to_owned(), value.to_owned()));
    }
    let variable = |name: &str| {
        let given = given.iter().rfind(|(known, _)| known == name).map(|(_, value)| value.clone());
        given.or_else(|| std::env::var(name).ok())
    };
    let options = Options {
        targets: words.targets,
        overrides: &overrides,
        variable: &variable,
        platform: &Platform::host().to_string(),
        command_context: words.command_context,
        dotenv: &found.dotenv,
    };
    let failed = |error: hull_bake::Error| Failure::new(format!("ERROR: {error}"));
    let kind = match (matches.switch("list-targets"), matches.switch("list-variables")) {
        (true, _) => "targets",
        (_, true) => "variables",
        _ => matches.text("list"),
    };
    if let Some(list) = list::Asked::parse(kind)? {
        let found = hull_bake::list(&files, &options, list.variables).map_err(failed)?;
        streams::print(&list.show(&found));
        return Ok(None);
    }
    hull_bake::load(&files, &options).map(Some).map_err(failed)
}

/// `--set`, and the flags that are short for one.
fn overrides(matches: &Matches, call: Option<&Call>) -> Vec<String> {
    let mut all = matches.list("set");
    for name in ["push", "load", "no-cache", "pull"] {
        if matches.changed(name) {
            all.push(format!("*.{name}={}", matches.switch(name)));
        }
    }
    for name in ["provenance", "sbom"] {
        match matches.text(name) {
            "" => {}
            "true" => all.push(format!("*.attest=type={name}")),
            "false" => all.push(format!("*.attest=type={name},disabled=true")),
            attributes => all.push(format!("*.attest=type={name},{attributes}")),
        }
    }
    all.extend(call.map(|call| format!("*.call={}", call.name)));
    all
}

/// A file alone gives no rights: they are granted on the command line.
fn entitled(plan: &Plan, allowed: &[String]) -> Result<(), Failure> {
    for (name, target) in &plan.targets {
        for right in &target.entitlements {
            if !allowed.contains(right) {
                return Err(Failure::new(format!(
                    "ERROR: target {name} wants the right {right}: pass --allow={right} to grant it"
                )));
            }
        }
    }
    Ok(())
}

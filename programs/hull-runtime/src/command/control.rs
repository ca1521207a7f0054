//! `start`, `kill`, `delete`, `pause` and `resume`.

use super::{Global, Outcome, text};
use crate::arguments::{Arguments, Flag, short, switch};
use hull_types::signal;
use std::ffi::OsString;

const NONE: [Flag; 0] = [];

pub(super) fn start(global: &Global, given: Vec<OsString>) -> Outcome {
    let arguments = Arguments::parse(given, &NONE, false)?;
    hull_oci_runtime::start(&global.root, arguments.id()?).map_err(text)?;
    Ok(0)
}

pub(super) fn kill(global: &Global, given: Vec<OsString>) -> Outcome {
    let arguments = Arguments::parse(given, &[short("a", switch("all"))], false)?;
    let id = arguments.id()?;
    let name = arguments.words.get(1).map_or("SIGTERM", String::as_str);
    // 0 asks whether the process is there.
    let number = if name == "0" { Some(0) } else { signal::parse(name) };
    let number = number.ok_or_else(|| format!("unknown signal {name:?}"))?;
    hull_oci_runtime::kill(&global.root, id, number, arguments.is_set("all")).map_err(text)?;
    Ok(0)
}

pub(super) fn delete(global: &Global, given: Vec<OsString>) -> Outcome {
    let arguments = Arguments::parse(given, &[short("f", switch("force"))], false)?;
    let force = arguments.is_set("force");
    let warnings = hull_oci_runtime::delete(&global.root, arguments.id()?, force).map_err(text)?;
    warnings.iter().for_each(|warning| global.log.warning(warning));
    Ok(0)
}

pub(super) fn pause(global: &Global, given: Vec<OsString>) -> Outcome {
    let arguments = Arguments::parse(given, &NONE, false)?;
    hull_oci_runtime::pause(&global.root, arguments.id()?).map_err(text)?;
    Ok(0)
}

pub(super) fn resume(global: &Global, given: Vec<OsString>) -> Outcome {
    let arguments = Arguments::parse(given, &NONE, false)?;
    hull_oci_runtime::resume(&global.root, arguments.id()?).map_err(text)?;
    Ok(0)
}

//! `checkpoint` and `restore`.

use super::{Global, Outcome, text};
use crate::arguments::{Arguments, Flag, short, switch, value};
use crate::foreground;
use hull_oci_runtime::{CreateOptions, CriuOptions, RestoreOptions};
use std::ffi::OsString;
use std::path::PathBuf;

const CHECKPOINT: [Flag; 18] = [
    value("image-path"),
    value("work-path"),
    value("parent-path"),
    switch("leave-running"),
    switch("tcp-established"),
    switch("tcp-skip-in-flight"),
    switch("link-remap"),
    switch("ext-unix-sk"),
    switch("shell-job"),
    switch("lazy-pages"),
    value("status-fd"),
    value("page-server"),
    switch("file-locks"),
    switch("pre-dump"),
    value("manage-cgroups-mode"),
    value("empty-ns"),
    switch("auto-dedup"),
    value("criu"),
];

const RESTORE: [Flag; 22] = [
    short("b", value("bundle")),
    value("console-socket"),
    value("image-path"),
    value("work-path"),
    switch("tcp-established"),
    switch("link-remap"),
    switch("ext-unix-sk"),
    switch("shell-job"),
    switch("file-locks"),
    value("manage-cgroups-mode"),
    short("d", switch("detach")),
    value("pid-file"),
    value("pidfd-socket"),
    switch("no-subreaper"),
    switch("no-pivot"),
    value("empty-ns"),
    switch("auto-dedup"),
    switch("lazy-pages"),
    value("lsm-profile"),
    value("lsm-mount-context"),
    value("criu"),
    switch("keep"),
];

fn criu(global: &Global, arguments: &Arguments) -> Result<CriuOptions, String> {
    let path = |name| arguments.get(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    let words = |name| arguments.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let current = std::env::current_dir().map_err(text)?;
    // criu changes its directory: its paths are absolute.
    let absolute = |path: PathBuf| current.join(path);
    Ok(CriuOptions {
        program: path("criu").or_else(|| global.criu.clone()).unwrap_or_default(),
        image_path: absolute(path("image-path").unwrap_or_else(|| "checkpoint".into())),
        work_path: path("work-path").map(absolute).unwrap_or_default(),
        parent_path: path("parent-path"),
        leave_running: arguments.is_set("leave-running"),
        pre_dump: arguments.is_set("pre-dump"),
        tcp_established: arguments.is_set("tcp-established"),
        tcp_skip_in_flight: arguments.is_set("tcp-skip-in-flight"),
        link_remap: arguments.is_set("link-remap"),
        ext_unix_sk: arguments.is_set("ext-unix-sk"),
        shell_job: arguments.is_set("shell-job"),
        lazy_pages: arguments.is_set("lazy-pages"),
        status_fd: arguments.number("status-fd")?.filter(|fd| *fd >= 0),
        page_server: words("page-server"),
        file_locks: arguments.is_set("file-locks"),
        manage_cgroups_mode: words("manage-cgroups-mode").unwrap_or_default(),
        empty_ns: arguments.all("empty-ns").map(str::to_owned).collect(),
        auto_dedup: arguments.is_set("auto-dedup"),
        lsm_profile: words("lsm-profile"),
        lsm_mount_context: words("lsm-mount-context"),
    })
}

pub(super) fn checkpoint(global: &Global, given: Vec<OsString>) -> Outcome {
    let arguments = Arguments::parse(given, &CHECKPOINT, false)?;
    let (id, options) = (arguments.id()?, criu(global, &arguments)?);
    hull_oci_runtime::checkpoint(&global.root, id, &options).map_err(text)?;
    if !options.leave_running && !options.pre_dump {
        let warnings = hull_oci_runtime::delete(&global.root, id, true).map_err(text)?;
        warnings.iter().for_each(|warning| global.log.warning(warning));
    }
    Ok(0)
}

pub(super) fn restore(global: &Global, given: Vec<OsString>) -> Outcome {
    let arguments = Arguments::parse(given, &RESTORE, false)?;
    let path = |name| arguments.get(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    let id = arguments.id()?.to_owned();
    let create = CreateOptions {
        id: id.clone(),
        bundle: path("bundle").unwrap_or_else(|| PathBuf::from(".")),
        state_root: global.root.clone(),
        pid_file: path("pid-file"),
        pidfd_socket: path("pidfd-socket"),
        ..CreateOptions::default()
    };
    let detached = arguments.is_set("detach");
    if !detached && !arguments.is_set("no-subreaper") {
        hull_sys::process::set_child_subreaper().map_err(text)?;
    }
    let criu = criu(global, &arguments)?;
    let restored = hull_oci_runtime::restore(RestoreOptions { create, criu }).map_err(text)?;
    if detached {
        return Ok(0);
    }
    let status = foreground::wait(restored.pid, None);
    if !arguments.is_set("keep") {
        let warnings = hull_oci_runtime::delete(&global.root, &id, true).map_err(text)?;
        warnings.iter().for_each(|warning| global.log.warning(warning));
    }
    status.map_err(text)
}

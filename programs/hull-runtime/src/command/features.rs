//! `features`: what this runtime knows (runtime specification, "Features").

use super::{Global, Outcome};
use std::ffi::OsString;

pub(super) fn features(_: &Global, _: Vec<OsString>) -> Outcome {
    let quoted = |words: Vec<String>| format!("\"{}\"", words.join("\", \""));
    let architectures: &[&str] = if cfg!(target_arch = "aarch64") {
        &["SCMP_ARCH_AARCH64"]
    } else {
        &["SCMP_ARCH_X86", "SCMP_ARCH_X86_64"]
    };
    let features = include_str!("features.json")
        .replace("@VERSION@", hull_types::oci::runtime::VERSION)
        .replace("@RUNTIME@", env!("CARGO_PKG_VERSION"))
        .replace("@OPTIONS@", &quoted(hull_oci_runtime::known_options()))
        .replace("@POLICY_MODES@", &quoted(hull_oci_runtime::memory_policy_modes()))
        .replace("@POLICY_FLAGS@", &quoted(hull_oci_runtime::memory_policy_flags()))
        .replace("@CAPABILITIES@", &quoted(hull_sys::capability::names().collect()))
        .replace("@ARCHITECTURES@", &quoted(architectures.iter().map(|name| (*name).to_owned()).collect()));
    say!("{}", features.trim_end());
    Ok(0)
}

//! The program started again through a descriptor of a read-only mount of itself, so that no container can write
//! to it through `/proc/<pid>/exe` (CVE-2019-5736).

use hull_sys::process;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

/// Says to the second start that it is one: where the seal cannot be seen, there would be a third.
const MARK: &str = "HULL_RUNTIME_SEALED";

/// Returns in a process whose program is sealed; where the kernel refuses, in one whose program is not: a
/// container's processes still cannot open a non-dumpable process's program.
pub(crate) fn run_sealed() {
    if std::env::var_os(MARK).is_some() {
        return;
    }
    let Ok(Some(program)) = process::sealed_executable() else { return };
    let c_string = |text: &[u8]| CString::new(text).ok();
    let arguments: Vec<CString> = std::env::args_os().filter_map(|text| c_string(text.as_bytes())).collect();
    let mut environment: Vec<CString> = std::env::vars_os()
        .filter_map(|(name, value)| c_string(&[name.as_bytes(), b"=", value.as_bytes()].concat()))
        .collect();
    environment.extend(c_string(format!("{MARK}=1").as_bytes()));
    let _ = process::fexecve(program, &arguments, &environment);
}

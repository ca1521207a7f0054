//! The shim alone, for this crate's tests: `hull-runtime` with no other role.

fn main() -> std::process::ExitCode {
    hull_shim::run(std::env::args_os().skip(2))
}

//! Temporary.
fn main() {
    std::process::exit(hull_daemon::main(std::env::args_os().skip(1).collect()))
}

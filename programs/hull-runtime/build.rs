//! The static build is to be small: it leaves out the tables for unwinding, which it never does (`panic = "abort"`).

fn main() {
    println!("cargo:rerun-if-changed=discard.ld");
    let is = |name: &str, wanted: &str| std::env::var(name).is_ok_and(|value| value == wanted);
    if is("CARGO_CFG_TARGET_ENV", "musl") && is("PROFILE", "release") {
        let script =
            std::path::Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("discard.ld");
        // Relative relocations in a bit map: a twentieth of the usual table. musl reads it since 1.2.4.
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        println!("cargo:rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
        println!("cargo:rustc-link-arg-bins=-Wl,-T,{}", script.display());
    }
}

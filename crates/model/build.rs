//! Lets the test binaries of this crate find the libtorch that scripts/setup.sh fetched.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}/../../vendor/libtorch/torch/lib", env!("CARGO_MANIFEST_DIR"));
}

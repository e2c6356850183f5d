//! Compiles the C++ functions in native/ against the libtorch headers that tch uses, and lets this package's tests find
//! libtorch where scripts/setup.sh put it.

use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let vendored = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vendor/libtorch/torch/lib");
    println!("cargo:rustc-link-arg=-Wl,--enable-new-dtags,-rpath,{vendored}");
    println!("cargo:rerun-if-changed=native");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-env-changed=LIBTORCH_INCLUDE");
    let named = ["LIBTORCH_INCLUDE", "LIBTORCH"].into_iter().find_map(std::env::var_os).map(PathBuf::from);
    let torch = named.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../../vendor/libtorch/torch").into());
    cc::Build::new()
        .cpp(true)
        .pic(true)
        .warnings(false)
        .include(torch.join("include"))
        .flag("-std=c++17")
        .file("native/all.cpp")
        .compile("reeldeck_native");
}

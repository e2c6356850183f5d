//! Lets reeldeck-worker find libtorch beside itself, in `lib` beside itself, or where scripts/setup.sh put it.
//! It uses a RUNPATH, not an RPATH, so that LD_LIBRARY_PATH can replace it with the user's CUDA build of libtorch.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=REELDECK_DIST");
    let vendored = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vendor/libtorch/torch/lib");
    // A distributed program must not search a folder of the machine that built it.
    let own = if std::env::var_os("REELDECK_DIST").is_some() { String::new() } else { format!(":{vendored}") };
    println!("cargo:rustc-link-arg=-Wl,--enable-new-dtags,-rpath,$ORIGIN:$ORIGIN/lib{own}");
}

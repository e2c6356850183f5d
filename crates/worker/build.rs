//! Lets reeldeck-worker find libtorch: beside itself, in `lib` beside itself, or where scripts/setup.sh put it.
//! A RUNPATH, not an RPATH: LD_LIBRARY_PATH comes first, which is how the user's own CUDA libtorch takes its place.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=REELDECK_DIST");
    let vendored = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vendor/libtorch/torch/lib");
    // What is given to others must not look into a folder that on their machine is anybody's.
    let own = if std::env::var_os("REELDECK_DIST").is_some() { String::new() } else { format!(":{vendored}") };
    println!("cargo:rustc-link-arg=-Wl,--enable-new-dtags,-rpath,$ORIGIN:$ORIGIN/lib{own}");
}

//! Lets reeldeck-worker find libtorch: beside itself, in `lib` beside itself, or where scripts/setup.sh put it.
//! A RUNPATH, not an RPATH: LD_LIBRARY_PATH comes first, which is how the user's own CUDA libtorch takes its place.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let vendored = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vendor/libtorch/torch/lib");
    println!("cargo:rustc-link-arg=-Wl,--enable-new-dtags,-rpath,$ORIGIN:$ORIGIN/lib:{vendored}");
}

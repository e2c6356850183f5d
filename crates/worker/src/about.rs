//! `reeldeck-worker about`: reports which libtorch was loaded, whether it computes correctly, and whether it sees CUDA devices.
//! `reeldeck-worker about speeds` also measures precisions, which takes some seconds.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use reeldeck_common::about::{Worker, loaded_libraries};
use reeldeck_common::recipe::{Precision, Recipe};
use reeldeck_common::versions::LIBTORCH;
use reeldeck_model::tch::{self, Cuda, Device, Kind, Tensor};
use reeldeck_model::{ModelError, device, precisions};

/// Runs the command, which prints JSON.
pub(crate) fn run(with_speeds: bool) -> Result<()> {
    let library = loaded_libraries(&["libtorch_cpu.so"]).pop();
    let found = library.as_deref().map(Path::new).and_then(build_version);
    let cuda = std::env::var_os("REELDECK_TORCH_LIB").map(|folder| {
        let loaded = device::load_cuda(&PathBuf::from(folder));
        loaded.map(|()| Cuda::device_count()).map_err(|error| error.to_string())
    });
    let about = Worker {
        version: env!("CARGO_PKG_VERSION").into(),
        built_for: LIBTORCH.into(),
        library,
        found,
        threads: usize::try_from(tch::get_num_threads()).unwrap_or(0),
        onednn: tch::utils::has_mkldnn(),
        wrong: convolve().err(),
        libraries: loaded_libraries(&["libtorch", "libc10", "libgomp", "libav", "libsw"]),
        speeds: if with_speeds { speeds()? } else { vec![] },
        cuda,
    };
    println!("{}", serde_json::to_string(&about)?);
    Ok(())
}

/// The speeds of other precisions with the published network.
fn speeds() -> Result<Vec<(Precision, f64)>> {
    let recipe = Recipe::find("slowonly-r50-8x8-k700")?;
    let mut speeds = vec![];
    for precision in [Precision::Bf16, Precision::Fp16] {
        speeds.extend(precisions::speed(&recipe, precision, None)?.map(|speed| (precision, speed)));
    }
    Ok(speeds)
}

/// The content of the file `build-version`, which is beside the libraries in an archive of reeldeck, and in the folder above
/// them in a package of libtorch.
fn build_version(library: &Path) -> Option<String> {
    let folders = library.ancestors().skip(1).take(2);
    let text = folders.map(|folder| folder.join("build-version")).find_map(|path| fs::read_to_string(path).ok())?;
    Some(text.trim().to_owned())
}

/// Checks a convolution of ones, whose result is known.
fn convolve() -> Result<(), String> {
    let compute = || -> Result<Tensor, ModelError> {
        let ones = |shape: &[i64]| Tensor::f_ones(shape, (Kind::Float, Device::Cpu));
        Ok(ones(&[1, 16, 8, 8])?.f_conv2d::<Tensor>(&ones(&[4, 16, 3, 3])?, None, [1, 1], [0, 0], [1, 1], 1)?)
    };
    let output = compute().map_err(|error| error.to_string())?;
    let (least, most) = (output.min().double_value(&[]), output.max().double_value(&[]));
    let right = output.size() == [1, 4, 6, 6] && (least, most) == (144.0, 144.0);
    if right { Ok(()) } else { Err(format!("a convolution of ones gives {least} to {most}, not 144")) }
}

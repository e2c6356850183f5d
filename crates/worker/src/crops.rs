//! `reeldeck-worker crops cuda:N VIDEO…`: compares crops that a GPU computes with those of the CPU, byte by byte.
//! `crops memory VIDEO…` does the same without a GPU, with frames in host memory.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, bail};
use reeldeck_common::limits::Limits;
use reeldeck_common::protocol::Nvdec;
use reeldeck_common::recipe::Recipe;
use reeldeck_model::device;
use reeldeck_video::frames::{Extraction, Request};

use crate::decode::{self, DecodeProgress, Decoded};
use crate::gpu::{Gpu, GpuDecoder, rows};

const USAGE: &str = "usage: reeldeck-worker crops cuda:N|memory VIDEO…";

/// Crops by index of the frame.
type Crops = BTreeMap<u64, Vec<u8>>;

/// Runs the command, which prints a line of JSON for each video.
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    let [place, videos @ ..] = arguments else { bail!(USAGE) };
    let place = place.to_string_lossy();
    let gpu = match place.as_ref() {
        "memory" => None,
        name => {
            let number = name.strip_prefix("cuda:").and_then(|number| number.parse().ok()).context(USAGE)?;
            let lib = std::env::var_os("REELDECK_TORCH_LIB").context("REELDECK_TORCH_LIB names no CUDA libraries")?;
            device::load_cuda(Path::new(&lib))?;
            let gpu = Gpu::open(Nvdec { gpu: number, streams: 1, stay: true });
            Some(gpu.context("NVDEC is not available; see the messages of FFmpeg above")?)
        }
    };
    for video in videos.iter().map(PathBuf::from) {
        let (by_cpu, ..) = crops(&video, None)?;
        // Use a new thread for each video, because a thread keeps its GPU stream.
        let by_gpu = thread::scope(|scope| {
            let work = || {
                let mut decoder = gpu.as_ref().map_or_else(|| GpuDecoder::emulated(usize::MAX), Gpu::decoder);
                crops(&video, Some(&mut decoder))
            };
            thread::Builder::new().spawn_scoped(scope, work).context("failed to start a thread").map(|run| run.join())
        })?;
        let Ok(by_gpu) = by_gpu else { bail!("{}: the thread panicked", video.display()) };
        let (by_gpu, on_device, extraction) = by_gpu?;
        let same = by_cpu.iter().filter(|(index, pixels)| by_gpu.get(index) == Some(pixels)).count();
        let line = serde_json::json!({
            "file": video,
            "decoder": if extraction.nvdec { "nvdec" } else { "cpu" },
            "frames": by_cpu.len(),
            "stayed": on_device,
            "different": by_cpu.len().max(by_gpu.len()) - same,
        });
        println!("{line}");
    }
    Ok(())
}

/// The crops of a video, and how many of them were computed on the device.
fn crops(video: &Path, gpu: Option<&mut GpuDecoder>) -> Result<(Crops, usize, Extraction)> {
    let recipe = Recipe::find("slowonly-r50-8x8-k700")?;
    let limits = Limits::default();
    let request = Request { sampling: recipe.sampling, transform: recipe.transform, damage: recipe.damage, limits };
    let (sender, decoded) = mpsc::sync_channel(64);
    let receiver = thread::Builder::new().spawn(move || receive(decoded)).context("failed to start a thread")?;
    decode::run(video, &request, gpu, sender, &DecodeProgress::default());
    let Ok(received) = receiver.join() else { bail!("the thread that receives crops panicked") };
    received.with_context(|| format!("failed to take frames from {}", video.display()))
}

fn receive(decoded: mpsc::Receiver<Decoded>) -> Result<(Crops, usize, Extraction)> {
    let (mut crops, mut on_device) = (Crops::new(), 0);
    for decoded in decoded {
        match decoded {
            Decoded::Plan(_) => (crops, on_device) = (Crops::new(), 0),
            Decoded::Frame(index, pixels) => drop(crops.insert(index, pixels)),
            Decoded::Frames(indices, batch) => {
                on_device += indices.len();
                crops.extend(indices.into_iter().zip(rows(&batch.pixels)?));
            }
            Decoded::End { result, .. } => {
                let extraction = result.map_err(|failure| anyhow::anyhow!(failure.line()))?;
                return Ok((crops, on_device, extraction));
            }
        }
    }
    bail!("the decode thread ended without a word")
}

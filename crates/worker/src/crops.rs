//! `reeldeck-worker crops cuda:N VIDEO…`: the crops of pictures that stay on a GPU against those of the CPU, byte by byte.
//! `crops memory VIDEO…` does the same without a GPU: the pictures lie in the host's memory then, and the rest is the same.

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

use crate::decode::{self, Decoded, Pulse};
use crate::gpu::{Gpu, Hand, rows};

const USAGE: &str = "usage: reeldeck-worker crops cuda:N|memory VIDEO…";

/// Crops by frame.
type Crops = BTreeMap<u64, Vec<u8>>;

/// Prints a line of JSON for each video.
pub fn print(arguments: &[OsString]) -> Result<()> {
    let [place, videos @ ..] = arguments else { bail!(USAGE) };
    let place = place.to_string_lossy();
    let gpu = match place.as_ref() {
        "memory" => None,
        name => {
            let number = name.strip_prefix("cuda:").and_then(|number| number.parse().ok()).context(USAGE)?;
            let lib = std::env::var_os("REELDECK_TORCH_LIB").context("REELDECK_TORCH_LIB names no CUDA libraries")?;
            device::load_cuda(Path::new(&lib))?;
            let gpu = Gpu::open(Nvdec { gpu: number, streams: 1, stay: true });
            Some(gpu.context("NVDEC cannot be had; what FFmpeg says stands above")?)
        }
    };
    for video in videos.iter().map(PathBuf::from) {
        let (plain, ..) = crops(&video, None)?;
        // Each in a thread of its own, as in a run: a thread keeps to one stream of the GPU.
        let there = thread::scope(|scope| {
            let work = || {
                let mut hand = gpu.as_ref().map_or_else(Hand::in_memory, Gpu::hand);
                crops(&video, Some(&mut hand))
            };
            scope.spawn(work).join()
        });
        let Ok(there) = there else { bail!("{}: the thread panicked", video.display()) };
        let (there, stayed, facts) = there?;
        let same = plain.iter().filter(|(index, pixels)| there.get(index) == Some(pixels)).count();
        let line = serde_json::json!({
            "file": video,
            "decoder": if facts.nvdec { "nvdec" } else { "cpu" },
            "frames": plain.len(),
            "stayed": stayed,
            "different": plain.len().max(there.len()) - same,
        });
        println!("{line}");
    }
    Ok(())
}

/// A video's crops, and how many of them were made where the pictures were.
fn crops(video: &Path, hand: Option<&mut Hand>) -> Result<(Crops, usize, Extraction)> {
    let recipe = Recipe::find("slowonly-r50-8x8-k700")?;
    let limits = Limits::default();
    let request = Request { sampling: recipe.sampling, transform: recipe.transform, damage: recipe.damage, limits };
    let (sender, decoded) = mpsc::sync_channel(64);
    let taker = thread::spawn(move || take(decoded));
    decode::run(video, &request, hand, sender, &Pulse::default());
    let Ok(taken) = taker.join() else { bail!("the thread that takes crops panicked") };
    taken.with_context(|| format!("failed to take frames from {}", video.display()))
}

fn take(decoded: mpsc::Receiver<Decoded>) -> Result<(Crops, usize, Extraction)> {
    let (mut crops, mut stayed) = (Crops::new(), 0);
    for decoded in decoded {
        match decoded {
            Decoded::Plan(_) => (crops, stayed) = (Crops::new(), 0),
            Decoded::Frame(index, pixels) => drop(crops.insert(index, pixels)),
            Decoded::Frames(indices, stored) => {
                stayed += indices.len();
                crops.extend(indices.into_iter().zip(rows(&stored.pixels)?));
            }
            Decoded::End { result, .. } => {
                let facts = result.map_err(|failure| anyhow::anyhow!(failure.line()))?;
                return Ok((crops, stayed, facts));
            }
        }
    }
    bail!("the decode thread ended without a word")
}

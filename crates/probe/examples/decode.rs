//! Measures how fast CPU threads or a GPU's decoder make crops of videos, and prints checksums of the crops:
//!
//! `cargo run --release -p reeldeck-probe --example decode -- [--nvdec GPU] [--threads N] [--rounds N] VIDEO…`
//!
//! Prints a line of JSON. Run it on an otherwise idle machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use md5::{Digest, Md5};
use reeldeck_common::limits::Limits;
use reeldeck_common::recipe::Recipe;
use reeldeck_video::VideoError;
use reeldeck_video::frames::{self, Pass, Request, Sink};
use reeldeck_video::nvdec::Nvdec;
use reeldeck_video::sampling::ClipPlan;
use serde_json::json;

/// Computes a checksum of the crops of the last plan.
#[derive(Default)]
struct Sum(Md5);

impl Sink for Sum {
    fn plan(&mut self, _plan: ClipPlan) -> Result<(), VideoError> {
        self.0 = Md5::new();
        Ok(())
    }

    fn frame(&mut self, index: u64, pixels: Vec<u8>) -> Result<(), VideoError> {
        self.0.update(index.to_le_bytes());
        self.0.update(pixels);
        Ok(())
    }
}

/// Discards the crops: a checksum would cost as much as decoding.
struct Nowhere;

impl Sink for Nowhere {
    fn plan(&mut self, _plan: ClipPlan) -> Result<(), VideoError> {
        Ok(())
    }

    fn frame(&mut self, _index: u64, _pixels: Vec<u8>) -> Result<(), VideoError> {
        Ok(())
    }
}

fn main() -> Result<()> {
    let (mut gpu, mut threads, mut rounds, mut files) = (None, 1, 1, vec![]);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number =
            || words.next().and_then(|text| text.parse::<usize>().ok()).context("the option needs a number");
        match word.as_str() {
            "--nvdec" => gpu = Some(number()?),
            "--threads" => threads = number()?.max(1),
            "--rounds" => rounds = number()?.max(1),
            _ => files.push(word),
        }
    }
    if files.is_empty() {
        bail!("name at least one video");
    }
    let recipe = Recipe::find("slowonly-r50-8x8-k700")?;
    let limits = Limits::default();
    let request = Request { sampling: recipe.sampling, transform: recipe.transform, damage: recipe.damage, limits };
    let open = || gpu.map(Nvdec::open).transpose();
    let extract = |file: &str, nvdec: Option<&Nvdec>, sink: &mut dyn Sink| {
        frames::extract_with(Path::new(file), &request, Pass::Best, nvdec, sink)
            .with_context(|| format!("failed to take frames from {file}"))
    };
    let nvdec = open()?;
    // The first pass computes the checksums and fills the page cache.
    let mut found = BTreeMap::new();
    for file in &files {
        let mut sum = Sum::default();
        let facts = extract(file, nvdec.as_ref(), &mut sum)?;
        let md5: String = sum.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let decoder = if facts.nvdec { "nvdec" } else { "cpu" };
        found.insert(file, json!({"decoder": decoder, "frames": facts.counts.output, "md5": md5}));
    }
    let (next, total, failed) = (AtomicUsize::new(0), files.len() * rounds, Mutex::new(None));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let work = || -> Result<()> {
                    let nvdec = open()?;
                    while let Some(file) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < total) {
                        extract(&files[file % files.len()], nvdec.as_ref(), &mut Nowhere)?;
                    }
                    Ok(())
                };
                if let Err(error) = work() {
                    failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(error);
                }
            });
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    if let Some(error) = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(error);
    }
    let speed = total as f64 / seconds;
    println!(
        "{}",
        json!({"threads": threads, "videos": total, "seconds": seconds, "videos_per_s": speed, "files": found})
    );
    Ok(())
}

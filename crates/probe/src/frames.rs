//! `reeldeck-probe frames`: checksums of the exact pixels that a recipe uses from a video.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use md5::{Digest, Md5};
use reeldeck_common::limits::Limits;
use reeldeck_common::recipe::Recipe;
use reeldeck_video::frames::{self, Pass, Request, Sink};
use reeldeck_video::nvdec::Nvdec;
use reeldeck_video::sampling::ClipPlan;
use reeldeck_video::{VideoError, full_decode};
use serde_json::json;

#[derive(Default)]
struct Collect {
    plan: Option<ClipPlan>,
    frames: HashMap<u64, Vec<u8>>,
}

impl Sink for Collect {
    fn plan(&mut self, plan: ClipPlan) -> Result<(), VideoError> {
        self.plan = Some(plan);
        self.frames.clear();
        Ok(())
    }

    fn frame(&mut self, index: u64, pixels: Vec<u8>) -> Result<(), VideoError> {
        self.frames.insert(index, pixels);
        Ok(())
    }
}

impl Collect {
    /// One clip of bytes as channels × length × height × width, as in the original's arrays.
    fn clip(&self, indices: &[u64]) -> Result<Vec<u8>> {
        let mut out = vec![];
        for channel in 0..3 {
            for index in indices {
                let pixels = self.frames.get(index).with_context(|| format!("frame {index} is missing"))?;
                out.extend(pixels.iter().skip(channel).step_by(3));
            }
        }
        Ok(out)
    }
}

fn hex(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Prints the facts and checksums of one video as JSON.
pub(crate) fn print(
    file: &Path,
    recipe: &str,
    (pass, gpu): (Pass, Option<usize>),
    pictures: bool,
    raw: Option<(&Path, &[usize])>,
) -> Result<()> {
    let recipe = Recipe::find(recipe)?;
    let limits = Limits::default();
    let request = Request { sampling: recipe.sampling, transform: recipe.transform, damage: recipe.damage, limits };
    let mut collect = Collect::default();
    let nvdec = gpu.map(Nvdec::open).transpose()?;
    let facts = frames::extract_with(file, &request, pass, nvdec.as_ref(), &mut collect)
        .with_context(|| format!("failed to take frames from {}", file.display()))?;
    let plan = collect.plan.take().context("no plan")?;
    let clip = |clip: usize| collect.clip(&plan.clip(clip).collect::<Vec<_>>());
    let md5s = (0..plan.distinct()).map(|distinct| Ok(hex(&clip(distinct)?))).collect::<Result<Vec<_>>>()?;
    let mut whole_md5s = vec![];
    if pictures {
        full_decode::for_each_frame(file, &limits, &mut |picture| {
            whole_md5s.push(hex(picture.rgb));
            Ok(())
        })?;
    }
    if let Some((path, wanted)) = raw {
        let mut bytes = vec![];
        for wanted in wanted {
            let last = plan.rows() - 1;
            let distinct = plan.clip_of().nth(*wanted);
            let distinct = distinct.with_context(|| format!("no clip {wanted}: the last one is {last}"))?;
            bytes.extend(clip(distinct)?);
        }
        std::fs::write(path, bytes).with_context(|| format!("failed to write {}", path.display()))?;
    }
    let indices: Vec<u64> = plan.clip_of().flat_map(|clip| plan.clip(clip)).collect();
    let report = json!({
        "file": file.display().to_string(),
        "frames": facts.counts,
        "expected_from": facts.expected_from,
        "size": facts.size,
        "fps": facts.fps,
        "pass": if facts.plain_pass { "plain" } else { "fast" },
        "decoder": if facts.nvdec { "nvdec" } else { "cpu" },
        "skipped": facts.skipped,
        "resampled": facts.resampled,
        "indices": indices,
        "clip_md5": plan.clip_of().map(|clip| md5s[clip].as_str()).collect::<Vec<_>>(),
        "picture_md5": whole_md5s,
    });
    println!("{report}");
    Ok(())
}

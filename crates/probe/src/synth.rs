//! `reeldeck-probe synth`: generates videos from a JSON list of files and descriptions on standard input.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result};
use reeldeck_process::confine;
use reeldeck_video::synth::{self, Synth};
use serde::Deserialize;

use crate::samples;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    file: PathBuf,
    #[serde(default)]
    video: Synth,
    /// Used if FFmpeg lacks the video's encoder. Without a replacement that is an error: tests must get what they ask for.
    #[serde(default)]
    otherwise: Option<Otherwise>,
}

/// The replacement for a video that FFmpeg cannot encode.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Otherwise {
    /// The same with another encoder, and without the options of the first.
    Encoder(String),
    /// A copy of this sample.
    Sample(String),
}

/// Reads `[{"file": …, "video": {…}}, …]` and creates each file and its folder.
pub(crate) fn run() -> Result<()> {
    // Nobody would remove the videos.
    confine::die_with_parent().context("failed to end with the process that asks for the videos")?;
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("failed to read the list of videos")?;
    let jobs: Vec<Job> = serde_json::from_str(&text).context("invalid list of videos")?;
    for job in jobs {
        if let Some(folder) = job.file.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
        }
        let otherwise = job.otherwise.filter(|_| !synth::can_encode(&job.video));
        match otherwise {
            None => synth::write(&job.file, &job.video)?,
            Some(Otherwise::Encoder(encoder)) => {
                synth::write(&job.file, &Synth { encoder, options: BTreeMap::new(), ..job.video })?;
            }
            Some(Otherwise::Sample(codec)) => {
                let sample = samples::find(&codec).with_context(|| format!("unknown sample {codec:?}"))?;
                std::fs::write(&job.file, sample.bytes)
                    .with_context(|| format!("failed to write {}", job.file.display()))?;
            }
        }
    }
    Ok(())
}

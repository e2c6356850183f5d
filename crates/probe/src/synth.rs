//! `reeldeck-probe synth`: makes procedural videos from a JSON list of file and description on standard input.

use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result};
use reeldeck_video::synth::{self, Synth};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    file: PathBuf,
    #[serde(default)]
    video: Synth,
}

/// Reads `[{"file": …, "video": {…}}, …]` and makes each file, and its folder.
pub fn run() -> Result<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("failed to read the list of videos")?;
    let jobs: Vec<Job> = serde_json::from_str(&text).context("the list of videos is not what it should be")?;
    for job in jobs {
        if let Some(folder) = job.file.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
        }
        synth::write(&job.file, &job.video)?;
    }
    Ok(())
}

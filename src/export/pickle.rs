//! `result.pkl` as MMAction2's `--dump` writes it, and `hacs_data.txt` with the same videos in the same order.

use std::fs;
use std::io::{self, Write};

use anyhow::Context;
use reeldeck_contract::atomic::{self, Owner};
use reeldeck_contract::feature::Feature;
use reeldeck_contract::layout::Layout;
use reeldeck_contract::recipe::{Output, Recipe};
use reeldeck_contract::video::VideoName;
use reeldeck_pickle::results::{ResultsWriter, Sample};

use crate::dataset::names;
use crate::dataset::scan::VideoFile;
use crate::dataset::video_list::{LabelStyle, ListEntry, entries, write_list};

/// The pickle's file name.
pub const RESULTS: &str = "result.pkl";
/// The list's file name.
pub const LIST: &str = "hacs_data.txt";
/// What is not in the export, and why.
pub const MISSING: &str = "missing.txt";

/// What an export holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Videos in it.
    pub videos: usize,
    /// Videos that are not, and why.
    pub missing: Vec<(VideoName, String)>,
}

/// Writes the pair, one video in memory at a time.
///
/// The original's reader pairs the two files by position alone, so a pair that does not belong together would give every
/// video another one's features without a word. Therefore the old list goes before the new pickle comes, and the new list
/// comes last: whatever happens in between, there is never a list beside a pickle that is not its own.
///
/// # Errors
/// When the recipe stores no logits, or writing fails. A feature that cannot be used is left out and named instead.
pub fn export(
    layout: &Layout,
    recipe: &Recipe,
    videos: &[VideoFile],
    style: LabelStyle,
    owner: &Owner,
) -> anyhow::Result<Exported> {
    anyhow::ensure!(
        recipe.outputs.contains(&Output::Logits),
        "result.pkl holds logits, and the recipe {} does not store them",
        recipe.name
    );
    let folder = layout.exports();
    let list = folder.join(LIST);
    // Labels count the classes of the whole dataset, so that they stay the same when a video is added or missing.
    let entries = entries(&names(videos), style);
    let mut included: Vec<ListEntry> = vec![];
    let mut missing = vec![];
    let results = folder.join(RESULTS);
    fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    let written = atomic::write(&results, owner, |writer| {
        let mut pickle = ResultsWriter::new(writer)?;
        for (video, entry) in videos.iter().zip(entries) {
            match usable(layout, recipe, video) {
                Ok(feature) => {
                    push(&mut pickle, &feature, recipe, entry.label)?;
                    included.push(entry);
                }
                Err(why) => missing.push((video.name.clone(), why)),
            }
        }
        pickle.finish()?;
        remove(&list)
    });
    written.with_context(|| format!("failed to write {}", results.display()))?;
    let lines = |writer: &mut dyn Write| missing.iter().try_for_each(|(video, why)| writeln!(writer, "{video}\t{why}"));
    atomic::write(&folder.join(MISSING), owner, |writer| lines(writer))
        .context("failed to write the list of what is missing")?;
    write_list(&list, &included, owner).with_context(|| format!("failed to write {}", list.display()))?;
    Ok(Exported { videos: included.len(), missing })
}

fn remove(path: &std::path::Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The feature of this very file, whole and of this set, or why it cannot be used.
fn usable(layout: &Layout, recipe: &Recipe, video: &VideoFile) -> Result<Feature, String> {
    let path = layout.feature(&video.name);
    if !path.exists() {
        return Err(if layout.failure(&video.name).exists() { "failed" } else { "not extracted" }.into());
    }
    let feature = Feature::read(&path).map_err(|error| error.to_string())?;
    let provenance = &feature.provenance;
    if provenance.set != layout.set() || provenance.video != video.name {
        return Err(format!("its feature is of {} and {}", provenance.video, provenance.set));
    }
    if provenance.source != video.stamp {
        return Err("stale: the video has changed since; extract it again with --redo-stale".into());
    }
    match feature.tensors.get(Output::Logits.name()) {
        Some(logits) if logits.shape == [recipe.sampling.clips, recipe.model.classes] => Ok(feature),
        _ => Err("its feature has no logits of the right shape".into()),
    }
}

fn push(pickle: &mut ResultsWriter<impl Write>, feature: &Feature, recipe: &Recipe, label: i64) -> io::Result<()> {
    let Some(logits) = feature.tensors.get(Output::Logits.name()) else { return Ok(()) };
    let [clips, classes] = logits.shape;
    let side = recipe.transform.crop;
    pickle.push(&Sample { scores: &logits.data, clips, classes, label, img_shape: (side, side) })
}

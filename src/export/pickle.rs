//! `result.pkl` as MMAction2's `--dump` writes it, and `hacs_data.txt` with the same videos in the same order.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use reeldeck_common::atomic;
use reeldeck_common::feature::Matrix;
use reeldeck_common::recipe::{Output, Recipe};
use reeldeck_pickle::results::{ResultsWriter, Sample};

use super::inventory::{made_from, read};
use super::manifest::Manifest;
use super::{Inventory, Item, Job, Outcome, Variant, dataset};
use crate::dataset::shown;
use crate::dataset::video_list::{ListEntry, write_list};
use crate::format::{Axes, Format};
use crate::parallel::{ordered, threads};
use crate::progress::{Progress, Size};

/// The pickle's file name.
pub const RESULTS: &str = "result.pkl";
/// The list's file name.
pub const LIST: &str = "hacs_data.txt";
/// What is not in the export, and why.
pub const MISSING: &str = "missing.txt";

/// The pair as one of the exports.
pub const PAIR: Variant = Variant { format: Format::Pkl, output: Output::Logits, axes: Axes::Tc, compact: false };

/// Writes the pair unless it is there, made from the same features; a few videos in memory at a time.
///
/// The original's reader pairs the two files by position alone, so a pair that does not belong together would give every
/// video another one's features without a word. Therefore the old list goes before the new pickle comes, and the new list
/// comes last: whatever happens in between, there is never a list beside a pickle that is not its own.
///
/// # Errors
/// When the output folder cannot be written to, and when interrupted; the old pair is still there then.
pub fn write(job: &Job<'_>, inventory: &Inventory, progress: &dyn Progress) -> anyhow::Result<Outcome> {
    let folder = job.layout.exports();
    let (results, list) = (folder.join(RESULTS), folder.join(LIST));
    let failed =
        |path: &Path| format!("failed to write {}; check space and permissions, then run it again", shown(path));
    fs::create_dir_all(&folder).with_context(|| failed(&folder))?;
    let mut record = Manifest::open(&folder);
    let mut included: Vec<&Item> = vec![];
    let mut outcome = Outcome {
        variant: PAIR,
        path: results.clone(),
        videos: 0,
        written: 0,
        bytes: 0,
        removed: 0,
        missing: inventory.missing.clone(),
    };
    let all: Vec<&Item> = inventory.items.iter().collect();
    let from = made_from(&all);
    if [RESULTS, LIST].iter().all(|file| record.kept(file, &from).is_some()) {
        included = all;
    } else {
        dataset::remove(&folder).with_context(|| failed(&folder))?;
        progress.begin("writing pkl", Size::Items(all.len()));
        let written = atomic::write(&results, job.owner, |writer| {
            let mut pickle = ResultsWriter::new(writer)?;
            let read = |item| (item, read(job, Output::Logits, item));
            ordered(threads(), all, read, |(item, matrix)| {
                match matrix {
                    Ok(matrix) => {
                        push(&mut pickle, &matrix, job.recipe, item.entry.label)?;
                        included.push(item);
                        progress.step(matrix.data.len() as u64 * 4);
                    }
                    Err(why) => outcome.missing.push((item.entry.name.clone(), why)),
                }
                if progress.is_cancelled() { Err(io::Error::from(io::ErrorKind::Interrupted)) } else { Ok(()) }
            })?;
            pickle.finish()?;
            remove(&list)
        });
        if written.is_err() {
            progress.check_cancelled()?;
        }
        written.with_context(|| failed(&results))?;
        let lines: Vec<ListEntry> = included.iter().map(|item| item.entry.clone()).collect();
        write_list(&list, &lines, job.owner).with_context(|| failed(&list))?;
        let from = made_from(&included);
        outcome.written = included.len();
        outcome.bytes = record.add(RESULTS, &from).with_context(|| failed(&folder))?;
        record.add(LIST, &from).with_context(|| failed(&folder))?;
        record.retain(job.owner, |file| [RESULTS, LIST].contains(&file)).with_context(|| failed(&folder))?;
    }
    outcome.missing.sort_unstable();
    outcome.videos = included.len();
    let lines =
        |writer: &mut dyn Write| outcome.missing.iter().try_for_each(|(video, why)| writeln!(writer, "{video}\t{why}"));
    atomic::write(&folder.join(MISSING), job.owner, |writer| lines(writer))
        .context("failed to write the list of what is missing")?;
    let describe = dataset::Description { job, variant: &PAIR, inventory, included: &included, same: &[] };
    describe.write(&folder, &outcome.missing).with_context(|| failed(&folder))?;
    Ok(outcome)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Appends one video to a pickle.
pub(super) fn push(
    pickle: &mut ResultsWriter<impl Write>,
    logits: &Matrix,
    recipe: &Recipe,
    label: i64,
) -> io::Result<()> {
    let [clips, classes] = logits.shape;
    let side = recipe.transform.crop;
    pickle.push(&Sample { scores: &logits.data, clips, classes, label, img_shape: (side, side) })
}

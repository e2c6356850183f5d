//! `result.pkl` as MMAction2's `--dump` writes it, and `hacs_data.txt` with the same videos in the same order.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use reeldeck_common::atomic::{self, Owner};
use reeldeck_common::feature::Matrix;
use reeldeck_common::recipe::{Output, Recipe};
use reeldeck_pickle::results::{ResultsWriter, Sample};

use super::inventory::{made_from, read};
use super::manifest::ExportRecord;
use super::{ExportJob, ExportSpec, ExportedVideo, Inventory, Outcome, dataset};
use crate::dataset::shown;
use crate::dataset::video_list::{ListEntry, write_lines};
use crate::format::{Axes, Format, RESULTS};
use crate::parallel::{ordered, threads};
use crate::progress::{Progress, Size};

/// The list's file name.
pub(crate) const LIST: &str = "hacs_data.txt";
/// Lists the videos that are not in the export, with the reason.
pub(crate) const MISSING: &str = "missing.txt";

/// The pair as an export spec.
pub(crate) const PAIR: ExportSpec =
    ExportSpec { format: Format::Pkl, output: Output::Logits, axes: Axes::Tc, compact: false, half: false };

/// Writes the pair unless it is there and was made from the same features. Holds a few videos in memory.
///
/// # Errors
/// When the output folder cannot be written to, and when cancelled. The old pair is still there then.
pub(crate) fn write(job: &ExportJob<'_>, inventory: &Inventory, progress: &dyn Progress) -> anyhow::Result<Outcome> {
    let folder = job.layout.exports();
    let results = folder.join(RESULTS);
    let failed =
        |path: &Path| format!("failed to write {}; check space and permissions, then run it again", shown(path));
    fs::create_dir_all(&folder).with_context(|| failed(&folder))?;
    let mut manifest = ExportRecord::open(&folder)?;
    let mut included: Vec<&ExportedVideo> = vec![];
    let mut outcome = Outcome {
        spec: PAIR,
        path: results.clone(),
        videos: 0,
        written: 0,
        bytes: 0,
        removed: 0,
        missing: inventory.missing.clone(),
    };
    let all: Vec<&ExportedVideo> = inventory.items.iter().collect();
    let from = made_from(&all);
    if [RESULTS, LIST].iter().all(|file| manifest.kept(file, &from).is_some()) {
        included = all;
    } else {
        progress.begin("writing pkl", Size::Items(all.len()));
        let written = replace_pair(&folder, job.owner, |writer| {
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
            Ok(included.iter().map(|item| item.entry.clone()).collect())
        });
        if written.is_err() {
            progress.check_cancelled()?;
        }
        written.with_context(|| failed(&results))?;
        let from = made_from(&included);
        outcome.written = included.len();
        outcome.bytes = manifest.add(RESULTS, &from).with_context(|| failed(&folder))?;
        manifest.add(LIST, &from).with_context(|| failed(&folder))?;
        manifest
            .retain(job.owner, |made| [RESULTS, LIST].contains(&made.file.as_str()))
            .with_context(|| failed(&folder))?;
    }
    outcome.missing.sort_unstable();
    outcome.videos = included.len();
    let lines =
        |writer: &mut dyn Write| outcome.missing.iter().try_for_each(|(video, why)| writeln!(writer, "{video}\t{why}"));
    atomic::write(&folder.join(MISSING), job.owner, |writer| lines(writer))
        .context("failed to write the list of what is missing")?;
    let describe = dataset::Description { job, spec: &PAIR, inventory, included: &included, same: &[] };
    describe.write(&folder, &outcome.missing).with_context(|| failed(&folder))?;
    Ok(outcome)
}

/// Replaces the pair in `folder` once both new files are complete and durable. `fill` writes the pickle and returns the
/// entries of the list.
///
/// Readers pair the two files by position, so a list beside another pickle would assign features to the wrong videos
/// without an error. The old list is therefore removed just before the two renames: at any moment there is the old pair, the
/// new pair, or a pickle without a list. `dataset.json` is removed before the list and written last by the caller.
fn replace_pair(
    folder: &Path,
    owner: &Owner,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<Vec<ListEntry>>,
) -> io::Result<()> {
    let list = folder.join(LIST);
    atomic::write_at(&list, owner, |new_list| {
        atomic::write(&folder.join(RESULTS), owner, |pickle| {
            let entries = fill(pickle)?;
            pickle.flush()?;
            pickle.get_ref().sync_all()?;
            let mut lines = BufWriter::new(File::create(new_list)?);
            write_lines(&mut lines, &entries)?;
            lines.into_inner()?.sync_all()?;
            dataset::remove(folder)?;
            remove(&list)?;
            atomic::sync_folder(folder)
        })
    })
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
    pickle.push(&Sample { scores: &logits.data, clips, classes, label, img_shape: recipe.transform.output() })
}

#[cfg(test)]
mod tests {
    use reeldeck_common::video::VideoName;

    use super::*;

    fn entries(names: &[&str]) -> Vec<ListEntry> {
        names.iter().map(|name| ListEntry { name: VideoName::new(name).unwrap(), label: -1 }).collect()
    }

    /// A folder with an old pair and its description.
    fn old_pair() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [(RESULTS, "old pickle"), (LIST, "A/old.mp4 -1\n"), (dataset::FILE, "{}")] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    fn files(folder: &Path) -> Vec<(String, String)> {
        let read = |entry: io::Result<fs::DirEntry>| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())
        };
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(read).collect();
        files.retain(|(name, _)| !atomic::is_temporary(name));
        files.sort();
        files
    }

    #[test]
    fn the_old_pair_stays_until_the_new_one_is_complete() {
        let dir = old_pair();
        let before = files(dir.path());
        replace_pair(dir.path(), &Owner::this_process(), |pickle| {
            pickle.write_all(b"new pickle")?;
            pickle.flush()?;
            assert_eq!(files(dir.path()), before);
            Ok(entries(&["A/new.mp4"]))
        })
        .unwrap();
        let after = [(LIST, "A/new.mp4 -1\n"), (RESULTS, "new pickle")];
        assert_eq!(files(dir.path()), after.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }

    #[test]
    fn a_pickle_that_cannot_be_written_leaves_the_old_pair() {
        let dir = old_pair();
        let before = files(dir.path());
        let failed = replace_pair(dir.path(), &Owner::this_process(), |pickle| {
            pickle.write_all(b"half")?;
            Err(io::Error::other("disk full"))
        });
        assert!(failed.is_err());
        assert_eq!(files(dir.path()), before);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "no temporary file is left");
    }

    #[test]
    fn a_list_that_cannot_be_written_leaves_the_old_pair() {
        let dir = old_pair();
        let before = files(dir.path());
        let failed = replace_pair(dir.path(), &Owner::this_process(), |pickle| {
            pickle.write_all(b"new pickle")?;
            // The temporary list turns into a folder, so that writing the list fails.
            let names = fs::read_dir(dir.path())?.map(|entry| entry.unwrap().path());
            let empty = names.filter(|path| fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0));
            let temporary: Vec<_> = empty
                .filter(|path| atomic::is_temporary(&path.file_name().unwrap_or_default().to_string_lossy()))
                .collect();
            for path in temporary {
                fs::remove_file(&path)?;
                fs::create_dir(&path)?;
            }
            Ok(entries(&["A/new.mp4"]))
        });
        assert!(failed.is_err());
        for (name, text) in before {
            assert_eq!(fs::read_to_string(dir.path().join(&name)).unwrap(), text, "{name}");
        }
    }
}

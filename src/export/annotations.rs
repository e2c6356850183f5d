//! `hacs_anno_{train,val,test}.json` as MMAction2's `generate_anotations.py` writes them, with true frame counts.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, ensure};
use reeldeck_common::atomic::{self, Owner, Sweeper};
use reeldeck_common::damaged;
use reeldeck_common::feature::{Feature, Provenance};
use reeldeck_common::layout::Layout;
use reeldeck_common::probe::Verdict;
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::{VideoName, printable};

use crate::dataset::manifest::{Entry, Manifest, Split};
use crate::dataset::matching::{Matched, Matches};
use crate::dataset::python_json::{push_float, push_str};
use crate::dataset::scan::VideoFile;
use crate::dataset::shown;
use crate::dataset::state::{self, Accepted, Probes, State};
use crate::error::line_of;
use crate::progress::{Progress, Size};

/// The file names, in the order of [`Split::ALL`].
pub(crate) const FILES: [&str; 3] = ["hacs_anno_train.json", "hacs_anno_val.json", "hacs_anno_test.json"];
/// Lists the videos whose number of frames is an estimate, with the reason.
pub(crate) const ESTIMATED: &str = "estimated.txt";
/// MMAction2's assumption for a video without a file.
const FRAMES_A_SECOND: f64 = 30.0;

/// The dataset and what is known about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dataset<'a> {
    /// What should be there.
    pub manifest: &'a Manifest,
    /// The videos, sorted by name.
    pub videos: &'a [VideoFile],
    /// Their probes.
    pub probes: &'a Probes,
    /// What is accepted of a file.
    pub accepted: Accepted,
}

/// What was written, and where the frame counts came from.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Written {
    /// Number of videos, in the order of [`Split::ALL`].
    pub videos: [usize; 3],
    /// Frame counts that features store.
    pub from_features: usize,
    /// Frame counts from probes.
    pub from_probes: usize,
    /// Estimates (duration × 30) for videos without a file.
    pub without_file: usize,
    /// Estimates (duration × 30) for files that were neither extracted nor probed.
    pub without_count: usize,
    /// Videos of another duration than the manifest's.
    pub wrong_durations: Vec<(VideoName, State)>,
    /// Videos with several files: the one whose frames were counted, and the others.
    pub several: Vec<(VideoName, Vec<VideoName>)>,
    /// Videos with a feature that is damaged or cannot be read, with the reason. Their frame counts come from elsewhere.
    pub broken: Vec<(VideoName, String)>,
}

impl Written {
    /// The number of videos.
    pub(crate) fn total(&self) -> usize {
        self.videos.iter().sum()
    }

    /// The number of frame counts that are estimates.
    pub(crate) fn estimated(&self) -> usize {
        self.without_file + self.without_count
    }
}

/// Writes the three files and the list of estimates in `folder`, together. Frame counts come from the features in the output
/// folder `out`, else from the probes.
///
/// # Errors
/// A manifest that changed since it was read, and errors of the file system.
pub(crate) fn write(
    folder: &Path,
    out: &Path,
    dataset: &Dataset<'_>,
    owner: &Owner,
    progress: &dyn Progress,
) -> anyhow::Result<Written> {
    fs::create_dir_all(folder).with_context(|| format!("failed to create {}", shown(folder)))?;
    let unwritable = || format!("failed to write in {}; check space and permissions", shown(folder));
    atomic::sweep_folder(folder, &Sweeper::of_command()).with_context(unwritable)?;
    let sets = Sets::find(out)?;
    progress.begin("writing the annotations", Size::Items(dataset.manifest.len()));
    let [train, val, test] = FILES;
    let mut filled = None;
    let result = atomic::write_group(folder, owner, &[train, val, test, ESTIMATED], &[], |writers| {
        let [train, val, test, estimates] = writers else { return Err(io::Error::other("there are four files")) };
        let mut files: [&mut dyn Write; 3] = [train, val, test];
        let counting = Counting { sets: &sets, dataset };
        let counts = fill(&mut files, estimates, &counting, progress);
        let is_filled = counts.is_ok();
        filled = Some(counts);
        if is_filled { Ok(()) } else { Err(io::Error::other("stopped")) }
    });
    match filled {
        Some(Err(error)) => Err(error),
        Some(Ok(written)) => result.map(|()| written).with_context(unwritable),
        None => result.map(|()| Written::default()).with_context(unwritable),
    }
}

fn fill(
    files: &mut [&mut dyn Write; 3],
    estimates: &mut dyn Write,
    counting: &Counting<'_>,
    progress: &dyn Progress,
) -> anyhow::Result<Written> {
    let Dataset { manifest, videos, .. } = *counting.dataset;
    let matches = Matches::new(manifest, videos);
    let changed = || format!("the manifest {} has changed since it was read; run again", shown(&manifest.path));
    let mut written = Written::default();
    let mut matched = matches.videos();
    for file in files.iter_mut() {
        file.write_all(b"{")?;
    }
    let mut line = String::new();
    manifest.each(|entry: &Entry<'_>| -> anyhow::Result<()> {
        let mut video = matched.next().filter(|video| video.id == entry.id).with_context(changed)?;
        let (Some(duration_s), Some(split)) = (entry.duration_s, entry.split) else {
            anyhow::bail!("the manifest has no duration or subset of {:?}", entry.id);
        };
        video.files.sort_by_key(|file| is_unfit(&counting.judge(file, duration_s)));
        let frames = match counting.count(&video, &mut written.broken) {
            Ok(Count { file, frames, source }) => {
                let others = video.files.iter().map(|other| &other.name).filter(|other| **other != file.name);
                let others: Vec<VideoName> = others.cloned().collect();
                if !others.is_empty() {
                    written.several.push((file.name.clone(), others));
                }
                match source {
                    Source::Feature { .. } => written.from_features += 1,
                    Source::Probe => written.from_probes += 1,
                }
                if let Some(state) = counting.wrong_duration(file, duration_s, source) {
                    written.wrong_durations.push((file.name.clone(), state));
                }
                frames
            }
            Err(why) => {
                *(if video.files.is_empty() { &mut written.without_file } else { &mut written.without_count }) += 1;
                writeln!(estimates, "{}{}\t{}", manifest.prefix, entry.id, printable(&why))?;
                // Truncated as Python's `int` does. Durations are bounded, so the cast is lossless.
                (duration_s * FRAMES_A_SECOND) as u64
            }
        };
        let at = Split::ALL.iter().position(|one| *one == split).unwrap_or(0);
        let (Some(file), Some(count)) = (files.get_mut(at), written.videos.get_mut(at)) else { return Ok(()) };
        line.clear();
        line.push_str(if *count == 0 { "" } else { ", " });
        push_str(&mut line, &format!("{}{}", manifest.prefix, entry.id));
        line.push_str(": {\"duration_second\": ");
        push_float(&mut line, duration_s);
        line.push_str(", \"annotations\": ");
        line.push_str(&entry.text);
        line.push_str(&format!(", \"feature_frame\": {frames}, \"duration_frame\": {frames}}}"));
        file.write_all(line.as_bytes())?;
        *count += 1;
        progress.step(0);
        Ok(())
    })?;
    ensure!(matched.next().is_none(), changed());
    for file in files.iter_mut() {
        file.write_all(b"}")?;
    }
    Ok(written)
}

/// Whether another file of the video is used instead, if there is one.
fn is_unfit(state: &State) -> bool {
    matches!(state, State::Corrupt { .. } | State::WrongDuration { .. } | State::Degraded { accepted: false, .. })
}

#[derive(Clone, Copy)]
enum Source {
    Feature {
        /// The duration that its frames and its rate give, if known.
        duration_s: Option<f64>,
    },
    Probe,
}

/// The number of frames of a file.
struct Count<'a> {
    file: &'a VideoFile,
    frames: u64,
    source: Source,
}

/// The sources of frame counts.
struct Counting<'a> {
    sets: &'a Sets,
    dataset: &'a Dataset<'a>,
}

impl Counting<'_> {
    /// What a scan finds about a file.
    fn judge(&self, file: &VideoFile, want: f64) -> State {
        let Dataset { probes, accepted, .. } = self.dataset;
        state::of_file(file, Some(want), probes.get(&file.name), accepted)
    }

    /// The number of frames by the first of the video's files that has a feature, else by the first that has a probe; else
    /// the reason why it is unknown. Adds features that are damaged or cannot be read to `broken`.
    fn count<'v>(&self, video: &Matched<'v>, broken: &mut Vec<(VideoName, String)>) -> Result<Count<'v>, String> {
        let mut why = None;
        for file in &video.files {
            match self.sets.of(file, broken) {
                Ok(Provenance { frames, fps: [over, under], .. }) => {
                    let promised = frames.expected.max(frames.output) as f64;
                    let duration_s = (over > 0 && under > 0).then(|| promised * f64::from(under) / f64::from(over));
                    return Ok(Count { file, frames: frames.output, source: Source::Feature { duration_s } });
                }
                Err(reason) => drop(why.get_or_insert(reason)),
            }
        }
        let probed =
            video.files.iter().find_map(|file| Some(Count { file, frames: self.probed(file)?, source: Source::Probe }));
        probed.ok_or_else(|| why.unwrap_or_else(|| "not on disk".into()))
    }

    /// The state of a file whose duration differs from the manifest's: by its probe, as in a scan, else by its feature.
    fn wrong_duration(&self, file: &VideoFile, want: f64, source: Source) -> Option<State> {
        let accepted = &self.dataset.accepted;
        match (self.judge(file, want), source) {
            (state @ State::WrongDuration { .. }, _) => Some(state),
            (State::Unchecked, Source::Feature { duration_s: Some(have) }) => {
                ((have - want).abs() > accepted.tolerance_s).then_some(State::WrongDuration { have, want })
            }
            _ => None,
        }
    }

    /// The number of frames that a decoder would output, by the probe.
    fn probed(&self, file: &VideoFile) -> Option<u64> {
        let probed = self.dataset.probes.get(&file.name).filter(|probed| probed.source == file.stamp)?;
        let frames = match &probed.verdict {
            Verdict::Healthy { facts } => facts.frames,
            Verdict::Damaged { facts, lost: 0, .. } => facts.frames,
            // What a cut file still has is not the length of the video.
            Verdict::Damaged { .. } | Verdict::Corrupt { .. } | Verdict::OverLimit { .. } => 0,
        };
        Some(frames).filter(|frames| *frames > 0)
    }
}

/// All feature sets of an output folder. They differ in numbers, but not in a video's number of frames.
struct Sets(Vec<Layout>);

impl Sets {
    fn find(out: &Path) -> anyhow::Result<Self> {
        let folder = out.join("features");
        let listed = match fs::read_dir(&folder) {
            Ok(entries) => entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![]),
            Err(error) => Err(error),
        };
        let mut names = listed.with_context(|| format!("failed to list {}", shown(&folder)))?;
        names.sort();
        Ok(Self(names.iter().filter_map(|name| Some(Layout::new(out, name.to_str()?))).collect()))
    }

    /// The provenance of the feature of this version of the file, or why there is none. Adds features that are damaged or cannot
    /// be read to `broken`.
    fn of(&self, file: &VideoFile, broken: &mut Vec<(VideoName, String)>) -> Result<Provenance, String> {
        let mut why = "no feature yet".to_owned();
        for layout in &self.0 {
            let path = layout.feature(&file.name);
            // Read before the content, so that a write in between makes the file look changed.
            let stamp = SourceStamp::read(&path);
            // The whole feature: the checksum covers the number of frames and the numbers together.
            match Feature::read(&path) {
                Ok(Feature { provenance, .. }) if provenance.video != file.name => {
                    why = "its feature is of another video".into()
                }
                Ok(Feature { provenance, .. }) if provenance.source != file.stamp => {
                    why = "the file has changed since its feature was made".into();
                }
                Ok(Feature { provenance, .. }) => return Ok(provenance),
                Err(error) if error.is_absent() => {}
                Err(error) => {
                    why = line_of(&error);
                    if let (true, Ok(stamp)) = (error.is_damage(), stamp)
                        && let Err(error) = damaged::add(layout, &file.name, stamp)
                    {
                        why.push_str(&format!("; failed to write {}: {error}", damaged::path(layout).display()));
                    }
                    broken.push((file.name.clone(), why.clone()));
                }
            }
        }
        Err(why)
    }
}

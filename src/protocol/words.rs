//! Events as text for people: the same in the progress of a run, in clients and in the log.

use std::path::{Path, PathBuf};

use reeldeck_common::video::printable;
use serde::{Deserialize, Serialize};

use super::event::Event;
use crate::error::Exit;
use crate::format::RESULTS;
use crate::out::{count, duration};

/// The severity of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Part of the normal course of a run.
    Detail,
    /// Worth a line in the progress of a run.
    Info,
    /// Something went wrong.
    Problem,
}

impl Level {
    /// The name in the log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Detail => "detail",
            Self::Info => "info",
            Self::Problem => "problem",
        }
    }
}

/// What users of an export open. The folder of a `result.pkl` is that of all exports of its feature set, and the other formats
/// have folders in it.
fn result(folder: &Path) -> PathBuf {
    let is_of_set = folder.parent().is_some_and(|parent| parent.ends_with("exports"));
    if is_of_set { folder.join(RESULTS) } else { folder.to_owned() }
}

/// An event as one line; `None` for events that are not shown.
pub(crate) fn describe(event: &Event) -> Option<(Level, String)> {
    use Level::{Detail, Info, Problem};
    let shown = |text: &String| printable(text);
    Some(match event {
        Event::WorkerReady { device, detail, load_ms, .. } => {
            (Detail, format!("{device} is ready ({}, {})", shown(detail), duration(*load_ms as f64 / 1000.0)))
        }
        Event::WorkerWarning { device, text, .. } => (Problem, format!("{device}: {}", shown(text))),
        Event::WorkerRestarted { device, reason, .. } => (Problem, format!("{device} restarted: {}", shown(reason))),
        Event::WorkerLost { device, reason, .. } => (Problem, format!("{device} disabled: {}", shown(reason))),
        Event::BatchReduced { device, batch, .. } => (
            Problem,
            format!("{device} ran out of memory; it now computes {} at a time", count(*batch, "clip", "clips")),
        ),
        Event::VideoStarted { video, device, alone, .. } => {
            (Detail, format!("{device}: started {}{}", shown(video), if *alone { ", alone" } else { "" }))
        }
        Event::VideoDone { video, degraded, report, .. } => {
            let seconds = (report.model_ms + report.wait_ms) as f64 / 1000.0;
            let lost = match degraded {
                true => format!(", {} lost or concealed", report.frames.lost() + report.frames.concealed),
                false => String::new(),
            };
            let frames = count(report.frames.output as usize, "frame", "frames");
            (Detail, format!("done {}: {frames} in {}{lost}", shown(video), duration(seconds)))
        }
        Event::VideoFailed { video, error, retry_in_s: None, .. } => {
            (Problem, format!("failed {}: {}", shown(video), shown(error)))
        }
        Event::VideoFailed { video, error, retry_in_s: Some(_), .. } => {
            (Problem, format!("will retry {}: {}", shown(video), shown(error)))
        }
        Event::VideoReturned { video, reason } => (Detail, format!("requeued {}: {}", shown(video), shown(reason))),
        Event::Paused => (Info, "paused; `reeldeck resume` resumes it".into()),
        Event::Resumed => (Info, "resumed".into()),
        Event::Held { folder, reason } => (Problem, format!("waiting for the {}: {}", folder.word(), shown(reason))),
        Event::OutputBack { lost: 0 } => (Info, "the output folder is writable again; resuming".into()),
        Event::OutputBack { lost } => {
            let videos = count(*lost, "video", "videos");
            (Info, format!("the output folder is back without the results of {videos}, which are extracted again"))
        }
        Event::DatasetBack => (Info, "the dataset folder is back; resuming".into()),
        Event::Requeued { videos } => (Info, format!("{} queued again", count(*videos, "video", "videos"))),
        Event::Command { done: true, message, .. } => (Detail, shown(message)),
        Event::Command { done: false, command, message } => {
            let message: Vec<String> = message.lines().map(|line| printable(line.trim())).collect();
            (Problem, format!("{}: {}", shown(command), message.join("; ")))
        }
        Event::Stopping => {
            (Info, "finishing the videos in progress; interrupt again to stop now, or run `reeldeck stop --now`".into())
        }
        Event::StoppingNow => (Info, "stopping now".into()),
        Event::Blocked { reason } => (Problem, format!("stopping: {}", shown(reason))),
        Event::RunStarted(started) => {
            (Detail, format!("run of {} started: {}", started.set, started.counts.in_words()))
        }
        Event::RunEnded { exit, counts, seconds, reason } => {
            let processed = counts.of_run_in_words(|number| number.to_string());
            let left = match counts.unfinished() {
                0 => String::new(),
                queued => format!(", {queued} queued"),
            };
            let how = match Exit::of_code(i32::from(*exit)) {
                Some(Exit::Interrupted) => "stopped after",
                Some(Exit::Done | Exit::Incomplete) => "finished in",
                _ => "failed after",
            };
            let why = reason.as_ref().map(|reason| format!("; {}", shown(reason))).unwrap_or_default();
            (Detail, format!("run {how} {}: {processed}{left}{why}", duration(*seconds)))
        }
        Event::Exported { videos, path, .. } => {
            (Detail, format!("exported {} to {}", count(*videos, "video", "videos"), result(path).display()))
        }
        Event::ExportFailed { reason } => (Problem, format!("export failed: {}", shown(reason))),
        Event::DatasetChanged { arrived, changed, gone, videos } => {
            let kinds = [
                (*arrived, "new", &videos.arrived),
                (*changed, "changed", &videos.changed),
                (*gone, "gone", &videos.gone),
            ];
            let changes = kinds.iter().filter(|(count, ..)| *count > 0).map(|(count, word, names)| match names.len() {
                0 => format!("{count} {word}"),
                _ => format!("{word} {}", names.iter().map(shown).collect::<Vec<_>>().join(", ")),
            });
            (Info, format!("dataset folder: {}", changes.collect::<Vec<_>>().join("; ")))
        }
        Event::VideoAssigned { .. } | Event::Progress { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_names_what_users_open() {
        let text = |path: &str| describe(&Event::Exported { videos: 4, missing: 0, path: path.into() }).unwrap().1;
        assert_eq!(text("/out/exports/set"), "exported 4 videos to /out/exports/set/result.pkl");
        assert_eq!(text("/out/exports/set/npy"), "exported 4 videos to /out/exports/set/npy");
    }

    #[test]
    fn few_changes_of_the_dataset_are_named() {
        let changed = vec!["A/v_1.mp4".into(), "B/v_2.mp4".into()];
        let event = Event::DatasetChanged {
            arrived: 12,
            changed: 2,
            gone: 0,
            videos: crate::protocol::event::ChangedVideos { changed, ..Default::default() },
        };
        let said = describe(&event).unwrap().1;
        assert_eq!(said, "dataset folder: 12 new; changed A/v_1.mp4, B/v_2.mp4");
    }
}

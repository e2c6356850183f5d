//! The summary of a run that has ended: for clients, and in the output folder for `reeldeck status`.

use std::collections::HashMap;
use std::time::Duration;

use reeldeck_common::clock;
use reeldeck_common::error::{ErrorKind, Failure};

use super::{Engine, ExportSummary, Incoming, Phase, RunSummary, Status};
use crate::engine::state::State;
use crate::error::Exit;
use crate::protocol::last_run;
use crate::protocol::snapshot::Counts;
use crate::protocol::summary::{Ending, EnginePart, FailureGroup, MAX_GROUPS, next_step};

impl Engine {
    /// Sums up the run that has just ended.
    pub(super) fn sum_up(&mut self, exit: u8, reason: Option<String>, counts: Counts, seconds: f64) {
        let (ending, refused) = (ending(&self.state.phase, exit), self.refused());
        let at = |ms: u64| clock::after(self.started.1, Duration::from_millis(ms));
        let clips = self.state.clips_done().saturating_sub(self.clips_before);
        let (started, ended) = (at(self.run_began), at(self.over.unwrap_or_else(|| self.now())));
        self.last_run = Some(Box::new(RunSummary {
            started,
            ended,
            engines: vec![EnginePart { id: self.plan.engine.clone(), started, ended, seconds, clips }],
            ending,
            exit,
            reason,
            seconds,
            counts,
            refused,
            failures: groups(&self.state),
            clips,
            clips_per_s: if seconds > 0.0 { clips as f64 / seconds } else { 0.0 },
            exports: self.exports.clone(),
            features: self.plan.layout.features(),
            next_step: next_step(ending, counts, refused, self.unreadable().is_some()).map(str::to_owned),
        }));
        self.write_summary();
    }

    /// Adds an export to the summary of its run.
    pub(super) fn exported(&mut self, export: ExportSummary) {
        self.exports.retain(|other| other.path != export.path);
        self.exports.push(export.clone());
        if let Some(last) = self.last_run.as_mut().filter(|_| self.ended.is_some()) {
            last.exports.retain(|other| other.path != export.path);
            last.exports.push(export);
            self.write_summary();
        }
    }

    /// Writes the summary on the thread of the journal: the disk may not respond.
    fn write_summary(&self) {
        if let Some(summary) = self.last_run.clone() {
            let (private, owner, sender) = (self.plan.layout.private(), self.plan.owner.clone(), self.sender.clone());
            self.journal_writer.run(move || match last_run::write(&private, &owner, *summary) {
                Ok(whole) => drop(sender.send(Incoming::SummedUp(Box::new(whole)))),
                // The summary is only information.
                Err(error) => tracing::warn!("failed to write the summary of the run: {error}"),
            });
        }
    }
}

fn ending(phase: &Phase, exit: u8) -> Ending {
    match phase {
        Phase::Finishing { because: None } | Phase::Aborting => Ending::Stopped,
        _ if exit == Exit::Interrupted.code() => Ending::Stopped,
        Phase::Finishing { because: Some(_) } => Ending::Failed,
        _ if [Exit::Done, Exit::Incomplete].iter().all(|fine| fine.code() != exit) => Ending::Failed,
        _ => Ending::Finished,
    }
}

/// The failed videos by reason. Reasons that differ only in numbers and in the name of the video are one.
fn groups(state: &State) -> Vec<FailureGroup> {
    let mut groups: HashMap<(ErrorKind, String), FailureGroup> = HashMap::new();
    for (id, video) in state.videos.iter_enumerated() {
        let Status::Failed { failure, .. } = &video.status else { continue };
        let name = state.name(id);
        let group = groups.entry((failure.kind, pattern(failure, name)));
        group.and_modify(|group| group.videos += 1).or_insert_with(|| FailureGroup {
            kind: Some(failure.kind),
            reason: failure.line(),
            videos: 1,
            example: name.to_owned(),
        });
    }
    let mut groups: Vec<FailureGroup> = groups.into_values().collect();
    groups.sort_by(|a, b| b.videos.cmp(&a.videos).then_with(|| a.example.cmp(&b.example)));
    if groups.len() > MAX_GROUPS {
        let rest = groups.split_off(MAX_GROUPS - 1);
        let example = rest.first().map(|group| group.example.clone()).unwrap_or_default();
        let videos = rest.iter().map(|group| group.videos).sum();
        groups.push(FailureGroup { kind: None, reason: "other reasons".into(), videos, example });
    }
    groups
}

/// A reason without what differs from video to video.
fn pattern(failure: &Failure, video: &str) -> String {
    let file = video.rsplit_once('/').map_or(video, |(_, file)| file);
    let text = failure.line().replace(video, "").replace(file, "");
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use reeldeck_common::source::SourceStamp;
    use reeldeck_common::video::VideoName;

    use super::*;
    use crate::dataset::scan::VideoFile;
    use crate::engine::state::{Rules, Video, Work};

    fn failed(reasons: &[(ErrorKind, &str)]) -> State {
        let stamp = SourceStamp { size: 1, mtime_ns: 0 };
        let file = |i| VideoFile { name: VideoName::new(&format!("A/v_{i:02}.mp4")).unwrap(), stamp };
        let files: Arc<[VideoFile]> = (0..reasons.len()).map(file).collect();
        let failure = |(kind, text): &(ErrorKind, &str)| Status::Failed {
            failure: Box::new(Failure::new(*kind, *text)),
            before: false,
            unreadable: false,
        };
        let videos: Vec<Video> = reasons.iter().map(failure).map(Video::new).collect();
        let rules = Rules { clips: Some(4), stall_timeout: 1, wall_limit: 1 };
        State::new(Work { files, videos: videos.into(), order: vec![] }, vec![], rules)
    }

    #[test]
    fn failures_are_grouped_by_reason_without_numbers_and_names() {
        let state = failed(&[
            (ErrorKind::Corrupt, "cut at 17 bytes"),
            (ErrorKind::Io, "failed to read A/v_01.mp4: error 5"),
            (ErrorKind::Io, "failed to read A/v_02.mp4: error 5"),
            (ErrorKind::Corrupt, "no video stream"),
            (ErrorKind::Corrupt, "cut at 9 bytes"),
            (ErrorKind::Corrupt, "cut at 100 bytes"),
        ]);
        let groups: Vec<_> = groups(&state).into_iter().map(|g| (g.videos, g.reason, g.example)).collect();
        let group = |videos, reason: &str, example: &str| (videos, reason.to_owned(), example.to_owned());
        assert_eq!(
            groups,
            [
                group(3, "cut at 17 bytes", "A/v_00.mp4"),
                group(2, "failed to read A/v_01.mp4: error 5", "A/v_01.mp4"),
                group(1, "no video stream", "A/v_03.mp4"),
            ]
        );
    }

    #[test]
    fn the_smallest_groups_are_summed_up() {
        let words = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "a"];
        let groups = groups(&failed(&words.map(|word| (ErrorKind::Corrupt, word))));
        assert_eq!((groups.len(), groups[0].videos, groups[7].kind, groups[7].videos), (8, 2, None, 3));
    }

    #[test]
    fn a_stop_is_no_failure_and_every_ending_has_its_next_step() {
        let stopped = Phase::Finishing { because: None };
        assert_eq!(ending(&stopped, 130), Ending::Stopped);
        assert_eq!(ending(&Phase::Running, 130), Ending::Stopped, "its export was stopped");
        assert_eq!(ending(&Phase::Finishing { because: Some("no device".into()) }, 1), Ending::Failed);
        assert_eq!(ending(&Phase::Running, 1), Ending::Failed, "its export failed");
        assert_eq!((ending(&Phase::Running, 0), ending(&Phase::Running, 3)), (Ending::Finished, Ending::Finished));
        let next = |counts, refused| next_step(Ending::Finished, counts, refused, false);
        assert_eq!(next(Counts { done: 3, ..Counts::default() }, 0), None);
        assert!(next(Counts { failed: 1, ..Counts::default() }, 1).unwrap().contains("--retry-failed"));
        assert!(next(Counts::default(), 1).unwrap().contains("refused"));
        assert!(next(Counts { queued: 1, ..Counts::default() }, 1).unwrap().contains("start the run again"));
        let unreadable = next_step(Ending::Finished, Counts::default(), 1, true);
        assert!(unreadable.unwrap().contains("readable"));
    }
}

//! A video as its row shows it: the state follows from the engine's status, the findings from the status, the checks of the file
//! and the manifest.

use reeldeck_common::error::ErrorKind;

use crate::dataset::state::State as Dataset;
use crate::engine::state::{State, Status, Video, VideoId};
use crate::protocol::row::{Finding, Findings, RowState};

/// What the engine knows of a video, without the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowSummary {
    /// None if its file is gone.
    pub(super) state: Option<RowState>,
    /// What the extraction has found.
    pub(super) findings: Findings,
    pub(super) attempts: u8,
    pub(super) feature: bool,
    /// It is in flight and excluded afterwards.
    pub(super) leaves: bool,
    /// It is in flight, and its worker works on another video first.
    pub(super) next: bool,
}

impl RowSummary {
    /// A file that is not there.
    pub(super) const GONE: Self =
        Self { state: None, findings: Findings::NONE, attempts: 0, feature: false, leaves: false, next: false };

    /// The summary of a video of a run, with the reason for its state.
    pub(crate) fn in_run(state: &State, id: VideoId) -> Option<(Self, Option<String>)> {
        let video = state.videos.get(id)?;
        let (summary, reason) = Self::of(video);
        let worker = if let Status::Running(worker) = video.status { state.workers.get(worker) } else { None };
        let next = worker.is_some_and(|worker| worker.has_next(id));
        Some((Self { next, ..summary }, reason))
    }

    /// The summary of a video, with the reason for its state.
    pub(super) fn of(video: &Video) -> (Self, Option<String>) {
        let mut findings = Findings::default();
        let mut reason = None;
        let state = match &video.status {
            Status::Queued => Some(RowState::Queued),
            Status::Running(_) => {
                reason = video.excluded.then(|| "will be excluded when it is done".into());
                Some(RowState::Running)
            }
            Status::Done { degraded, .. } => {
                if *degraded {
                    findings.add(Finding::Degraded);
                }
                Some(RowState::Done)
            }
            Status::Stale => Some(RowState::Stale),
            Status::Failed { failure, .. } => {
                if matches!(failure.kind, ErrorKind::Corrupt | ErrorKind::Limit) {
                    findings.add(Finding::Corrupt);
                }
                reason = Some(failure.line());
                Some(RowState::Failed)
            }
            Status::LeftOut => Some(RowState::LeftOut),
            Status::Excluded { .. } => Some(RowState::Excluded),
            // If the manifest lists the video, its missing row takes the place of this one.
            Status::Gone => None,
        };
        if video.damaged && matches!(video.status, Status::Queued | Status::Running(_)) {
            findings.add(Finding::Damaged);
        }
        let attempts = u8::try_from(video.recorded).unwrap_or(u8::MAX);
        let leaves = video.excluded && matches!(video.status, Status::Running(_));
        (Self { state, findings, attempts, feature: video.feature, leaves, next: false }, reason)
    }

    /// Whether a worker has read the whole file.
    pub(super) fn was_read(self) -> bool {
        self.state == Some(RowState::Done) || self.findings.has(Finding::Corrupt)
    }
}

/// What a check says about a file, regardless of other files.
pub(super) fn finding_of(checked: &Dataset) -> Option<Finding> {
    match checked {
        Dataset::Corrupt { .. } => Some(Finding::Corrupt),
        Dataset::WrongDuration { .. } => Some(Finding::WrongDuration),
        Dataset::Degraded { .. } => Some(Finding::Degraded),
        Dataset::Unchecked => Some(Finding::Unchecked),
        Dataset::Duplicate { .. } => Some(Finding::Duplicate),
        Dataset::Unlisted => Some(Finding::Unlisted),
        Dataset::Missing | Dataset::Ready => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_video_in_flight_that_is_excluded_leaves_when_it_is_done() {
        let mut video = Video::new(Status::Running(WorkerId(0)));
        assert!(!RowSummary::of(&video).0.leaves);
        video.excluded = true;
        let (summary, reason) = RowSummary::of(&video);
        assert_eq!((summary.state, summary.leaves), (Some(RowState::Running), true));
        assert_eq!(reason.as_deref(), Some("will be excluded when it is done"));
    }
    use crate::engine::state::{Assignment, Progress, Rules, Slot, Work, WorkerId};
    use reeldeck_common::error::Failure;

    #[test]
    fn a_video_is_next_while_its_worker_works_on_another_one() {
        let work = Work { videos: vec![Video::new(Status::Running(WorkerId(0))); 3].into(), ..Work::default() };
        let slot = Slot { device: "cpu".into(), capacity: 3, batch: 1 };
        let mut state = State::new(work, vec![slot], Rules { clips: None, stall_timeout: 1, wall_limit: 1 });
        let assignment = |video, begun, clips| Assignment {
            video: VideoId(video),
            job: 0,
            alone: false,
            batch: 1,
            progress: Progress { clips, ..Progress::default() },
            bytes: 0,
            given: 0,
            released: Some(0),
            begun,
            is_published: false,
        };
        // The second one was begun before the first one was ready sooner.
        state.workers[WorkerId(0)].in_flight =
            vec![assignment(0, Some(5), 0), assignment(1, None, 4), assignment(2, None, 0)];
        let next = [0, 1, 2].map(|id| RowSummary::in_run(&state, VideoId(id)).unwrap().0.next);
        assert_eq!(next, [false, false, true]);
    }

    #[test]
    fn the_state_is_the_status_and_the_findings_stand_beside_it() {
        let failed =
            |kind| Status::Failed { failure: Box::new(Failure::new(kind, "x")), before: true, unreadable: false };
        let done = |degraded| Status::Done { degraded, resumed: true };
        for (status, state, finding) in [
            (Status::Queued, Some(RowState::Queued), None),
            (done(false), Some(RowState::Done), None),
            (done(true), Some(RowState::Done), Some(Finding::Degraded)),
            (Status::Stale, Some(RowState::Stale), None),
            (failed(ErrorKind::WorkerCrashed), Some(RowState::Failed), None),
            (failed(ErrorKind::Corrupt), Some(RowState::Failed), Some(Finding::Corrupt)),
            (failed(ErrorKind::Limit), Some(RowState::Failed), Some(Finding::Corrupt)),
            (Status::Running(WorkerId(3)), Some(RowState::Running), None),
            (Status::LeftOut, Some(RowState::LeftOut), None),
            (Status::Excluded { before: Box::new(done(false)) }, Some(RowState::Excluded), None),
            (Status::Gone, None, None),
        ] {
            let (summary, _) = RowSummary::of(&Video::new(status.clone()));
            assert_eq!((summary.state, summary.findings.worst()), (state, finding), "{status:?}");
        }
        let damaged = Video { damaged: true, ..Video::new(Status::Queued) };
        assert_eq!(RowSummary::of(&damaged).0.findings.worst(), Some(Finding::Damaged));
    }
}

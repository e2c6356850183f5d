//! Derives the state of a row: the engine's result comes first, then the status of the file in the dataset.

use reeldeck_common::error::ErrorKind;

use crate::dataset::state::State as Dataset;
use crate::engine::state::{Status, Video};
use crate::protocol::row::RowState;

/// The engine's status of a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowStatus {
    /// It is queued.
    ToDo,
    /// It is queued because its feature is damaged.
    Damaged,
    /// A worker processes it.
    Running,
    /// Its feature exists.
    Done,
    /// Its feature exists, but some frames were lost or concealed.
    Degraded,
    /// Its feature was made from an older version of the file.
    Stale,
    /// Its extraction failed.
    Failed,
    /// Its extraction failed because the file is corrupt or exceeds a limit.
    Corrupt,
    /// It is not part of this run.
    LeftOut,
    /// The user has excluded it.
    Excluded,
    /// Its file is gone.
    Gone,
}

impl RowStatus {
    /// The status of a video.
    pub(super) fn of(video: &Video) -> Self {
        match &video.status {
            Status::Queued if video.damaged => Self::Damaged,
            Status::Queued => Self::ToDo,
            Status::Running(_) => Self::Running,
            Status::Done { degraded: false, .. } => Self::Done,
            Status::Done { degraded: true, .. } => Self::Degraded,
            Status::Stale => Self::Stale,
            Status::Failed { failure, .. } => match failure.kind {
                ErrorKind::Corrupt | ErrorKind::Limit => Self::Corrupt,
                _ => Self::Failed,
            },
            Status::LeftOut => Self::LeftOut,
            Status::Excluded { .. } => Self::Excluded,
            Status::Gone => Self::Gone,
        }
    }

    /// Whether its feature is up to date.
    pub(super) fn is_done(self) -> bool {
        matches!(self, Self::Done | Self::Degraded)
    }

    /// Whether its last attempt failed.
    pub(super) fn has_failed(self) -> bool {
        matches!(self, Self::Failed | Self::Corrupt)
    }
}

/// The status of a file in the dataset, an index in [`Dataset::WORDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DatasetStatus(u8);

impl DatasetStatus {
    /// It is in the manifest but not on disk.
    pub(super) const MISSING: Self = Self(0);
    /// It has no usable frames.
    pub(super) const CORRUPT: Self = Self(1);
    /// Its duration differs from the manifest.
    pub(super) const WRONG_DURATION: Self = Self(2);
    /// It is on disk more than once.
    pub(super) const DUPLICATE: Self = Self(3);
    /// Some frames are missing or broken.
    pub(super) const DEGRADED: Self = Self(4);
    /// It is not in the manifest.
    pub(super) const UNLISTED: Self = Self(5);
    /// A check found no fault.
    pub(super) const READY: Self = Self(7);

    /// The status for a state.
    pub(super) fn of(state: &Dataset) -> Self {
        Self(state.index() as u8)
    }

    /// The worse of two statuses.
    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }

    /// The state of a row that the engine has not processed.
    pub(super) fn row_state(self) -> RowState {
        match self {
            Self::MISSING => RowState::Missing,
            Self::CORRUPT => RowState::Corrupt,
            Self::WRONG_DURATION => RowState::WrongDuration,
            Self::DUPLICATE => RowState::Duplicate,
            Self::DEGRADED => RowState::Degraded,
            Self::UNLISTED => RowState::Unlisted,
            Self::READY => RowState::Ready,
            _ => RowState::Unchecked,
        }
    }
}

/// The state of the row of a video; `None` if it has none. `active` tells whether a run will extract what is queued.
pub(super) fn row_state(row_status: RowStatus, dataset_status: DatasetStatus, active: bool) -> Option<RowState> {
    Some(match row_status {
        RowStatus::Running => RowState::Running,
        RowStatus::Done => RowState::Done,
        RowStatus::Degraded => RowState::Degraded,
        RowStatus::Stale => RowState::Stale,
        RowStatus::Failed => RowState::Failed,
        RowStatus::Corrupt => RowState::Corrupt,
        RowStatus::Excluded => RowState::Excluded,
        RowStatus::LeftOut => RowState::LeftOut,
        RowStatus::ToDo | RowStatus::Damaged if active => RowState::Queued,
        RowStatus::Damaged => RowState::Damaged,
        RowStatus::ToDo => dataset_status.row_state(),
        // If the manifest lists the video, its missing row takes the place of this one.
        RowStatus::Gone => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::state::WorkerId;
    use reeldeck_common::error::Failure;

    #[test]
    fn the_result_of_a_run_takes_precedence_over_the_scan() {
        let failed = |kind| Status::Failed { failure: Box::new(Failure::new(kind, "x")), before: true };
        let done = |degraded| Status::Done { degraded, resumed: true };
        let words = [
            DatasetStatus::CORRUPT,
            DatasetStatus::WRONG_DURATION,
            DatasetStatus::DUPLICATE,
            DatasetStatus::DEGRADED,
            DatasetStatus::UNLISTED,
            DatasetStatus::READY,
        ];
        for (status, state) in [
            (done(false), Some(RowState::Done)),
            (done(true), Some(RowState::Degraded)),
            (Status::Stale, Some(RowState::Stale)),
            (failed(ErrorKind::WorkerCrashed), Some(RowState::Failed)),
            (failed(ErrorKind::Corrupt), Some(RowState::Corrupt)),
            (failed(ErrorKind::Limit), Some(RowState::Corrupt)),
            (Status::Running(WorkerId(3)), Some(RowState::Running)),
            (Status::LeftOut, Some(RowState::LeftOut)),
            (Status::Excluded { before: Box::new(done(false)) }, Some(RowState::Excluded)),
            (Status::Gone, None),
        ] {
            for dataset_status in words {
                for active in [false, true] {
                    assert_eq!(row_state(RowStatus::of(&Video::new(status.clone())), dataset_status, active), state);
                }
            }
        }
    }

    #[test]
    fn unfinished_videos_are_queued_during_a_run_and_have_the_dataset_state_otherwise() {
        let row_status = RowStatus::of(&Video::new(Status::Queued));
        let states = [
            Dataset::Missing,
            Dataset::Corrupt { reason: String::new() },
            Dataset::WrongDuration { have: 1.0, want: 2.0 },
            Dataset::Duplicate { files: vec![] },
            Dataset::Degraded { lost: 1, concealed: 0, reason: String::new() },
            Dataset::Unlisted,
            Dataset::Unchecked,
            Dataset::Ready,
        ];
        for state in &states {
            let dataset_status = DatasetStatus::of(state);
            assert_eq!(row_state(row_status, dataset_status, true), Some(RowState::Queued));
            assert_eq!(row_state(row_status, dataset_status, false).unwrap().word(), state.word());
        }
        assert_eq!(DatasetStatus::READY.or(DatasetStatus::UNLISTED), DatasetStatus::UNLISTED);
        assert_eq!(DatasetStatus::CORRUPT.or(DatasetStatus::DUPLICATE), DatasetStatus::CORRUPT);
    }
}

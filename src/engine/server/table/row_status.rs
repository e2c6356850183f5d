//! Where a video stands: what the engine has made of it before what the dataset says of it, in one place.

use reeldeck_common::error::ErrorKind;

use crate::dataset::state::State as Dataset;
use crate::engine::state::{Status, Video};
use crate::protocol::row::RowState;

/// What the engine says of a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowStatus {
    /// To be done.
    ToDo,
    /// A worker has it in hand.
    Running,
    /// Its feature is there.
    Done,
    /// Its feature is there, and some frames were lost or concealed.
    Degraded,
    /// Its feature is of an older version of the file.
    Stale,
    /// No feature came of it.
    Failed,
    /// No feature came of it, because no frames can be had of it or it is beyond a limit.
    Corrupt,
    /// Not part of this run.
    LeftOut,
    /// The user wants it left alone.
    Excluded,
    /// Its file is there no more.
    Gone,
}

impl RowStatus {
    /// Of a video of the engine.
    pub fn of(video: &Video) -> Self {
        match &video.status {
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

    /// Its feature is there, and of this very file.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Done | Self::Degraded)
    }

    /// An attempt was made, and no feature came of it.
    pub fn has_failed(self) -> bool {
        matches!(self, Self::Failed | Self::Corrupt)
    }
}

/// What the dataset says of a file: a place in [`Dataset::WORDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatasetStatus(u8);

impl DatasetStatus {
    /// In the manifest, and not on disk.
    pub const MISSING: Self = Self(0);
    /// No frames can be had of it.
    pub const CORRUPT: Self = Self(1);
    /// It plays longer or shorter than it should.
    pub const WRONG_DURATION: Self = Self(2);
    /// There several times.
    pub const DUPLICATE: Self = Self(3);
    /// Something is missing or broken.
    pub const DEGRADED: Self = Self(4);
    /// Not in the manifest.
    pub const UNLISTED: Self = Self(5);
    /// Nothing wrong was seen.
    pub const READY: Self = Self(7);

    /// Of a state of the dataset.
    pub fn of(state: &Dataset) -> Self {
        Self(state.index() as u8)
    }

    /// The worse of both.
    pub fn or(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }

    /// The state of a row that nothing was made of yet.
    pub fn row_state(self) -> RowState {
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

/// The state of a video's row; none where it has no row. `active`: there is a run that will do what is to be done.
pub fn row_state(row_status: RowStatus, word: DatasetStatus, active: bool) -> Option<RowState> {
    Some(match row_status {
        RowStatus::Running => RowState::Running,
        RowStatus::Done => RowState::Done,
        RowStatus::Degraded => RowState::Degraded,
        RowStatus::Stale => RowState::Stale,
        RowStatus::Failed => RowState::Failed,
        RowStatus::Corrupt => RowState::Corrupt,
        RowStatus::Excluded => RowState::Excluded,
        RowStatus::LeftOut => RowState::LeftOut,
        RowStatus::ToDo if active => RowState::Queued,
        RowStatus::ToDo => word.row_state(),
        // Where the manifest has it, it has a row of its own.
        RowStatus::Gone => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use reeldeck_common::error::Failure;

    #[test]
    fn what_a_run_has_made_of_a_video_comes_before_what_the_dataset_says() {
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
            (Status::Running(3), Some(RowState::Running)),
            (Status::LeftOut, Some(RowState::LeftOut)),
            (Status::Excluded { before: Box::new(done(false)) }, Some(RowState::Excluded)),
            (Status::Gone, None),
        ] {
            for word in words {
                for active in [false, true] {
                    assert_eq!(row_state(RowStatus::of(&Video::new(status.clone())), word, active), state);
                }
            }
        }
    }

    #[test]
    fn what_is_to_be_done_is_queued_while_there_is_a_run_and_else_what_the_dataset_says() {
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
            let word = DatasetStatus::of(state);
            assert_eq!(row_state(row_status, word, true), Some(RowState::Queued));
            assert_eq!(row_state(row_status, word, false).unwrap().word(), state.word());
        }
        assert_eq!(DatasetStatus::READY.or(DatasetStatus::UNLISTED), DatasetStatus::UNLISTED);
        assert_eq!(DatasetStatus::CORRUPT.or(DatasetStatus::DUPLICATE), DatasetStatus::CORRUPT);
    }
}

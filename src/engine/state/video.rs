//! A video of a run, and the counts by status.

use reeldeck_common::error::{ErrorKind, Failure};

use super::queue::Lane;
use super::{Millis, WorkerId};
use crate::protocol::snapshot::Counts;

/// The status of a video.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// It has a feature.
    Done {
        /// Some frames were lost or concealed, within the tolerance.
        degraded: bool,
        /// It had its feature before this run.
        resumed: bool,
    },
    /// It has a feature of an earlier version of the file, which is not extracted again.
    Stale,
    /// It has failed and is not retried in this run.
    Failed {
        /// The failure of the last attempt.
        failure: Box<Failure>,
        /// It failed in an earlier run.
        before: bool,
        /// No attempt has failed: its feature or its failure file cannot be read, so it may be done.
        unreadable: bool,
    },
    /// It waits for a worker.
    Queued,
    /// It is in flight in this worker.
    Running(WorkerId),
    /// It is unfinished and not part of this run: beyond `--limit`.
    LeftOut,
    /// A user has excluded it.
    Excluded {
        /// The status that it would have otherwise.
        before: Box<Status>,
    },
    /// Its file was removed.
    Gone,
}

impl Status {
    /// A result of this run becomes one of an earlier run.
    pub(super) fn count_as_earlier(&mut self) {
        match self {
            Self::Done { resumed, .. } => *resumed = true,
            Self::Failed { before, .. } => *before = true,
            Self::Excluded { before } => before.count_as_earlier(),
            _ => {}
        }
    }

    /// Whether it waits or is in flight.
    pub(in crate::engine) fn is_unfinished(&self) -> bool {
        matches!(self, Self::Queued | Self::Running(_))
    }
}

/// One video of the run. Its name is in [`State::files`](super::State::files).
#[derive(Clone, Debug, PartialEq)]
pub struct Video {
    /// Its status.
    pub status: Status,
    /// Attempts charged to it in this run.
    pub attempts: u32,
    /// Failed attempts in its failure file, those of earlier runs included.
    pub recorded: u32,
    /// How often it was queued again because of the output folder or a device.
    pub requeues: u32,
    /// It may crash its worker, and therefore runs alone in it until it succeeds, fails for good, or a user retries it.
    pub suspect: bool,
    /// When its next attempt may begin; 0: at once.
    pub retry_at: Millis,
    /// It has a feature, of this version of the file or of an earlier one.
    pub feature: bool,
    /// A user has excluded it. Once it is not in flight, its status is [`Status::Excluded`].
    pub excluded: bool,
    /// The file has changed while it was in flight, and must be looked at again.
    pub recheck: bool,
    /// Its feature is damaged. It is extracted again.
    pub damaged: bool,
    /// An export could not use its feature, and it was queued again because of that.
    pub missed: bool,
    /// This engine may hand it out.
    pub granted: bool,
    /// Size of its file in bytes, when it was last queued or handed out.
    pub bytes: u64,
}

impl Video {
    /// A video without attempts.
    pub fn new(status: Status) -> Self {
        let feature = matches!(status, Status::Done { .. } | Status::Stale);
        Self {
            status,
            attempts: 0,
            recorded: 0,
            requeues: 0,
            suspect: false,
            retry_at: 0,
            feature,
            excluded: false,
            recheck: false,
            damaged: false,
            missed: false,
            granted: false,
            bytes: 0,
        }
    }

    /// The lane of the queue that it belongs in.
    pub fn lane(&self) -> Lane {
        match (self.retry_at, self.suspect) {
            (0, false) => Lane::Normal,
            (0, true) => Lane::Suspect,
            (due, _) => Lane::Backoff(due),
        }
    }

    /// Excludes it before the run.
    pub fn exclude(&mut self) {
        if !matches!(self.status, Status::Excluded { .. }) {
            let before = std::mem::replace(&mut self.status, Status::Gone);
            self.status = Status::Excluded { before: Box::new(before) };
        }
        self.excluded = true;
    }
}

/// Adds a video with this status to the counts, or removes it.
pub(super) fn count(counts: &mut Counts, status: &Status, more: bool) {
    let add = |n: &mut usize, is: bool| {
        *n = n.wrapping_add(if !is {
            0
        } else if more {
            1
        } else {
            usize::MAX
        });
    };
    add(&mut counts.videos, *status != Status::Gone);
    match status {
        Status::Gone => {}
        Status::Excluded { before } => {
            let is_new = matches!(**before, Status::Done { resumed: false, .. } | Status::Failed { before: false, .. });
            add(&mut counts.excluded, true);
            add(&mut counts.excluded_in_run, is_new);
        }
        Status::Done { degraded, resumed } => {
            add(&mut counts.done, true);
            add(&mut counts.degraded, *degraded);
            add(&mut counts.resumed, *resumed);
        }
        Status::Stale => add(&mut counts.stale, true),
        Status::Failed { failure, before, unreadable } => {
            add(&mut counts.failed, true);
            add(&mut counts.failed_corrupt, failure.kind == ErrorKind::Corrupt);
            add(&mut counts.failed_before, *before);
            add(&mut counts.unreadable, *unreadable);
        }
        Status::Queued => add(&mut counts.queued, true),
        Status::Running(_) => add(&mut counts.running, true),
        Status::LeftOut => add(&mut counts.left_out, true),
    }
}

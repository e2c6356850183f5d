//! A video of a run: where it stands, and how many stand where.

use reeldeck_common::error::Failure;

use super::queue::Lane;
use super::{Millis, WorkerId};
use crate::protocol::snapshot::Counts;

/// Where one video stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// Its feature is there.
    Done {
        /// Some frames were lost or concealed, but few enough.
        degraded: bool,
        /// It was there before this run.
        resumed: bool,
    },
    /// Its feature is there, but the file has changed since; not asked to do it again.
    Stale,
    /// No feature came of it, and none will be tried for in this run.
    Failed {
        /// The last attempt's.
        failure: Box<Failure>,
        /// It failed in an earlier run.
        before: bool,
    },
    /// Waits for a worker.
    Queued,
    /// This worker has it in hand.
    Running(WorkerId),
    /// Unfinished, and not part of this run: beyond its limit, or of another shard.
    LeftOut,
    /// The user wants it left alone.
    Excluded {
        /// Where it would stand otherwise.
        before: Box<Status>,
    },
    /// Its file is there no more.
    Gone,
}

/// One video of the run. Its name is in [`State::files`](super::State::files).
#[derive(Clone, Debug, PartialEq)]
pub struct Video {
    /// Where it stands.
    pub status: Status,
    /// Attempts charged to it in this run.
    pub attempts: u32,
    /// How often it was put back because the output folder could not be written to.
    pub bounced: u32,
    /// It may crash its worker, and therefore runs alone in it until it succeeds, fails for good, or a user retries it.
    pub suspect: bool,
    /// When its next attempt may begin; 0: at once.
    pub retry_at: Millis,
    /// A feature of it is there, of this version of the file or of an older one.
    pub feature: bool,
    /// The user wants it left alone: when it is in nobody's hands it is [`Status::Excluded`].
    pub excluded: bool,
    /// The file has changed while a worker had it in hand: to be looked at when it is not.
    pub recheck: bool,
}

impl Video {
    /// A video that nothing was done about yet.
    pub fn new(status: Status) -> Self {
        let feature = matches!(status, Status::Done { .. } | Status::Stale);
        Self { status, attempts: 0, bounced: 0, suspect: false, retry_at: 0, feature, excluded: false, recheck: false }
    }

    /// The lane of the queue that it belongs in.
    pub fn lane(&self) -> Lane {
        match (self.retry_at, self.suspect) {
            (0, false) => Lane::Normal,
            (0, true) => Lane::Suspect,
            (due, _) => Lane::Backoff(due),
        }
    }

    /// Leaves it alone from the beginning.
    pub fn exclude(&mut self) {
        if !matches!(self.status, Status::Excluded { .. }) {
            let before = std::mem::replace(&mut self.status, Status::Gone);
            self.status = Status::Excluded { before: Box::new(before) };
        }
        self.excluded = true;
    }
}

/// Counts a video that stands there now, or one that does no longer.
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
        Status::Excluded { .. } => add(&mut counts.excluded, true),
        Status::Done { degraded, resumed } => {
            add(&mut counts.done, true);
            add(&mut counts.degraded, *degraded);
            add(&mut counts.resumed, *resumed);
        }
        Status::Stale => add(&mut counts.stale, true),
        Status::Failed { before, .. } => {
            add(&mut counts.failed, true);
            add(&mut counts.failed_before, *before);
        }
        Status::Queued => add(&mut counts.queued, true),
        Status::Running(_) => add(&mut counts.running, true),
        Status::LeftOut => add(&mut counts.left_out, true),
    }
}

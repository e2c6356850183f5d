//! Holds: while a folder is unusable or its disk does not respond, the engine assigns no video and charges no attempt.

use super::Step;
use crate::engine::event::{Effect, Notice};
use crate::engine::state::{Hold, HoldUntil, Millis, Phase, Status, VideoId};
use crate::protocol::snapshot::Folder;

/// How often a folder is checked during a hold.
const CHECK_INTERVAL: Millis = 2_000;

/// A check or a journal entry that waits longer shows that a disk does not respond.
const RESPONSE_TIMEOUT: Millis = 10_000;

impl Step<'_> {
    /// Requests a check of a folder, unless one is pending.
    pub(super) fn check(&mut self, folder: Folder) {
        let check = self.state.checks.of(folder);
        if check.asked.is_none() {
            check.asked = Some(self.now);
            self.effects.push(match folder {
                Folder::Output => Effect::LookAtOutput,
                Folder::Dataset => Effect::LookAtDataset(self.awaited()),
            });
        }
    }

    /// Requests the next check of a hold when its time has come.
    pub(super) fn check_if_due(&mut self) {
        if let Some(Hold { folder, until: HoldUntil::Checked(next), .. }) = &mut self.state.hold
            && next.is_some_and(|due| due <= self.now)
        {
            *next = None;
            let folder = *folder;
            self.check(folder);
        }
    }

    fn answered(&mut self, folder: Folder, succeeded: bool) {
        let check = self.state.checks.of(folder);
        if let Some(asked) = check.asked.take().filter(|_| succeeded) {
            check.succeeded = Some(asked);
        }
    }

    /// Whether a disk does not respond, or the output folder cannot be written to. Workers may have to wait for it.
    pub(super) fn is_waiting_for_disk(&self) -> bool {
        let waits = |hold: &Hold| hold.until == HoldUntil::Responds || hold.folder == Folder::Output;
        self.state.hold.as_ref().is_some_and(waits)
    }

    /// Holds the run while a disk does not respond.
    pub(super) fn hold_while_silent(&mut self) {
        let late = |since: Option<Millis>| since.is_some_and(|since| self.now.saturating_sub(since) > RESPONSE_TIMEOUT);
        let unreleased = self.state.unreleased.front().map(|(_, since)| *since);
        let output = late(unreleased) || late(self.state.checks.output.asked);
        let dataset = late(self.state.checks.dataset.asked);
        match &self.state.hold {
            Some(Hold { until: HoldUntil::Responds, folder: Folder::Output, .. }) if !output => {
                self.end_hold(Notice::OutputBack(0));
            }
            Some(Hold { until: HoldUntil::Responds, folder: Folder::Dataset, .. }) if !dataset => {
                self.end_hold(Notice::DatasetBack);
            }
            _ => {}
        }
        if self.state.hold.is_none() && self.state.paused.is_none() && (output || dataset) {
            let (folder, name) = if output { (Folder::Output, "output") } else { (Folder::Dataset, "dataset") };
            let reason = format!("the {name} folder does not respond; the run resumes when it does");
            self.state.hold = Some(Hold { folder, reason: reason.clone(), until: HoldUntil::Responds });
            self.notify(Notice::Held(folder, reason));
        }
    }

    /// Ends a hold. Workers that waited for the disk get their full time again.
    fn end_hold(&mut self, notice: Notice) {
        if self.is_waiting_for_disk() {
            for worker in &mut self.state.workers {
                worker.heard = worker.heard.max(self.now);
                for assignment in &mut worker.in_flight {
                    assignment.begun = assignment.begun.map(|begun| begun.max(self.now));
                }
            }
        }
        self.state.hold = None;
        self.notify(notice);
    }

    /// Hands nothing out until a folder can be used. During a hold because of one folder, the other one is not looked at: it
    /// holds the run again if it is still needed.
    pub(super) fn hold(&mut self, folder: Folder, reason: String) {
        if !matches!(self.state.hold, Some(Hold { until: HoldUntil::Checked(_), .. })) {
            let is_pending = self.state.checks.of(folder).asked.is_some();
            let until = HoldUntil::Checked((!is_pending).then_some(self.now + CHECK_INTERVAL));
            self.state.hold = Some(Hold { folder, reason: reason.clone(), until });
            self.notify(Notice::Held(folder, reason));
        }
    }

    pub(super) fn still_held(&mut self, folder: Folder, reason: String) {
        self.answered(folder, false);
        match &mut self.state.hold {
            Some(Hold { folder: held, reason: before, until: HoldUntil::Checked(next) }) => {
                if *held != folder {
                    return;
                }
                *next = Some(self.now + CHECK_INTERVAL);
                if *before != reason {
                    before.clone_from(&reason);
                    self.notify(Notice::Held(folder, reason));
                }
            }
            _ if folder == Folder::Dataset => self.dataset_gone(reason),
            _ => self.hold(folder, reason),
        }
    }

    pub(super) fn output_back(&mut self, lost: &[VideoId]) {
        self.answered(Folder::Output, true);
        let mut gone = 0;
        for id in lost {
            let Some(video) = self.state.videos.get_mut(*id) else { continue };
            if matches!(video.status, Status::Done { .. } | Status::Failed { .. }) {
                (video.attempts, video.recorded, video.requeues) = (0, 0, 0);
                self.state.set(*id, Status::Queued);
                gone += 1;
            }
        }
        if matches!(self.state.hold, Some(Hold { folder: Folder::Output, until: HoldUntil::Checked(_), .. })) {
            self.end_hold(Notice::OutputBack(gone));
        } else if gone > 0 {
            self.notify(Notice::OutputBack(gone));
        }
        self.hold_while_silent();
    }

    /// The dataset folder is gone. Without a run, the next run notices that.
    pub(super) fn dataset_gone(&mut self, reason: String) {
        if self.state.phase == Phase::Running && !self.state.is_over() {
            self.hold(Folder::Dataset, reason);
        }
    }

    pub(super) fn dataset_back(&mut self) {
        self.answered(Folder::Dataset, true);
        if matches!(self.state.hold, Some(Hold { folder: Folder::Dataset, until: HoldUntil::Checked(_), .. })) {
            for id in std::mem::take(&mut self.state.without_folder) {
                if let Some(video) = self.state.videos.get_mut(id) {
                    video.requeues = 0;
                }
            }
            self.end_hold(Notice::DatasetBack);
        }
        self.hold_while_silent();
    }

    /// The videos whose folders a hold waits for: those that are still to be extracted.
    fn awaited(&self) -> Vec<VideoId> {
        if !self.state.waits_for_dataset() {
            return vec![];
        }
        let is_queued = |id: &VideoId| self.state.videos.get(*id).is_some_and(|video| video.status == Status::Queued);
        self.state.without_folder.iter().copied().filter(is_queued).collect()
    }
}

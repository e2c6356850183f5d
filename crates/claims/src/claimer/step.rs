//! Joins, does what is due, leaves, and decides which engine ends the run.

use std::io;

use super::{Change, Claimer, Load, Place};
use crate::board::Board;
use crate::folder::Folder;
use crate::names;

/// If a step succeeds this long after the last one that did, the engine or its disk was suspended, and its claims may be lost. In
/// milliseconds.
const SUSPENDED: u64 = 30_000;

/// Which engine ends the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// This engine.
    Mine,
    /// Another engine is ending it.
    Other,
    /// The end of the run is done.
    Done,
}

impl Claimer {
    /// Takes part: from now on, other engines see this one. Call it before the results in the output folder are read: other
    /// engines keep their records while this one takes part.
    ///
    /// # Errors
    /// When a file operation fails. Joining again continues.
    pub fn join(&mut self, folder: &mut impl Folder, now: u64) -> io::Result<()> {
        self.beat(folder, now)?;
        folder.create(&names::run(&self.me), "")?;
        (self.joined, self.idle, self.last_step) = (true, false, Some(now));
        self.sync(folder, now)?;
        self.bury_the_gone(folder, now)?;
        if self.board.engines.len() == 1 {
            // What earlier runs have left.
            self.clean(folder)?;
        }
        self.next_check = now + self.check_interval();
        Ok(())
    }

    /// Whether it takes part.
    pub fn has_joined(&self) -> bool {
        self.joined
    }

    /// Does what is due: heartbeat, records, claims. Returns what has changed for the engine, also what changed before an
    /// error.
    ///
    /// # Errors
    /// When a file operation fails. The next step continues.
    pub fn step(&mut self, folder: &mut impl Folder, now: u64, load: Load) -> (Vec<Change>, io::Result<()>) {
        let result = if self.joined { self.try_step(folder, now, load) } else { Ok(()) };
        if self.joined && result.is_ok() {
            self.last_step = Some(now);
        }
        (std::mem::take(&mut self.changes), result)
    }

    fn try_step(&mut self, folder: &mut impl Folder, now: u64, load: Load) -> io::Result<()> {
        if now.saturating_sub(self.last_step.unwrap_or(now)) > SUSPENDED {
            self.pulses.clear();
            // The others may have ended the run and removed its records.
            self.distrusts = true;
            folder.create(&names::run(&self.me), "")?;
            self.sync(folder, now)?;
            self.verify(folder)?;
        }
        if now >= self.next_beat {
            self.beat(folder, now)?;
        }
        if now >= self.next_check {
            self.sync(folder, now)?;
            self.watch(folder, now)?;
            self.next_check = now + self.check_interval();
        }
        self.finish_settled(folder)?;
        self.claim_running(folder)?;
        self.claim(folder, now, load)?;
        if self.board.others_idle(&self.me) {
            self.give_back(folder)?;
        }
        self.show_idle(folder, load)
    }

    /// Stops taking part: gives all claims back. The last engine removes all files.
    ///
    /// # Errors
    /// When a file operation fails. The other engines then notice it after the lease.
    pub fn leave(&mut self, folder: &mut impl Folder, now: u64) -> io::Result<()> {
        if !std::mem::take(&mut self.joined) {
            return Ok(());
        }
        let finished = self.finish_settled(folder);
        for bucket in self.my_buckets() {
            self.release(folder, bucket)?;
        }
        for video in std::mem::take(&mut self.singles).into_keys() {
            folder.remove(&self.single_name(video))?;
        }
        for bucket in 0..self.buckets.len() as u16 {
            self.revoke(self.videos_in(bucket, Place::Held));
            for video in self.videos_in(bucket, Place::Running) {
                self.put(video, Place::Open);
            }
        }
        self.unclaimed.clear();
        folder.remove(&names::run(&self.me))?;
        folder.remove(&names::idle(&self.me))?;
        self.idle = false;
        self.read_board(folder, now)?;
        self.bury_the_gone(folder, now)?;
        if self.board.engines.is_empty() {
            self.clean(folder)?;
        }
        finished
    }

    /// Asks whether this engine may end the run, after all videos are settled. One engine at a time checks the results and
    /// exports. `exports`: this engine exports. The turn of a dead engine is taken over.
    ///
    /// # Errors
    /// When a file operation fails.
    pub fn turn(&mut self, folder: &mut impl Folder, now: u64, exports: bool) -> io::Result<Turn> {
        self.sync(folder, now)?;
        if self.board.finished.iter().any(|exported| *exported || !exports) {
            return Ok(Turn::Done);
        }
        if self.board.finishing {
            if self.owner(folder, names::FINISH, now)?.is_some_and(|owner| owner == self.me) {
                return Ok(Turn::Mine);
            }
            // If several engines try to take the turn over, the rename succeeds for one of them.
            if !self.is_orphaned(folder, names::FINISH, now)? || !folder.rename(names::FINISH, names::FINISHER)? {
                return Ok(Turn::Other);
            }
            self.owners.remove(names::FINISH);
        }
        Ok(if folder.create(names::FINISH, &self.me)? { Turn::Mine } else { Turn::Other })
    }

    /// Ends the turn of [`Claimer::turn`]. `ended`: the end of the run is done; true: with an export.
    ///
    /// # Errors
    /// When a file operation fails.
    pub fn turn_over(&mut self, folder: &mut impl Folder, ended: Option<bool>) -> io::Result<()> {
        self.owners.remove(names::FINISH);
        match ended {
            Some(exported) => folder.rename(names::FINISH, names::finish(exported)).map(drop),
            None => folder.remove(names::FINISH),
        }
    }

    pub(super) fn beat(&mut self, folder: &mut impl Folder, now: u64) -> io::Result<()> {
        self.counter += 1;
        if folder.beat(self.counter)? && self.joined {
            self.removed_at = Some(now);
        }
        self.next_beat = now + self.beat_interval();
        Ok(())
    }

    /// Removes all files except that of this engine, unless another engine takes part.
    fn clean(&mut self, folder: &mut impl Folder) -> io::Result<()> {
        let (names, mine) = (folder.list()?, names::run(&self.me));
        if Board::of(&names).engines().any(|engine| engine != self.me) {
            return Ok(());
        }
        for name in names.iter().filter(|name| **name != mine) {
            folder.remove(name)?;
        }
        let engines = std::mem::take(&mut self.board.engines);
        self.board = Board { engines, ..Board::default() };
        self.owners.clear();
        Ok(())
    }

    /// Shows other engines whether this one has nothing to do. If so, they give back videos that they have not begun.
    fn show_idle(&mut self, folder: &mut impl Folder, load: Load) -> io::Result<()> {
        let is_idle = load.free > self.waiting() && self.exhausted && self.unsettled() > 0;
        if is_idle == self.idle {
            return Ok(());
        }
        let (run, idle) = (names::run(&self.me), names::idle(&self.me));
        let (from, to) = if is_idle { (run, idle) } else { (idle, run) };
        if !folder.rename(&from, &to)? {
            folder.create(&to, "")?;
        }
        self.idle = is_idle;
        self.board.engines.insert(self.me.clone(), is_idle);
        Ok(())
    }
}

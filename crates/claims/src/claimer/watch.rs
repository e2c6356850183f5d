//! Finds engines that are dead.

use std::io;

use super::{Change, Claimer, Place};
use crate::folder::{Folder, Pulse};
use crate::names;
use crate::{BEAT, LEASE, SILENT};

impl Claimer {
    /// Reads the heartbeat of the next engine in the order of their ids, so each engine is watched by one other. An idle engine
    /// also watches the engines whose videos it could extract.
    pub(super) fn watch(&mut self, folder: &mut impl Folder, now: u64) -> io::Result<()> {
        let others: Vec<String> = self.board.engines.keys().filter(|engine| **engine != self.me).cloned().collect();
        let next = others.iter().position(|engine| *engine > self.me).unwrap_or(0);
        let mut watched: Vec<String> = others.get(next).cloned().into_iter().collect();
        if self.idle {
            let owners = self.owners.values().map(|(owner, _)| owner.clone());
            watched.extend(owners.filter(|owner| others.contains(owner)));
            watched.sort();
            watched.dedup();
        }
        self.pulses.retain(|engine, _| watched.contains(engine));
        for engine in watched {
            if self.is_dead(folder, &engine, now)? {
                self.bury(folder, &engine)?;
            }
        }
        Ok(())
    }

    fn is_dead(&mut self, folder: &mut impl Folder, engine: &str, now: u64) -> io::Result<bool> {
        let counter = match folder.pulse(engine)? {
            Pulse::Counter(counter) => counter,
            // A user may have removed the files of all engines. Those that run write them again.
            Pulse::Gone if self.is_removed(folder, now)? => 0,
            Pulse::Gone => return Ok(true),
        };
        let (last, since) = self.pulses.entry(engine.to_owned()).or_insert((counter, now));
        if *last != counter {
            (*last, *since) = (counter, now);
        }
        Ok(now.saturating_sub(*since) > LEASE)
    }

    /// Whether this engine's own files were removed a moment ago.
    fn is_removed(&mut self, folder: &mut impl Folder, now: u64) -> io::Result<bool> {
        if !self.was_removed_within(LEASE, now) && folder.pulse(&self.me)? == Pulse::Gone {
            self.removed_at = Some(now);
        }
        Ok(self.was_removed_within(LEASE, now))
    }

    /// Removes the files of an engine. Its claims are then free.
    fn bury(&mut self, folder: &mut impl Folder, engine: &str) -> io::Result<()> {
        folder.remove(&names::run(engine))?;
        folder.remove(&names::idle(engine))?;
        folder.bury(engine)?;
        self.board.engines.remove(engine);
        self.pulses.remove(engine);
        self.exhausted = false;
        self.changes.push(Change::EngineDied(engine.to_owned()));
        Ok(())
    }

    /// Removes the files of the engines that are known to have ended.
    pub(super) fn bury_the_gone(&mut self, folder: &mut impl Folder, now: u64) -> io::Result<()> {
        let others: Vec<String> = self.board.engines.keys().filter(|engine| **engine != self.me).cloned().collect();
        for engine in others {
            if folder.pulse(&engine)? == Pulse::Gone && !self.is_removed(folder, now)? {
                self.bury(folder, &engine)?;
            }
        }
        Ok(())
    }

    pub(super) fn takes_part(&self, engine: &str) -> bool {
        self.board.engines.contains_key(engine)
    }

    /// The engine that holds this claim. None for a claim that is gone or not written yet.
    pub(super) fn owner(&mut self, folder: &mut impl Folder, name: &str, now: u64) -> io::Result<Option<String>> {
        if let Some((owner, _)) = self.owners.get(name).filter(|(owner, _)| !owner.is_empty()) {
            return Ok(Some(owner.clone()));
        }
        let Some(owner) = folder.read(name)? else { return Ok(None) };
        let since = self.owners.get(name).map_or(now, |(_, since)| *since);
        self.owners.insert(name.to_owned(), (owner.clone(), since));
        Ok(Some(owner).filter(|owner| !owner.is_empty()))
    }

    /// The same as [`Claimer::is_orphaned`], but false for a new claim, whose engine was running a moment ago.
    pub(super) fn may_be_orphaned(&mut self, folder: &mut impl Folder, name: &str, now: u64) -> io::Result<bool> {
        let since = self.owners.get(name).map_or(now, |(_, since)| *since);
        let is_alone = self.board.engines.len() == 1;
        Ok((is_alone || now.saturating_sub(since) >= BEAT) && self.is_orphaned(folder, name, now)?)
    }

    /// Whether the engine of a claim no longer takes part.
    pub(super) fn is_orphaned(&mut self, folder: &mut impl Folder, name: &str, now: u64) -> io::Result<bool> {
        match self.owner(folder, name, now)? {
            Some(owner) if owner != self.me && self.takes_part(&owner) => return Ok(false),
            Some(_) => {}
            // Its engine may be about to write its id, or may have been killed before that.
            None => {
                let since = self.owners.get(name).map_or(now, |(_, since)| *since);
                return Ok(self.board.engines.len() == 1 || now.saturating_sub(since) > LEASE);
            }
        }
        // Another engine may have taken the claim over since it was read.
        self.owners.remove(name);
        let owner = self.owner(folder, name, now)?;
        // This engine may own a claim that it does not know, if the file was created and the file system reported an error.
        Ok(owner.is_some_and(|owner| owner == self.me || !self.takes_part(&owner)))
    }

    /// Whether this engine has nothing to do until other engines have done their videos.
    pub fn is_idle(&self) -> bool {
        self.joined && self.idle
    }

    /// The engine that has been silent for the longest time, if it may be dead and this engine waits for its videos.
    pub fn silent(&self, now: u64) -> Option<&str> {
        let silent =
            self.pulses.iter().filter(|(_, (_, since))| self.is_idle() && now.saturating_sub(*since) >= SILENT);
        silent.min_by_key(|(_, (_, since))| *since).map(|(engine, _)| engine.as_str())
    }

    /// Whether another engine holds videos that this one could do.
    pub fn waits_for_others(&self) -> bool {
        self.buckets.iter().any(|bucket| bucket.count(Place::Open) > 0)
    }
}

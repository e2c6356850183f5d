//! Lists the folder of the claims: finds what other engines have settled, and which claims of this engine are lost.

use std::collections::HashMap;
use std::io;

use super::{Change, Claimer, Place, Video};
use crate::board::{Board, Seen};
use crate::folder::{Folder, Settled};
use crate::names::{self, Name, Record, Stage};

impl Claimer {
    /// Lists the folder, and applies what has changed.
    pub(super) fn sync(&mut self, folder: &mut impl Folder, now: u64) -> io::Result<()> {
        self.read_board(folder, now)?;
        if !self.board.engines.contains_key(&self.me) {
            // Another engine has removed this one as dead, or a user has removed the folder. The records of results may be gone.
            (self.removed_at, self.distrusts) = (Some(now), true);
            self.beat(folder, now)?;
            folder.create(&names::run(&self.me), "")?;
            self.idle = false;
            self.board.engines.insert(self.me.clone(), false);
            self.verify(folder)?;
        }
        for bucket in 0..self.buckets.len() as u16 {
            let seen = self.board.seen(bucket);
            let (mine, is_settled) = {
                let of = &self.buckets[usize::from(bucket)];
                (of.mine, of.is_settled())
            };
            self.buckets[usize::from(bucket)].touched |= !mine && seen != Seen::default();
            if mine && !seen.claimed {
                self.verify_bucket(folder, bucket)?;
            }
            if let Some(record) = seen.finished.filter(|_| !mine && !seen.claimed && !is_settled) {
                self.apply(folder, bucket, record)?;
            } else if seen.finished.is_none() && !mine {
                self.buckets[usize::from(bucket)].applied = None;
            }
        }
        self.sync_singles(folder)?;
        for bucket in 0..self.buckets.len() as u16 {
            self.close(folder, bucket)?;
        }
        Ok(())
    }

    pub(super) fn read_board(&mut self, folder: &mut impl Folder, now: u64) -> io::Result<()> {
        let names = folder.list()?;
        self.board = Board::of(&names);
        (self.board_at, self.exhausted) = (Some(now), false);
        let mut owners = std::mem::take(&mut self.owners);
        for name in names {
            if matches!(names::parse(&name), Some(Name::Claim(_) | Name::Single(_, _, Stage::Claimed | Stage::Second)))
            {
                let (name, owner) = owners.remove_entry(&name).unwrap_or((name, (String::new(), now)));
                self.owners.insert(name, owner);
            }
        }
        Ok(())
    }

    /// Takes over the results of a bucket that another engine has finished.
    pub(super) fn apply(&mut self, folder: &mut impl Folder, bucket: u16, record: Record) -> io::Result<()> {
        if self.buckets[usize::from(bucket)].applied == Some(record) {
            return Ok(());
        }
        let videos = self.videos_in(bucket, Place::Open);
        if record.videos != self.buckets[usize::from(bucket)].videos.len() {
            // The other engine has another list of files.
            self.look(folder, &videos)?;
        } else {
            let mut others = HashMap::new();
            if record.mixed {
                // Another engine may have opened the bucket again.
                let Some(text) = folder.read(&names::finished(bucket, record))? else { return Ok(()) };
                let line = |line: &str| line.split_once(' ').map(|(hash, text)| (hash.to_owned(), text.to_owned()));
                others = text.lines().filter_map(line).collect();
            }
            for video in videos {
                match others.get(&format!("{:016x}", self.hash(video))) {
                    None => self.learn(video, Settled::Done),
                    Some(text) if folder.accepts(video, text) => self.learn(video, Settled::Other(text.clone())),
                    Some(_) => {}
                }
            }
        }
        self.buckets[usize::from(bucket)].applied = Some(record);
        Ok(())
    }

    /// Takes over single videos that other engines have settled.
    pub(super) fn sync_settled_singles(&mut self, folder: &mut impl Folder) -> io::Result<()> {
        let settled = |stage: &Stage| matches!(stage, Stage::Done | Stage::Mixed);
        let files =
            self.board.singles.iter().filter_map(|(key, stages)| Some((*key, *stages.iter().find(|s| settled(s))?)));
        for ((bucket, hash), stage) in files.collect::<Vec<_>>() {
            let Some(video) = self.find(bucket, hash) else { continue };
            if !matches!(self.place(video), Place::Open | Place::Held) {
                continue;
            }
            match stage {
                Stage::Done => self.learn(video, Settled::Done),
                _ => match folder.read(&names::single(bucket, hash, stage))? {
                    Some(text) if folder.accepts(video, &text) => self.learn(video, Settled::Other(text)),
                    _ => {}
                },
            }
        }
        Ok(())
    }

    /// Takes over single videos that other engines have settled, and finds single claims that are lost.
    fn sync_singles(&mut self, folder: &mut impl Folder) -> io::Result<()> {
        self.sync_settled_singles(folder)?;
        for (video, second) in self.singles.clone() {
            let stage = if second { Stage::Second } else { Stage::Claimed };
            if !self.board.has(self.bucket_of(video), self.hash(video), stage) {
                self.verify_single(folder, video)?;
            }
        }
        Ok(())
    }

    /// Settles those of these videos that have a result in the output folder.
    pub(super) fn look(&mut self, folder: &mut impl Folder, videos: &[Video]) -> io::Result<()> {
        let videos: Vec<Video> = videos.iter().copied().filter(|video| !self.forced.contains(video)).collect();
        if !videos.is_empty() {
            for (video, settled) in folder.results(&videos)? {
                self.learn(video, settled);
            }
        }
        Ok(())
    }

    /// Reads all claims of this engine. Creates those again that were removed, and drops those that another engine has taken over.
    pub(super) fn verify(&mut self, folder: &mut impl Folder) -> io::Result<()> {
        for bucket in self.my_buckets() {
            self.verify_bucket(folder, bucket)?;
        }
        for video in self.singles.keys().copied().collect::<Vec<_>>() {
            self.verify_single(folder, video)?;
        }
        Ok(())
    }

    fn verify_bucket(&mut self, folder: &mut impl Folder, bucket: u16) -> io::Result<()> {
        let (name, seen) = (names::claim(bucket), self.board.seen(bucket));
        match folder.read(&name)? {
            Some(owner) if owner == self.me => return Ok(()),
            None if !seen.open && seen.finished.is_none() && folder.create(&name, &self.me)? => {}
            _ => {
                self.lose(bucket);
                return Ok(());
            }
        }
        self.board.set(bucket, |of| of.claimed = true);
        // Other engines may have done everything meanwhile, and the last one removes all files.
        self.look(folder, &self.videos_in(bucket, Place::Held))
    }

    fn verify_single(&mut self, folder: &mut impl Folder, video: Video) -> io::Result<()> {
        let (name, bucket) = (self.single_name(video), self.bucket_of(video));
        let seen = self.board.seen(bucket);
        let is_free = !seen.claimed && seen.finished.is_none() && self.is_open(video);
        match folder.read(&name)? {
            Some(owner) if owner == self.me => Ok(()),
            None if is_free && folder.create(&name, &self.me)? => self.look(folder, &[video]),
            _ => {
                self.singles.remove(&video);
                self.revoke(vec![video]);
                Ok(())
            }
        }
    }

    /// Drops the claim of a bucket. Videos in progress are finished nevertheless.
    pub(super) fn lose(&mut self, bucket: u16) {
        self.buckets[usize::from(bucket)].mine = false;
        let mut videos = self.videos_in(bucket, Place::Held);
        videos.retain(|video| !self.singles.contains_key(video));
        self.revoke(videos);
    }

    pub(super) fn revoke(&mut self, mut videos: Vec<Video>) {
        videos.retain(|video| self.place(*video) == Place::Held);
        videos.iter().for_each(|video| self.put(*video, Place::Open));
        if !videos.is_empty() {
            self.changes.push(Change::Revoked(videos));
        }
    }

    pub(super) fn my_buckets(&self) -> Vec<u16> {
        (0..self.buckets.len() as u16).filter(|bucket| self.buckets[usize::from(*bucket)].mine).collect()
    }

    /// The name of a single claim of this engine.
    pub(super) fn single_name(&self, video: Video) -> String {
        let stage = if self.singles.get(&video) == Some(&true) { Stage::Second } else { Stage::Claimed };
        names::single(self.bucket_of(video), self.hash(video), stage)
    }
}

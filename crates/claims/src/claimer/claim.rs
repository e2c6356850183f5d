//! Claims buckets and single videos.

use std::cmp::Reverse;
use std::io;

use super::{Change, Claimer, Load, Place, Video};
use crate::BEAT;
use crate::folder::Folder;
use crate::names::{self, Stage};

/// The folder is listed again before a claim if the last listing is older, in milliseconds.
const FRESH: u64 = 2_000;

impl Claimer {
    /// Claims as many videos as the engine wants.
    pub(super) fn claim(&mut self, folder: &mut impl Folder, now: u64, load: Load) -> io::Result<()> {
        self.claims_more = false;
        if self.exhausted
            || self.places[Place::Open as usize] == 0
            || (self.waiting() >= load.want && self.urgent.is_empty())
        {
            return Ok(());
        }
        if self.board_at.is_none_or(|at| now.saturating_sub(at) > FRESH) {
            self.sync(folder, now)?;
        }
        if self.must_wait(now) {
            return Ok(());
        }
        let mut free = self.candidates();
        let engines = self.board.engines.len().max(1);
        // Near the end, a whole bucket would be too much for one engine.
        let singly = engines > 1 && (self.board.others_idle(&self.me) || free.len() < engines);
        let mut want = load.want;
        if singly || self.idle {
            let open: usize = free.iter().map(|bucket| self.open_in(*bucket)).sum();
            want = want.min(load.free.max(open.div_ceil(engines)));
        }
        // Each engine begins at another place, so that they do not compete for the same bucket.
        let rank = self.board.engines.keys().position(|engine| *engine == self.me).unwrap_or(0);
        let first = engines.min(free.len());
        free[..first].rotate_left(rank % first.max(1));
        free.sort_by_key(|bucket| !self.urgent.contains(bucket));
        let mut new = vec![];
        for bucket in free {
            let coming: usize = new.iter().map(|(bucket, _)| self.open_in(*bucket)).sum();
            if self.waiting() + coming >= want && !self.urgent.contains(&bucket) {
                break;
            }
            new.extend(self.claim_bucket(folder, bucket, singly, want)?);
        }
        self.urgent.clear();
        let (waiting, has_new) = (self.waiting(), !new.is_empty());
        self.grant_new(folder, now, new, want)?;
        if self.must_wait(now) {
            return Ok(());
        }
        // The output folder had the results of all of them.
        self.claims_more = has_new && self.waiting() == waiting;
        if self.claims_more {
            return Ok(());
        }
        if self.waiting() < want {
            self.take_over(folder, now, want)?;
        }
        if self.waiting() < load.free.min(want) {
            self.try_again(folder, now, load)?;
        }
        self.exhausted = self.waiting() < want;
        Ok(())
    }

    /// Whether other engines may still have to create their claims again, because the folder was removed.
    fn must_wait(&self, now: u64) -> bool {
        self.was_removed_within(BEAT + FRESH, now)
    }

    /// The buckets that can be claimed, the most expensive first, and then in the order of their first videos.
    fn candidates(&self) -> Vec<u16> {
        let mut free: Vec<u16> = (0..self.buckets.len() as u16).collect();
        free.retain(|bucket| {
            let of = &self.buckets[usize::from(*bucket)];
            of.count(Place::Open) > 0 && !of.mine && !self.board.seen(*bucket).claimed
        });
        let first = |bucket: &u16| {
            let mut videos = self.buckets[usize::from(*bucket)].videos.iter();
            videos.find(|video| self.place(**video as Video) == Place::Open).copied()
        };
        free.sort_by_cached_key(|bucket| (Reverse(self.buckets[usize::from(*bucket)].cost), first(bucket)));
        free
    }

    /// Claims a bucket or single videos of it. Returns a bucket, which is not granted yet, and whether it was open.
    fn claim_bucket(
        &mut self,
        folder: &mut impl Folder,
        bucket: u16,
        singly: bool,
        want: usize,
    ) -> io::Result<Option<(u16, bool)>> {
        let mut seen = self.board.seen(bucket);
        if let Some(record) = seen.finished {
            // The record may be newer than the last look at all records.
            self.apply(folder, bucket, record)?;
            if self.open_in(bucket) == 0 {
                return Ok(None);
            }
            // Another engine has finished it with another list of files or other settings.
            seen.open |= folder.rename(&names::finished(bucket, record), &names::open(bucket))?;
            self.board.set(bucket, |of| (of.finished, of.open) = (None, seen.open));
            if !seen.open {
                return Ok(None);
            }
        }
        if seen.open && (singly || self.board.has_single_claims(bucket)) {
            self.claim_singles(folder, bucket, want)?;
            return Ok(None);
        }
        let claimed = folder.create(&names::claim(bucket), &self.me)?;
        self.board.set(bucket, |of| of.claimed = true);
        if !claimed {
            return Ok(None);
        }
        self.buckets[usize::from(bucket)].mine = true;
        self.forget_the_end(folder)?;
        Ok(Some((bucket, seen.open)))
    }

    /// Grants buckets that were just claimed. Another engine may have finished a bucket, or claimed single videos of it, before
    /// this claim was created. A new listing shows that, even if the network file system gave an old one before the claim.
    fn grant_new(&mut self, folder: &mut impl Folder, now: u64, new: Vec<(u16, bool)>, want: usize) -> io::Result<()> {
        // An engine that knows no other may not have seen one that has joined since its last listing.
        if !new.is_empty() {
            let exhausted = self.exhausted;
            self.read_board(folder, now)?;
            if !self.board.engines.contains_key(&self.me) {
                // The folder was removed. Another engine may create its claims of these buckets again.
                for (bucket, _) in new {
                    folder.remove(&names::claim(bucket))?;
                    self.buckets[usize::from(bucket)].mine = false;
                }
                return self.sync(folder, now);
            }
            self.exhausted = exhausted;
        }
        for (bucket, was_open) in new {
            let seen = self.board.seen(bucket);
            let is_open = was_open || seen.open || self.buckets[usize::from(bucket)].touched;
            if seen.finished.is_some() || self.board.has_single_claims(bucket) {
                folder.remove(&names::claim(bucket))?;
                self.buckets[usize::from(bucket)].mine = false;
                self.board.set(bucket, |of| of.claimed = false);
                if seen.finished.is_none() {
                    self.claim_singles(folder, bucket, want)?;
                }
                continue;
            }
            let from = if is_open { self.earlier(folder, bucket)? } else { None };
            if is_open || self.distrusts {
                self.look(folder, &self.videos_in(bucket, Place::Open))?;
                self.dirty.insert(bucket);
            }
            self.grant(self.videos_in(bucket, Place::Open), from);
        }
        Ok(())
    }

    fn open_in(&self, bucket: u16) -> usize {
        self.buckets[usize::from(bucket)].count(Place::Open)
    }

    fn claim_singles(&mut self, folder: &mut impl Folder, bucket: u16, want: usize) -> io::Result<()> {
        let mut from = None;
        for video in self.videos_in(bucket, Place::Open) {
            if self.waiting() >= want {
                break;
            }
            let hash = self.hash(video);
            if self.board.has(bucket, hash, Stage::Claimed) || !self.claim_single(folder, video, Stage::Claimed)? {
                continue;
            }
            if folder.read(&names::claim(bucket))?.is_some() {
                // Another engine has claimed the whole bucket at the same moment. It removes its claim, too, if it sees this one.
                folder.remove(&self.single_name(video))?;
                self.singles.remove(&video);
                self.board.singles.remove(&(bucket, hash));
                self.board.set(bucket, |of| of.claimed = true);
                return Ok(());
            }
            if from.is_none() {
                from = Some(self.earlier(folder, bucket)?);
            }
            self.use_single(folder, video, from.clone().flatten())?;
        }
        Ok(())
    }

    /// Creates the claim of a single video.
    pub(super) fn claim_single(&mut self, folder: &mut impl Folder, video: Video, stage: Stage) -> io::Result<bool> {
        let (bucket, hash) = (self.bucket_of(video), self.hash(video));
        let claimed = folder.create(&names::single(bucket, hash, stage), &self.me)?;
        self.board.singles.entry((bucket, hash)).or_default().push(stage);
        if claimed {
            self.singles.insert(video, stage == Stage::Second);
        }
        Ok(claimed)
    }

    /// Grants a video whose single claim was just created, unless the video was settled in the meantime.
    fn use_single(&mut self, folder: &mut impl Folder, video: Video, from: Option<String>) -> io::Result<()> {
        self.forget_the_end(folder)?;
        self.look(folder, &[video])?;
        if self.place(video) == Place::Open {
            self.grant(vec![video], from);
        }
        Ok(())
    }

    fn grant(&mut self, videos: Vec<Video>, from: Option<String>) {
        videos.iter().for_each(|video| self.put(*video, Place::Held));
        if !videos.is_empty() {
            self.changes.push(Change::Granted { videos, from });
        }
    }

    /// The engine that had an open bucket before.
    fn earlier(&mut self, folder: &mut impl Folder, bucket: u16) -> io::Result<Option<String>> {
        Ok(folder.read(&names::open(bucket))?.filter(|engine| names::is_engine(engine) && *engine != self.me))
    }

    /// Removes the records of the end of the run, because there are videos to extract again.
    fn forget_the_end(&mut self, folder: &mut impl Folder) -> io::Result<()> {
        for exported in std::mem::take(&mut self.board.finished) {
            folder.remove(names::finish(exported))?;
        }
        Ok(())
    }

    /// Claims videos that a worker has begun although their claim was given back at the same moment.
    pub(super) fn claim_running(&mut self, folder: &mut impl Folder) -> io::Result<()> {
        for video in std::mem::take(&mut self.unclaimed) {
            if self.place(video) == Place::Running && !self.holds(video) {
                // If another engine was faster, both extract it.
                self.claim_single(folder, video, Stage::Claimed)?;
            }
        }
        Ok(())
    }

    /// Takes over the claims of engines that no longer take part.
    fn take_over(&mut self, folder: &mut impl Folder, now: u64, want: usize) -> io::Result<()> {
        for bucket in 0..self.buckets.len() as u16 {
            let of = &self.buckets[usize::from(bucket)];
            if of.count(Place::Open) == 0 {
                continue;
            }
            if of.mine {
                // An operation failed between the claim and the grant.
                self.grant_new(folder, now, vec![(bucket, true)], want)?;
                continue;
            }
            if self.board.seen(bucket).claimed && self.may_be_orphaned(folder, &names::claim(bucket), now)? {
                let taken = folder.rename(&names::claim(bucket), &names::open(bucket))?;
                self.owners.remove(&names::claim(bucket));
                self.board.set(bucket, |of| of.claimed = !taken);
                if taken {
                    self.board.set(bucket, |of| of.open = true);
                    let new = self.claim_bucket(folder, bucket, false, want)?;
                    self.grant_new(folder, now, new.into_iter().collect(), want)?;
                }
            }
            for video in self.videos_in(bucket, Place::Open) {
                let hash = self.hash(video);
                for stage in [Stage::Claimed, Stage::Second] {
                    let name = names::single(bucket, hash, stage);
                    if self.board.has(bucket, hash, stage) && self.may_be_orphaned(folder, &name, now)? {
                        let from = self.owners.remove(&name).map(|(owner, _)| owner);
                        // If several engines try this, the rename succeeds for one of them.
                        let taken = folder.rename(&name, &names::single(bucket, hash, Stage::Second))?
                            && stage == Stage::Claimed
                            && self.claim_single(folder, video, Stage::Claimed)?;
                        folder.remove(&names::single(bucket, hash, Stage::Second))?;
                        self.board.singles.remove(&(bucket, hash));
                        if taken {
                            self.use_single(folder, video, from)?;
                        }
                    }
                }
            }
            if self.waiting() >= want {
                break;
            }
        }
        Ok(())
    }

    /// Claims videos a second time if another engine has held them for much longer than expected.
    fn try_again(&mut self, folder: &mut impl Folder, now: u64, load: Load) -> io::Result<()> {
        let claimed = self.board.singles.iter().filter(|(_, stages)| **stages == [Stage::Claimed]);
        for (bucket, hash) in claimed.map(|(key, _)| *key).collect::<Vec<_>>() {
            let Some(video) = self.find(bucket, hash).filter(|video| self.place(*video) == Place::Open) else {
                continue;
            };
            let name = names::single(bucket, hash, Stage::Claimed);
            self.owner(folder, &name, now)?;
            let since = self.owners.get(&name).map_or(now, |(_, since)| *since);
            if now.saturating_sub(since) >= load.patience && self.claim_single(folder, video, Stage::Second)? {
                self.use_single(folder, video, None)?;
            }
            if self.waiting() >= load.free {
                break;
            }
        }
        Ok(())
    }
}

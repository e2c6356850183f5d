//! Finishes buckets whose videos are settled, and gives back videos that other engines can extract sooner.

use std::collections::HashSet;
use std::io;

use super::{Claimer, Place, Video};
use crate::folder::Folder;
use crate::names::{self, Record, Stage};

impl Claimer {
    /// Writes the records of what was settled since the last step.
    pub(super) fn finish_settled(&mut self, folder: &mut impl Folder) -> io::Result<()> {
        while let Some(bucket) = self.dirty.first().copied() {
            let mut singles: Vec<Video> = self.singles.keys().copied().collect();
            singles.retain(|video| self.bucket_of(*video) == bucket && self.place(*video) == Place::Settled);
            for video in singles {
                self.finish_single(folder, video)?;
            }
            let of = &self.buckets[usize::from(bucket)];
            if of.mine && of.is_settled() {
                self.finish_bucket(folder, bucket, &names::claim(bucket))?;
            }
            self.close(folder, bucket)?;
            self.dirty.remove(&bucket);
        }
        Ok(())
    }

    /// Turns the file of a bucket into its record.
    fn finish_bucket(&mut self, folder: &mut impl Folder, bucket: u16, file: &str) -> io::Result<()> {
        let of = &self.buckets[usize::from(bucket)];
        let videos = of.videos.iter().map(|video| *video as Video);
        let others = videos.filter_map(|video| Some((self.hash(video), self.others.get(&video)?)));
        let text: String = others.map(|(hash, text)| format!("{hash:016x} {text}\n")).collect();
        let record = Record { mixed: !text.is_empty(), videos: of.videos.len() };
        if record.mixed {
            folder.write(file, &text)?;
        }
        let finished = folder.rename(file, &names::finished(bucket, record))?;
        self.buckets[usize::from(bucket)].mine = false;
        self.buckets[usize::from(bucket)].applied = Some(record);
        let files: Vec<_> = self.board.singles_of(bucket).collect();
        for (hash, stage) in files {
            // Only the engine that wrote the record removes these files.
            if finished && stage != Stage::Claimed {
                folder.remove(&names::single(bucket, hash, stage))?;
            }
            self.board.singles.remove(&(bucket, hash));
        }
        if finished && self.board.seen(bucket).open && file != names::open(bucket) {
            folder.remove(&names::open(bucket))?;
        }
        self.board.set(bucket, |of| {
            (of.claimed, of.open, of.finished) = (false, false, finished.then_some(record));
        });
        Ok(())
    }

    /// Finishes an open bucket if no video of it is left.
    pub(super) fn close(&mut self, folder: &mut impl Folder, bucket: u16) -> io::Result<()> {
        let seen = self.board.seen(bucket);
        let of = &self.buckets[usize::from(bucket)];
        if seen.open && !seen.claimed && !of.mine && !of.videos.is_empty() && of.is_settled() {
            self.finish_bucket(folder, bucket, &names::open(bucket))?;
        }
        Ok(())
    }

    fn finish_single(&mut self, folder: &mut impl Folder, video: Video) -> io::Result<()> {
        let name = self.single_name(video);
        let (bucket, hash) = (self.bucket_of(video), self.hash(video));
        let stage = if self.others.contains_key(&video) { Stage::Mixed } else { Stage::Done };
        if let Some(text) = self.others.get(&video) {
            folder.write(&name, text)?;
        }
        folder.rename(&name, &names::single(bucket, hash, stage))?;
        if self.singles.remove(&video) == Some(true) {
            // The claim of the first try.
            folder.remove(&names::single(bucket, hash, Stage::Claimed))?;
        }
        self.board.singles.insert((bucket, hash), vec![stage]);
        Ok(())
    }

    /// Gives back the share of the idle engines of the videos that are not begun. If this divides a bucket, the videos that
    /// stay become single claims.
    pub(super) fn give_back(&mut self, folder: &mut impl Folder) -> io::Result<()> {
        let mut held = vec![];
        let mine = self.my_buckets();
        for bucket in &mine {
            held.extend(self.videos_in(*bucket, Place::Held));
        }
        self.sort(&mut held);
        let idle = self.board.engines.iter().filter(|(engine, idle)| **idle && **engine != self.me).count();
        let kept: HashSet<Video> = held.iter().copied().take(held.len() / (idle + 1)).collect();
        for bucket in mine {
            let mut stay = self.videos_in(bucket, Place::Held);
            let before = stay.len();
            stay.retain(|video| kept.contains(video));
            if stay.len() == before {
                continue;
            }
            stay.extend(self.videos_in(bucket, Place::Running));
            for video in stay {
                self.claim_single(folder, video, Stage::Claimed)?;
            }
            self.release(folder, bucket)?;
        }
        Ok(())
    }

    /// Opens a bucket of this engine for all engines.
    pub(super) fn release(&mut self, folder: &mut impl Folder, bucket: u16) -> io::Result<()> {
        folder.rename(&names::claim(bucket), &names::open(bucket))?;
        self.lose(bucket);
        self.board.set(bucket, |of| (of.claimed, of.open) = (false, true));
        Ok(())
    }
}

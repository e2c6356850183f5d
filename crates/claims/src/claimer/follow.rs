//! An engine that only looks: it takes over what others have settled, and writes nothing.

use std::io;

use super::{Claimer, Place, Video};
use crate::folder::Folder;

impl Claimer {
    /// The next call of [`Claimer::follow`] looks for the results of all open videos. Call it when a run has ended, perhaps between two
    /// calls, and when an engine has died: its files stay in the folder until another engine takes part.
    pub fn expect_results(&mut self) {
        self.expects = true;
    }

    /// Takes over what other engines have settled, without taking part: one listing, and the records that are new.
    /// [`Claimer::step`] returns the changes.
    ///
    /// # Errors
    /// When a file operation fails. Following again continues.
    pub fn follow(&mut self, folder: &mut impl Folder, now: u64) -> io::Result<()> {
        self.read_board(folder, now)?;
        for bucket in 0..self.buckets.len() as u16 {
            let (seen, of) = (self.board.seen(bucket), &mut self.buckets[usize::from(bucket)]);
            match seen.finished {
                Some(record) if !seen.claimed && !of.is_settled() => self.apply(folder, bucket, record)?,
                Some(_) => {}
                None => of.applied = None,
            }
        }
        self.sync_settled_singles(folder)?;
        let followed = std::mem::replace(&mut self.follows, !self.board.engines.is_empty());
        // The last engine has removed all records, perhaps before this one could read them.
        self.expects |= followed && !self.follows;
        if self.expects {
            let mut open: Vec<Video> = (0..self.entries.len()).collect();
            open.retain(|video| self.place(*video) == Place::Open);
            self.look(folder, &open)?;
            self.expects = false;
        }
        Ok(())
    }
}

//! Matches files with the videos of the manifest, and is updated with every file that appears or disappears.

use std::sync::Arc;

use typed_index_collections::TiVec;

use crate::engine::listing::{Listing, NONE};
use crate::engine::state::VideoId;

/// The manifest with the files of its videos. For a million videos, it stores numbers in four bytes, and [`NONE`] for no number.
pub(super) struct Matched {
    pub listing: Arc<Listing>,
    /// For each video of the manifest, its class.
    pub classes: Vec<u32>,
    /// For each file, the position of its video in the manifest.
    positions: TiVec<VideoId, u32>,
    /// For each video of the manifest, its first file.
    first: Vec<u32>,
    /// For each file, the next one of the same video.
    next: TiVec<VideoId, u32>,
}

impl Matched {
    /// Matches no files yet. `names` are those of all files.
    pub(super) fn new<'n>(listing: Arc<Listing>, classes: Vec<u32>, names: impl Iterator<Item = &'n str>) -> Self {
        let first = vec![NONE; classes.len()];
        let mut matched = Self { listing, classes, positions: TiVec::new(), first, next: TiVec::new() };
        names.for_each(|name| matched.push(name));
        matched
    }

    /// Adds the name of a file that is absent until it joins.
    pub(super) fn push(&mut self, file: &str) {
        self.positions.push(self.listing.position(file));
        self.next.push(NONE);
    }

    /// The position of a file's video; `None` if it is not in the manifest.
    pub(super) fn position(&self, id: VideoId) -> Option<u32> {
        some(self.positions.get(id))
    }

    /// The class of a file's video; `None` if it is not in the manifest.
    pub(super) fn class_of(&self, id: VideoId) -> Option<u32> {
        self.classes.get(self.position(id)? as usize).copied()
    }

    /// Whether a video has no file.
    pub(super) fn is_missing(&self, position: u32) -> bool {
        self.first.get(position as usize) == Some(&NONE)
    }

    /// The positions of the videos without a file.
    pub(super) fn missing(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.first).filter(|(_, first)| **first == NONE).map(|(position, _)| position)
    }

    /// Whether a video has more than one file.
    pub(super) fn has_several(&self, position: u32) -> bool {
        self.files(position).nth(1).is_some()
    }

    /// The files of a video, in no particular order.
    pub(super) fn files(&self, position: u32) -> impl Iterator<Item = VideoId> {
        std::iter::successors(file(self.first.get(position as usize)), |id| self.after(*id))
    }

    /// The next file of the same video.
    fn after(&self, id: VideoId) -> Option<VideoId> {
        file(self.next.get(id))
    }

    /// Adds a file.
    pub(super) fn join(&mut self, id: VideoId) {
        let Some(position) = self.position(id) else { return };
        if let (Some(first), Some(next)) = (self.first.get_mut(position as usize), self.next.get_mut(id)) {
            *next = std::mem::replace(first, id.0 as u32);
        }
    }

    /// Removes a file.
    pub(super) fn leave(&mut self, id: VideoId) {
        let Some(position) = self.position(id) else { return };
        let after = self.next.get(id).copied().unwrap_or(NONE);
        let before = self.files(position).find(|other| self.after(*other) == Some(id));
        let place = match before {
            Some(before) => self.next.get_mut(before),
            None => self.first.get_mut(position as usize).filter(|first| file(Some(first)) == Some(id)),
        };
        if let Some(place) = place {
            *place = after;
        }
    }
}

fn some(number: Option<&u32>) -> Option<u32> {
    number.copied().filter(|number| *number != NONE)
}

fn file(number: Option<&u32>) -> Option<VideoId> {
    some(number).map(|number| VideoId(number as usize))
}

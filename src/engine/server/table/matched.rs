//! Matches files with the videos of the manifest, and is updated with every file that appears or disappears.

use std::sync::Arc;

use crate::engine::listing::{Listing, NONE};

/// The manifest with the files of its videos.
pub(super) struct Matched {
    pub listing: Arc<Listing>,
    /// For each file, its video in the manifest.
    pub positions: Vec<u32>,
    /// For each video, its first file.
    pub first: Vec<u32>,
    /// For each file, the next one of the same video.
    pub next: Vec<u32>,
    /// For each video, its class.
    pub classes: Vec<u32>,
}

impl Matched {
    /// The video of a file; [`NONE`] if it is not in the manifest.
    pub(super) fn position(&self, id: u32) -> u32 {
        self.positions.get(id as usize).copied().unwrap_or(NONE)
    }

    /// The class of a file's video; `None` if it is not in the manifest.
    pub(crate) fn class_of(&self, id: u32) -> Option<u32> {
        self.classes.get(self.position(id) as usize).copied()
    }

    /// The next file of the same video.
    pub(super) fn after(&self, id: u32) -> u32 {
        self.next.get(id as usize).copied().unwrap_or(NONE)
    }

    /// The first file of a video; [`NONE`] if it has none.
    pub(super) fn first(&self, position: u32) -> u32 {
        self.first.get(position as usize).copied().unwrap_or(NONE)
    }

    /// Whether a video has no file.
    pub(super) fn is_missing(&self, position: u32) -> bool {
        self.first.get(position as usize) == Some(&NONE)
    }

    /// Whether a video has more than one file.
    pub(super) fn has_several(&self, position: u32) -> bool {
        let first = self.first(position);
        first != NONE && self.after(first) != NONE
    }

    /// The files of a video, in no particular order.
    pub(super) fn files(&self, position: u32) -> impl Iterator<Item = u32> {
        let some = |id: u32| (id != NONE).then_some(id);
        std::iter::successors(some(self.first(position)), move |id| some(self.after(*id)))
    }

    /// Adds a file.
    pub(super) fn join(&mut self, id: u32) {
        let position = self.position(id);
        let before = self.first(position);
        if let (Some(first), Some(next)) = (self.first.get_mut(position as usize), self.next.get_mut(id as usize)) {
            (*first, *next) = (id, before);
        }
    }

    /// Removes a file.
    pub(super) fn leave(&mut self, id: u32) {
        let position = self.position(id);
        let after = self.after(id);
        let before = self.files(position).find(|other| self.after(*other) == id);
        let place = match before {
            Some(before) => self.next.get_mut(before as usize),
            None => self.first.get_mut(position as usize).filter(|first| **first == id),
        };
        if let Some(place) = place {
            *place = after;
        }
    }
}

//! The results of checks, stored compactly for a million files.

use indexmap::IndexSet;
use reeldeck_common::probe::Facts;
use typed_index_collections::TiVec;

use crate::engine::state::VideoId;
use crate::protocol::row::RowFacts;

/// Marks a file of which nothing is known.
const NOTHING: u8 = u8::MAX;

/// The facts about one file, in 20 bytes.
#[derive(Clone, Copy, Debug)]
struct Compact {
    duration_s: f32,
    fps: f32,
    frames: u32,
    size: [u16; 2],
    codec: u8,
    container: u8,
}

const UNKNOWN: Compact =
    Compact { duration_s: 0.0, fps: 0.0, frames: 0, size: [0, 0], codec: NOTHING, container: NOTHING };

/// The facts about all files, by number.
#[derive(Debug, Default)]
pub(super) struct AllFacts {
    facts: TiVec<VideoId, Compact>,
    interned: IndexSet<Box<str>>,
}

impl AllFacts {
    fn compact(&self, id: VideoId) -> Option<&Compact> {
        self.facts.get(id).filter(|facts| facts.codec != NOTHING)
    }

    fn intern(&mut self, name: &str) -> u8 {
        let at = match self.interned.get_index_of(name) {
            Some(at) => at,
            // Videos use a few dozen names. Names beyond the limit share one entry.
            None if self.interned.len() + 2 > usize::from(NOTHING) => self.interned.insert_full("other".into()).0,
            None => self.interned.insert_full(name.into()).0,
        };
        u8::try_from(at).unwrap_or(NOTHING - 1)
    }

    fn name_of(&self, index: u8) -> &str {
        self.interned.get_index(usize::from(index)).map_or("", |name| name)
    }

    /// Stores the facts about a file, or removes them.
    pub(super) fn set(&mut self, id: VideoId, facts: Option<&Facts>) {
        let Some(facts) = facts else {
            if let Some(place) = self.facts.get_mut(id) {
                *place = UNKNOWN;
            }
            return;
        };
        let [num, den] = facts.fps;
        let compact = Compact {
            duration_s: facts.duration_s as f32,
            fps: if den == 0 { 0.0 } else { (f64::from(num) / f64::from(den)) as f32 },
            frames: u32::try_from(facts.frames).unwrap_or(u32::MAX),
            size: facts.size.map(|side| u16::try_from(side).unwrap_or(u16::MAX)),
            codec: self.intern(&facts.codec),
            container: self.intern(&facts.container),
        };
        if self.facts.len() <= id.0 {
            self.facts.resize(id.0 + 1, UNKNOWN);
        }
        if let Some(place) = self.facts.get_mut(id) {
            *place = compact;
        }
    }

    /// The facts as rows show them.
    pub(super) fn row(&self, id: VideoId) -> Option<RowFacts> {
        let Compact { duration_s, frames, size, codec, .. } = *self.compact(id)?;
        Some(RowFacts { duration_s, frames, size, codec: self.name_of(codec).to_owned() })
    }

    /// The duration in milliseconds, for sorting.
    pub(super) fn length(&self, id: VideoId) -> Option<u64> {
        self.compact(id).map(|facts| (f64::from(facts.duration_s) * 1000.0) as u64)
    }

    /// The number of pixels of a frame.
    pub(super) fn pixels(&self, id: VideoId) -> Option<u64> {
        self.compact(id).map(|facts| u64::from(facts.size[0]) * u64::from(facts.size[1]))
    }

    /// The codec.
    pub(super) fn codec(&self, id: VideoId) -> Option<&str> {
        self.compact(id).map(|facts| self.name_of(facts.codec))
    }

    /// The container.
    pub(super) fn container(&self, id: VideoId) -> Option<&str> {
        self.compact(id).map(|facts| self.name_of(facts.container))
    }

    /// The frame rate in frames per second.
    pub(super) fn fps(&self, id: VideoId) -> Option<f64> {
        self.compact(id).map(|facts| f64::from(facts.fps)).filter(|fps| *fps > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_stored_and_removed() {
        assert_eq!(size_of::<Compact>(), 20);
        let mut all = AllFacts::default();
        let facts = |codec: &str| Facts {
            duration_s: 10.5,
            frames: 315,
            fps: [30000, 1001],
            size: [340, 256],
            codec: codec.into(),
            container: "mov,mp4".into(),
            expected_from: None,
        };
        all.set(VideoId(3), Some(&facts("h264")));
        all.set(VideoId(5), None);
        assert_eq!(all.row(VideoId(0)), None);
        assert_eq!(
            all.row(VideoId(3)),
            Some(RowFacts { duration_s: 10.5, frames: 315, size: [340, 256], codec: "h264".into() })
        );
        assert_eq!(
            (all.length(VideoId(3)), all.pixels(VideoId(3)), all.container(VideoId(3))),
            (Some(10_500), Some(87_040), Some("mov,mp4"))
        );
        assert!((all.fps(VideoId(3)).unwrap() - 29.97).abs() < 0.001);
        all.set(VideoId(3), None);
        assert_eq!((all.row(VideoId(3)), all.codec(VideoId(3))), (None, None));
        // A file may name its codec arbitrarily.
        for i in 0..400 {
            all.set(VideoId(7), Some(&facts(&format!("codec {i}"))));
        }
        assert_eq!((all.codec(VideoId(7)), all.interned.len()), (Some("other"), 255));
    }
}

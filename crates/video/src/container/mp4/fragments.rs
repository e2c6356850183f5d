//! The fragments (`moof`) of a fragmented MP4 file: how many frames of a track they list, and whether some are missing.

use super::super::reader::be;
use super::table::{Index, Track, children, find};

/// What the fragments of a file list of one track.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Listed {
    /// Samples in the fragments that are there.
    pub samples: u64,
    /// Samples that are missing in gaps between fragments.
    gaps: u64,
    /// Fragments in no such gap that cannot be read.
    unreadable: u64,
    /// When the last sample of any track ends, in seconds.
    pub end: f64,
    /// When the first fragment begins, in seconds.
    start: Option<f64>,
    last: Option<Last>,
}

/// The fragment before, as far as it is of the wanted track.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Last {
    sequence: u64,
    end: u64,
    samples: u64,
    ticks: u64,
}

impl Listed {
    /// Seconds from the beginning of the first fragment to the end of the last one.
    pub(super) fn seconds(&self) -> f64 {
        self.end - self.start.unwrap_or(0.0)
    }

    /// Samples of fragments that are missing or cannot be read.
    pub(super) fn missing(&self) -> u64 {
        // Such a fragment had about as many samples as another one, and at least one.
        self.gaps.saturating_add(self.unreadable.saturating_mul(self.last.map_or(1, |last| last.samples.max(1))))
    }

    /// Notes the fragments that a random access index of this content lists behind the last one. `end`: where that one's header ends.
    pub(super) fn add_unread(&mut self, index: &[u8], track: u32, end: u64) {
        let Some(last) = self.last else { return };
        // Where bytes are missing in front of them, fragments lie before their places.
        let behind = entries(index, track).filter(|(time, position)| *time >= last.end && *position >= end);
        let mut positions: Vec<u64> = behind.map(|(_, position)| position).collect();
        // A fragment has an entry for each keyframe.
        positions.sort_unstable();
        positions.dedup();
        self.unreadable = self.unreadable.saturating_add(positions.len() as u64);
    }

    /// Adds the fragment with this content. `after_break`: the file is damaged in front of it.
    pub(super) fn add(&mut self, content: &[u8], index: &Index, after_break: bool) {
        let sequence = find(content, &[b"mfhd"]).and_then(|header| header.get(4..8)).map_or(0, be);
        let tracks = children(content).filter(|(kind, _)| kind == b"traf");
        let runs: Vec<(Track, Run)> = tracks.filter_map(|(_, track)| Run::parse(track, index)).collect();
        if runs.iter().all(|(_, run)| run.samples == 0 && !run.is_empty) {
            // A fragment that lists nothing cannot be read.
            self.unreadable += 1;
        }
        for (track, run) in runs {
            let start = run.start.unwrap_or(self.last.map_or(0, |last| last.end));
            let end = start.saturating_add(run.ticks);
            let scale = track.scale.max(1) as f64;
            self.start.get_or_insert(start as f64 / scale);
            self.end = self.end.max(end as f64 / scale);
            if track.number != index.track {
                continue;
            }
            // Behind a break, the first fragment may be missing. Its number tells.
            let first = (after_break && sequence > 1).then(Last::default);
            if let Some(last) = self.last.or(first).filter(|_| run.start.is_some()) {
                // Numbers may begin anywhere and go up by any step, but a gap in both numbers and times is a loss.
                let skipped = after_break || sequence > last.sequence + 1;
                let samples = last.samples.saturating_add(run.samples).max(1);
                let typical = last.ticks.saturating_add(run.ticks) as f64 / samples as f64;
                let gap = start.saturating_sub(last.end) as f64;
                if skipped && typical > 0.0 && gap > typical / 2.0 {
                    let frames = (gap / typical).round() as u64;
                    // A stream that was recorded from the middle on begins at any time.
                    let most = if self.last.is_none() {
                        sequence.saturating_mul(run.samples.saturating_mul(2))
                    } else {
                        u64::MAX
                    };
                    (self.gaps, self.unreadable) = (self.gaps.saturating_add(frames.min(most)), 0);
                }
            }
            self.samples = self.samples.saturating_add(run.samples);
            self.last = Some(Last { sequence, end, samples: run.samples, ticks: run.ticks });
        }
    }
}

/// Times and positions of a track's fragments in the content of a random access index.
fn entries(content: &[u8], track: u32) -> impl Iterator<Item = (u64, u64)> + '_ {
    let of_track = move |table: &&[u8]| table.get(4..8).map(be) == Some(u64::from(track));
    let mut tables = children(content).filter(|(kind, _)| kind == b"tfra").map(|(_, table)| table);
    let entries = tables.find(of_track).and_then(|table| {
        // A time, a position, and three numbers of one to four bytes.
        let wide = if *table.first()? == 0 { 4 } else { 8 };
        let widths = be(table.get(8..12)?);
        let numbers: u64 = [4, 2, 0].iter().map(|shift| (widths >> shift & 3) + 1).sum();
        let entries = table.get(16..)?.chunks_exact(2 * wide + numbers as usize);
        Some(entries.map(move |entry| (be(&entry[..wide]), be(&entry[wide..2 * wide]))))
    });
    entries.into_iter().flatten()
}

/// The samples of one track in one fragment.
struct Run {
    start: Option<u64>,
    samples: u64,
    ticks: u64,
    /// The fragment says that it has no samples of the track.
    is_empty: bool,
}

impl Run {
    /// Parses a `traf` box; `None` for tracks that the index does not have.
    fn parse(content: &[u8], index: &Index) -> Option<(Track, Self)> {
        let header = find(content, &[b"tfhd"])?;
        let flags = be(header.get(1..4)?);
        let number = be(header.get(4..8)?);
        let track = index.tracks.iter().find(|track| u64::from(track.number) == number)?;
        // A base offset of eight bytes and a description of four may come before the default duration.
        let at = 8 + if flags & 1 != 0 { 8 } else { 0 } + if flags & 2 != 0 { 4 } else { 0 };
        let own = if flags & 8 != 0 { header.get(at..at + 4).map(be) } else { None };
        let default = own.unwrap_or(track.default_duration);
        let start = find(content, &[b"tfdt"]).and_then(|time| match time.first()? {
            0 => time.get(4..8).map(be),
            _ => time.get(4..12).map(be),
        });
        let mut run = Self { start, samples: 0, ticks: 0, is_empty: flags & 0x01_0000 != 0 };
        for (_, table) in children(content).filter(|(kind, _)| kind == b"trun") {
            run.add(table, default);
        }
        Some((*track, run))
    }

    fn add(&mut self, table: &[u8], default: u64) -> Option<()> {
        let flags = be(table.get(1..4)?);
        // Duration, size, flags and offset of each sample, as far as they are there; the duration comes first.
        let width = 4 * (flags >> 8 & 15).count_ones() as usize;
        let head = 8 + if flags & 1 != 0 { 4 } else { 0 } + if flags & 4 != 0 { 4 } else { 0 };
        let entries = table.get(head..)?;
        // The number of samples may be wrong, but not smaller than the number of entries.
        let count = be(table.get(4..8)?).max(entries.len().checked_div(width).unwrap_or(0) as u64);
        self.samples = self.samples.saturating_add(count);
        if flags & 0x100 == 0 {
            self.ticks = self.ticks.saturating_add(count.saturating_mul(default));
            return Some(());
        }
        for entry in entries.chunks_exact(width) {
            self.ticks = self.ticks.saturating_add(be(&entry[..4]));
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_that_only_the_random_access_index_knows_are_missing() {
        let entry = |time: u32, position: u32| [&time.to_be_bytes()[..], &position.to_be_bytes(), &[1, 1, 1]].concat();
        let all = [entry(0, 100), entry(50, 900), entry(57, 900), entry(90, 2000)].concat();
        let body = [&[0; 4][..], &[0, 0, 0, 3], &[0; 4], &[0, 0, 0, 4], &all].concat();
        let table = [&(body.len() as u32 + 8).to_be_bytes()[..], b"tfra", &body].concat();
        let missing = |track, ticks, end| {
            let last = Last { sequence: 1, end: ticks, samples: 10, ticks };
            let mut listed = Listed { last: Some(last), ..Listed::default() };
            listed.add_unread(&table, track, end);
            listed.missing()
        };
        assert_eq!([missing(3, 50, 200), missing(3, 90, 950), missing(3, 100, 2100)], [20, 10, 0]);
        assert_eq!(missing(3, 90, 2100), 0, "the fragment is there, but not at its place");
        assert_eq!(missing(4, 50, 200), 0, "another track");
    }
}

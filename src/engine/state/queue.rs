//! The queue of the videos that wait for a worker, in lanes.

use std::collections::{BTreeSet, VecDeque};

use typed_index_collections::TiVec;

use super::{Millis, VideoId};

/// Where a queued video waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// For any worker.
    Normal,
    /// For a worker that has nothing else in flight, because this video may crash its worker.
    Suspect,
    /// For this time, when it moves to one of the other lanes.
    Backoff(Millis),
}

/// An entry of a lane. It counts only while the video's ticket has the same lane and generation; entries that do not count
/// are skipped when they are reached, which is cheaper than searching for them when a video leaves the queue.
type Entry = (VideoId, Generation);

/// How often a video has been queued.
type Generation = u32;

/// A video's only valid place in the queue.
#[derive(Clone, Copy, Debug, Default)]
struct Ticket {
    generation: Generation,
    lane: Option<LaneKind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LaneKind {
    Normal,
    Suspect,
    Backoff,
}

/// Every queued video once, in one lane.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    tickets: TiVec<VideoId, Ticket>,
    normal: VecDeque<Entry>,
    suspect: VecDeque<Entry>,
    backoff: BTreeSet<(Millis, Entry)>,
    /// The number of videos in each lane, without the entries that do not count.
    lengths: [usize; 3],
}

impl Queue {
    /// Puts a video at the end of a lane. Its earlier place, if any, no longer counts.
    pub(crate) fn push_back(&mut self, video: VideoId, lane: Lane) {
        let entry = self.issue(video, lane);
        match lane {
            Lane::Normal => self.normal.push_back(entry),
            Lane::Suspect => self.suspect.push_back(entry),
            Lane::Backoff(due) => drop(self.backoff.insert((due, entry))),
        }
    }

    /// Puts a video at the front of a lane; the backoff lane is ordered by time alone.
    pub(crate) fn push_front(&mut self, video: VideoId, lane: Lane) {
        let entry = self.issue(video, lane);
        match lane {
            Lane::Normal => self.normal.push_front(entry),
            Lane::Suspect => self.suspect.push_front(entry),
            Lane::Backoff(due) => drop(self.backoff.insert((due, entry))),
        }
    }

    /// Removes a video, wherever it waits.
    pub(crate) fn remove(&mut self, video: VideoId) {
        if let Some(ticket) = self.tickets.get_mut(video)
            && let Some(lane) = ticket.lane.take()
        {
            self.lengths[lane as usize] -= 1;
        }
    }

    /// Takes the first video of the normal lane.
    pub(crate) fn pop_normal(&mut self) -> Option<VideoId> {
        loop {
            let entry = self.normal.pop_front()?;
            if self.redeem(entry, LaneKind::Normal) {
                return Some(entry.0);
            }
        }
    }

    /// Takes the first video of the suspect lane.
    pub(crate) fn pop_suspect(&mut self) -> Option<VideoId> {
        loop {
            let entry = self.suspect.pop_front()?;
            if self.redeem(entry, LaneKind::Suspect) {
                return Some(entry.0);
            }
        }
    }

    /// Takes a video whose time has come out of the backoff lane.
    pub(crate) fn pop_due(&mut self, now: Millis) -> Option<VideoId> {
        while self.backoff.first().is_some_and(|(due, _)| *due <= now) {
            let (_, entry) = self.backoff.pop_first()?;
            if self.redeem(entry, LaneKind::Backoff) {
                return Some(entry.0);
            }
        }
        None
    }

    /// The number of videos in the normal lane.
    pub(crate) fn normal_len(&self) -> usize {
        self.lengths[LaneKind::Normal as usize]
    }

    /// The number of videos in all lanes.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// Whether no video waits in any lane.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn issue(&mut self, video: VideoId, lane: Lane) -> Entry {
        self.remove(video);
        if self.tickets.len() <= video.0 {
            self.tickets.resize(video.0 + 1, Ticket::default());
        }
        let lane = match lane {
            Lane::Normal => LaneKind::Normal,
            Lane::Suspect => LaneKind::Suspect,
            Lane::Backoff(_) => LaneKind::Backoff,
        };
        self.lengths[lane as usize] += 1;
        let ticket = &mut self.tickets[video];
        ticket.generation += 1;
        ticket.lane = Some(lane);
        (video, ticket.generation)
    }

    /// Removes the video of an entry that was taken out of a lane; false when the entry did not count.
    fn redeem(&mut self, (video, generation): Entry, lane: LaneKind) -> bool {
        let counts = self.tickets.get(video).is_some_and(|t| t.generation == generation && t.lane == Some(lane));
        if counts {
            self.remove(video);
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_place_of_a_video_counts() {
        let mut queue = Queue::default();
        (0..3).for_each(|video| queue.push_back(VideoId(video), Lane::Normal));
        queue.push_back(VideoId(0), Lane::Normal);
        queue.push_back(VideoId(1), Lane::Backoff(50));
        assert_eq!((queue.len(), queue.normal_len()), (3, 2));
        assert_eq!(
            (queue.pop_normal(), queue.pop_normal(), queue.pop_normal()),
            (Some(VideoId(2)), Some(VideoId(0)), None)
        );
        assert_eq!((queue.pop_due(49), queue.pop_due(50), queue.pop_due(50)), (None, Some(VideoId(1)), None));
        assert!(queue.is_empty());
    }

    #[test]
    fn a_removed_video_is_skipped_also_when_it_returns_to_the_same_lane() {
        let mut queue = Queue::default();
        for lane in [Lane::Normal, Lane::Suspect, Lane::Backoff(9)] {
            queue.push_back(VideoId(7), lane);
            queue.remove(VideoId(7));
            queue.remove(VideoId(7));
            assert!(queue.is_empty());
        }
        queue.push_back(VideoId(7), Lane::Backoff(20));
        queue.push_back(VideoId(8), Lane::Suspect);
        queue.push_front(VideoId(9), Lane::Suspect);
        assert_eq!((queue.pop_normal(), queue.pop_due(19)), (None, None));
        assert_eq!(
            (queue.pop_suspect(), queue.pop_suspect(), queue.pop_suspect()),
            (Some(VideoId(9)), Some(VideoId(8)), None)
        );
        assert_eq!((queue.pop_due(20), queue.len()), (Some(VideoId(7)), 0));
    }
}

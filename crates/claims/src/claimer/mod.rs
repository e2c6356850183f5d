//! Decides which videos an engine claims, keeps and gives back.
//!
//! This file has the state, and the methods with which the engine changes it. `step` does what is due, `sync` reads the folder,
//! `claim` claims videos, `hold` finishes them or gives them back, `watch` finds dead engines, and `follow` is for an
//! engine that only looks.

use std::collections::{BTreeMap, BTreeSet};

use crate::board::Board;
use crate::folder::{Settled, Video};
use crate::names::Record;
use crate::{BEAT, BUCKETS};

mod claim;
mod follow;
mod hold;
mod step;
mod sync;
mod watch;

pub use step::Turn;

/// A video.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The hash of its name. All engines compute the same one.
    pub hash: u64,
    /// What it costs, in any unit. Large ones are claimed first.
    pub cost: u64,
    /// How it is settled; none if it is to be extracted.
    pub settled: Option<Settled>,
}

/// What the engine can use at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// The number of videos that should wait in the engine: about a minute of work.
    pub want: usize,
    /// The number of videos that workers could begin at once.
    pub free: usize,
    /// If another engine holds a claim for longer, this engine extracts the video, too, in milliseconds.
    pub patience: u64,
}

/// A result of a step that the engine must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The engine may start these. The engine `from` had them before and may have crashed on one of them.
    Granted {
        /// The videos, the most expensive first.
        videos: Vec<Video>,
        /// The engine that had them.
        from: Option<String>,
    },
    /// The engine may not start these any more.
    Revoked(Vec<Video>),
    /// The result of another engine, or of an earlier run.
    Settled(Video, Settled),
    /// An engine is dead.
    EngineDied(String),
}

/// Where a video is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It is to be extracted, and this engine does not hold it.
    Open,
    /// It waits in this engine.
    Held,
    /// This engine works on it.
    Running,
    /// It is settled.
    Settled,
}

#[derive(Clone, Debug)]
struct Entry {
    hash: u64,
    cost: u64,
    place: Place,
}

#[derive(Clone, Debug, Default)]
struct Bucket {
    videos: Vec<u32>,
    /// The number of videos in each place, in the order of [`Place`].
    places: [u32; 4],
    /// The cost of the open videos.
    cost: u64,
    /// This engine holds the bucket.
    mine: bool,
    /// Another engine had it, so the output folder may have results that this engine has not read.
    touched: bool,
    /// The record that was taken over from another engine, or written by this one.
    applied: Option<Record>,
}

impl Bucket {
    fn count(&self, place: Place) -> usize {
        self.places[place as usize] as usize
    }

    fn is_settled(&self) -> bool {
        self.count(Place::Settled) == self.videos.len()
    }
}

/// The decisions of one engine.
#[derive(Debug)]
pub struct Claimer {
    me: String,
    entries: Vec<Entry>,
    /// The details of settled videos that have any.
    others: BTreeMap<Video, String>,
    buckets: Vec<Bucket>,
    /// The number of videos in each place, in the order of [`Place`].
    places: [usize; 4],
    /// Buckets with a video that a user waits for.
    urgent: BTreeSet<u16>,
    /// The single claims of this engine; true: a second try.
    singles: BTreeMap<Video, bool>,
    /// Videos that are extracted even if the output folder has a result.
    forced: BTreeSet<Video>,
    /// Videos that a worker has begun although their claim was given back.
    unclaimed: Vec<Video>,
    /// Buckets with videos that were settled since the last step.
    dirty: BTreeSet<u16>,
    board: Board,
    /// When the board was read.
    board_at: Option<u64>,
    /// The last listing has nothing more to claim.
    exhausted: bool,
    /// The next step claims more at once.
    claims_more: bool,
    /// The engine of each claim, by the name of its file, and when the claim was first seen.
    owners: BTreeMap<String, (String, u64)>,
    /// The counters of other engines, and since when they have not changed.
    pulses: BTreeMap<String, (u64, u64)>,
    joined: bool,
    idle: bool,
    /// The entries may lack results of other engines, so the output folder is read before a claim is used.
    distrusts: bool,
    /// Other engines have settled videos.
    shared: bool,
    /// Other engines took part when this one last looked.
    follows: bool,
    /// There may be results that no record shows.
    expects: bool,
    counter: u64,
    last_step: Option<u64>,
    next_beat: u64,
    next_check: u64,
    /// When this engine last found its own files removed. Those of other engines may be, too.
    removed_at: Option<u64>,
    changes: Vec<Change>,
}

impl Claimer {
    /// An engine with this id, which has letters, digits, `-` and `_`. It has no videos yet.
    pub fn new(me: &str) -> Self {
        Self {
            me: me.to_owned(),
            entries: vec![],
            others: BTreeMap::new(),
            buckets: vec![Bucket::default(); BUCKETS],
            places: [0; 4],
            urgent: BTreeSet::new(),
            singles: BTreeMap::new(),
            forced: BTreeSet::new(),
            unclaimed: vec![],
            dirty: BTreeSet::new(),
            board: Board::default(),
            board_at: None,
            exhausted: false,
            claims_more: false,
            owners: BTreeMap::new(),
            pulses: BTreeMap::new(),
            joined: false,
            idle: false,
            distrusts: false,
            shared: false,
            follows: false,
            expects: false,
            counter: 0,
            last_step: None,
            next_beat: 0,
            next_check: 0,
            removed_at: None,
            changes: vec![],
        }
    }

    /// From now on, reads the output folder before a claim is used, because the engine read its videos some time ago.
    pub fn distrust(&mut self) {
        self.distrusts = true;
    }

    /// Adds a video at the end of the list.
    pub fn add(&mut self, item: Item) {
        let (video, bucket) = (self.entries.len(), bucket(item.hash));
        self.entries.push(Entry { hash: item.hash, cost: item.cost, place: Place::Settled });
        let of = &mut self.buckets[usize::from(bucket)];
        of.videos.push(video as u32);
        of.places[Place::Settled as usize] += 1;
        self.places[Place::Settled as usize] += 1;
        match item.settled {
            None => self.reopen(video, false),
            Some(settled) => self.note(video, settled),
        }
    }

    /// A worker begins a video.
    pub fn begin(&mut self, video: Video) {
        if self.place(video) == Place::Open {
            self.unclaimed.push(video);
        }
        self.put(video, Place::Running);
    }

    /// A video that was running waits again.
    pub fn back(&mut self, video: Video) {
        if self.place(video) == Place::Running {
            let holds = self.holds(video);
            self.put(video, if holds { Place::Held } else { Place::Open });
            if !holds {
                self.changes.push(Change::Revoked(vec![video]));
            }
        }
    }

    /// The engine has settled a video.
    pub fn settle(&mut self, video: Video, settled: Settled) {
        self.note(video, settled);
        self.forced.remove(&video);
        self.put(video, Place::Settled);
        self.dirty.insert(self.bucket_of(video));
    }

    /// A settled video is to be extracted again. `urgent`: before all others, and whatever result the output folder has.
    pub fn reopen(&mut self, video: Video, urgent: bool) {
        if self.place(video) != Place::Settled {
            return;
        }
        self.others.remove(&video);
        if urgent {
            self.forced.insert(video);
        }
        let holds = self.holds(video);
        self.put(video, if holds { Place::Held } else { Place::Open });
        if holds {
            self.changes.push(Change::Granted { videos: vec![video], from: None });
        } else {
            if urgent {
                self.urgent.insert(self.bucket_of(video));
            }
            self.exhausted = false;
        }
    }

    /// Whether a video is not settled.
    pub fn is_open(&self, video: Video) -> bool {
        self.place(video) != Place::Settled
    }

    /// The number of videos that are not settled.
    pub fn unsettled(&self) -> usize {
        self.entries.len() - self.places[Place::Settled as usize]
    }

    /// The number of videos that wait in this engine.
    pub fn waiting(&self) -> usize {
        self.places[Place::Held as usize]
    }

    /// Whether other engines have settled videos since this one joined.
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// The engines that take part, as the last listing shows them.
    pub fn engines(&self) -> impl Iterator<Item = &str> {
        self.board.engines()
    }

    /// When the next step is due if nothing happens before.
    pub fn due(&self) -> u64 {
        if self.claims_more { 0 } else { self.next_beat.min(self.next_check) }
    }

    fn place(&self, video: Video) -> Place {
        self.entries.get(video).map_or(Place::Settled, |entry| entry.place)
    }

    fn bucket_of(&self, video: Video) -> u16 {
        self.entries.get(video).map_or(0, |entry| bucket(entry.hash))
    }

    /// Whether this engine has found its own files removed in the last `time` milliseconds.
    fn was_removed_within(&self, time: u64, now: u64) -> bool {
        self.removed_at.is_some_and(|at| now.saturating_sub(at) < time)
    }

    /// Whether a claim of this engine covers the video.
    fn holds(&self, video: Video) -> bool {
        self.buckets[usize::from(self.bucket_of(video))].mine || self.singles.contains_key(&video)
    }

    /// Moves a video to another place.
    fn put(&mut self, video: Video, place: Place) {
        let Some(entry) = self.entries.get_mut(video) else { return };
        let bucket = &mut self.buckets[usize::from(bucket(entry.hash))];
        let before = std::mem::replace(&mut entry.place, place);
        bucket.places[before as usize] -= 1;
        bucket.places[place as usize] += 1;
        self.places[before as usize] -= 1;
        self.places[place as usize] += 1;
        if before == Place::Open {
            bucket.cost -= entry.cost;
        }
        if place == Place::Open {
            bucket.cost += entry.cost;
        }
    }

    fn note(&mut self, video: Video, settled: Settled) {
        match settled {
            Settled::Done => drop(self.others.remove(&video)),
            Settled::Other(text) => drop(self.others.insert(video, text)),
        }
    }

    /// Another engine, or an earlier run, has settled a video.
    fn learn(&mut self, video: Video, settled: Settled) {
        if !matches!(self.place(video), Place::Open | Place::Held) {
            return;
        }
        if self.place(video) == Place::Held {
            self.changes.push(Change::Revoked(vec![video]));
        }
        self.shared = true;
        self.settle(video, settled.clone());
        self.changes.push(Change::Settled(video, settled));
    }

    /// The videos of a bucket in this place, the most expensive first.
    fn videos_in(&self, bucket: u16, place: Place) -> Vec<Video> {
        let of = &self.buckets[usize::from(bucket)];
        if of.count(place) == 0 {
            return vec![];
        }
        let mut videos: Vec<Video> = of.videos.iter().map(|video| *video as Video).collect();
        videos.retain(|video| self.place(*video) == place);
        self.sort(&mut videos);
        videos
    }

    fn sort(&self, videos: &mut [Video]) {
        videos.sort_by_key(|video| (std::cmp::Reverse(self.entries.get(*video).map(|entry| entry.cost)), *video));
    }

    fn find(&self, bucket: u16, hash: u64) -> Option<Video> {
        let mut videos = self.buckets[usize::from(bucket)].videos.iter().map(|video| *video as Video);
        videos.find(|video| self.entries.get(*video).is_some_and(|entry| entry.hash == hash))
    }

    fn hash(&self, video: Video) -> u64 {
        self.entries.get(video).map_or(0, |entry| entry.hash)
    }

    /// The time between two looks at the folder. It grows with the number of engines, so that all of them together do not
    /// need more than ten file operations a second.
    pub fn check_interval(&self) -> u64 {
        let engines = self.board.engines.len();
        let is_near_the_end = self.idle || self.exhausted || self.board.others_idle(&self.me);
        match is_near_the_end {
            true => BEAT / 2 * engines.div_ceil(22).max(1) as u64,
            false => BEAT * engines.div_ceil(11).max(1) as u64,
        }
    }

    /// The time between two heartbeats. It grows with the number of engines.
    pub fn beat_interval(&self) -> u64 {
        BEAT * self.board.engines.len().div_ceil(24).clamp(1, 3) as u64
    }
}

/// The bucket of a hash.
fn bucket(hash: u64) -> u16 {
    (hash >> 52) as u16
}

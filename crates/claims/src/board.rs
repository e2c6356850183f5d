//! The state of all claims, as a listing of their folder shows it.

use std::collections::{BTreeMap, BTreeSet};

use crate::BUCKETS;
use crate::names::{self, Name, Record, Stage};

/// A bucket, as a listing shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// An engine holds it.
    pub claimed: bool,
    /// It was claimed before.
    pub open: bool,
    /// It is finished. An engine that holds it again has removed the record.
    pub finished: Option<Record>,
}

/// A listing of the folder of the claims.
#[derive(Clone, Debug)]
pub struct Board {
    pub(crate) buckets: Vec<Seen>,
    /// The files of single videos, by bucket and hash.
    pub(crate) singles: BTreeMap<(u16, u64), Vec<Stage>>,
    /// The engines that take part; true: it is idle.
    pub(crate) engines: BTreeMap<String, bool>,
    /// An engine is ending the run.
    pub(crate) finishing: bool,
    /// The end of the run is done; true: with an export.
    pub(crate) finished: BTreeSet<bool>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            buckets: vec![Seen::default(); BUCKETS],
            singles: BTreeMap::new(),
            engines: BTreeMap::new(),
            finishing: false,
            finished: BTreeSet::new(),
        }
    }
}

impl Board {
    /// Reads a listing. Other files are ignored.
    pub fn of(names: &[String]) -> Self {
        let mut board = Self::default();
        for name in names.iter().filter_map(|name| names::parse(name)) {
            match name {
                // During a rename, a listing may show both names.
                Name::Run(engine) => drop(board.engines.insert(engine, false)),
                Name::Idle(engine) => drop(board.engines.entry(engine).or_insert(true)),
                Name::Claim(bucket) => board.at(bucket).claimed = true,
                Name::Open(bucket) => board.at(bucket).open = true,
                Name::Finished(bucket, record) => {
                    let finished = &mut board.at(bucket).finished;
                    *finished = finished.filter(|other| other.videos >= record.videos).or(Some(record));
                }
                Name::Single(bucket, hash, stage) => board.singles.entry((bucket, hash)).or_default().push(stage),
                Name::Finish(None) => board.finishing = true,
                Name::Finish(Some(exported)) => drop(board.finished.insert(exported)),
            }
        }
        board
    }

    /// The engines that take part.
    pub fn engines(&self) -> impl Iterator<Item = &str> {
        self.engines.keys().map(String::as_str)
    }

    fn at(&mut self, bucket: u16) -> &mut Seen {
        &mut self.buckets[usize::from(bucket)]
    }

    pub(crate) fn seen(&self, bucket: u16) -> Seen {
        self.buckets[usize::from(bucket)]
    }

    /// Changes what is known of a bucket after this engine has changed its files.
    pub(crate) fn set(&mut self, bucket: u16, change: impl FnOnce(&mut Seen)) {
        change(self.at(bucket));
    }

    /// The files of the single videos of a bucket.
    pub(crate) fn singles_of(&self, bucket: u16) -> impl Iterator<Item = (u64, Stage)> {
        let range = self.singles.range((bucket, 0)..=(bucket, u64::MAX));
        range.flat_map(|((_, hash), stages)| stages.iter().map(|stage| (*hash, *stage)))
    }

    /// Whether there is this file of a single video.
    pub(crate) fn has(&self, bucket: u16, hash: u64, stage: Stage) -> bool {
        self.singles.get(&(bucket, hash)).is_some_and(|stages| stages.contains(&stage))
    }

    /// Whether single videos of a bucket are claimed.
    pub(crate) fn has_single_claims(&self, bucket: u16) -> bool {
        self.singles_of(bucket).any(|(_, stage)| matches!(stage, Stage::Claimed | Stage::Second))
    }

    /// Whether an engine other than this one is idle.
    pub(crate) fn others_idle(&self, me: &str) -> bool {
        self.engines.iter().any(|(engine, idle)| *idle && engine != me)
    }
}

//! Journals of earlier runs: what was in hand when an engine ended without a word, and what to hold against it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::dataset::shard::Shard;
use crate::protocol::event::{Event, Line, Suspect};

/// Journals kept for each part.
const KEPT: usize = 20;
/// No line of a journal is longer.
const MAX_LINE: u64 = 1 << 20;

/// The folder of the journals.
pub fn folder(private: &Path) -> PathBuf {
    private.join("runs")
}

/// Where the journal of a run that begins now is written. Names sort by time.
pub fn journal(private: &Path, shard: Shard) -> PathBuf {
    let time = Timestamp::now().strftime("%Y%m%dT%H%M%S.%6fZ");
    folder(private).join(format!("{time}-{}-of-{}-{}.jsonl", shard.index, shard.of, std::process::id()))
}

/// Distinguishes one start of this machine from another. Empty where the kernel does not say.
pub fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// The videos that the last run of this part has to answer for: those it had in hand when it ended without a word, and
/// those that it should have tried alone and did not get to. Removes journals that are too old to matter.
///
/// # Errors
/// When the journals cannot be listed or read.
pub fn suspects(private: &Path, shard: Shard, boot: &str) -> io::Result<BTreeMap<String, Suspect>> {
    let folder = folder(private);
    let part = format!("-{}-of-{}-", shard.index, shard.of);
    let mut journals: Vec<PathBuf> = match fs::read_dir(&folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    journals.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(&part)));
    journals.sort();
    let old = journals.len().saturating_sub(KEPT);
    for journal in journals.drain(..old) {
        // One that stays takes room and nothing else.
        let _ = fs::remove_file(journal);
    }
    match journals.last() {
        Some(last) => Ok(in_hand_at_the_end(BufReader::new(File::open(last)?), boot)),
        None => Ok(BTreeMap::new()),
    }
}

fn in_hand_at_the_end(mut journal: impl BufRead, boot: &str) -> BTreeMap<String, Suspect> {
    let mut before = BTreeMap::new();
    let mut in_hand: BTreeSet<String> = BTreeSet::new();
    let mut line = vec![];
    let mut down = false;
    // A journal that cannot be read to its end, or holds other lines, is as good as its beginning.
    while let Ok(1..) = (&mut journal).take(MAX_LINE).read_until(b'\n', &mut line) {
        let event = serde_json::from_slice::<Line>(&line).map(|line| line.event);
        line.clear();
        match event {
            Ok(Event::RunStarted(started)) => {
                down = !boot.is_empty() && started.boot != boot;
                before = started.suspects;
            }
            Ok(Event::VideoStarted { video, .. }) => drop(in_hand.insert(video)),
            Ok(Event::VideoDone { video, .. } | Event::VideoFailed { video, .. }) => {
                in_hand.remove(&video);
                before.remove(&video);
            }
            Ok(Event::VideoReturned { video, .. }) => drop(in_hand.remove(&video)),
            // Another run of the same engine may follow.
            Ok(Event::RunEnded { .. }) => (before, in_hand) = (BTreeMap::new(), BTreeSet::new()),
            _ => {}
        }
    }
    let alone = in_hand.len() == 1;
    for video in in_hand {
        let suspect: &mut Suspect = before.entry(video).or_default();
        suspect.times += 1;
        suspect.down |= down;
        suspect.alone_and_down += u32::from(down && alone);
    }
    before
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::event::Started;
    use crate::protocol::snapshot::Counts;

    fn started(boot: &str, suspects: &[(&str, Suspect)]) -> Event {
        Event::RunStarted(Box::new(Started {
            tool: String::new(),
            host: String::new(),
            pid: 1,
            boot: boot.into(),
            root: "/".into(),
            out: "/".into(),
            set: String::new(),
            weights: String::new(),
            shard: "0/1".into(),
            devices: vec![],
            counts: Counts::default(),
            suspects: suspects.iter().map(|(name, suspect)| ((*name).to_owned(), *suspect)).collect(),
        }))
    }

    fn taken(video: &str) -> Event {
        Event::VideoStarted { video: video.into(), worker: 0, device: "cpu".into(), attempt: 1, alone: false }
    }

    fn returned(video: &str) -> Event {
        Event::VideoReturned { video: video.into(), reason: String::new() }
    }

    fn read(events: &[Event], boot: &str) -> Vec<(String, Suspect)> {
        let text: String = events.iter().map(|event| Line::now(event.clone()).text()).collect();
        let cut = format!("{text}{{\"schema\":1,\"ti");
        in_hand_at_the_end(cut.as_bytes(), boot).into_iter().collect()
    }

    #[test]
    fn what_was_in_hand_at_an_unclean_end_is_suspected() {
        let one = Suspect { times: 1, ..Suspect::default() };
        let events = [started("b", &[]), taken("A/1"), taken("A/2"), returned("A/1"), taken("A/3")];
        assert_eq!(read(&events, "b"), [("A/2".to_owned(), one), ("A/3".to_owned(), one)]);
        let down = Suspect { times: 1, down: true, alone_and_down: 0 };
        assert_eq!(read(&events, "c"), [("A/2".to_owned(), down), ("A/3".to_owned(), down)]);
        // Again, and alone: the count goes on. Another that was not reached keeps what it had.
        let events = [started("c", &[("A/2", down), ("A/3", down)]), taken("A/2")];
        let worse = Suspect { times: 2, down: true, alone_and_down: 1 };
        assert_eq!(read(&events, "d"), [("A/2".to_owned(), worse), ("A/3".to_owned(), down)]);
    }

    #[test]
    fn after_a_clean_end_nobody_is() {
        let ended = Event::RunEnded { exit: 0, counts: Counts::default(), seconds: 0.0, reason: None };
        assert_eq!(read(&[started("b", &[]), taken("A/1"), ended], "b"), []);
        assert_eq!(read(&[], "b"), []);
    }

    proptest::proptest! {
        /// A journal that a full disk or a power cut left behind may hold anything.
        #[test]
        fn no_journal_panics(
            cuts in proptest::collection::vec((0..400usize, proptest::arbitrary::any::<u8>()), 0..20),
            end in 0..2000usize,
        ) {
            let events = [started("b", &[("A/2", Suspect::default())]), taken("A/1"), taken("A/2"), returned("A/1")];
            let mut text: Vec<u8> = events.iter().flat_map(|event| Line::now(event.clone()).text().into_bytes()).collect();
            for (place, byte) in cuts {
                let length = text.len();
                text[place % length] = byte;
            }
            text.truncate(end);
            let suspects = in_hand_at_the_end(text.as_slice(), "c");
            proptest::prop_assert!(suspects.len() <= 4);
        }
    }

    #[test]
    fn only_the_last_journals_of_the_same_part_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let other = Shard { index: 1, of: 2 };
        fs::create_dir(folder(dir.path())).unwrap();
        for i in 0..30 {
            fs::write(folder(dir.path()).join(format!("2026{i:04}-0-of-1-7.jsonl")), "").unwrap();
        }
        let kept = journal(dir.path(), other);
        fs::write(&kept, Line::now(started("b", &[])).text() + &Line::now(taken("A/1")).text()).unwrap();
        assert!(suspects(dir.path(), Shard::WHOLE, "b").unwrap().is_empty());
        assert_eq!(fs::read_dir(folder(dir.path())).unwrap().count(), KEPT + 1);
        assert_eq!(suspects(dir.path(), other, "b").unwrap().len(), 1);
    }
}

//! Journals of earlier runs: which videos were in progress when an engine was killed or its machine went down.
//!
//! Journals are numbered. Their order must not depend on the clock: a journal that was written while the clock was a year ahead
//! would hide all later ones.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use reeldeck_common::clock;
use reeldeck_common::open;
use reeldeck_process::LineReader;

use crate::protocol::event::{Event, Line};

/// Journals kept.
const KEPT: usize = 20;
/// No line of a journal is longer.
const MAX_LINE: usize = 1 << 20;
/// So many bytes at the end of a journal are read. A run over a million videos writes less.
const MAX_BYTES: u64 = 1 << 30;
/// So many bytes at the end of a journal are searched for the end of its run.
const TAIL: u64 = 1 << 16;

/// The folder of the journals.
pub(crate) fn folder(private: &Path) -> PathBuf {
    private.join("runs")
}

/// The journal of an engine that begins now: it has the number after the highest one. The time in its name is for people.
///
/// # Errors
/// When the journals cannot be listed.
pub(crate) fn journal(private: &Path, engine: &str) -> io::Result<PathBuf> {
    let last = journals(private)?.last().and_then(|journal| journal.number);
    let number = last.map_or(1, |last| last.saturating_add(1));
    let time = clock::now().strftime("%Y%m%dT%H%M%SZ");
    Ok(folder(private).join(format!("{number:08}-{time}-{engine}.jsonl")))
}

/// A journal. Earlier versions did not number them: their names begin with the time, and they are older than numbered ones.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Journal {
    number: Option<u64>,
    path: PathBuf,
}

impl Journal {
    /// Whether this engine has written it.
    fn is_of(&self, engine: &str) -> bool {
        let name = self.path.file_stem().unwrap_or_default().to_string_lossy();
        name.splitn(3, '-').nth(2) == Some(engine)
    }
}

/// The journals, the oldest first.
fn journals(private: &Path) -> io::Result<Vec<Journal>> {
    let entries = match fs::read_dir(folder(private)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(error),
    };
    let mut journals = vec![];
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let number = name.split('-').next().and_then(|number| number.parse().ok());
            journals.push(Journal { number, path });
        }
    }
    journals.sort();
    Ok(journals)
}

/// The videos to be careful with: those that were in progress when an engine ended without a `run-ended` event, and those that
/// it had inherited in the same way and did not finish, since the last run that finished all videos. The journals of the
/// engines that run are left out. Removes all but the last journals.
///
/// # Errors
/// When the journals cannot be listed or read.
pub(crate) fn suspects(private: &Path, running: &[String]) -> io::Result<BTreeSet<String>> {
    let mut journals = journals(private)?;
    journals.retain(|journal| !running.iter().any(|engine| journal.is_of(engine)));
    let old = journals.len().saturating_sub(KEPT);
    for journal in journals.drain(..old) {
        // A journal that cannot be removed only takes space.
        let _ = fs::remove_file(journal.path);
    }
    let mut unfinished = journals.len().saturating_sub(1);
    while unfinished > 0 && !ends_a_run(&mut open::regular(&journals[unfinished].path)?)? {
        unfinished -= 1;
    }
    let mut suspects = BTreeSet::new();
    for journal in journals.drain(..).skip(unfinished) {
        read(&open_journal(&journal.path)?, &mut suspects)?;
    }
    Ok(suspects)
}

/// The videos that were in progress when this engine ended without a `run-ended` event.
///
/// # Errors
/// When its journal cannot be read.
pub(crate) fn suspects_of(private: &Path, engine: &str) -> io::Result<BTreeSet<String>> {
    let mut suspects = BTreeSet::new();
    for journal in journals(private)?.iter().filter(|journal| journal.is_of(engine)) {
        read(&open_journal(&journal.path)?, &mut suspects)?;
    }
    Ok(suspects)
}

/// Opens a journal at the last part that is read.
fn open_journal(path: &Path) -> io::Result<File> {
    let mut journal = open::regular(path)?;
    let from = journal.metadata()?.len().saturating_sub(MAX_BYTES);
    journal.seek(SeekFrom::Start(from))?;
    Ok(journal)
}

/// Whether the end of a journal holds the end of a run. False for one that continues long after it, which only means
/// that one more journal is read.
fn ends_a_run(journal: &mut File) -> io::Result<bool> {
    let from = journal.metadata()?.len().saturating_sub(TAIL);
    journal.seek(SeekFrom::Start(from))?;
    let mut tail = vec![];
    journal.take(TAIL).read_to_end(&mut tail)?;
    Ok(tail.split(|byte| *byte == b'\n').any(|line| matches!(event(line), Some(Event::RunEnded { .. }))))
}

/// Adds what a journal leaves in progress, and removes what it finishes.
///
/// # Errors
/// When it cannot be read. Its end may name the video that ended the engine.
fn read(journal: impl Read, suspects: &mut BTreeSet<String>) -> io::Result<()> {
    let mut in_progress = BTreeSet::new();
    let mut lines = LineReader::new(BufReader::new(journal.take(MAX_BYTES)), MAX_LINE);
    // Invalid lines, as a full disk or a power cut leaves them, are skipped.
    while let Some(line) = lines.next_line_truncated()? {
        match event(line) {
            Some(Event::VideoAssigned { video, .. } | Event::VideoStarted { video, .. }) => {
                in_progress.insert(video);
            }
            Some(Event::VideoDone { video, .. } | Event::VideoFailed { video, .. }) => {
                in_progress.remove(&video);
                suspects.remove(&video);
            }
            Some(Event::VideoReturned { video, .. }) => drop(in_progress.remove(&video)),
            // Another run of the same engine may follow.
            Some(Event::RunEnded { .. }) => {
                in_progress.clear();
                suspects.clear();
            }
            _ => {}
        }
    }
    suspects.append(&mut in_progress);
    Ok(())
}

fn event(line: &[u8]) -> Option<Event> {
    serde_json::from_slice::<Line>(line).ok().map(|line| line.event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reeldeck_common::error::ErrorKind;

    use crate::protocol::snapshot::Counts;

    fn started(video: &str) -> Event {
        Event::VideoAssigned { video: video.into(), worker: 0, device: "cpu".into(), alone: false }
    }

    fn returned(video: &str) -> Event {
        Event::VideoReturned { video: video.into(), reason: String::new() }
    }

    fn failed(video: &str) -> Event {
        Event::VideoFailed {
            video: video.into(),
            worker: 0,
            device: "cpu".into(),
            attempt: 1,
            kind: ErrorKind::Corrupt,
            error: String::new(),
            retry_in_s: None,
        }
    }

    fn ended() -> Event {
        Event::RunEnded { exit: 0, counts: Counts::default(), seconds: 0.0, reason: None }
    }

    fn text(events: &[Event]) -> String {
        events.iter().map(|event| Line::now(event.clone()).text()).collect()
    }

    /// What the next run is careful with after journals with these events, the last of which were cut off.
    fn suspects_after(journals: &[&[Event]]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(folder(dir.path())).unwrap();
        for (i, events) in journals.iter().enumerate() {
            let journal = text(events) + "{\"schema\":1,\"ti";
            fs::write(folder(dir.path()).join(format!("2026{i:04}-0-of-1-7.jsonl")), journal).unwrap();
        }
        suspects(dir.path(), &[]).unwrap().into_iter().collect()
    }

    #[test]
    fn a_journal_of_any_size_has_an_end() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(folder(dir.path())).unwrap();
        for number in 1..3 {
            let path = folder(dir.path()).join(format!("{number:08}-t-e.jsonl"));
            fs::write(&path, text(&[started("A/1")])).unwrap();
            File::options().write(true).open(&path).unwrap().set_len(number << 39).unwrap();
        }
        assert!(suspects(dir.path(), &[]).unwrap().is_empty());
    }

    #[test]
    fn videos_in_progress_when_an_engine_was_killed_are_suspects() {
        let killed = [started("A/1"), started("A/2"), returned("A/1"), started("A/3"), started("A/4"), failed("A/4")];
        assert_eq!(suspects_after(&[&killed]), ["A/2", "A/3"]);
        assert!(suspects_after(&[&[started("A/1"), ended()]]).is_empty());
        assert_eq!(suspects_after(&[&[started("A/1"), ended(), started("A/2")]]), ["A/2"]);
        assert!(suspects_after(&[&[]]).is_empty() && suspects_after(&[]).is_empty());
    }

    #[test]
    fn a_journal_that_cannot_be_read_to_its_end_is_an_error() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StaleNetworkFileHandle.into())
            }
        }
        let text = text(&[started("A/1"), failed("A/1")]);
        let error = read(text.as_bytes().chain(Broken), &mut BTreeSet::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StaleNetworkFileHandle);
    }

    #[test]
    fn unfinished_suspects_stay_suspects() {
        let first = [started("A/1"), started("A/2"), started("A/3"), started("A/4")];
        let second = [started("A/2"), returned("A/2"), started("A/3"), failed("A/3"), started("A/5")];
        assert_eq!(suspects_after(&[&first, &second, &[]]), ["A/1", "A/2", "A/4", "A/5"]);
        assert_eq!(suspects_after(&[&first, &[ended()], &second]), ["A/5"]);
        assert_eq!(suspects_after(&[&first, &[ended(), started("A/6")], &second]), ["A/5", "A/6"]);
    }

    /// With the newest journal chosen by the time in its name, the first of these would hide the later ones for a year.
    #[test]
    fn a_journal_from_the_future_does_not_hide_later_ones() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(folder(dir.path())).unwrap();
        let write = |name: &str, events: &[Event]| fs::write(folder(dir.path()).join(name), text(events)).unwrap();
        let name = |path: PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        write("20991231T000000.000000Z-0-of-1-7.jsonl", &[started("A/1"), ended()]);
        let first = name(journal(dir.path(), "here-1-f").unwrap());
        assert!(first.starts_with("00000001-2"), "{first}");
        write(&first, &[started("A/2")]);
        assert_eq!(suspects(dir.path(), &[]).unwrap(), BTreeSet::from(["A/2".to_owned()]));
        write("00000002-20991231T000000Z-0-of-1-7.jsonl", &[started("A/3"), ended()]);
        let third = name(journal(dir.path(), "here-1-f").unwrap());
        assert!(third.starts_with("00000003-"), "{third}");
        write(&third, &[started("A/4")]);
        assert_eq!(suspects(dir.path(), &[]).unwrap(), BTreeSet::from(["A/4".to_owned()]));
    }

    /// Version 0.1.0 wrote the machine's boot id and its suspects into the first event.
    #[test]
    fn journals_of_the_first_release_are_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(folder(dir.path())).unwrap();
        let first = r#"{"schema":1,"time":"2026-11-23T04:00:00Z","event":"run-started","tool":"reeldeck 0.1.0","host":"h","pid":1,"boot":"b","root":"/","out":"/","set":"s","weights":"w","shard":"0/1","devices":[],"counts":{"videos":2,"done":0,"resumed":0,"degraded":0,"stale":0,"failed":0,"failed_before":0,"queued":2,"running":0,"left_out":0},"suspects":{"A/2":{"times":1,"down":true,"alone_and_down":1}}}"#;
        assert!(matches!(event(first.as_bytes()), Some(Event::RunStarted(_))));
        let journal = format!("{first}\n{}", text(&[started("A/1")]));
        fs::write(folder(dir.path()).join("20261123T040000.000000Z-0-of-1-7.jsonl"), journal).unwrap();
        assert_eq!(suspects(dir.path(), &[]).unwrap(), BTreeSet::from(["A/1".to_owned()]));
    }

    proptest::proptest! {
        /// A full disk or a power cut may leave anything in a journal.
        #[test]
        fn no_journal_panics(
            cuts in proptest::collection::vec((0..400usize, proptest::arbitrary::any::<u8>()), 0..20),
            end in 0..2000usize,
        ) {
            let mut text = text(&[started("A/1"), started("A/2"), failed("A/2"), returned("A/1")]).into_bytes();
            for (place, byte) in cuts {
                let length = text.len();
                text[place % length] = byte;
            }
            text.truncate(end);
            let mut suspects = BTreeSet::new();
            read(text.as_slice(), &mut suspects).unwrap();
            proptest::prop_assert!(suspects.len() <= 2);
        }
    }

    #[test]
    fn the_journals_of_running_engines_are_kept_and_say_nothing_of_crashes() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(folder(dir.path())).unwrap();
        let kept = journal(dir.path(), "a-b-1-f").unwrap();
        fs::write(&kept, text(&[started("A/1")])).unwrap();
        for i in 0..30 {
            fs::write(folder(dir.path()).join(format!("{:08}-20260101T000000Z-c-2-e.jsonl", i + 2)), "").unwrap();
        }
        assert!(suspects(dir.path(), &["a-b-1-f".into()]).unwrap().is_empty());
        assert_eq!(fs::read_dir(folder(dir.path())).unwrap().count(), KEPT + 1);
        assert_eq!(suspects_of(dir.path(), "a-b-1-f").unwrap().len(), 1);
        assert!(suspects_of(dir.path(), "b-1-f").unwrap().is_empty());
    }
}

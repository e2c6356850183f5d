//! A folder on a simulated network file system, which shows changes to other engines late.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use reeldeck_claims::{Folder, Pulse, Settled, Video};

use super::random::Random;

/// A change of a file.
pub struct Version<T> {
    by: usize,
    /// When other engines see it.
    seen_from: u64,
    pub content: Option<T>,
}

/// The changes of a file that not all engines have seen, and the last one that they have.
type Versions<T> = Vec<Version<T>>;

fn seen<T>(versions: &Versions<T>, engine: usize, now: u64) -> Option<&T> {
    let version = versions.iter().rev().find(|version| version.by == engine || version.seen_from <= now);
    version.and_then(|version| version.content.as_ref())
}

/// File operations by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    /// Listings of the folder.
    pub lists: u64,
    /// Files created, also those that existed.
    pub creates: u64,
    /// Files read.
    pub reads: u64,
    /// Files renamed or removed.
    pub renames: u64,
    /// Files replaced: two operations each.
    pub writes: u64,
    /// Heartbeats written: two operations each.
    pub beats: u64,
    /// Results looked for: two operations a video.
    pub results: u64,
}

impl Operations {
    /// All operations.
    pub fn all(&self) -> u64 {
        self.lists + self.creates + self.reads + self.renames + 2 * (self.writes + self.beats + self.results)
    }
}

/// The file system.
pub struct Disk {
    pub random: Random,
    /// The longest time until other engines see a change, in milliseconds.
    pub delay: u64,
    files: BTreeMap<String, Versions<Rc<str>>>,
    beats: BTreeMap<String, Versions<u64>>,
    pub results: Vec<Versions<Settled>>,
    pub operations: Operations,
    /// Listings and heartbeats fail.
    pub fails: bool,
}

impl Disk {
    pub fn new(seed: u64, delay: u64, videos: usize) -> Self {
        Self {
            random: Random::new(seed),
            delay,
            files: BTreeMap::new(),
            beats: BTreeMap::new(),
            results: (0..videos).map(|_| vec![]).collect(),
            operations: Operations::default(),
            fails: false,
        }
    }

    fn version<T>(&mut self, by: usize, now: u64, content: Option<T>) -> Version<T> {
        let seen_from = now + if self.delay == 0 { 0 } else { self.random.below(self.delay + 1) };
        Version { by, seen_from, content }
    }

    fn check(&self) -> io::Result<()> {
        if self.fails { Err(io::Error::other("the disk is away")) } else { Ok(()) }
    }

    fn exists(&self, name: &str) -> bool {
        self.files.get(name).and_then(|versions| versions.last()).is_some_and(|version| version.content.is_some())
    }

    fn change(&mut self, name: &str, by: usize, now: u64, content: Option<Rc<str>>) {
        let version = self.version(by, now, content);
        self.add(name, now, version);
    }

    fn add(&mut self, name: &str, now: u64, version: Version<Rc<str>>) {
        let versions = self.files.entry(name.to_owned()).or_default();
        if let Some(old) = versions.iter().rposition(|version| version.seen_from <= now) {
            versions.drain(..old);
        }
        versions.push(version);
    }

    /// A worker has written a result. Features appear whole.
    pub fn put_result(&mut self, video: Video, by: usize, now: u64, settled: Settled) {
        let version = self.version(by, now, Some(settled));
        self.results[video].push(version);
    }

    /// A user removes all files except the results.
    pub fn remove_all(&mut self) {
        self.files.clear();
        self.beats.clear();
    }

    pub fn files(&self) -> Vec<&str> {
        self.files.keys().map(String::as_str).filter(|name| self.exists(name)).collect()
    }
}

/// The disk as one engine sees it at one time.
pub struct View<'d> {
    pub disk: &'d RefCell<Disk>,
    pub engine: usize,
    pub id: String,
    pub now: u64,
}

impl Folder for View<'_> {
    fn list(&mut self) -> io::Result<Vec<String>> {
        let mut disk = self.disk.borrow_mut();
        disk.check()?;
        disk.operations.lists += 1;
        let now = self.now;
        disk.files.retain(|_, versions| {
            versions.len() > 1 || versions.iter().any(|version| version.content.is_some() || version.seen_from > now)
        });
        let names = disk.files.iter().filter(|(_, versions)| seen(versions, self.engine, self.now).is_some());
        Ok(names.map(|(name, _)| name.clone()).collect())
    }

    fn create(&mut self, name: &str, text: &str) -> io::Result<bool> {
        let mut disk = self.disk.borrow_mut();
        disk.operations.creates += 1;
        let is_new = !disk.exists(name);
        if is_new {
            disk.change(name, self.engine, self.now, Some(text.into()));
        }
        Ok(is_new)
    }

    fn read(&mut self, name: &str) -> io::Result<Option<String>> {
        let mut disk = self.disk.borrow_mut();
        disk.operations.reads += 1;
        let versions = disk.files.get(name);
        Ok(versions.and_then(|versions| seen(versions, self.engine, self.now)).map(|text| text.to_string()))
    }

    fn write(&mut self, name: &str, text: &str) -> io::Result<()> {
        let mut disk = self.disk.borrow_mut();
        disk.operations.writes += 1;
        disk.change(name, self.engine, self.now, Some(text.into()));
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<bool> {
        let mut disk = self.disk.borrow_mut();
        disk.operations.renames += 1;
        let content = disk.files.get(from).and_then(|versions| versions.last()?.content.clone());
        let Some(content) = content else { return Ok(false) };
        if from != to {
            // Both names change at once.
            let version = disk.version(self.engine, self.now, Some(content));
            disk.add(from, self.now, Version { content: None, ..version });
            disk.add(to, self.now, version);
        }
        Ok(true)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut disk = self.disk.borrow_mut();
        disk.operations.renames += 1;
        if disk.exists(name) {
            disk.change(name, self.engine, self.now, None);
        }
        Ok(())
    }

    fn beat(&mut self, counter: u64) -> io::Result<bool> {
        let mut disk = self.disk.borrow_mut();
        disk.check()?;
        disk.operations.beats += 1;
        let version = disk.version(self.engine, self.now, Some(counter));
        let versions = disk.beats.entry(self.id.clone()).or_default();
        let was_removed = versions.is_empty();
        let old = versions.iter().rposition(|version| version.seen_from <= self.now).unwrap_or(0);
        versions.drain(..old);
        versions.push(version);
        Ok(was_removed)
    }

    fn pulse(&mut self, engine: &str) -> io::Result<Pulse> {
        let mut disk = self.disk.borrow_mut();
        disk.operations.reads += 1;
        let counter = disk.beats.get(engine).and_then(|versions| seen(versions, self.engine, self.now));
        Ok(counter.map_or(Pulse::Gone, |counter| Pulse::Counter(*counter)))
    }

    fn bury(&mut self, engine: &str) -> io::Result<()> {
        let mut disk = self.disk.borrow_mut();
        disk.operations.renames += 1;
        disk.beats.remove(engine);
        Ok(())
    }

    fn results(&mut self, videos: &[Video]) -> io::Result<Vec<(Video, Settled)>> {
        let mut disk = self.disk.borrow_mut();
        disk.operations.results += videos.len() as u64;
        let result = |video: &Video| Some((*video, seen(&disk.results[*video], self.engine, self.now)?.clone()));
        Ok(videos.iter().filter_map(result).collect())
    }

    fn accepts(&self, _video: Video, _text: &str) -> bool {
        true
    }
}

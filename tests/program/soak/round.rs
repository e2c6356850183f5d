//! Runs on one output folder are killed until it is complete; it is checked after each kill.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use proptest::prelude::RngExt;
use proptest::test_runner::TestRng;
use serde_json::Value;

use super::journal::Journal;
use super::run::Run;
use super::tally::Tally;
use super::{BROKEN, command, exports, is_temporary};
use crate::support::processes::{Process, marked};
use crate::support::real::{Real, everything};
use crate::support::{Ran, engine_file, wait_for};

#[derive(Clone, Copy, PartialEq)]
enum Victim {
    Engine,
    Worker,
    Both,
}

/// The results of a run without kills.
pub struct Reference {
    pub features: BTreeMap<PathBuf, Vec<u8>>,
    pub exports: BTreeMap<PathBuf, Vec<u8>>,
}

/// One output folder from the first kill to the last feature.
pub struct Round<'a> {
    pub dataset: &'a Real,
    pub reference: &'a Reference,
    pub rng: &'a mut TestRng,
    pub tally: &'a mut Tally,
    pub kills: usize,
    pub out: String,
    /// Each feature that was seen, with the identity of its file, which must not change.
    pub seen: HashMap<PathBuf, (u64, SystemTime)>,
    /// Half-written files that have been counted.
    pub halves: HashSet<PathBuf>,
    /// Workers whose engine was killed, with the time of the kill.
    pub orphans: Vec<(Process, Instant)>,
}

impl Round<'_> {
    fn out(&self) -> PathBuf {
        self.dataset.path(&self.out)
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    /// Kills until there are enough kills or the dataset is complete.
    pub fn disturb(&mut self) {
        while self.tally.kills() < self.kills && !self.is_complete() {
            let mut run = self.start();
            self.tally.runs += 1;
            let (mut first, mut killed) = (true, false);
            while self.tally.kills() < self.kills && self.wait_for_a_moment(&mut run, first) {
                first = false;
                let victim = self.choose();
                self.strike(&mut run, victim);
                self.check_features();
                if victim != Victim::Worker {
                    killed = true;
                    break;
                }
            }
            wait_for("the run ends", || !run.is_on());
            if !killed {
                self.check_end(&mut run);
            }
            self.bury_orphans();
        }
    }

    /// A run that ends by itself reports the broken video. If workers were killed several times in a row before they finished a
    /// video, it reports that it has no worker left, or that memory may be short.
    fn check_end(&self, run: &mut Run) {
        let Run::Foreground(child) = run else { return };
        let said = fs::read_to_string(self.dataset.path("said")).unwrap();
        let code = child.wait().unwrap().code();
        let is_given_up = said.contains("all devices are disabled") || said.contains("killed with signal 9 (SIGKILL)");
        assert!(code == Some(3) || (code == Some(1) && is_given_up), "{code:?}: {said}");
    }

    fn is_complete(&self) -> bool {
        self.features().len() == self.reference.features.len()
    }

    fn features(&self) -> Vec<PathBuf> {
        let mut found = everything(&self.out().join("features"));
        found.retain(|path| path.extension().is_some_and(|e| e == "safetensors"));
        found
    }

    fn start(&mut self) -> Run {
        let devices = if self.chance(50) { "cpu*2" } else { "cpu" };
        if self.chance(25) {
            let ran = Ran::to_the_end(&mut command(self.dataset, &self.out, &["--detach", "--devices", devices]));
            assert!(ran.code == 0 || ran.code == 3, "{ran:?}");
            let text = fs::read_to_string(engine_file(&self.out())).unwrap();
            let holder: Value = serde_json::from_str(&text).unwrap();
            if let Some(process) = Process::of(holder["pid"].as_u64().unwrap() as u32) {
                return Run::Background(process);
            }
        }
        let said = File::create(self.dataset.path("said")).unwrap();
        let mut command = command(self.dataset, &self.out, &["-v", "--devices", devices]);
        Run::Foreground(command.stdout(Stdio::null()).stderr(said).spawn().unwrap())
    }

    /// Waits for a random moment; false if the run ends before.
    fn wait_for_a_moment(&mut self, run: &mut Run, first: bool) -> bool {
        let out = self.out();
        if first && self.chance(20) {
            // Any time after the start.
            sleep(Duration::from_millis(self.rng.random_range(0..600)));
        } else if self.chance(20) {
            // While a file is being written.
            let half_written = || everything(&out.join("features")).iter().any(|path| is_temporary(path));
            while run.is_on() && !half_written() {
                sleep(Duration::from_micros(300));
            }
        } else {
            // Any time during the work.
            while run.is_on() && !Journal::of(&out, run.pid()).is_busy() {
                sleep(Duration::from_millis(2));
            }
            sleep(Duration::from_millis(self.rng.random_range(0..300)));
        }
        run.is_on()
    }

    /// A random target, or the one with the fewest kills: an interrupted pair does not count as one.
    fn choose(&mut self) -> Victim {
        let counts =
            [(self.tally.engine, Victim::Engine), (self.tally.worker, Victim::Worker), (self.tally.both, Victim::Both)];
        let least = counts.iter().min_by_key(|(count, _)| *count).unwrap().1;
        if self.chance(50) { least } else { counts[self.rng.random_range(0..3)].1 }
    }

    fn workers(&self) -> Vec<Process> {
        let mut found = marked(&self.dataset.dir.path().to_string_lossy());
        found.retain(|process| process.program == "reeldeck-worker");
        found
    }

    fn strike(&mut self, run: &mut Run, victim: Victim) {
        let before = Journal::of(&self.out(), run.pid());
        let workers = self.workers();
        let worker = (!workers.is_empty()).then(|| workers[self.rng.random_range(0..workers.len())].clone());
        let worker_first = self.chance(50);
        let is_background = matches!(run, Run::Background(_));
        if victim == Victim::Worker {
            if let Some(worker) = worker.filter(Process::kill) {
                self.tally.worker += 1;
                self.hear_of_the_worker(&worker, run, &before);
            }
            return;
        }
        let worker = worker.filter(|worker| victim == Victim::Both && worker.lives());
        let engine = Process::of(run.pid());
        let began = Instant::now();
        let mut hit_worker = worker_first && worker.as_ref().is_some_and(Process::signal);
        let hit = engine.as_ref().is_some_and(Process::signal);
        hit_worker |= !worker_first && worker.as_ref().is_some_and(Process::signal);
        let together = began.elapsed() < Duration::from_millis(1);
        let orphans = self.workers().into_iter().map(|process| (process, began));
        self.orphans.extend(orphans);
        if !(run.kill() || hit) {
            return;
        }
        // An interrupted pair counts as a kill of the engine.
        match hit_worker && together {
            true => self.tally.both += 1,
            false => self.tally.engine += 1,
        }
        self.tally.in_the_background += usize::from(is_background);
        self.tally.mid_work += usize::from(before.is_busy());
        self.tally.before += usize::from(!before.begun);
        // Sometimes the next run begins while the workers of the last one are still exiting.
        if self.chance(50) {
            self.bury_orphans();
        }
        let halves = everything(&self.out()).into_iter().filter(|path| is_temporary(path));
        let new = halves.filter(|path| self.halves.insert(path.clone())).count();
        self.tally.mid_write += usize::from(new > 0);
    }

    /// Waits until the engine has detected the exit of its worker.
    fn hear_of_the_worker(&mut self, worker: &Process, run: &mut Run, before: &Journal) {
        wait_for("the worker is gone", || !worker.lives());
        let mut now = Journal::default();
        wait_for("the engine notices", || {
            now = Journal::of(&self.out(), run.pid());
            now.restarts > before.restarts || !run.is_on()
        });
        self.tally.mid_work += usize::from(now.dropped > before.dropped);
        self.tally.before += usize::from(!before.begun);
    }

    /// The workers exit with their engine.
    fn bury_orphans(&mut self) {
        for (process, since) in std::mem::take(&mut self.orphans) {
            wait_for("workers leave with their engine", || !process.lives());
            self.tally.slowest_orphan = self.tally.slowest_orphan.max(since.elapsed());
        }
    }

    /// Every feature is complete, correct, and the same file as when it was first seen.
    fn check_features(&mut self) {
        let root = self.out().join("features");
        for path in self.features() {
            let metadata = fs::metadata(&path).unwrap();
            let file = (metadata.ino(), metadata.modified().unwrap());
            let name = path.strip_prefix(&root).unwrap();
            assert_eq!(*self.seen.entry(path.clone()).or_insert(file), file, "{} was done again", name.display());
            assert!(fs::read(&path).unwrap() == self.reference.features[name], "{} is another", name.display());
        }
        for path in self.seen.keys() {
            assert!(path.exists(), "{} was there and is gone", path.display());
        }
    }

    /// A last run without kills; its results equal those of the reference.
    pub fn finish(mut self) {
        let ran = Ran::to_the_end(&mut command(self.dataset, &self.out, &[]));
        assert_eq!(ran.code, 3, "{ran:?}");
        self.check_features();
        assert_eq!(self.features().len(), self.reference.features.len(), "no video is lost: {ran:?}");
        assert!(self.dataset.files(&self.out, "features") == self.reference.features, "features, and nothing else");
        assert!(exports(self.dataset, Path::new(&self.out)) == self.reference.exports, "the export is the same");
        let failures = self.dataset.failures(&self.out);
        assert!(failures[BROKEN]["attempts"].to_string().contains("moov"), "{failures:?}");
        let left: Vec<&String> = failures.keys().filter(|name| *name != BROKEN).collect();
        assert!(left.is_empty(), "failures beside features: {left:?}");
        let temporary: Vec<PathBuf> = everything(&self.out()).into_iter().filter(|path| is_temporary(path)).collect();
        assert!(temporary.is_empty(), "{temporary:?}");
        let processes = marked(&self.dataset.dir.path().to_string_lossy());
        assert!(processes.is_empty(), "{processes:?}");
        let sockets = everything(&self.dataset.path("runtime"));
        assert!(sockets.is_empty(), "{sockets:?}");
        self.tally.rounds += 1;
        println!("round {} is over: {} runs, {} kills so far", self.tally.rounds, self.tally.runs, self.tally.kills());
        fs::remove_dir_all(self.out()).unwrap();
    }
}

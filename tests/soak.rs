//! The engine, its workers, and both at once, killed with signal 9 at random moments, again and again: nothing is lost,
//! left behind, or done twice.
//!
//! `REELDECK_KILLS` says how many kills (100; `make soak` does 1,000). `PROPTEST_RNG_SEED` makes the moments the same ones
//! again, as far as the machine plays along. The figures are printed; see them with `--nocapture`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};
use reeldeck::engine::protocol::event::{Event, Line};
use serde_json::{Value, json};
use support::processes::{MARK, Process, marked};
use support::real::{Real, everything};
use support::{Bench, Ran, wait_for};

/// The one that no run can do anything with.
const BROKEN: &str = "C/v_cut.mp4";

/// Two dozen videos that take a tenth of a second each, in codecs that are decoded in different ways, and a broken one.
fn dataset() -> Real {
    let mut videos = vec![];
    for i in 0..8 {
        let options = json!({"preset": "ultrafast", "bf": "2"});
        let h264 = json!({"frames": 300 + 20 * i, "seed": i, "width": 320, "height": 240, "options": options});
        let mpeg4 = json!({"encoder": "mpeg4", "frames": 400, "seed": i, "width": 176, "height": 144});
        let ffv1 = json!({"encoder": "ffv1", "frames": 60, "seed": i, "width": 160, "height": 120});
        videos.push((format!("A/v_h264_{i}.mp4"), h264));
        videos.push((format!("B b/v_mpeg4_{i}.avi"), mpeg4));
        videos.push((format!("C/v_ffv1_{i}.mkv"), ffv1));
    }
    videos.push((BROKEN.into(), json!({"width": 96, "height": 80})));
    let videos: Vec<(&str, Value)> = videos.iter().map(|(name, video)| (name.as_str(), video.clone())).collect();
    let dataset = Real::new(&videos);
    let cut = File::options().write(true).open(dataset.video(BROKEN)).unwrap();
    cut.set_len(cut.metadata().unwrap().len() / 2).unwrap();
    // One thread a worker: the last digits depend on the number of threads, not on the number of workers.
    fs::write(dataset.path("config.toml"), "[worker]\nthreads = 1\n[engine]\nlinger_s = 0\n").unwrap();
    fs::create_dir(dataset.path("runtime")).unwrap();
    fs::set_permissions(dataset.path("runtime"), fs::Permissions::from_mode(0o700)).unwrap();
    dataset
}

/// What a run on this dataset is started with: processes bear the folder's name as their mark.
fn command(dataset: &Real, out: &str, more: &[&str]) -> Command {
    let mut command = dataset.command(out, &["--retry-failed"]);
    command.args(more).env(MARK, dataset.dir.path()).env("XDG_RUNTIME_DIR", dataset.path("runtime"));
    command
}

/// A run that is on.
enum Run {
    Foreground(Child),
    Background(Process),
}

impl Run {
    fn pid(&self) -> u32 {
        match self {
            Self::Foreground(child) => child.id(),
            Self::Background(process) => process.pid,
        }
    }

    fn is_on(&mut self) -> bool {
        match self {
            Self::Foreground(child) => child.try_wait().unwrap().is_none(),
            Self::Background(process) => process.lives(),
        }
    }

    /// Kills it; false where it had ended by itself.
    fn kill(&mut self) -> bool {
        match self {
            Self::Foreground(child) => child.kill().is_ok() && child.wait().unwrap().signal() == Some(9),
            Self::Background(process) => {
                let hit = process.kill();
                wait_for("the engine is gone", || !process.lives());
                hit
            }
        }
    }
}

/// What a run's journal says so far.
#[derive(Default)]
struct Journal {
    in_hand: HashMap<usize, HashSet<String>>,
    begun: bool,
    restarts: usize,
    /// Videos that came back because a worker was killed.
    dropped: usize,
}

impl Journal {
    /// The journal of the engine of this number; an empty one where it has written none yet.
    fn of(out: &Path, pid: u32) -> Self {
        let mut journal = Self::default();
        let end = format!("-{pid}.jsonl");
        let mut runs = everything(&out.join(".reeldeck/runs"));
        runs.retain(|path| path.to_string_lossy().ends_with(&end));
        let text = runs.iter().max().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        for line in text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok()) {
            match line.event {
                Event::VideoStarted { video, worker, .. } => {
                    journal.begun = true;
                    journal.in_hand.entry(worker).or_default().insert(video);
                }
                Event::VideoDone { video, .. } => journal.take(&video),
                Event::VideoFailed { video, error: reason, .. } | Event::VideoReturned { video, reason } => {
                    journal.take(&video);
                    journal.dropped += usize::from(reason.contains("signal 9"));
                }
                Event::WorkerRestarted { reason, .. } => {
                    journal.restarts += usize::from(reason.contains("signal 9"));
                }
                _ => {}
            }
        }
        journal
    }

    fn take(&mut self, video: &str) {
        for videos in self.in_hand.values_mut() {
            videos.remove(video);
        }
    }

    fn is_busy(&self) -> bool {
        self.in_hand.values().any(|videos| !videos.is_empty())
    }
}

/// What was killed and what it was doing.
#[derive(Debug, Default)]
struct Tally {
    engine: usize,
    in_the_background: usize,
    worker: usize,
    both: usize,
    /// With videos in hand.
    mid_work: usize,
    /// Before the first video was handed out: the engine looked at the folders, or a worker loaded its model.
    before: usize,
    /// A feature or another file was half written.
    mid_write: usize,
    rounds: usize,
    runs: usize,
    slowest_orphan: Duration,
}

impl Tally {
    fn kills(&self) -> usize {
        self.engine + self.worker + self.both
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Victim {
    Engine,
    Worker,
    Both,
}

/// What came of a run that nobody disturbed.
struct Reference {
    features: BTreeMap<PathBuf, Vec<u8>>,
    exports: BTreeMap<PathBuf, Vec<u8>>,
}

/// One output folder from the first kill to the last feature.
struct Round<'a> {
    dataset: &'a Real,
    reference: &'a Reference,
    rng: &'a mut TestRng,
    tally: &'a mut Tally,
    kills: usize,
    out: String,
    /// Each feature that was seen: the very file, which must stay.
    seen: HashMap<PathBuf, (u64, SystemTime)>,
    /// Half-written files that were counted.
    halves: HashSet<PathBuf>,
    /// Workers whose engine was killed, and when.
    orphans: Vec<(Process, Instant)>,
}

impl Round<'_> {
    fn out(&self) -> PathBuf {
        self.dataset.path(&self.out)
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn disturb(&mut self) {
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

    /// A run that has ended by itself says that a video is broken; or that it had no worker left, where one was killed three
    /// times in a row before it could do anything.
    fn check_end(&self, run: &mut Run) {
        let Run::Foreground(child) = run else { return };
        let said = fs::read_to_string(self.dataset.path("said")).unwrap();
        let code = child.wait().unwrap().code();
        assert!(code == Some(3) || (code == Some(1) && said.contains("no device can be used")), "{code:?}: {said}");
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
            let text = fs::read_to_string(self.out().join(".reeldeck/locks/0-of-1")).unwrap();
            let holder: Value = serde_json::from_str(&text).unwrap();
            if let Some(process) = Process::of(holder["pid"].as_u64().unwrap() as u32) {
                return Run::Background(process);
            }
        }
        let said = File::create(self.dataset.path("said")).unwrap();
        let mut command = command(self.dataset, &self.out, &["-v", "--devices", devices]);
        Run::Foreground(command.stdout(Stdio::null()).stderr(said).spawn().unwrap())
    }

    /// Waits for a random moment; false where the run has ended before.
    fn wait_for_a_moment(&mut self, run: &mut Run, first: bool) -> bool {
        let out = self.out();
        if first && self.chance(20) {
            // Anywhere from the start on.
            sleep(Duration::from_millis(self.rng.random_range(0..600)));
        } else if self.chance(20) {
            // While a file is being written.
            let half_written = || everything(&out.join("features")).iter().any(|path| is_temporary(path));
            while run.is_on() && !half_written() {
                sleep(Duration::from_micros(300));
            }
        } else {
            // Anywhere in the work.
            while run.is_on() && !Journal::of(&out, run.pid()).is_busy() {
                sleep(Duration::from_millis(2));
            }
            sleep(Duration::from_millis(self.rng.random_range(0..300)));
        }
        run.is_on()
    }

    /// Any, or the one that is behind: pairs that are torn apart by the machine do not count as such.
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
        // A pair that was torn apart counts as its engine.
        match hit_worker && together {
            true => self.tally.both += 1,
            false => self.tally.engine += 1,
        }
        self.tally.in_the_background += usize::from(is_background);
        self.tally.mid_work += usize::from(before.is_busy());
        self.tally.before += usize::from(!before.begun);
        // Sometimes the next run begins while they are still on their way out.
        if self.chance(50) {
            self.bury_orphans();
        }
        let halves = everything(&self.out()).into_iter().filter(|path| is_temporary(path));
        let new = halves.filter(|path| self.halves.insert(path.clone())).count();
        self.tally.mid_write += usize::from(new > 0);
    }

    /// Waits until the engine has noticed that its worker is gone.
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

    /// Workers leave with their engine.
    fn bury_orphans(&mut self) {
        for (process, since) in std::mem::take(&mut self.orphans) {
            wait_for("workers leave with their engine", || !process.lives());
            self.tally.slowest_orphan = self.tally.slowest_orphan.max(since.elapsed());
        }
    }

    /// Every feature that is there is whole and right, and the very file that it was when it was first seen.
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

    /// A last run, undisturbed, and then nothing tells what has happened.
    fn finish(mut self) {
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

fn is_temporary(path: &Path) -> bool {
    path.file_name().is_some_and(|name| reeldeck_contract::atomic::is_temporary(&name.to_string_lossy()))
}

/// What was exported, without the note of when.
fn exports(dataset: &Real, out: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = dataset.files(&out.to_string_lossy(), "exports");
    files.retain(|path, _| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')));
    files
}

#[test]
fn whatever_is_killed_and_whenever_nothing_is_lost_left_behind_or_done_twice() {
    let kills = std::env::var("REELDECK_KILLS").map_or(100, |text| text.parse().expect("REELDECK_KILLS is a number"));
    let seed = match std::env::var("PROPTEST_RNG_SEED") {
        Ok(text) => text.parse().expect("PROPTEST_RNG_SEED is a number"),
        Err(_) => SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
    };
    println!("PROPTEST_RNG_SEED={seed}");
    // Engines in the background become ours when who started them ends. They are not buried: as in a container without an
    // init, they stay zombies, and nobody may take those for living ones.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let started = Instant::now();
    let dataset = dataset();
    let ran = Ran::to_the_end(&mut command(&dataset, "undisturbed", &[]));
    assert_eq!(ran.code, 3, "{ran:?}");
    let (features, exports) = (dataset.files("undisturbed", "features"), exports(&dataset, Path::new("undisturbed")));
    assert_eq!((features.len(), dataset.failures("undisturbed").len()), (24, 1), "{ran:?}");
    let reference = Reference { features, exports };
    let mut tally = Tally::default();
    while tally.kills() < kills {
        let mut round = Round {
            out: format!("round {}", tally.rounds),
            dataset: &dataset,
            reference: &reference,
            rng: &mut rng,
            tally: &mut tally,
            kills,
            seen: HashMap::new(),
            halves: HashSet::new(),
            orphans: vec![],
        };
        round.disturb();
        round.finish();
    }
    println!(
        "{} kills: the engine {}, a worker {}, both within a millisecond {}; of the engines {} in the background",
        tally.kills(),
        tally.engine,
        tally.worker,
        tally.both,
        tally.in_the_background,
    );
    println!(
        "with videos in hand {}, before the first {}, otherwise {}; a half-written file was left {} times",
        tally.mid_work,
        tally.before,
        tally.kills() - tally.mid_work - tally.before,
        tally.mid_write,
    );
    println!(
        "{} runs in {} output folders, {:.0} s; workers outlived their engine by {:.1} s at most",
        tally.runs,
        tally.rounds,
        started.elapsed().as_secs_f64(),
        tally.slowest_orphan.as_secs_f64(),
    );
    assert!(tally.mid_work * 2 > kills, "the kills missed the work, and mean little: {tally:?}");
    assert!(tally.engine.min(tally.worker).min(tally.both) * 10 > kills, "{tally:?}");
}

#[test]
fn a_worker_that_is_still_loading_goes_with_its_engine() {
    // Long before it can read from the engine or say anything: as while its libraries come from a slow disk.
    let bench = Bench::new(&[("A/v_1.mp4", "ok")]);
    let slow = bench.path("slow-worker");
    fs::write(&slow, "#!/bin/sh\nexec sleep 60\n").unwrap();
    fs::set_permissions(&slow, fs::Permissions::from_mode(0o755)).unwrap();
    let mark = bench.dir.path().to_string_lossy().into_owned();
    let mut command = bench.command(&["--batch", "-q"]);
    let mut run = command.env("REELDECK_WORKER", &slow).env(MARK, &mark).stderr(Stdio::null()).spawn().unwrap();
    let mut worker = None;
    wait_for("the worker is loading", || {
        worker = marked(&mark).into_iter().find(|process| process.program == "sleep");
        worker.is_some()
    });
    run.kill().unwrap();
    run.wait().unwrap();
    let worker = worker.unwrap();
    wait_for("it goes", || !worker.lives());
    let again = bench.run(&["--batch"]);
    assert_eq!(again.code, 0, "{again:?}");
}

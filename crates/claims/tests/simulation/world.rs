//! Engines on simulated machines that share a simulated folder. Each has a clock of its own.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use reeldeck_claims::{Change, Claimer, Item, Load, Settled, Turn, Video};

use super::folder::{Disk, Operations, View};

/// A machine. Times are milliseconds.
#[derive(Clone, Debug)]
pub struct Machine {
    /// When its engine starts.
    pub start: u64,
    /// The videos that it extracts at a time.
    pub streams: usize,
    pub speed: f64,
    /// The speed of its clock, and by how much the clock is ahead.
    pub clock: (f64, u64),
    /// When its clock jumps forward, and how far.
    pub jumps: Vec<(u64, u64)>,
    /// When it is suspended, and for how long.
    pub stalls: Vec<(u64, u64)>,
    /// When it loses its power.
    pub dies: Option<u64>,
}

impl Machine {
    pub fn new(streams: usize) -> Self {
        Self { start: 0, streams, speed: 1.0, clock: (1.0, 0), jumps: vec![], stalls: vec![], dies: None }
    }

    fn local(&self, now: u64) -> u64 {
        let jumps: u64 = self.jumps.iter().filter(|(at, _)| *at <= now).map(|(_, by)| by).sum();
        (now as f64 * self.clock.0) as u64 + self.clock.1 + jumps
    }
}

/// The result of a run.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// When the last engine left, in milliseconds.
    pub ended: u64,
    /// When the last result was written.
    pub done: u64,
    /// Extractions that were finished.
    pub extractions: usize,
    pub operations: Operations,
    /// The operations until nine tenths of the videos were done, and when that was.
    pub steady: (Operations, u64),
    /// Time that the claimers took.
    pub busy: Duration,
    /// Engine seconds.
    pub alive_s: f64,
    /// Files that are left in the folder.
    pub left: usize,
    /// Runs that were ended with an export.
    pub exports: usize,
    /// Videos that the last check found without a result.
    pub missed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Finish(Video),
    Step,
}

struct Engine {
    claimer: Claimer,
    queue: VecDeque<Video>,
    running: usize,
    joined: bool,
    left: bool,
    step_at: u64,
    ends: bool,
}

pub struct World {
    pub disk: RefCell<Disk>,
    costs: Vec<u64>,
    hashes: Vec<u64>,
    fails: Vec<bool>,
    machines: Vec<Machine>,
    engines: Vec<Engine>,
    events: BinaryHeap<Reverse<(u64, usize, Kind)>>,
    /// When a user removes all files except the results.
    pub removals: VecDeque<u64>,
    mean: f64,
    outcome: Outcome,
}

impl World {
    /// `costs`: the milliseconds that a stream needs for each video. `fails`: the share of videos that fail.
    pub fn new(seed: u64, delay: u64, costs: Vec<u64>, fails: f64, machines: Vec<Machine>) -> Self {
        let mut disk = Disk::new(seed, delay, costs.len());
        let hashes = costs.iter().map(|_| disk.random.next()).collect();
        let fails = costs.iter().map(|_| disk.random.share() < fails).collect();
        let engine = |i: usize| Engine {
            claimer: Claimer::new(&format!("node{i:03}")),
            queue: VecDeque::new(),
            running: 0,
            joined: false,
            left: false,
            step_at: 0,
            ends: false,
        };
        let engines = (0..machines.len()).map(engine).collect();
        let mean = costs.iter().sum::<u64>() as f64 / costs.len().max(1) as f64;
        let outcome = Outcome::default();
        let events = BinaryHeap::new();
        let removals = VecDeque::new();
        Self { disk: RefCell::new(disk), costs, hashes, fails, machines, engines, events, removals, mean, outcome }
    }

    /// Runs until every engine has left or died.
    pub fn run(mut self) -> (Outcome, Vec<Option<Settled>>) {
        for i in 0..self.machines.len() {
            self.step_later(i, self.machines[i].start);
        }
        while let Some(Reverse((now, i, kind))) = self.events.pop() {
            while self.removals.pop_front_if(|at| *at <= now).is_some() {
                self.disk.borrow_mut().remove_all();
            }
            let machine = &self.machines[i];
            if self.engines[i].left || machine.dies.is_some_and(|at| at <= now) {
                continue;
            }
            if let Some((at, length)) = machine.stalls.iter().find(|(at, length)| (*at..at + length).contains(&now)) {
                let later = at + length;
                if kind == Kind::Step {
                    self.engines[i].step_at = later;
                }
                self.events.push(Reverse((later, i, kind)));
                continue;
            }
            match kind {
                Kind::Step if self.engines[i].step_at != now => {}
                Kind::Step => self.step(i, now),
                Kind::Finish(video) => self.finish(i, now, video),
            }
            assert!(now < 1_000_000_000, "the run does not end");
        }
        for (machine, engine) in self.machines.iter().zip(&self.engines) {
            assert!(engine.left || machine.dies.is_some(), "an engine waits for ever");
        }
        let disk = self.disk.into_inner();
        (self.outcome.operations, self.outcome.left) = (disk.operations, disk.files().len());
        let results = disk.results.into_iter().map(|versions| versions.into_iter().last()?.content);
        (self.outcome, results.collect())
    }

    fn step_later(&mut self, i: usize, at: u64) {
        self.engines[i].step_at = at;
        self.events.push(Reverse((at, i, Kind::Step)));
    }

    fn finish(&mut self, i: usize, now: u64, video: Video) {
        let settled = if self.fails[video] { Settled::Other("failed".into()) } else { Settled::Done };
        self.disk.borrow_mut().put_result(video, i, now, settled.clone());
        self.outcome.extractions += 1;
        if self.outcome.extractions == self.costs.len() * 9 / 10 {
            self.outcome.steady = (self.disk.borrow().operations, now);
        }
        self.outcome.done = self.outcome.done.max(now);
        self.engines[i].running -= 1;
        self.engines[i].claimer.settle(video, settled);
        self.step(i, now);
    }

    fn step(&mut self, i: usize, now: u64) {
        let (machine, engine) = (&self.machines[i], &mut self.engines[i]);
        let mut view = View { disk: &self.disk, engine: i, id: format!("node{i:03}"), now };
        let began = Instant::now();
        if !engine.joined {
            engine.claimer.join(&mut view, machine.local(now)).unwrap();
            let all: Vec<Video> = (0..self.costs.len()).collect();
            let mut results: Vec<Option<Settled>> = vec![None; all.len()];
            for (video, settled) in reeldeck_claims::Folder::results(&mut view, &all).unwrap() {
                results[video] = Some(settled);
            }
            view.disk.borrow_mut().operations.results -= all.len() as u64;
            for (video, settled) in results.into_iter().enumerate() {
                engine.claimer.add(Item { hash: self.hashes[video], cost: self.costs[video], settled });
            }
            engine.joined = true;
        }
        let local = machine.local(now);
        let minute = 60_000.0 * machine.streams as f64 * machine.speed / self.mean;
        let load = Load {
            want: (minute as usize).max(machine.streams),
            free: machine.streams - engine.running,
            patience: (self.mean * 5.0) as u64 + 60_000,
        };
        let (changes, result) = engine.claimer.step(&mut view, local, load);
        result.unwrap();
        for change in changes {
            match change {
                Change::Granted { videos, .. } => engine.queue.extend(videos),
                Change::Revoked(videos) => engine.queue.retain(|video| !videos.contains(video)),
                Change::Settled(video, _) => engine.queue.retain(|waiting| *waiting != video),
                Change::EngineDied(_) => {}
            }
        }
        while engine.running < machine.streams
            && let Some(video) = engine.queue.pop_front()
        {
            engine.running += 1;
            engine.claimer.begin(video);
            let takes = (self.costs[video] as f64 / machine.speed) as u64;
            self.events.push(Reverse((now + takes, i, Kind::Finish(video))));
        }
        let mut wait = engine.claimer.due().saturating_sub(local).max(1);
        if engine.claimer.unsettled() == 0 {
            wait = wait.min(5_000);
            match engine.claimer.turn(&mut view, local, true).unwrap() {
                Turn::Other => {}
                Turn::Done => {
                    engine.claimer.leave(&mut view, local).unwrap();
                    engine.left = true;
                }
                // The export takes a while.
                Turn::Mine if !engine.ends => engine.ends = true,
                Turn::Mine => {
                    engine.ends = false;
                    let disk = self.disk.borrow();
                    let missed: Vec<Video> = (0..self.costs.len()).filter(|v| disk.results[*v].is_empty()).collect();
                    drop(disk);
                    self.outcome.missed += missed.len();
                    if missed.is_empty() {
                        self.outcome.exports += 1;
                        engine.claimer.turn_over(&mut view, Some(true)).unwrap();
                    } else {
                        engine.claimer.turn_over(&mut view, None).unwrap();
                        missed.into_iter().for_each(|video| engine.claimer.reopen(video, true));
                    }
                    wait = 1;
                }
            }
        }
        self.outcome.busy += began.elapsed();
        if self.engines[i].left {
            self.outcome.ended = self.outcome.ended.max(now);
            self.outcome.alive_s += (now - self.machines[i].start) as f64 / 1000.0;
        } else {
            self.step_later(i, now + wait);
        }
    }
}

/// The lengths of videos as in HACS: a mean of 2.6 minutes, and some that are much longer. In milliseconds of a stream that
/// needs 12 s for the mean.
pub fn costs(seed: u64, videos: usize) -> Vec<u64> {
    let mut random = super::random::Random::new(seed);
    (0..videos).map(|_| (12_000.0 * (0.55 * random.normal() - 0.55_f64.powi(2) / 2.0).exp()) as u64).collect()
}

//! Prints how long a run takes on machines of different speed, and what the claims cost, with the real claims on simulated
//! machines. docs/CLUSTER.md has its output.

#![allow(clippy::unwrap_used, missing_docs, dead_code)]

#[path = "../tests/simulation/folder.rs"]
mod folder;
#[path = "../tests/simulation/random.rs"]
mod random;
#[path = "../tests/simulation/world.rs"]
mod world;

use world::{Machine, Outcome, World};

const STREAMS: usize = 8;

fn hours(ms: f64) -> f64 {
    ms / 3_600_000.0
}

fn run(costs: &[u64], machines: Vec<Machine>, delay: u64) -> Outcome {
    World::new(1, delay, costs.to_vec(), 0.001, machines).run().0
}

fn row(name: &str, costs: &[u64], machines: Vec<Machine>, ideal: f64) {
    let outcome = run(costs, machines, 3_000);
    let (took, twice) = (outcome.done as f64, outcome.extractions - costs.len());
    let more = (took / ideal - 1.0) * 100.0;
    println!("| {name} | {:.2} | {:.2} | {more:.1} % | {twice} |", hours(ideal), hours(took));
}

fn main() {
    let videos = 50_000;
    let costs = world::costs(3, videos);
    let total = costs.iter().sum::<u64>() as f64;
    let healthy = vec![Machine::new(STREAMS); 8];
    let mut slow = healthy.clone();
    slow[7].speed = 1.0 / 3.0;
    let mut dying = slow.clone();
    let per_ms = STREAMS as f64;
    // Half of the time that eight healthy machines need.
    let half = total / per_ms / 8.0 / 2.0;
    dying[3].dies = Some(half as u64);
    println!("| {videos} videos, 8 nodes | ideal, h | claims, h | more | extracted twice |\n|---|---|---|---|---|");
    row("all healthy", &costs, healthy, total / per_ms / 8.0);
    row("one 3× slower", &costs, slow, total / per_ms / (7.0 + 1.0 / 3.0));
    let ideal = half + (total / per_ms - half * (7.0 + 1.0 / 3.0)) / (6.0 + 1.0 / 3.0);
    row("one 3× slower, one dies at half", &costs, dying, ideal);
    let (videos, engines) = (1_000_000, 64);
    let many = world::costs(5, videos);
    let outcome = run(&many, vec![Machine::new(STREAMS); engines], 3_000);
    let seconds = outcome.ended as f64 / 1000.0;
    println!("\n{videos} videos, {engines} engines, {:.1} h:", seconds / 3600.0);
    let (steady, until) = outcome.steady;
    let rate = steady.all() as f64 * 1000.0 / until as f64;
    println!("- {rate:.2} file operations a second, all engines together, until 90 % are done");
    println!("- {:.2} with the end of the run", outcome.operations.all() as f64 / seconds);
    println!("- {:.4} % of a core for each engine", 100.0 * outcome.busy.as_secs_f64() / outcome.alive_s);
    println!("- {steady:?} until 90 % are done");
    println!("- {:?} in all", outcome.operations);
}

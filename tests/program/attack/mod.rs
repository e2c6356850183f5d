//! System calls fail, at every place and with every error that can occur there: no wrong or half file gets a final name, the
//! exit code is not 0 when something is missing, and a second run without faults completes to equal bytes.
//!
//! `make test` injects a few faults of each kind into each command; `make attack` injects all of them, up to `REELDECK_FAULTS`
//! places for each kind, and prints the table in docs/RELIABILITY.md. `faults.c` injects them and says how.

mod scene;
mod tracer;

use std::collections::BTreeMap;

use scene::{SCENES, Scene};
use tracer::{KINDS, Kind, Tracer};

/// The number of places per scene and kind, unless `REELDECK_FAULTS` has another.
const PLACES: u64 = 1000;

#[derive(Default)]
struct Tally {
    injected: usize,
    reported: usize,
    harmless: usize,
}

/// Injects faults at up to `places` places of each kind, evenly spread, with the errors of the kind in turn.
fn attack(scene: &mut Scene, tracer: &Tracer, kind: &Kind, places: u64, shift: usize) -> (Tally, Vec<String>) {
    let (mut tally, mut wrong) = (Tally::default(), vec![]);
    let calls = scene.count(tracer, kind);
    let places = places.min(calls);
    for place in 0..places {
        // A single place is in the middle, where the results are written.
        let at = if places == 1 { 1 + calls / 2 } else { 1 + place * calls / places };
        let errno = kind.errors[(place as usize + shift) % kind.errors.len()];
        match scene.inject(tracer, kind, at, errno) {
            Ok(true) => tally.reported += 1,
            Ok(false) => tally.harmless += 1,
            Err(problem) => wrong.push(format!("{}, {} {at} of {calls}, {errno:?}: {problem}", scene.name, kind.name)),
        }
        tally.injected += 1;
    }
    (tally, wrong)
}

fn attack_all(scenes: &[&str], places: u64) -> (BTreeMap<(usize, usize), Tally>, Vec<String>) {
    let tracer = Tracer::build();
    let (mut tallies, mut wrong) = (BTreeMap::new(), vec![]);
    for (row, name) in SCENES.iter().enumerate().filter(|(_, name)| scenes.contains(name)) {
        let mut scene = Scene::new(name);
        for (column, kind) in KINDS.iter().enumerate() {
            let (tally, problems) = attack(&mut scene, &tracer, kind, places, row + column);
            tallies.insert((row, column), tally);
            wrong.extend(problems);
        }
    }
    (tallies, wrong)
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} faults did harm:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_few_faults_of_each_kind_in_a_run_do_no_harm() {
    assert_none(&attack_all(&["batch", "batch again"], 1).1);
}

#[test]
fn a_few_faults_of_each_kind_in_an_export_do_no_harm() {
    assert_none(&attack_all(&["export", "export again"], 3).1);
}

#[test]
fn a_few_faults_of_each_kind_in_the_other_commands_do_no_harm() {
    assert_none(&attack_all(&["annotations", "missing", "verify", "list", "scan", "fetch"], 3).1);
}

/// `make attack`.
#[test]
#[ignore = "takes half an hour"]
fn all_faults_do_no_harm() {
    let places = std::env::var("REELDECK_FAULTS").map_or(PLACES, |text| text.parse().unwrap());
    let (tallies, wrong) = attack_all(&SCENES, places);
    println!("| command | {} | all |", KINDS.map(|kind| kind.name).join(" | "));
    println!("|---|{}---|", "---|".repeat(KINDS.len()));
    let (mut all, mut reported, mut harmless) = (0, 0, 0);
    for (row, name) in SCENES.iter().enumerate() {
        let own: Vec<&Tally> = (0..KINDS.len()).map(|column| &tallies[&(row, column)]).collect();
        let cells: Vec<String> = own.iter().map(|tally| tally.injected.to_string()).collect();
        let sum: usize = own.iter().map(|tally| tally.injected).sum();
        println!("| {name} | {} | {sum} |", cells.join(" | "));
        all += sum;
        reported += own.iter().map(|tally| tally.reported).sum::<usize>();
        harmless += own.iter().map(|tally| tally.harmless).sum::<usize>();
    }
    println!("{all} faults: {reported} reported by the exit code, {harmless} without effect, {} did harm", wrong.len());
    assert_none(&wrong);
}

//! System calls fail, at every place and with every error that can occur there: no wrong or half file gets a final name, the
//! exit code is not 0 when something is missing, and a second run without faults completes to equal bytes.
//!
//! `make test` injects a few faults of each kind into each command; `make attack` injects all of them, up to `REELDECK_FAULTS`
//! places for each kind, and prints their numbers. `faults.c` injects them and says how.

mod scene;
mod tracer;

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

/// Attacks each scene with all kinds. `each` gets the tallies of a scene as soon as it is complete.
fn attack_all(scenes: &[&'static str], places: u64, mut each: impl FnMut(&str, &[Tally], &[String])) -> Vec<String> {
    let tracer = Tracer::build();
    let mut wrong = vec![];
    for (row, name) in SCENES.iter().enumerate().filter(|(_, name)| scenes.contains(name)) {
        let mut scene = Scene::new(name);
        let before = wrong.len();
        let attacked = KINDS.iter().enumerate().map(|(column, kind)| {
            let (tally, problems) = attack(&mut scene, &tracer, kind, places, row + column);
            wrong.extend(problems);
            tally
        });
        let tallies: Vec<Tally> = attacked.collect();
        each(name, &tallies, &wrong[before..]);
    }
    wrong
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} faults did harm:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_few_faults_of_each_kind_in_a_run_do_no_harm() {
    assert_none(&attack_all(&["batch", "batch again"], 1, |_, _, _| {}));
}

#[test]
fn a_few_faults_of_each_kind_in_an_export_do_no_harm() {
    assert_none(&attack_all(&["export", "export again"], 3, |_, _, _| {}));
}

#[test]
fn a_few_faults_of_each_kind_in_the_other_commands_do_no_harm() {
    assert_none(&attack_all(&["annotations", "missing", "verify", "list", "scan", "fetch"], 3, |_, _, _| {}));
}

/// `make attack`. `REELDECK_SCENES` names the scenes, separated by commas, if not all.
#[test]
#[ignore = "takes hours"]
fn all_faults_do_no_harm() {
    let places = std::env::var("REELDECK_FAULTS").map_or(PLACES, |text| text.parse().unwrap());
    let named = std::env::var("REELDECK_SCENES").unwrap_or_default();
    let scenes: Vec<_> =
        SCENES.into_iter().filter(|scene| named.is_empty() || named.split(',').any(|name| name == *scene)).collect();
    println!("| command | {} | all |", KINDS.map(|kind| kind.name).join(" | "));
    println!("|---|{}---|", "---|".repeat(KINDS.len()));
    let (mut all, mut reported, mut harmless) = (0, 0, 0);
    let wrong = attack_all(&scenes, places, |name, tallies, wrong| {
        let cells: Vec<String> = tallies.iter().map(|tally| tally.injected.to_string()).collect();
        let sum: usize = tallies.iter().map(|tally| tally.injected).sum();
        println!("| {name} | {} | {sum} |", cells.join(" | "));
        wrong.iter().for_each(|problem| eprintln!("{problem}"));
        all += sum;
        reported += tallies.iter().map(|tally| tally.reported).sum::<usize>();
        harmless += tallies.iter().map(|tally| tally.harmless).sum::<usize>();
    });
    println!("{all} faults: {reported} reported by the exit code, {harmless} without effect, {} did harm", wrong.len());
    assert_none(&wrong);
}

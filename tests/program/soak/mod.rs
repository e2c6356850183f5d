//! The engine, its workers, or both are killed at random moments, many times: nothing is lost, left behind, or done twice.
//!
//! `REELDECK_KILLS` is the number of kills (100; `make soak` uses 1,000). `PROPTEST_RNG_SEED` repeats the random moments, as
//! far as the timing of the machine allows. `--nocapture` shows the figures.

mod journal;
mod round;
mod run;
mod tally;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime};

use crate::support::processes::{MARK, marked};
use crate::support::real::Real;
use crate::support::{Bench, Ran, wait_for};
use proptest::test_runner::{RngAlgorithm, TestRng};
use round::{Reference, Round};
use serde_json::{Value, json};
use tally::Tally;

/// The video that fails in every run.
const BROKEN: &str = "C/v_cut.mp4";

/// Two dozen videos of a tenth of a second of work each, in different codecs, and a broken one.
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
    // One thread per worker: the last digits depend on the number of threads, but not on the number of workers.
    fs::write(dataset.path("config.toml"), "[worker]\nthreads = 1\n[engine]\nlinger_s = 0\n").unwrap();
    fs::create_dir(dataset.path("runtime")).unwrap();
    fs::set_permissions(dataset.path("runtime"), fs::Permissions::from_mode(0o700)).unwrap();
    dataset
}

/// The command of a run on this dataset. Its processes are marked with the folder's name.
fn command(dataset: &Real, out: &str, more: &[&str]) -> Command {
    let mut command = dataset.command(out, &["--retry-failed"]);
    command.args(more).env(MARK, dataset.dir.path()).env("XDG_RUNTIME_DIR", dataset.path("runtime"));
    command
}

fn is_temporary(path: &Path) -> bool {
    path.file_name().is_some_and(|name| reeldeck_common::atomic::is_temporary(&name.to_string_lossy()))
}

/// The exported files, without hidden ones.
fn exports(dataset: &Real, out: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = dataset.files(&out.to_string_lossy(), "exports");
    files.retain(|path, _| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')));
    files
}

#[test]
fn kills_at_any_time_lose_leave_and_repeat_nothing() {
    let kills = std::env::var("REELDECK_KILLS").map_or(100, |text| text.parse().expect("REELDECK_KILLS is a number"));
    let seed = match std::env::var("PROPTEST_RNG_SEED") {
        Ok(text) => text.parse().expect("PROPTEST_RNG_SEED is a number"),
        Err(_) => SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
    };
    println!("PROPTEST_RNG_SEED={seed}");
    // Engines in the background become children of this process, which does not reap them. They stay zombies, as in a
    // container without an init, and must not count as alive.
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
    tally.tell(started.elapsed());
    assert!(tally.mid_work * 2 > kills, "the kills missed the work, and mean little: {tally:?}");
    assert!(tally.engine.min(tally.worker).min(tally.both) * 10 > kills, "{tally:?}");
}

#[test]
fn a_loading_worker_ends_with_its_engine() {
    // The worker cannot yet read or write messages, as while its libraries are loaded from a slow disk.
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

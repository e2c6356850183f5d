//! Damaged videos with the real worker. Each ends as done, degraded, or failed with a reason; a crash of a worker is
//! reported; a second run gives the same results. Also videos that change while a worker reads them.
//!
//! The damage is the same in every run unless `PROPTEST_RNG_SEED` is set. `--nocapture` shows the figures.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::processes::{MARK, Process, marked};
use crate::support::real::Real;
use crate::support::{Ran, wait_for};
use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};
use reeldeck_common::feature::Feature;
use reeldeck_common::source::SourceStamp;
use rustix::process::Signal;
use serde_json::{Value, json};

/// Copies of each video.
const COPIES: usize = 25;

/// Healthy videos in containers with different kinds of index, and in codecs that react differently to lost bits.
fn healthy() -> Vec<(&'static str, Value)> {
    let h264 = |container: Value| json!({"frames": 90, "width": 128, "height": 96, "options": {"bf": "2", "g": "15"}, "container": container});
    let by = |encoder: &str| json!({"encoder": encoder, "frames": 60, "width": 112, "height": 80, "seed": 7});
    vec![
        ("moov-last.mp4", h264(json!({}))),
        ("moov-first.mp4", h264(json!({"movflags": "faststart"}))),
        ("fragments.mp4", h264(json!({"movflags": "frag_keyframe+empty_moov"}))),
        ("stream.ts", h264(json!({}))),
        ("mpeg4.avi", by("mpeg4")),
        ("ffv1.mkv", by("ffv1")),
        ("vp9.webm", by("libvpx-vp9")),
        ("mpeg2.mpg", by("mpeg2video")),
    ]
}

/// Damages a file in one of several ways; returns the name of the way.
fn damage(bytes: &mut Vec<u8>, way: usize, rng: &mut TestRng) -> &'static str {
    let len = bytes.len();
    match way % 4 {
        0 => {
            for _ in 0..1 << rng.random_range(0..8) {
                bytes[rng.random_range(0..len)] ^= 1 << rng.random_range(0..8);
            }
            "flipped"
        }
        1 => {
            bytes.truncate(rng.random_range(0..len));
            "cut"
        }
        2 => {
            let span = rng.random_range(1..len / 4);
            let from = rng.random_range(0..len - span);
            bytes[from..from + span].fill(0);
            "zeroed"
        }
        _ => {
            // As after a download whose parts were joined in the wrong order.
            let block = 1 << rng.random_range(5..11);
            for _ in 0..rng.random_range(1..6) {
                let (a, b) = (rng.random_range(0..len / block) * block, rng.random_range(0..len / block) * block);
                for i in 0..block {
                    bytes.swap(a + i, b + i);
                }
            }
            "shuffled"
        }
    }
}

/// How one run ended: features, failures by video (kind and text of each attempt).
#[derive(Debug, PartialEq)]
struct Outcome {
    features: BTreeMap<PathBuf, Vec<u8>>,
    failures: BTreeMap<String, Vec<(String, String)>>,
}

fn outcome(dataset: &Real, out: &str) -> Outcome {
    let attempts = |file: &Value| {
        let attempts = file["attempts"].as_array().unwrap().iter();
        let failure = |attempt: &Value| {
            let chain = attempt["failure"]["chain"].as_array().unwrap().iter();
            let chain: Vec<&str> = chain.map(|text| text.as_str().unwrap()).collect();
            (attempt["failure"]["kind"].as_str().unwrap().to_owned(), chain.join(": "))
        };
        attempts.map(failure).collect()
    };
    let failures = dataset.failures(out);
    Outcome {
        features: dataset.files(out, "features"),
        failures: failures.iter().map(|(video, file)| (video.clone(), attempts(file))).collect(),
    }
}

#[test]
fn damaged_videos_end_reproducibly_with_a_feature_or_a_reason() {
    let videos = healthy();
    let names: Vec<String> = videos.iter().map(|(name, _)| format!("healthy/{name}")).collect();
    let named: Vec<(&str, Value)> = names.iter().zip(&videos).map(|(n, (_, v))| (n.as_str(), v.clone())).collect();
    let dataset = Real::new(&named);
    let seed: u64 = std::env::var("PROPTEST_RNG_SEED").map_or(1, |text| text.parse().unwrap());
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    for (name, _) in &videos {
        let healthy = fs::read(dataset.video(&format!("healthy/{name}"))).unwrap();
        for i in 0..COPIES {
            let mut bytes = healthy.clone();
            let way = damage(&mut bytes, i, &mut rng);
            let path = dataset.video(&format!("{way}/v_{i:02}_{name}"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
    let started = Instant::now();
    let ran = Ran::to_the_end(&mut dataset.command("one", &[]));
    assert_eq!(ran.code, 3, "{ran:?}");
    let one = outcome(&dataset, "one");

    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    let mut count = |way: &str, end: &str| *ends.entry(format!("{way:8} {end}")).or_default() += 1;
    let mut videos = 0;
    for way in ["healthy", "flipped", "cut", "zeroed", "shuffled"] {
        for entry in fs::read_dir(dataset.video(way)).unwrap() {
            videos += 1;
            let name = format!("{way}/{}", entry.unwrap().file_name().to_str().unwrap());
            let feature = one.features.keys().find(|path| path.ends_with(format!("{name}.safetensors")));
            match (feature, one.failures.get(&name)) {
                (Some(path), None) => {
                    let feature = Feature::read(&dataset.path("one/features").join(path)).unwrap();
                    let is_finite = feature.tensors["logits"].data.iter().all(|x| x.is_finite());
                    assert!(is_finite && feature.tensors["logits"].shape == [4, 5], "{name}");
                    count(way, if feature.provenance.frames.is_damaged() { "degraded" } else { "done" });
                }
                (None, Some(attempts)) => {
                    let (kind, text) = attempts.last().unwrap();
                    assert!(attempts.iter().all(|(_, text)| !text.trim().is_empty()), "{name}: {attempts:?}");
                    count(way, &format!("failed, {kind}"));
                    if kind != "corrupt" {
                        println!("{name}: {kind}: {text}");
                    }
                }
                other => panic!("{name} ended as {other:?}"),
            }
        }
    }
    for (end, count) in &ends {
        println!("{count:4} {end}");
    }
    println!("{} in {:.0} s", videos, started.elapsed().as_secs_f64());
    assert_eq!(videos, 8 * (COPIES + 1));
    assert_eq!(ends["healthy  done"], 8);

    let ran = Ran::to_the_end(&mut dataset.command("two", &[]));
    assert_eq!(ran.code, 3, "{ran:?}");
    let two = outcome(&dataset, "two");
    assert_eq!(one.failures, two.failures);
    for (path, bytes) in &one.features {
        assert!(two.features.get(path) == Some(bytes), "{} is another the second time", path.display());
    }
    assert_eq!(one.features.len(), two.features.len());
    // A second run retries no failed video and repeats no finished one.
    let ran = Ran::to_the_end(&mut dataset.command("one", &[]));
    assert!(ran.code == 3 && ran.stderr.contains(" 0 queued"), "{ran:?}");
}

/// The video that a worker has opened.
fn open_video(dataset: &Real, worker: u32) -> Option<String> {
    let links = fs::read_dir(format!("/proc/{worker}/fd")).into_iter().flatten().flatten();
    let mut paths = links.filter_map(|link| fs::read_link(link.path()).ok());
    let root = dataset.path("videos");
    // The kernel marks the names of removed files.
    paths.find_map(|path| Some(path.strip_prefix(&root).ok()?.to_str()?.trim_end_matches(" (deleted)").to_owned()))
}

fn signal(pid: u32, signal: Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
}

#[test]
fn videos_that_change_in_flight_are_checked_again() {
    let h264 = json!({"frames": 400, "width": 320, "height": 240, "options": {"preset": "ultrafast"}});
    let small = json!({"frames": 40, "seed": 99, "width": 96, "height": 80});
    let dataset = Real::new(&[("A/v_0_cut.mp4", h264), ("A/v_other.mp4", small)]);
    for (i, what) in (0..3).flat_map(|i| ["cut", "replaced", "removed"].map(|what| (i, what))).skip(1) {
        fs::copy(dataset.video("A/v_0_cut.mp4"), dataset.video(&format!("A/v_{i}_{what}.mp4"))).unwrap();
    }
    let other = fs::read(dataset.video("A/v_other.mp4")).unwrap();
    let said = fs::File::create(dataset.path("said")).unwrap();
    let mut command = dataset.command("one", &["-v"]);
    let mut run = command.env(MARK, dataset.dir.path()).stdout(Stdio::null()).stderr(said).spawn().unwrap();
    let mut changed: BTreeMap<String, SourceStamp> = BTreeMap::new();
    let mark = dataset.dir.path().to_string_lossy().into_owned();
    let find = || marked(&mark).into_iter().find(|process| process.program == "reeldeck-worker");
    let mut worker = None;
    while run.try_wait().unwrap().is_none() {
        worker = worker.filter(Process::lives).or_else(find);
        let Some(Process { pid, .. }) = worker else { continue };
        let is_new = |name: &String| name != "A/v_other.mp4" && !changed.contains_key(name);
        let Some(name) = open_video(&dataset, pid).filter(is_new) else {
            sleep(Duration::from_millis(1));
            continue;
        };
        signal(pid, Signal::STOP);
        let stopped = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T ");
        wait_for("it stands still", stopped);
        // It may have closed the file before it stopped.
        if open_video(&dataset, pid).as_ref() == Some(&name) {
            let path = dataset.video(&name);
            changed.insert(name.clone(), SourceStamp::read(&path).unwrap());
            if name.contains("cut") {
                let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
                file.set_len(file.metadata().unwrap().len() / 2).unwrap();
            } else if name.contains("replaced") {
                // By a rename, as careful download programs do.
                fs::write(dataset.path("new"), &other).unwrap();
                fs::rename(dataset.path("new"), &path).unwrap();
            } else {
                fs::remove_file(&path).unwrap();
            }
        }
        signal(pid, Signal::CONT);
    }
    assert_eq!(run.wait().unwrap().code(), Some(3), "{}", fs::read_to_string(dataset.path("said")).unwrap());
    let one = outcome(&dataset, "one");
    let count = |what: &str| changed.keys().filter(|name| name.contains(what)).count();
    let (cut, replaced, removed) = (count("cut"), count("replaced"), count("removed"));
    println!("changed while they were open: {cut} cut, {replaced} replaced, {removed} removed");
    assert!(cut.min(replaced).min(removed) >= 1, "most videos were done before the change: {changed:?}");
    assert_eq!(one.failures.len(), cut + removed, "{:?}", one.failures);
    assert_eq!(one.features.len(), 10 - cut - removed);
    for (name, attempts) in &one.failures {
        let (kind, text) = attempts.last().unwrap();
        assert_eq!(kind, if name.contains("removed") { "missing" } else { "corrupt" }, "{name}: {text}");
        assert!(attempts.iter().all(|(kind, _)| kind != "worker-crashed"), "{name}: {attempts:?}");
    }
    // A new run gives the same results, except for removed videos.
    let ran = Ran::to_the_end(&mut dataset.command("two", &[]));
    assert_eq!(ran.code, 3, "{ran:?}");
    let two = outcome(&dataset, "two");
    assert!(one.features == two.features, "{:?} {:?}", one.features.keys(), two.features.keys());
    let last = |outcome: &Outcome| -> BTreeMap<String, (String, String)> {
        outcome.failures.iter().map(|(name, attempts)| (name.clone(), attempts.last().unwrap().clone())).collect()
    };
    let mut expected = last(&one);
    expected.retain(|name, _| !name.contains("removed"));
    assert_eq!(last(&two), expected);
}

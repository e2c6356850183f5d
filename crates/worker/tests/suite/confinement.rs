//! Tests of the rights that the worker gives up, and of its memory limit.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use reeldeck_common::error::ErrorKind;
use reeldeck_common::limits::Limits;
use reeldeck_common::protocol::{FromWorker, Init, ToWorker};
use reeldeck_video::synth::{self, Synth};

use crate::harness::{Worker, complete_files, init, job, sized_recipe, tiny_recipe, video};

/// The soft and the hard value of a resource limit of a process.
fn limit_of(process: u32, name: &str) -> [String; 2] {
    let text = fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    let mut values = line.split_whitespace().map(str::to_owned);
    [values.next().unwrap(), values.next().unwrap()]
}

#[test]
fn new_privileges_and_core_dumps_are_disabled() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.mp4");
    video(&path, 30, 1);
    let mut worker = Worker::start(&Init { threads: 2, ..init(tiny_recipe()) });
    worker.send(&job(0, &path, &folder.path().join("v")));
    worker.expect_done(0);
    let mut threads = BTreeSet::new();
    for thread in fs::read_dir(format!("/proc/{}/task", worker.id())).unwrap() {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        assert_eq!(value("NoNewPrivs:"), "1", "{status}");
        threads.insert(value("Name:"));
    }
    assert!(threads.contains("decode") && threads.contains("jobs") && threads.len() > 2, "{threads:?}");
    assert_eq!(limit_of(worker.id(), "Max core file size"), ["0", "0"]);
    // By default there is no memory limit.
    assert_eq!(limit_of(worker.id(), "Max address space")[0], "unlimited");
    worker.finish();
}

fn limited(init: &Init, memory_mib: u64) -> Init {
    Init { limits: Limits { memory_mib, ..init.limits }, ..init.clone() }
}

/// The smallest memory limit that a worker accepts, according to its error message. What a worker takes before its first video
/// differs by some MiB from start to start.
fn least(init: &Init) -> u64 {
    let mut worker = Worker::spawn(&[]);
    worker.send(&ToWorker::Init(Box::new(limited(init, 1))));
    let ended = worker.end();
    let [FromWorker::Fatal { failure }] = ended.messages.as_slice() else { panic!("{:?}", ended.messages) };
    assert_eq!(failure.kind, ErrorKind::OutOfMemory, "{failure:?}");
    let line = failure.line();
    assert!(line.starts_with("memory_mib is 1, but a worker with this model takes "), "{line}");
    let rest = line.split_once(": raise memory_mib under [limits] to ").unwrap().1;
    rest.strip_suffix(" or more").unwrap().parse::<u64>().unwrap() + 8
}

/// A video with a single frame of 35 megapixels.
fn large(path: &Path, encoder: &str, pixels: &str) {
    let (encoder, pixels) = (encoder.into(), pixels.into());
    synth::write(path, &Synth { encoder, pixels, width: 8192, height: 4320, frames: 1, ..Synth::default() }).unwrap();
}

#[test]
fn after_a_video_over_the_memory_limit_the_next_one_is_extracted() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    video(&at("small.mp4"), 60, 1);
    // One is too large for the decoder, and one only after the conversion to RGB.
    large(&at("decode.mp4"), "mjpeg", "yuvj444p");
    large(&at("convert.mkv"), "ffv1", "gray");
    let init = init(tiny_recipe());
    let names = ["small.mp4", "decode.mp4", "small.mp4", "convert.mkv", "small.mp4", "decode.mp4", "small.mp4"];

    let limited = limited(&init, least(&init));
    let bytes = (limited.limits.memory_mib << 20).to_string();
    let mut worker = Worker::start(&limited);
    assert_eq!(limit_of(worker.id(), "Max address space"), [bytes.clone(), bytes]);
    let feature = |number: u64| at("out").join(number.to_string());
    for (number, name) in (0..).zip(names) {
        worker.send(&job(number, &at(name), &feature(number)));
        if name == "small.mp4" {
            worker.expect_done(number);
        } else {
            let failure = worker.expect_failed(number);
            assert_eq!(failure.kind, ErrorKind::OutOfMemory, "{name}: {failure:?}");
            let line = failure.line();
            assert!(line.starts_with("not enough memory to ") && line.contains("raise memory_mib"), "{name}: {line}");
        }
    }
    assert_eq!(worker.finish().messages, []);
    assert_eq!(complete_files(&at("out")), [0, 2, 4, 6].map(feature));

    // With enough memory they are extracted, and a limit does not change the features.
    let mut worker = Worker::start(&init);
    for (number, name) in (10..).zip(["small.mp4", "decode.mp4", "convert.mkv"]) {
        worker.send(&job(number, &at(name), &feature(number)));
        worker.expect_done(number);
    }
    worker.finish();
    assert!(fs::read(feature(0)).unwrap() == fs::read(feature(10)).unwrap());
}

#[test]
fn a_smaller_batch_needs_less_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.mp4");
    video(&path, 160, 1);
    let init = init(sized_recipe(100, 224, 4));
    // The smallest limit is enough for tiny videos. A hundred clips need more, and in one batch far more.
    let mut worker = Worker::start(&limited(&init, least(&init) + 64));
    let with_batch = |number, clips| match job(number, &path, &folder.path().join(number.to_string())) {
        ToWorker::Extract { job, video, path, feature, .. } => {
            ToWorker::Extract { job, video, path, feature, batch: clips }
        }
        other => other,
    };
    for (number, clips) in [(0, 1), (1, 100), (2, 1), (3, 100), (4, 2)] {
        worker.send(&with_batch(number, clips));
        if clips < 100 {
            assert_eq!(worker.expect_done(number).clips_computed, 100);
        } else {
            let failure = worker.expect_failed(number);
            assert_eq!(failure.kind, ErrorKind::OutOfMemory, "{failure:?}");
        }
    }
    assert_eq!(worker.finish().messages, []);
}

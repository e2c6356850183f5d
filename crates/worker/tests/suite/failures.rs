//! Tests of failures: bad videos, checkpoints, paths and messages, and their error messages.

use std::fs;
use std::process::Command;

use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::feature::CheckpointId;
use reeldeck_common::limits::Limits;
use reeldeck_common::protocol::{CheckpointSource, FromWorker, Init, MAX_LINE, ToWorker, VERSION};

use crate::harness::{PROGRAM, Worker, complete_files, init, job, tiny_recipe, video};

#[test]
fn after_a_bad_video_the_next_one_is_extracted() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    video(&at("good.mp4"), 30, 1);
    fs::write(at("empty.mp4"), b"").unwrap();
    fs::write(at("text.mp4"), "This is not a video.\n".repeat(100)).unwrap();
    let whole = fs::read(at("good.mp4")).unwrap();
    fs::write(at("cut.mp4"), &whole[..whole.len() / 2]).unwrap();
    let out = at("out");
    let mut worker = Worker::start(&init(tiny_recipe()));
    let names = ["empty.mp4", "text.mp4", "good.mp4", "cut.mp4", "gone.mp4", "good.mp4"];
    for (number, name) in names.iter().enumerate() {
        worker.send(&job(number as u64, &at(name), &out.join(format!("{number}"))));
    }
    let bad = |worker: &mut Worker, number, kind, says: &str| {
        let failure = worker.expect_failed(number);
        assert!(failure.kind == kind && failure.line().contains(says), "{failure:?}");
    };
    bad(&mut worker, 0, ErrorKind::Corrupt, "the file is empty");
    bad(&mut worker, 1, ErrorKind::Corrupt, "not a video file");
    worker.expect_done(2);
    bad(&mut worker, 3, ErrorKind::Corrupt, "moov");
    bad(&mut worker, 4, ErrorKind::Missing, "No such file");
    worker.expect_done(5);
    worker.finish();
    assert_eq!(complete_files(&out), [out.join("2"), out.join("5")]);
}

#[test]
fn a_failure_contains_the_stamp_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (text, gone) = (folder.path().join("text.mp4"), folder.path().join("gone.mp4"));
    fs::write(&text, "no video").unwrap();
    let mut worker = Worker::start(&init(tiny_recipe()));
    let source = |message| match message {
        Some(FromWorker::Failed { source, .. }) => source,
        other => panic!("{other:?}"),
    };
    worker.send(&job(0, &text, &folder.path().join("0")));
    assert_eq!(source(worker.next()).unwrap().size, 8);
    worker.send(&job(1, &gone, &folder.path().join("1")));
    assert_eq!(source(worker.next()), None);
    worker.finish();
}

#[test]
fn a_video_over_a_limit_fails_with_the_name_of_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.mp4");
    video(&path, 30, 1);
    let feature = folder.path().join("v");
    for (limits, says) in [
        (Limits { frames: 20, ..Limits::default() }, "more than 20 frames"),
        (Limits { megapixels: 0.005, ..Limits::default() }, "0.005 megapixels"),
    ] {
        let mut worker = Worker::start(&Init { limits, ..init(tiny_recipe()) });
        worker.send(&job(0, &path, &feature));
        let failure = worker.expect_failed(0);
        assert!(failure.kind == ErrorKind::Limit && failure.line().contains(says), "{failure:?}");
        worker.finish();
    }
}

#[test]
fn an_unwritable_feature_fails_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.mp4");
    video(&path, 30, 1);
    fs::write(folder.path().join("file"), "in the way").unwrap();
    let (bad, good) = (folder.path().join("file/v.safetensors"), folder.path().join("v.safetensors"));
    let mut worker = Worker::start(&init(tiny_recipe()));
    worker.send(&job(0, &path, &bad));
    worker.send(&job(1, &path, &good));
    let failure = worker.expect_failed(0);
    assert_eq!(failure.kind, ErrorKind::Output, "{failure:?}");
    assert!(failure.line().contains(bad.to_str().unwrap()), "{failure:?}");
    worker.expect_done(1);
    worker.finish();
    assert_eq!(fs::read(folder.path().join("file")).unwrap(), b"in the way");
    assert_eq!(complete_files(folder.path()).len(), 3);
}

fn fatal(init: &Init) -> Failure {
    fatal_bytes(reeldeck_common::protocol::line(&ToWorker::Init(Box::new(init.clone()))).unwrap().as_bytes())
}

fn fatal_bytes(bytes: &[u8]) -> Failure {
    let mut worker = Worker::spawn(&[]);
    worker.send_bytes(bytes);
    let ended = worker.end();
    match ended.messages.as_slice() {
        [FromWorker::Fatal { failure }] => failure.clone(),
        other => panic!("{other:?}: {}", ended.stderr),
    }
}

#[test]
fn a_worker_that_cannot_work_reports_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let init = init(tiny_recipe());
    let failure = fatal(&Init { version: VERSION + 1, ..init.clone() });
    assert!(failure.line().contains("protocol") && failure.line().contains("one release"), "{failure:?}");
    let older = format!("{{\"type\":\"init\",\"version\":{}}}\n", VERSION - 1);
    let failure = fatal_bytes(older.as_bytes());
    assert!(failure.line().contains("install both from one release"), "{failure:?}");
    let mut senseless = init.clone();
    senseless.recipe.sampling.length = 0;
    let failure = fatal(&senseless);
    assert!(failure.line().contains("sampling.length = 0: must be 1 to 256"), "{failure:?}");
    let failure = fatal(&Init { device: "tpu:0".into(), ..init.clone() });
    assert!(failure.kind == ErrorKind::Device, "{failure:?}");

    let file = folder.path().join("x.pth");
    let with_file = |text: &str| {
        fs::write(&file, text).unwrap();
        let digest = reeldeck_common::digest::sha256(text.as_bytes());
        let checkpoint_id = CheckpointId { name: "x.pth".into(), digest, synthetic_weights: false };
        Init { checkpoint: CheckpointSource::File(file.clone()), checkpoint_id, ..init.clone() }
    };
    let failure = fatal(&with_file("<!DOCTYPE html><html><body>Sign in</body></html>"));
    assert!(failure.line().contains("web page") && failure.line().contains("x.pth"), "{failure:?}");
    let asked = with_file("");
    fs::remove_file(&file).unwrap();
    let failure = fatal(&asked);
    assert!(failure.line().contains("x.pth") && failure.line().contains("No such file"), "{failure:?}");
}

/// Invalid lines before and after the first message. The output must contain only messages.
#[test]
fn invalid_messages_end_the_worker_with_an_error() {
    let too_long = [vec![b' '; MAX_LINE + 1], b"{}\n".to_vec()].concat();
    let again = reeldeck_common::protocol::line(&ToWorker::Init(Box::new(init(tiny_recipe())))).unwrap();
    let early: [(&[u8], &str); 4] = [
        (b"garbage\n", "failed to read a message"),
        (b"\xff\xfe\n", "failed to read a message"),
        (b"{\"type\":\"finish\"}\n", "expected an init message"),
        (b"{\"type\":\"init\"", "incomplete"),
    ];
    let late: [(&[u8], &str); 4] = [
        (b"garbage\n", "failed to read a message"),
        (b"{\"type\":\"extract\",\"job\":1}\n", "missing field"),
        (again.as_bytes(), "a second init message"),
        (&too_long, "longer than"),
    ];
    for (lines, is_late) in [(early, false), (late, true)] {
        for (bytes, says) in lines {
            let mut worker = if is_late { Worker::start(&init(tiny_recipe())) } else { Worker::spawn(&[]) };
            worker.send_bytes(bytes);
            worker.close();
            let ended = worker.end();
            assert_eq!(ended.status.code(), Some(1), "{says}: {}", ended.stderr);
            assert_eq!(ended.messages, [], "{says}");
            assert!(ended.stderr.starts_with("error: ") && ended.stderr.contains(says), "{says}: {}", ended.stderr);
        }
    }
}

/// With a limit on the address space, the system refuses threads at some point.
#[test]
fn a_thread_that_cannot_be_started_is_reported_with_a_next_step() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 8000000; exec \"$0\"", PROGRAM]);
    let mut worker = Worker::over(&mut command);
    worker.send(&ToWorker::Init(Box::new(Init { decoders: 1_000_000, ..init(tiny_recipe()) })));
    let message = worker.next();
    let Some(FromWorker::Fatal { failure }) = message else { panic!("{message:?}") };
    let line = failure.line();
    assert!(line.contains("failed to start the thread \"decode\"") && line.contains("ulimit -u"), "{line}");
}

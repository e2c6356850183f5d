//! Tests of the process: how it ends, what it prints, and which libraries it is linked to.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use reeldeck_common::feature::Feature;
use reeldeck_common::protocol::{FromWorker, ToWorker};
use reeldeck_common::recipe::Recipe;

use crate::harness::{PROGRAM, Worker, complete_files, init, job, sized_recipe, tiny_recipe, video};

/// A recipe with which a video takes seconds, so that a test can interrupt it.
fn slow_recipe() -> Recipe {
    sized_recipe(100, 224, 32)
}

#[test]
fn finish_completes_the_videos_in_flight() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.mp4");
    video(&path, 60, 1);
    let out = folder.path().join("out");
    let mut worker = Worker::start(&init(tiny_recipe()));
    for number in 0..5 {
        worker.send(&job(number, &path, &out.join(number.to_string())));
    }
    let ended = worker.finish();
    let done = |message: &FromWorker| match message {
        FromWorker::Done { job, .. } => *job,
        other => panic!("{other:?}"),
    };
    assert!(ended.messages.iter().map(done).collect::<BTreeSet<_>>().into_iter().eq(0..5), "{:?}", ended.messages);
    assert_eq!(ended.stderr, "");
    assert_eq!(complete_files(&out).len(), 5);
}

#[test]
fn without_messages_the_worker_exits_quietly() {
    let mut worker = Worker::spawn(&[]);
    worker.close();
    let ended = worker.end();
    assert!(ended.status.success() && ended.messages.is_empty() && ended.stderr.is_empty());
}

#[test]
fn a_closed_pipe_ends_the_worker_during_a_video() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.mp4");
    video(&path, 300, 1);
    let mut worker = Worker::start(&init(slow_recipe()));
    for number in 0..4 {
        worker.send(&job(number, &path, &folder.path().join(format!("out/{number}"))));
    }
    let before = cpu_ticks(worker.id());
    while cpu_ticks(worker.id()) < before + 10 {
        std::thread::sleep(Duration::from_millis(5));
    }
    worker.close();
    // Four videos take many seconds. None of them is done, so the worker did not wait for them.
    let ended = worker.end();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert_eq!((ended.messages, ended.stderr.as_str()), (vec![], ""));
    assert_eq!(complete_files(folder.path()), [path]);
}

/// Closes the pipe at many moments of short jobs, for example while a file is written.
#[test]
fn a_closed_pipe_leaves_only_complete_features() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.mp4");
    video(&path, 8, 1);
    let mut some = 0;
    for round in 0..20 {
        let out = folder.path().join(format!("out{round}"));
        let mut worker = Worker::start(&init(tiny_recipe()));
        for number in 0..2000 {
            worker.send(&job(number, &path, &out.join(number.to_string())));
        }
        worker.expect_done(0);
        std::thread::sleep(Duration::from_millis(7 * round));
        worker.close();
        let ended = worker.end();
        assert_eq!(ended.status.code(), Some(0), "round {round}: {}", ended.stderr);
        let features = complete_files(&out);
        for feature in &features {
            Feature::read(feature).unwrap();
        }
        // The last feature may be complete although the worker did not report it.
        let unsaid = features.len().checked_sub(1 + ended.messages.len());
        assert!(unsaid.is_some_and(|n| n <= 1) && features.len() < 2000, "round {round}: {:?}", ended.messages.last());
        some += features.len();
    }
    assert!(some > 0, "no round wrote anything, so this tests nothing");
}

/// The CPU time of a process in hundredths of a second.
fn cpu_ticks(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Whether a process runs. In a container without an init process, a dead worker stays a zombie.
fn is_alive(process: &str) -> bool {
    let status = fs::read_to_string(Path::new("/proc").join(process).join("stat")).unwrap_or_default();
    status.rsplit(") ").next().and_then(|rest| rest.chars().next()).is_some_and(|state| !"ZX".contains(state))
}

#[test]
fn the_worker_ends_with_its_engine() {
    // A shell takes the engine's place. The pipes stay open when it is killed, so only the kernel notifies the worker.
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 3<&0; \"$0\" <&3 & echo $! > \"$1\"; wait", PROGRAM]);
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("process");
    shell.arg(&note);
    let mut worker = Worker::over(&mut shell);
    worker.send(&ToWorker::Init(Box::new(init(tiny_recipe()))));
    worker.expect_ready();
    let process = fs::read_to_string(note).unwrap().trim().to_owned();
    assert!(is_alive(&process) && process != worker.id().to_string());
    worker.kill();
    let killed = Instant::now();
    while is_alive(&process) {
        assert!(killed.elapsed() < Duration::from_secs(300), "process {process} outlives its parent");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// oneDNN's log, which goes to standard output, stands for the output of any library.
#[test]
fn output_of_libraries_does_not_mix_with_messages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.mp4");
    video(&path, 30, 1);
    let mut worker = Worker::spawn(&[("ONEDNN_VERBOSE", "1"), ("DNNL_VERBOSE", "1")]);
    worker.send(&ToWorker::Init(Box::new(init(tiny_recipe()))));
    worker.expect_ready();
    worker.send(&job(0, &path, &folder.path().join("v")));
    worker.expect_done(0);
    let ended = worker.finish();
    assert!(ended.stderr.contains("onednn_verbose"), "nothing was printed: this tests nothing\n{}", ended.stderr);
}

#[test]
fn unknown_arguments_are_refused() {
    let run = |argument: &str| Command::new(PROGRAM).arg(argument).output().unwrap();
    let version = run("--version");
    assert!(version.status.success() && version.stdout.starts_with(b"reeldeck-worker "));
    let wrong = run("--wrong");
    assert_eq!((wrong.status.code(), wrong.stdout.len()), (Some(1), 0));
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("is started by reeldeck"));
}

/// The program must start on a machine without CUDA, which is loaded at run time.
#[test]
fn the_program_is_linked_only_to_the_cpu_libraries_of_libtorch() {
    let output = Command::new("readelf").args(["-d", PROGRAM]).output().expect("readelf comes with the linker");
    let text = String::from_utf8(output.stdout).unwrap();
    let needed: Vec<&str> = text.lines().filter(|line| line.contains("(NEEDED)")).collect();
    assert!(needed.iter().any(|line| line.contains("libtorch_cpu.so")), "{needed:#?}");
    assert!(!needed.iter().any(|line| line.contains("cuda") || line.contains("nvidia")), "{needed:#?}");
    let runpath = text.lines().find(|line| line.contains("(RUNPATH)")).unwrap_or_default();
    assert!(runpath.contains("$ORIGIN"), "{runpath}");
}

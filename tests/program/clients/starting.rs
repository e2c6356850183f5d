//! An engine before its first run: clients see what it does, can stop it, and learn why it could not begin.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use reeldeck::internals::client::{Client, runs};
use reeldeck::internals::protocol::FromEngine;
use reeldeck::internals::protocol::event::Event;
use serde_json::json;

use super::{is_running, linger, snapshot};
use crate::support::{Bench, Ran, wait_for};

/// A bench with a GPU in its settings and this script in place of `python3`, which an engine asks for PyTorch.
fn bench(python: &str) -> Bench {
    let bench = Bench::new(&[("A/v_0.mp4", "ok")]);
    linger(&bench, 1);
    fs::create_dir(bench.path("bin")).unwrap();
    let script = bench.path("bin/python3");
    fs::write(&script, format!("#!/bin/sh\ncd '{}'\n{python}\n", bench.dir.path().display())).unwrap();
    fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    bench
}

fn detach(bench: &Bench) -> Command {
    let path = std::env::var("PATH").unwrap();
    let mut command = bench.command(&["--batch", "--detach", "--devices", "cuda:0"]);
    command.env("PATH", format!("{}:{path}", bench.path("bin").display()));
    command
}

/// A client that has subscribed to events.
fn follow(bench: &Bench) -> Client {
    let holder = runs(&bench.path("out")).unwrap().remove(0);
    let mut client = Client::connect(&bench.path("out"), &holder).unwrap();
    client.subscribe().unwrap();
    client
}

/// All events until the engine exits.
fn events(follower: &mut Client) -> Vec<Event> {
    let mut events = vec![];
    while let Ok(message) = follower.follow() {
        if let FromEngine::Event { line } = message {
            events.push(line.event);
        }
    }
    events
}

#[test]
fn a_detached_run_that_cannot_begin_returns_its_error_and_exit_code() {
    let bench = bench("exit 1");
    let ran = Ran::to_the_end(&mut detach(&bench));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("no CUDA build of libtorch found"), "{ran:?}");
    assert!(!ran.stdout.contains("in the background"), "{ran:?}");
    wait_for("the lock is free", || !is_running(&bench));
}

#[test]
fn clients_see_that_an_engine_starts_and_can_stop_it() {
    let bench = bench("while [ -e hold ]; do sleep 0.05; done");
    fs::write(bench.path("hold"), "").unwrap();
    let starting = detach(&bench).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("it looks for PyTorch", || snapshot(&bench)["reason"] == "finding the devices");
    assert_eq!(snapshot(&bench)["phase"], json!("starting"));
    let status = bench.run(&["status"]);
    assert!(status.stdout.contains("starting: finding the devices"), "{status:?}");
    for command in [&["pause"][..], &["retry", "--failed"]] {
        let refused = bench.run(command);
        assert_eq!(refused.code, 1, "{refused:?}");
    }
    let pause = bench.run(&["pause"]);
    assert!(pause.stderr.contains("still starting"), "{pause:?}");
    let mut follower = follow(&bench);
    let stop = bench.run(&["stop"]);
    assert_eq!(stop.code, 0, "{stop:?}");
    let starting = Ran::of(starting.wait_with_output().unwrap());
    assert_eq!(starting.code, 130, "{starting:?}");
    assert!(matches!(events(&mut follower).last(), Some(Event::RunEnded { exit: 130, .. })));
    fs::remove_file(bench.path("hold")).unwrap();
    wait_for("the lock is free", || !is_running(&bench));
}

#[test]
fn clients_of_a_starting_engine_learn_why_it_cannot_begin() {
    let bench = bench("while [ -e hold ]; do sleep 0.05; done; exit 1");
    fs::write(bench.path("hold"), "").unwrap();
    let starting = detach(&bench).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("it looks for PyTorch", || snapshot(&bench)["reason"] == "finding the devices");
    let mut follower = follow(&bench);
    fs::remove_file(bench.path("hold")).unwrap();
    let events = events(&mut follower);
    let [Event::Blocked { reason }, Event::RunEnded { exit: 2, .. }] = events.as_slice() else { panic!("{events:?}") };
    assert!(reason.contains("no CUDA build of libtorch found"), "{reason}");
    assert_eq!(starting.wait_with_output().unwrap().status.code(), Some(2));
}

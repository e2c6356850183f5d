//! The terminal interface as users see it: the program in a pseudo-terminal, with an engine whose worker follows the
//! scripts in the videos.

mod bench;
mod figures;
mod real;
mod screen;
mod settings;
mod terminal;

use std::fs;
use std::process::Command;

use crate::support::prober::settled;
use crate::support::{Bench, wait_for};
use bench::{CONFIG, DOWN, ENTER, ESC, bench, borrowed, command, engines, gone, open, slow};
use screen::Screen;

#[test]
fn from_an_empty_folder_to_a_finished_dataset() {
    let bench = bench(
        &[
            ("Archery/v_aa.mp4", "ok"),
            ("Archery/v_ab.mp4", "slow 300"),
            ("Belly dance/v_ba.mp4", "corrupt: fail corrupt"),
            ("Belly dance/v_bb.mp4", "ok"),
            ("Zumba/v_za.mp4", "fail internal"),
        ],
        "",
    );
    fs::rename(bench.path("data"), bench.path("videos")).unwrap();
    let mut screen = open(&bench, &["--recipe", "./tiny.toml"], 100, 32);
    // The form suggests the folder that looks like a dataset.
    screen.shows("first start");
    screen.shows("3 class folders, 5 videos");
    screen.press(&format!("{DOWN}{DOWN}"), "▸ checkpoint");
    screen.press("\x15seeded", "random weights");
    screen.send("\x13");
    wait_for("the configuration is written", || bench.path("config.toml").exists());
    let config = fs::read_to_string(bench.path("config.toml")).unwrap();
    assert!(config.contains("root = \"videos\"") && config.contains("checkpoint = \"seeded\""), "{config}");
    // Problems are sorted to the top.
    screen.shows("ready to start");
    screen.shows("▲ corrupt 1");
    screen.until("the corrupt one comes first", |text| {
        text.lines().find(|line| line.contains("v_")).is_some_and(|line| line.contains("v_ba.mp4"))
    });
    // Filter, mark, and back.
    screen.press("/", "enter apply");
    screen.press("zumba", "1/1 ");
    screen.press(ENTER, "/zumba");
    screen.press(" ", "1 marked");
    screen.press(ESC, "5/5 ");
    screen.shows("1 marked");
    screen.press(ESC, "5/5 ");
    screen.shows_no("marked");
    screen.press("s", "Run finished");
    screen.shows("3 done, 2 failed");
    screen.shows("as it was told");
    screen.shows("✔ done 3");
    // The details show every attempt with its error.
    screen.press("/", "enter apply");
    screen.press("v_za", "1/1 ");
    screen.press(ENTER, "/v_za");
    screen.press(ENTER, "attempts");
    screen.shows("as it was told");
    // The video is repaired and extracted again.
    fs::rename(bench.path("videos"), bench.path("data")).unwrap();
    settled(&bench, "Zumba/v_za.mp4", "ok now", 5);
    fs::rename(bench.path("data"), bench.path("videos")).unwrap();
    screen.shows("∘ queued 1");
    screen.press(ESC, "2 Videos");
    screen.press("r", "Run finished");
    screen.shows("✔ done 4");
    screen.send(ESC);
    screen.shows_no("Run finished");
    screen.press(ESC, "/5 ");
    screen.press("e", "Export");
    screen.press("p", "exported 4 videos");
    assert!(bench.export("result.pkl").exists());
    // Quitting without an active run also ends the engine.
    screen.send("q");
    assert_eq!(screen.ends(), 0);
    assert!(!screen.is_taken() && !screen.hides_cursor());
    gone(&bench);
    assert_eq!(bench.files("features").len(), 4);
}

#[test]
fn a_run_can_be_detached_from_attached_to_paused_and_stopped() {
    let videos = slow(60, 400);
    let bench = bench(&borrowed(&videos), CONFIG);
    let mut screen = open(&bench, &[], 120, 40);
    screen.shows("ready to start");
    screen.press("s", "● running");
    screen.press("q", "detach: the run continues");
    screen.press("d", "the run continues (process");
    assert_eq!(screen.ends(), 0);
    assert!(!screen.is_taken());
    assert_eq!(engines(&bench), 1);
    // Both ways of starting find the run.
    let mut screen = open(&bench, &["attach"], 80, 24);
    screen.shows("● running");
    screen.shows("v_000.mp4");
    screen.press("s", "paused");
    screen.press("s", "● running");
    let mut second = open(&bench, &[], 120, 40);
    second.shows("● running");
    second.send("q").shows("detach");
    second.send("d");
    assert_eq!(second.ends(), 0);
    screen.press("q", "stop after the");
    screen.send("s");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
    let done = bench.files("features").len();
    assert!((1..60).contains(&done), "{done}");
}

#[test]
fn new_videos_appear_and_excluded_ones_are_not_extracted() {
    let bench = bench(&[("A/v_a.mp4", "ok"), ("A/v_b.mp4", "ok")], CONFIG);
    let mut screen = open(&bench, &[], 120, 40);
    screen.shows(" 2 videos: ");
    settled(&bench, "B/v_c.mp4", "ok", 0);
    screen.shows("dataset folder: new B/v_c.mp4");
    screen.shows(" 3 videos: ");
    screen.press("/", "enter apply");
    screen.press("v_b", "1/1 ");
    screen.press(ENTER, "/v_b");
    screen.press("x", "⊘ excluded");
    screen.press("u", "included A/v_b.mp4 again");
    screen.shows_no("⊘ excluded");
    screen.press("x", "⊘ excluded");
    screen.press(ESC, "/3 ");
    screen.press("s", "Run finished");
    screen.shows("2 done, 0 failed");
    screen.send("q");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
    assert_eq!(bench.files("features").len(), 2);
}

#[test]
fn a_failed_engine_start_is_shown() {
    let bench = bench(&[("A/v_a.mp4", "ok")], CONFIG);
    let mut command = command(&bench, &[]);
    command.env("REELDECK_WORKER", "/no-such-worker");
    let mut screen = Screen::open(&command, 100, 30);
    screen.shows("no-such-worker");
    screen.send(ESC);
    screen.shows_no("could not be started");
    screen.shows("no background process");
    screen.send("q");
    assert_eq!(screen.ends(), 0);
    assert_eq!(engines(&bench), 0);
}

#[test]
fn a_window_waits_for_a_dataset_folder_that_is_missing_at_the_start() {
    let bench = bench(&[("A/v_a.mp4", "ok")], CONFIG);
    let (data, away) = (bench.path("data"), bench.path("away"));
    fs::rename(&data, &away).unwrap();
    // The path may be wrong if nothing was written to the output folder before.
    let mut screen = open(&bench, &[], 120, 40);
    screen.shows("failed to open the dataset folder");
    assert_eq!(screen.ends(), 2);
    fs::create_dir_all(bench.path("out/.reeldeck")).unwrap();
    let mut screen = open(&bench, &[], 120, 40);
    screen.shows("waiting for the dataset folder");
    screen.shows("mount its disk again");
    screen.press("s", "bring it back");
    screen.send("q");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
    let mut screen = open(&bench, &[], 80, 24);
    screen.shows("waiting for the dataset folder");
    fs::rename(&away, &data).unwrap();
    screen.shows("ready to start");
    screen.press("s", "Run finished");
    screen.send("qq");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
    assert_eq!(bench.files("features").len(), 1);
    // Without a window, nothing waits for it.
    fs::rename(&data, &away).unwrap();
    let ran = bench.run(&["engine", "--wait"]);
    assert!(ran.code == 2 && ran.stderr.contains("mount its disk again"), "{ran:?}");
}

/// Kills the engine, as the system does when memory is short.
fn kill_engine(bench: &Bench) {
    let holder = reeldeck::internals::client::runs(&bench.path("out")).unwrap().remove(0);
    assert!(Command::new("kill").args(["-9", &holder.pid.to_string()]).status().unwrap().success());
    gone(bench);
}

#[test]
fn one_key_restarts_a_killed_engine_and_its_run() {
    let videos = slow(20, 300);
    let bench = bench(&borrowed(&videos), CONFIG);
    let mut screen = open(&bench, &[], 100, 30);
    screen.shows("ready to start");
    screen.press("s", "● running");
    kill_engine(&bench);
    screen.shows("no background process");
    screen.press("s", "● running");
    screen.send("qx");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
}

#[test]
fn a_window_attaches_to_whatever_engine_appears() {
    let videos = slow(40, 500);
    let bench = bench(&borrowed(&videos), CONFIG);
    let mut screen = open(&bench, &[], 120, 40);
    screen.shows("ready to start");
    screen.press("s", "● running");
    kill_engine(&bench);
    screen.shows("no background process");
    screen.shows("lost the connection to the background process");
    let started = command(&bench, &["--batch", "--detach"]).output().unwrap();
    assert!(started.status.success(), "{started:?}");
    screen.shows("● running");
    screen.shows("reconnected (process");
    // It follows the run, and commands reach it.
    screen.press("s", "paused");
    screen.send("qx");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
}

#[test]
fn without_a_terminal_the_error_names_the_alternative() {
    let bench = bench(&[("A/v_a.mp4", "ok")], CONFIG);
    let output = command(&bench, &[]).stdin(std::process::Stdio::null()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("needs a terminal") && error.contains("reeldeck --batch"), "{error}");
    fs::write(bench.path("config.toml"), format!("{CONFIG}[tui]\ntheme = \"nosuch\"\n")).unwrap();
    let mut screen = open(&bench, &[], 80, 24);
    assert_eq!(screen.ends(), 2);
    assert!(screen.text().contains("unknown theme `nosuch`"), "{}", screen.text());
    fs::write(bench.path("config.toml"), format!("{CONFIG}[tui.keys]\nretyr = \"r\"\n")).unwrap();
    let mut screen = open(&bench, &[], 80, 24);
    assert_eq!(screen.ends(), 2);
    assert!(screen.text().contains("did you mean `retry`?"), "{}", screen.text());
}

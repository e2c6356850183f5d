//! The terminal interface with real videos, probe and worker.

use std::fs;
use std::process::Command;

use super::screen::Screen;
use crate::support::real::Real;
use crate::support::{programs, wait_for};
use serde_json::json;

const ESC: &str = "\x1b";
const ENTER: &str = "\r";
const DOWN: &str = "\x1b[B";

#[test]
fn a_truncated_video_fails_and_succeeds_after_repair() {
    let x264 = |frames: u64, seed: u64| json!({"frames": frames, "seed": seed, "width": 96, "height": 80});
    let dataset = Real::new(&[
        ("Archery/v_a.mp4", x264(70, 1)),
        ("Archery/v_b.mp4", x264(64, 2)),
        ("Zumba/v_c.mp4", x264(60, 3)),
        ("Zumba/v_cut.mp4", x264(80, 4)),
    ]);
    let whole = fs::read(dataset.video("Zumba/v_cut.mp4")).unwrap();
    fs::write(dataset.video("Zumba/v_cut.mp4"), &whole[..whole.len() / 2]).unwrap();
    // Recently changed files count as still arriving.
    for name in ["Archery/v_a.mp4", "Archery/v_b.mp4", "Zumba/v_c.mp4", "Zumba/v_cut.mp4"] {
        let file = fs::File::options().append(true).open(dataset.video(name)).unwrap();
        file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(3600)).unwrap();
    }
    // The folder behind the link looks like a dataset, too.
    let mut command = Command::new(env!("CARGO_BIN_EXE_reeldeck"));
    command.current_dir(dataset.dir.path()).args(["--recipe", "./tiny.toml", "--root", "data"]);
    command.env("REELDECK_WORKER", programs().join("reeldeck-worker"));
    command.env("REELDECK_PROBE", programs().join("reeldeck-probe"));
    let mut screen = Screen::open(&command, 110, 36);
    screen.shows("2 class folders, 4 videos");
    screen.press(&format!("{DOWN}{DOWN}"), "▸ checkpoint");
    screen.press("\x15seeded", "random weights");
    screen.send("\x13");
    // Checking finds the problem before the run.
    screen.shows("▲ corrupt 1");
    screen.press("s", "Run finished");
    screen.shows("3 done, 1 failed");
    screen.press("/", "enter apply");
    screen.press("cut", "1/1 ");
    screen.press(ENTER, "/cut");
    let details = screen.press(ENTER, "attempts");
    assert!(details.contains("moov"), "{details}");
    fs::write(dataset.video("Zumba/v_cut.mp4"), &whole).unwrap();
    screen.send("r");
    screen.shows("✔ done 4");
    screen.shows("80 of 80 frames");
    screen.press("o", "▀");
    screen.press(ESC, "2 Videos");
    screen.press("l", "hacs_data.txt");
    wait_for("the list is written", || {
        fs::read_to_string(dataset.path("out/hacs_data.txt")).is_ok_and(|list| list.lines().count() == 4)
    });
    screen.send("q");
    assert_eq!(screen.ends(), 0);
    wait_for("the engine exits", || reeldeck::internals::client::runs(&dataset.path("out")).unwrap().is_empty());
    assert_eq!(dataset.files("out", "features").len(), 4);
}

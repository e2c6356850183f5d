//! The settings are changed in the window.

use std::fs;

use super::bench::{CONFIG, DOWN, ESC, bench, borrowed, gone, open, slow};
use super::{Screen, kill_engine};
use crate::support::wait_for;

/// Closes the card and looks for a line in the whole log: the end of a run moves it out of a small one.
fn log_shows(screen: &mut Screen, line: &str) {
    screen.send(ESC);
    screen.shows_no("Run finished");
    screen.press("5z", line);
}

#[test]
fn from_missing_weights_through_the_settings_to_a_run() {
    let config = CONFIG.replace("\"seeded\"", "\"no-such.pth\" # mine");
    let bench = bench(&[("A/v_a.mp4", "ok")], &config);
    let mut screen = open(&bench, &[], 80, 24);
    screen.shows("no weights: press s");
    screen.shows("∘ queued 1");
    // Everything but extraction works.
    screen.press("l", "hacs_data.txt");
    screen.press("s", "Extraction needs weights");
    screen.shows("no-such.pth");
    screen.shows("name a file or a URL in the settings");
    screen.press(",", "takes effect at once");
    screen.shows("▸ checkpoint");
    screen.shows("no such file; type published");
    // Typing replaces the value.
    screen.press("seeded", "random weights");
    screen.shows("changed");
    screen.send("\x13");
    // The engine is restarted by the window.
    screen.shows("new settings in use: checkpoint");
    screen.shows("ready to start");
    let text = fs::read_to_string(bench.path("config.toml")).unwrap();
    assert_eq!(text, CONFIG.replace("\"seeded\"", "\"seeded\" # mine"), "all else stays");
    screen.press("s", "Run finished");
    screen.send(ESC);
    screen.shows_no("Run finished");
    screen.send("q");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
    assert_eq!(bench.files("features").len(), 1);
}

#[test]
fn settings_of_the_command_line_are_shown_and_replaced() {
    let bench = bench(&[("A/v_a.mp4", "ok")], CONFIG);
    let mut screen = open(&bench, &["--checkpoint", "no-such.pth"], 120, 40);
    screen.shows("no weights: press s");
    let form = screen.press(",", "command line");
    assert!(form.lines().any(|line| line.contains("no-such.pth") && line.contains("command line")), "{form}");
    screen.shows("▸ checkpoint");
    screen.press("seeded", "random weights");
    screen.send("\x13");
    screen.shows("new settings in use: checkpoint");
    screen.press("s", "Run finished");
    screen.send("qq");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
}

#[test]
fn settings_saved_during_a_run_are_used_by_the_next_one() {
    let videos = slow(6, 700);
    let bench = bench(&borrowed(&videos), CONFIG);
    let mut screen = open(&bench, &[], 120, 40);
    screen.shows("ready to start");
    screen.press("s", "● running");
    screen.press(",", "takes effect with the next run");
    screen.press(&format!("{DOWN}{DOWN}{DOWN}{DOWN}"), "▸ devices");
    screen.press("cpu*2", "2 workers on the CPU");
    screen.press("\x13", "in use from the next run");
    wait_for("it is written", || {
        fs::read_to_string(bench.path("config.toml")).is_ok_and(|text| text.contains("devices = \"cpu*2\""))
    });
    screen.shows("Run finished");
    screen.shows("6 done, 0 failed");
    // The results stay until the user starts a run, even if nothing is left to extract.
    screen.send(ESC);
    screen.shows_no("Run finished");
    screen.press("s", "new settings in use: devices");
    screen.shows("nothing left to extract");
    screen.send("q");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
}

#[test]
fn another_window_keeps_the_engine_and_the_message_says_so() {
    let bench = bench(&[("A/v_a.mp4", "ok")], CONFIG);
    let mut screen = open(&bench, &[], 120, 40);
    screen.shows("ready to start");
    let mut other = open(&bench, &[], 80, 24);
    other.shows("ready to start");
    screen.press(",", "save config.toml");
    screen.press(&format!("{DOWN}{DOWN}{DOWN}{DOWN}"), "▸ devices");
    screen.press("cpu*2", "2 workers on the CPU");
    screen.press("\x13", "other windows show this run");
    screen.send(ESC);
    screen.shows_no("not in use yet");
    other.send("q");
    assert_eq!(other.ends(), 0);
    // The next run uses them.
    screen.press("s", "Run finished");
    log_shows(&mut screen, "new settings in use: devices");
    screen.send("qq");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
}

#[test]
fn a_window_that_attaches_uses_its_settings_for_the_next_run() {
    let videos = slow(4, 500);
    let bench = bench(&borrowed(&videos), CONFIG);
    let mut screen = open(&bench, &[], 120, 40);
    screen.shows("ready to start");
    screen.press("s", "● running");
    screen.press("q", "detach");
    screen.send("d");
    assert_eq!(screen.ends(), 0);
    fs::write(bench.path("config.toml"), format!("devices = \"cpu*2\"\n{CONFIG}")).unwrap();
    let mut screen = open(&bench, &["attach"], 120, 40);
    screen.shows("the run has other settings");
    screen.shows("Run finished");
    screen.send(ESC);
    screen.shows_no("Run finished");
    screen.press("s", "new settings in use: config.toml");
    screen.send("q");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
}

#[test]
fn a_window_whose_output_folder_has_moved_says_so() {
    let bench = bench(&[("A/v_a.mp4", "ok")], CONFIG);
    let mut screen = open(&bench, &[], 120, 40);
    screen.shows("ready to start");
    kill_engine(&bench);
    screen.shows("no background process");
    fs::write(bench.path("config.toml"), format!("out = \"other\"\n{CONFIG}")).unwrap();
    screen.press("s", "save in the settings (,) to use");
    assert!(!bench.path("other").exists());
    screen.send(ESC);
    screen.shows_no("save in the settings");
    fs::write(bench.path("config.toml"), CONFIG).unwrap();
    screen.press("s", "Run finished");
    screen.send("qq");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
    // The window itself can use the other folder.
    let mut screen = open(&bench, &[], 120, 40);
    screen.shows("all done");
    kill_engine(&bench);
    screen.shows("no background process");
    fs::write(bench.path("config.toml"), format!("out = \"other\"\n{CONFIG}")).unwrap();
    screen.press("s", "save in the settings (,) to use");
    screen.press(",", "▸ dataset folder");
    screen.shows("other");
    screen.press("\x13", "config.toml was read again");
    screen.press("s", "Run finished");
    assert!(bench.path("other/features").exists());
    screen.send("qq");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
}

#[test]
fn weights_are_chosen_in_a_menu_and_features_of_others_are_counted() {
    let bench = bench(&[("A/v_a.mp4", "ok")], &CONFIG.replace("\"seeded\"", "\"\""));
    fs::create_dir_all(bench.path("out/features/older/A")).unwrap();
    fs::write(bench.path("out/features/older/A/v_a.mp4.safetensors"), "").unwrap();
    let mut screen = open(&bench, &[], 120, 40);
    screen.shows("no weights: press s");
    let menu = screen.press("s", "Extraction needs weights");
    assert!(!menu.contains("--checkpoint") && !menu.contains("wget"), "{menu}");
    screen.press("t", "Run finished");
    log_shows(&mut screen, "1 feature of older");
    assert_eq!(fs::read_to_string(bench.path("config.toml")).unwrap(), CONFIG);
    screen.send("qq");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
}

#[test]
fn a_wrong_dataset_folder_is_corrected_in_the_window_that_waits_for_it() {
    let bench = bench(&[("A/v_a.mp4", "ok")], &format!("root = \"nowhere\"\n{CONFIG}"));
    fs::create_dir_all(bench.path("out/.reeldeck")).unwrap();
    let mut screen = open(&bench, &[], 120, 40);
    screen.shows("waiting for the dataset folder");
    screen.shows("change it in the settings (,)");
    screen.press(",", "▸ dataset folder");
    screen.press("data", "1 class folder, 1 video");
    screen.send("\x13");
    screen.shows("new settings in use: dataset folder");
    screen.press("s", "Run finished");
    screen.send("qq");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
}

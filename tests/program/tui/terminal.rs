//! The terminal itself: hangup, suspend, resize, panic, colours and frames.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::bench::{CONFIG, DOWN, ESC, bench, borrowed, command, end, engines, gone, open, slow};
use super::screen::Screen;
use crate::support::{Bench, wait_for};

#[test]
fn a_hangup_ends_the_window_but_not_the_run() {
    let videos = slow(40, 250);
    let bench = bench(&borrowed(&videos), CONFIG);
    let mut screen = open(&bench, &[], 100, 30);
    screen.shows("ready to start");
    screen.press("s", "● running");
    screen.hang_up();
    screen.ends();
    let before = bench.files("features").len();
    wait_for("the run continues", || bench.files("features").len() > before + 1);
    // A signal has the same effect and also restores the terminal.
    let mut screen = open(&bench, &[], 100, 30);
    screen.shows("● running");
    for how in ["-HUP", "-TERM"] {
        assert!(Command::new("kill").args([how, &screen.pid().to_string()]).status().unwrap().success());
        assert_eq!(screen.ends(), 0);
        assert!(!screen.is_taken() && !screen.hides_cursor());
        screen = open(&bench, &[], 100, 30);
        screen.shows("● running");
    }
    assert_eq!(engines(&bench), 1);
    screen.send("qx");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
}

/// Runs reeldeck under a shell, which is then the session leader.
fn under_a_shell(bench: &Bench) -> Screen {
    let like = command(bench, &[]);
    let mut shell = Command::new("sh");
    shell.current_dir(bench.dir.path()).arg("-c").arg(format!("{}; echo and so on", env!("CARGO_BIN_EXE_reeldeck")));
    for (key, value) in like.get_envs().filter_map(|(key, value)| Some((key, value?))) {
        shell.env(key, value);
    }
    Screen::open(&shell, 100, 30)
}

/// Presses Ctrl-Z, and continues the process as a shell would.
fn suspend_and_continue(screen: &mut Screen) {
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", screen.pid())).unwrap();
    let window: u32 = children.split_whitespace().next().unwrap().parse().unwrap();
    let is_stopped = || fs::read_to_string(format!("/proc/{window}/stat")).is_ok_and(|stat| stat.contains(") T "));
    screen.send("\x1a");
    wait_for("it is stopped", is_stopped);
    wait_for("the terminal is the shell's", || !screen.is_taken() && !screen.hides_cursor());
    assert!(Command::new("kill").args(["-CONT", &window.to_string()]).status().unwrap().success());
    wait_for("the terminal is taken again", || screen.is_taken());
}

#[test]
fn suspending_restores_the_terminal_and_resuming_redraws() {
    let bench = bench(&[("A/v_a.mp4", "ok")], CONFIG);
    let mut screen = under_a_shell(&bench);
    screen.shows("ready to start");
    for _ in 0..2 {
        suspend_and_continue(&mut screen);
        screen.shows("ready to start");
        screen.shows("v_a.mp4");
        // Keys still work.
        screen.press("?", "Navigation");
        screen.send(ESC);
        screen.shows_no("Navigation");
    }
    screen.send("q");
    screen.shows("and so on");
    gone(&bench);
    // A session leader cannot be suspended.
    let mut screen = open(&bench, &[], 100, 30);
    screen.shows("ready to start");
    screen.press("\x1a", "no shell started this program");
    screen.send("q");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
}

#[test]
fn the_setup_form_can_be_suspended() {
    let bench = bench(&[("A/v_a.mp4", "ok")], "");
    let mut screen = under_a_shell(&bench);
    screen.shows("first start");
    screen.shows("1 class folder");
    suspend_and_continue(&mut screen);
    screen.shows("first start");
    // Keys still work, and an unedited form can be left at once.
    screen.press(DOWN, "▸ output folder");
    screen.send("\x03");
    screen.shows("and so on");
    screen.shows("nothing was saved");
    assert!(!bench.path("config.toml").exists());
}

#[test]
fn rapid_resizes_leave_a_correct_screen() {
    let videos = slow(30, 150);
    let bench = bench(&borrowed(&videos), CONFIG);
    let mut screen = open(&bench, &[], 120, 40);
    screen.shows("ready to start");
    screen.send("s");
    for i in 0..120_u16 {
        screen.resize(1 + i * 37 % 190, 1 + i * 23 % 60);
    }
    screen.resize(20, 5);
    screen.shows("too small");
    screen.resize(140, 44);
    screen.shows("5 Log");
    screen.until("the last line is the keys'", |text| {
        text.lines().next_back().is_some_and(|line| line.contains("? help"))
    });
    screen.send("qx");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
}

#[test]
fn a_panic_restores_the_terminal_and_writes_a_report() {
    let bench = bench(&[("A/v_a.mp4", "ok")], CONFIG);
    fs::create_dir_all(bench.path("out/.reeldeck")).unwrap();
    let mut like = command(&bench, &[]);
    like.env("REELDECK_BREAK_SCREEN", "1");
    let mut screen = Screen::open(&like, 100, 30);
    assert_eq!(screen.ends(), 1);
    assert!(!screen.is_taken() && !screen.hides_cursor());
    let text = screen.text();
    assert!(text.contains("reeldeck crashed") && text.contains("a report is in"), "{text}");
    let reports: Vec<_> = fs::read_dir(bench.path("out/.reeldeck"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("reeldeck-panic-"))
        .collect();
    assert_eq!(reports.len(), 1);
    assert!(fs::read_to_string(&reports[0]).unwrap().contains("tui/run.rs"));
    end(&bench);
}

#[test]
fn the_log_opens_in_the_pager_and_the_window_comes_back() {
    let bench = bench(&[("A/v_a.mp4", "ok")], CONFIG);
    let pager = bench.path("pager");
    fs::write(&pager, "#!/bin/sh\nhead -c 11 \"$2\"\necho the pager has $1\nread line\nexit 3\n").unwrap();
    fs::set_permissions(&pager, fs::Permissions::from_mode(0o755)).unwrap();
    let mut like = command(&bench, &[]);
    like.env("PAGER", format!("{} option", pager.display()));
    let mut screen = Screen::open(&like, 120, 40);
    screen.shows("ready to start");
    screen.press("5o", "the pager has option");
    assert!(!screen.is_taken());
    // Keys are for the pager. Its exit code is reported.
    screen.press("q\r", "exit status: 3");
    assert!(screen.is_taken());
    screen.press("?", "Symbols");
    screen.send(ESC);
    screen.shows_no("Symbols");
    screen.send("q");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
}

#[test]
fn the_end_of_a_run_is_announced_and_the_title_shows_the_progress() {
    let videos = slow(8, 300);
    let config = format!("{CONFIG}[tui]\nnotify = \"osc777\"\nprogress = \"on\"\n");
    let bench = bench(&borrowed(&videos), &config);
    let mut screen = open(&bench, &[], 120, 40);
    screen.shows("ready to start");
    screen.press("s", "Run finished");
    screen.send("q");
    assert_eq!(screen.ends(), 0);
    let raw = String::from_utf8_lossy(&screen.raw()).into_owned();
    for part in
        ["\x1b]777;notify;reeldeck", ";run finished in ", "\x07\x07", "\x1b]9;4;1;", "\x1b]9;4;0\x07", " % reeldeck"]
    {
        assert!(raw.contains(part), "{part:?}");
    }
    let line = screen.text();
    assert!(line.contains("run finished in ") && line.contains("8 done, 0 failed"), "{line}");
    gone(&bench);
}

#[test]
fn frames_are_written_whole() {
    let bench = bench(&[("A/v_a.mp4", "ok")], CONFIG);
    let mut screen = open(&bench, &[], 120, 40);
    screen.shows("ready to start");
    screen.press("?", "Symbols");
    screen.send(ESC);
    screen.shows_no("Symbols");
    let raw = String::from_utf8_lossy(&screen.raw()).into_owned();
    let (begun, ended) = (raw.matches("\x1b[?2026h").count(), raw.matches("\x1b[?2026l").count());
    assert!(begun >= 2 && begun == ended, "{begun} {ended}");
    screen.send("q");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
}

#[test]
fn without_colours_and_in_ascii() {
    let bench = bench(&[("A/v_é.mp4", "ok")], CONFIG);
    let mut like = command(&bench, &["--ascii"]);
    like.env("NO_COLOR", "1");
    let mut screen = Screen::open(&like, 100, 30);
    let text = screen.shows("ready to start");
    assert!(text.is_ascii(), "{text}");
    screen.shows("v_?.mp4");
    let raw = String::from_utf8_lossy(&screen.raw()).into_owned();
    // 30 to 38 set the foreground, 40 to 48 the background, 90 to 107 bright colours.
    let codes = raw.split("\x1b[").filter_map(|part| {
        let end = part.find(|c: char| !c.is_ascii_digit() && c != ';')?;
        part[end..].starts_with('m').then(|| &part[..end])
    });
    let is_colour =
        |code: &&str| code.split(';').any(|n| n.parse().is_ok_and(|n| matches!(n, 30..=38 | 40..=48 | 90..=107)));
    let coloured: Vec<&str> = codes.filter(is_colour).collect();
    assert!(coloured.is_empty(), "{coloured:?}");
    screen.send("q");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
}

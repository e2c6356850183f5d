//! The terminal interface as people use it: the program in a terminal, keys typed, the screen looked at, an engine with a
//! worker that does what the "videos" say.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fs;
use std::process::Command;

use support::prober::{put, settled};
use support::screen::Screen;
use support::{Bench, wait_for};

const CONFIG: &str = "recipe = \"./tiny.toml\"\ncheckpoint = \"seeded\"\n[engine]\nlinger_s = 1\norder = \"list\"\n\
                      [watch]\nsettle_s = 0\npoll_s = 1\nmode = \"polling\"\n";

/// A dataset of these "videos" with a configuration; or without.
fn bench(videos: &[(&str, &str)], config: &str) -> Bench {
    let bench = Bench::new(&[]);
    for (name, script) in videos {
        settled(&bench, name, script, 0);
    }
    if !config.is_empty() {
        fs::write(bench.path("config.toml"), config).unwrap();
    }
    put(&bench);
    bench
}

/// reeldeck without a command that is named here.
fn command(bench: &Bench, arguments: &[&str]) -> Command {
    let like = bench.command(&[]);
    let mut command = Command::new(like.get_program());
    command.current_dir(bench.dir.path()).args(arguments).env("REELDECK_PROBE", bench.path("prober"));
    for (key, value) in like.get_envs().filter_map(|(key, value)| Some((key, value?))) {
        command.env(key, value);
    }
    command
}

fn open(bench: &Bench, arguments: &[&str], columns: u16, rows: u16) -> Screen {
    Screen::open(&command(bench, arguments), columns, rows)
}

fn engines(bench: &Bench) -> usize {
    reeldeck::client::runs(&bench.path("out")).unwrap().len()
}

/// Without anybody who looks on, the engine leaves.
fn gone(bench: &Bench) {
    wait_for("the engine leaves", || engines(bench) == 0);
}

fn end(bench: &Bench) {
    let _ = command(bench, &["stop", "--now", "-q"]).output().unwrap();
    gone(bench);
}

const ESC: &str = "\x1b";
const ENTER: &str = "\r";
const DOWN: &str = "\x1b[B";

/// So many videos that take so long.
fn slow(count: usize, ms: usize) -> Vec<(String, String)> {
    (0..count).map(|i| (format!("A/v_{i:03}.mp4"), format!("slow {ms}"))).collect()
}

fn borrowed(videos: &[(String, String)]) -> Vec<(&str, &str)> {
    videos.iter().map(|(name, script)| (name.as_str(), script.as_str())).collect()
}

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
    // A form, with the folder that looks like a dataset filled in already.
    screen.shows("first start");
    screen.shows("3 class folders, 5 videos");
    screen.press(&format!("{DOWN}{DOWN}"), "▸ checkpoint");
    screen.press("seeded", "made-up");
    screen.send("\x13");
    wait_for("the configuration is written", || bench.path("config.toml").exists());
    let config = fs::read_to_string(bench.path("config.toml")).unwrap();
    assert!(config.contains("root = \"videos\"") && config.contains("checkpoint = \"seeded\""), "{config}");
    // Looked through, and what is wrong stands on top.
    screen.shows("ready to start");
    screen.shows("▲ corrupt 1");
    screen.until("the corrupt one comes first", |text| {
        text.lines().find(|line| line.contains("v_")).is_some_and(|line| line.contains("v_ba.mp4"))
    });
    // A filter, a mark, and back.
    screen.press("/", "enter keep");
    screen.press("zumba", "1/1 ");
    screen.press(ENTER, "/zumba");
    screen.press(" ", "1 marked");
    screen.press(ESC, "1/5 ");
    screen.shows("1 marked");
    screen.press(ESC, "1/5 ");
    screen.shows_no("marked");
    // The run, to its end.
    screen.press("s", "the run is over: 3 done, 2 failed");
    screen.shows("✔ done 3");
    // One of them in full: every attempt with its error.
    screen.press("/", "enter keep");
    screen.press("v_za", "1/1 ");
    screen.press(ENTER, "/v_za");
    screen.press(ENTER, "attempts");
    screen.shows("as it was told");
    // Somebody has put it right: extracted again from here, it is done.
    fs::rename(bench.path("videos"), bench.path("data")).unwrap();
    settled(&bench, "Zumba/v_za.mp4", "ok now", 5);
    fs::rename(bench.path("data"), bench.path("videos")).unwrap();
    screen.shows("· ready 1");
    screen.send("r");
    screen.shows("✔ done 4");
    screen.press(ESC, "2 Videos");
    screen.press(ESC, "/5 ");
    screen.press("e", "Export");
    screen.press("p", "exported 4 videos");
    assert!(bench.export("result.pkl").exists());
    // Nothing is going on: one simply leaves, and takes the engine along.
    screen.send("q");
    assert_eq!(screen.ends(), 0);
    assert!(!screen.is_taken() && !screen.hides_cursor());
    gone(&bench);
    assert_eq!(bench.files("features").len(), 4);
}

#[test]
fn a_run_is_left_found_again_paused_and_stopped() {
    let videos = slow(60, 400);
    let bench = bench(&borrowed(&videos), CONFIG);
    let mut screen = open(&bench, &[], 120, 40);
    screen.shows("ready to start");
    screen.press("s", "● running");
    screen.press("q", "detach: the run goes on");
    screen.press("d", "the run goes on (process");
    assert_eq!(screen.ends(), 0);
    assert!(!screen.is_taken());
    assert_eq!(engines(&bench), 1);
    // By either way it is found where it stands.
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
fn what_arrives_is_shown_and_what_is_excluded_is_left_alone() {
    let bench = bench(&[("A/v_a.mp4", "ok"), ("A/v_b.mp4", "ok")], CONFIG);
    let mut screen = open(&bench, &[], 120, 40);
    screen.shows("of 2");
    settled(&bench, "B/v_c.mp4", "ok", 0);
    screen.shows("of 3");
    screen.press("/", "enter keep");
    screen.press("v_b", "1/1 ");
    screen.press(ENTER, "/v_b");
    screen.press("x", "⊘ excluded");
    screen.press("u", "taken back");
    screen.shows_no("⊘ excluded");
    screen.press("x", "⊘ excluded");
    screen.press(ESC, "/3 ");
    screen.press("s", "the run is over: 2 done");
    screen.send("q");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
    assert_eq!(bench.files("features").len(), 2);
}

#[test]
fn a_terminal_that_hangs_up_takes_the_window_along_and_not_the_run() {
    let videos = slow(40, 250);
    let bench = bench(&borrowed(&videos), CONFIG);
    let mut screen = open(&bench, &[], 100, 30);
    screen.shows("ready to start");
    screen.press("s", "● running");
    screen.hang_up();
    screen.ends();
    let before = bench.files("features").len();
    wait_for("the run goes on", || bench.files("features").len() > before + 1);
    // A signal alone does the same, and gives the terminal back.
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
    screen.send("qn");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
}

#[test]
fn control_z_gives_the_terminal_back_and_all_is_drawn_anew() {
    let bench = bench(&[("A/v_a.mp4", "ok")], CONFIG);
    // Under a shell, which is the session's first process.
    let like = command(&bench, &[]);
    let mut shell = Command::new("sh");
    shell.current_dir(bench.dir.path()).arg("-c").arg(format!("{}; echo and so on", env!("CARGO_BIN_EXE_reeldeck")));
    for (key, value) in like.get_envs().filter_map(|(key, value)| Some((key, value?))) {
        shell.env(key, value);
    }
    let mut screen = Screen::open(&shell, 100, 30);
    screen.shows("ready to start");
    let children = || {
        let path = format!("/proc/{0}/task/{0}/children", screen.pid());
        fs::read_to_string(path).unwrap().split_whitespace().map(|pid| pid.parse::<u32>().unwrap()).next().unwrap()
    };
    let window = children();
    let is_stopped = || fs::read_to_string(format!("/proc/{window}/stat")).is_ok_and(|stat| stat.contains(") T "));
    for _ in 0..2 {
        screen.send("\x1a");
        wait_for("it is stopped", is_stopped);
        wait_for("the terminal is the shell's", || !screen.is_taken() && !screen.hides_cursor());
        assert!(Command::new("kill").args(["-CONT", &window.to_string()]).status().unwrap().success());
        wait_for("the terminal is taken again", || screen.is_taken());
        screen.shows("ready to start");
        screen.shows("v_a.mp4");
        // And keys are heard.
        screen.press("?", "Moving about");
        screen.send(ESC);
        screen.shows_no("Moving about");
    }
    screen.send("q");
    screen.shows("and so on");
    gone(&bench);
    // With no shell to go back to, it stays.
    let mut screen = open(&bench, &[], 100, 30);
    screen.shows("ready to start");
    screen.press("\x1a", "no shell to go back to");
    screen.send("q");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
}

#[test]
fn sizes_come_thick_and_fast() {
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
    screen.send("qn");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
}

#[test]
fn when_it_breaks_it_gives_the_terminal_back_and_says_where_the_report_is() {
    let bench = bench(&[("A/v_a.mp4", "ok")], CONFIG);
    fs::create_dir_all(bench.path("out/.reeldeck")).unwrap();
    let mut like = command(&bench, &[]);
    like.env("REELDECK_BREAK_SCREEN", "1");
    let mut screen = Screen::open(&like, 100, 30);
    assert_eq!(screen.ends(), 1);
    assert!(!screen.is_taken() && !screen.hides_cursor());
    let text = screen.text();
    assert!(text.contains("reeldeck broke") && text.contains("a report is in"), "{text}");
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
fn frames_come_whole_and_only_when_something_has_changed() {
    let bench = bench(&[("A/v_a.mp4", "ok")], CONFIG);
    let mut screen = open(&bench, &[], 120, 40);
    screen.shows("ready to start");
    screen.press("?", "Moving about");
    screen.send(ESC);
    screen.shows_no("Moving about");
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
    // Colours are 30 to 37 and 38;… of the foreground, 40 to 48 of the background, and their bright ones.
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

#[test]
fn an_engine_that_cannot_begin_says_so_on_the_screen() {
    let bench = bench(&[("A/v_a.mp4", "ok")], "checkpoint = \"no-such.pth\"\n");
    let mut screen = open(&bench, &[], 100, 30);
    screen.shows("no-such.pth");
    screen.send(ESC);
    screen.shows_no("could not be started");
    screen.shows("no engine");
    screen.send("q");
    assert_eq!(screen.ends(), 0);
    assert_eq!(engines(&bench), 0);
}

#[test]
fn an_engine_that_is_killed_can_be_started_again() {
    let videos = slow(20, 300);
    let bench = bench(&borrowed(&videos), CONFIG);
    let mut screen = open(&bench, &[], 100, 30);
    screen.shows("ready to start");
    screen.press("s", "● running");
    let (_, holder) = reeldeck::client::runs(&bench.path("out")).unwrap().remove(0);
    assert!(Command::new("kill").args(["-9", &holder.pid.to_string()]).status().unwrap().success());
    screen.shows("no engine");
    screen.press("s", "ready to start");
    screen.press("s", "● running");
    screen.send("qn");
    assert_eq!(screen.ends(), 0);
    gone(&bench);
}

#[test]
fn without_a_terminal_it_says_what_to_do_instead() {
    let bench = bench(&[("A/v_a.mp4", "ok")], CONFIG);
    let output = command(&bench, &[]).stdin(std::process::Stdio::null()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("needs a terminal") && error.contains("reeldeck --batch"), "{error}");
    let mut screen = open(&bench, &["--theme", "nosuch"], 80, 24);
    assert_eq!(screen.ends(), 2);
    assert!(screen.text().contains("no theme `nosuch`"), "{}", screen.text());
    fs::write(bench.path("config.toml"), format!("{CONFIG}[tui.keys]\nretyr = \"r\"\n")).unwrap();
    let mut screen = open(&bench, &[], 80, 24);
    assert_eq!(screen.ends(), 2);
    assert!(screen.text().contains("did you mean `retry`?"), "{}", screen.text());
}

/// What it costs: `make tui-bench`. Prints, and checks nothing but that it works.
#[test]
#[ignore = "it measures, on a machine that does nothing else"]
fn figures() {
    use std::time::{Duration, Instant};
    let videos = slow(2_000, 1_000);
    let bench = bench(&borrowed(&videos), &CONFIG.replace("checkpoint", "devices = \"cpu*8\"\ncheckpoint"));
    // Not its building is measured.
    support::fake_worker();
    let began = Instant::now();
    let mut screen = open(&bench, &[], 120, 40);
    while screen.bytes() < 500 {
        std::thread::sleep(Duration::from_micros(200));
    }
    println!("start to first frame: {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    screen.shows("ready to start");
    println!("start to the dataset on the screen: {:.0} ms", began.elapsed().as_secs_f64() * 1e3);
    screen.press("s", "● running");
    screen.shows("✔ done 1");
    for (how, arguments) in [("4 Hz", &[][..]), ("--low-bandwidth", &["--low-bandwidth"])] {
        let screen = open(&bench, arguments, 120, 40);
        screen.shows("● running");
        std::thread::sleep(Duration::from_secs(3));
        let (before, began) = (screen.bytes(), Instant::now());
        std::thread::sleep(Duration::from_secs(20));
        let rate = (screen.bytes() - before) as f64 / began.elapsed().as_secs_f64();
        println!("steady run of 8 devices at 120x40, {how}: {rate:.0} bytes/s");
    }
    screen.press("G", "2,000/2,000 ");
    let mut times = vec![];
    for i in 0..60 {
        let (key, then) = if i % 2 == 0 { ("g", "") } else { ("G", "2,000/2,000 ") };
        let began = Instant::now();
        match then {
            "" => drop(screen.send("gg").until("the first row", |text| text.contains(" 1/2,000 "))),
            then => drop(screen.press(key, then)),
        }
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    println!(
        "key to screen with a run going, first to last of 2,000 and back: median {:.0} ms, worst {:.0} ms (looked at every 15 ms)",
        times[30], times[59]
    );
    let status = fs::read_to_string(format!("/proc/{}/status", screen.pid())).unwrap();
    println!("window: {}", status.lines().find(|line| line.starts_with("VmRSS")).unwrap());
    screen.send("q").shows("detach");
    screen.send("n");
    screen.ends();
    gone(&bench);
}

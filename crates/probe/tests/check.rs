//! `reeldeck-probe check`: its output for people and for reeldeck, its memory, and how it ends.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use reeldeck_common::limits::Limits;
use reeldeck_common::probe::{Answer, Level, Line, Order, Verdict};
use reeldeck_common::protocol;
use reeldeck_common::source::SourceStamp;
use serde_json::json;
use tempfile::TempDir;

const PROBE: &str = env!("CARGO_BIN_EXE_reeldeck-probe");

/// Generates a video in the folder.
fn make(folder: &Path, name: &str, frames: u64, size: (u32, u32)) -> PathBuf {
    let path = folder.join(name);
    let options = json!({"preset": "ultrafast", "g": "60", "qp": if size.0 > 64 { "0" } else { "23" }});
    let video = json!({"width": size.0, "height": size.1, "frames": frames, "options": options,
        "container": {"movflags": "+faststart"}});
    let mut child = Command::new(PROBE).arg("synth").stdin(Stdio::piped()).spawn().unwrap();
    let jobs = json!([{"file": path, "video": video}]).to_string();
    child.stdin.take().unwrap().write_all(jobs.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    path
}

/// Sends orders as text and waits for the process to end.
fn serve(args: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(PROBE);
    command.arg("check").args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    // A process that ends early does not read all orders.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn order(id: u64, path: &Path, level: Level) -> String {
    protocol::line(&Order { id, path: path.to_owned(), level, limits: Limits::default() }).unwrap()
}

fn answers(output: &Output) -> Vec<Answer> {
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let lines = std::str::from_utf8(&output.stdout).unwrap().lines();
    let answer = |line: &str| match serde_json::from_str(line).unwrap() {
        Line::Answer(answer) => Some(answer),
        Line::Alive(_) => None,
    };
    lines.filter_map(answer).collect()
}

#[test]
fn orders_are_answered_one_by_one_until_the_input_ends() {
    let folder = TempDir::new().unwrap();
    let whole = make(folder.path(), "a.mp4", 90, (64, 48));
    let cut = folder.path().join("cut.mp4");
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() * 2 / 3]).unwrap();
    let orders = [
        order(7, &whole, Level::Quick),
        order(3, &folder.path().join("none.mp4"), Level::Deep),
        order(3, &cut, Level::Quick),
        order(9, folder.path(), Level::Deep),
        order(0, &whole, Level::Deep),
    ];
    let answers = answers(&serve(&["--memory-mib", "2000"], orders.concat().as_bytes()));
    assert_eq!(answers.iter().map(|answer| answer.id).collect::<Vec<_>>(), [7, 3, 3, 9, 0]);
    assert!(answers[0].cpu_us > 0);
    let missing = answers[1].found.as_ref().unwrap_err();
    assert_eq!(missing, "failed to read the file: No such file or directory (os error 2)");
    let found = |at: usize| answers[at].found.clone().unwrap();
    for (at, level) in [(0, Level::Quick), (4, Level::Deep)] {
        assert_eq!((found(at).level, found(at).source), (level, SourceStamp::read(&whole).unwrap()));
        let Verdict::Healthy { facts } = found(at).verdict else { panic!("{answers:?}") };
        assert_eq!((facts.frames, facts.size, facts.fps, facts.codec.as_str()), (90, [64, 48], [30, 1], "h264"));
        assert!((facts.duration_s - 3.0).abs() < 0.01 && facts.container.contains("mp4"));
    }
    let Verdict::Damaged { lost, reason, .. } = found(2).verdict else { panic!("{answers:?}") };
    assert!(lost > 0 && reason.contains("too early"), "{reason}");
    assert!(matches!(found(3).verdict, Verdict::Corrupt { .. }));
    assert!(serve(&[], b"").status.success());
}

#[test]
fn what_is_no_order_ends_it_with_a_message() {
    for (input, says) in [
        ("{}\n".to_owned(), "error: not an order: {}: missing field"),
        (
            order(1, Path::new("/"), Level::Quick).trim_end().to_owned(),
            "error: failed to read an order: the last line is incomplete",
        ),
        ("x".repeat(2 << 20) + "\n", "error: failed to read an order: a line is longer than"),
        ("\u{1b}[2J\n".to_owned(), "error: not an order: \\u{1b}[2J"),
    ] {
        let output = serve(&[], input.as_bytes());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.starts_with(says), "{said}");
        assert!(output.stdout.is_empty());
    }
    let mixed = Command::new(PROBE).args(["check", "a.mp4", "--memory-mib", "5"]).output().unwrap();
    assert_eq!(mixed.status.code(), Some(2));
}

#[test]
fn many_files_need_no_more_memory_than_one() {
    let folder = TempDir::new().unwrap();
    let path = make(folder.path(), "a.mp4", 30, (640, 480));
    // If any of this was kept, it would exceed the address space several times.
    let (mebibytes, size) = (400, std::fs::metadata(&path).unwrap().len());
    let rounds = 3 * (mebibytes << 20) / size;
    let orders: String = (0..rounds).map(|id| order(id, &path, Level::Quick)).collect();
    let answers = answers(&serve(&["--memory-mib", &mebibytes.to_string()], orders.as_bytes()));
    assert_eq!(answers.len() as u64, rounds);
    for answer in answers {
        assert!(matches!(answer.found.unwrap().verdict, Verdict::Healthy { .. }));
    }
}

#[test]
fn it_ends_with_the_process_that_started_it() {
    let mut parent = Command::new("sh");
    // The shell starts the probe, prints its process id and waits. The pipe stays open, so only the kernel can end the probe.
    parent
        .args(["-c", "exec 3<&0; \"$0\" check <&3 & echo $!; wait", PROBE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut parent = parent.spawn().unwrap();
    let mut orders = parent.stdin.take().unwrap();
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let process = PathBuf::from("/proc").join(lines.next().unwrap().unwrap().trim());
    let is_prober =
        || std::fs::read_to_string(process.join("comm")).is_ok_and(|name| name.starts_with("reeldeck-prob"));
    // Before it answers, it has tied itself to its parent.
    orders.write_all(order(1, Path::new("/"), Level::Quick).as_bytes()).unwrap();
    lines.next().unwrap().unwrap();
    assert!(is_prober());
    parent.kill().unwrap();
    parent.wait().unwrap();
    let killed = Instant::now();
    while is_prober() {
        assert!(killed.elapsed() < Duration::from_secs(300), "it outlives its parent");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn people_get_a_line_for_each_file() {
    let folder = TempDir::new().unwrap();
    let whole = make(folder.path(), "a.mp4", 90, (64, 48));
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::write(folder.path().join("cut.mp4"), &bytes[..bytes.len() * 2 / 3]).unwrap();
    std::fs::write(folder.path().join("te\u{1b}xt.mp4"), "<html>").unwrap();
    let run = |args: &[&str]| {
        let output = Command::new(PROBE).arg("check").args(args).current_dir(folder.path()).output().unwrap();
        assert!(output.stderr.is_empty());
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(run(&["a.mp4"]), (0, "healthy    a.mp4: 90 frames, 3.0 s, 64×48, h264\n".to_owned()));
    assert_eq!(run(&["--deep", "a.mp4"]).0, 0);
    let (code, text) = run(&["a.mp4", "cut.mp4", "te\u{1b}xt.mp4", "none.mp4", "--deep"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((code, lines.len()), (3, 4), "{text}");
    assert!(lines[0].starts_with("healthy    a.mp4: "));
    assert!(lines[1].starts_with("damaged    cut.mp4: the file ends ") && lines[1].contains(" lost, "), "{text}");
    assert!(lines[2].starts_with("corrupt    te\\u{1b}xt.mp4: not a video file"), "{text}");
    assert!(lines[3].starts_with("unread     none.mp4: failed to read the file: No such file"), "{text}");
}

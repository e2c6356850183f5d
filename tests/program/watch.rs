//! `--watch`: reports and lists stay current while files appear and disappear.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, SystemTime};

use crate::support::{signal, wait_for};
use serde_json::Value;
use tempfile::TempDir;

/// A prober that reports files with `corrupt` in their name as corrupt.
const PROBER: &str = r#"#!/bin/bash
facts='{"duration_s":1.0,"frames":30,"fps":[30,1],"size":[64,48],"codec":"h264","container":"mp4"}'
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%,*}
  path=${line#*\"path\":\"}; path=${path%%\"*}
  answer() { echo "{\"id\":$id,\"cpu_us\":1,\"found\":$1}"; }
  if [ "$path" = / ]; then answer '{"Err":"a folder"}'; continue; fi
  stamp=$(stat -L -c '%s %.9Y' "$path"); size=${stamp% *}; time=${stamp#* }
  verdict="{\"is\":\"healthy\",\"facts\":$facts}"
  case "$path" in *v_bad*) verdict='{"is":"corrupt","reason":"cut"}' ;; esac
  answer "{\"Ok\":{\"level\":\"quick\",\"source\":{\"size\":$size,\"mtime_ns\":${time/./}},\"verdict\":$verdict}}"
done
"#;

struct Bench(TempDir);

impl Bench {
    fn new(settle_s: u64) -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        fs::write(bench.path("config.toml"), format!("[watch]\nsettle_s = {settle_s}\npoll_s = 1\n")).unwrap();
        fs::write(bench.path("list.txt"), "a,Archery\nb,Archery\nc,Archery\n").unwrap();
        fs::write(bench.path("script"), PROBER).unwrap();
        fs::set_permissions(bench.path("script"), fs::Permissions::from_mode(0o755)).unwrap();
        // Written by another process: a child of another test may inherit the file while this process writes it, and then
        // the file cannot be executed.
        assert!(Command::new("cp").arg(bench.path("script")).arg(bench.path("fake")).status().unwrap().success());
        bench.put("Archery/v_a.mp4", 3600);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Adds a video in one step, last modified this many seconds ago.
    fn put(&self, name: &str, seconds: u64) {
        let path = self.path("data").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let hidden = path.with_file_name(".put");
        fs::write(&hidden, name).unwrap();
        let file = fs::File::options().append(true).open(&hidden).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
        drop(file);
        fs::rename(hidden, path).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path("data").join(name)).unwrap();
    }

    fn start(&self, arguments: &[&str]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reeldeck"));
        command.current_dir(self.0.path()).env("REELDECK_PROBE", self.path("fake"));
        command.args(["--manifest", "list.txt"]).args(arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Running { child, lines, states: BTreeMap::new() }
    }
}

/// A running command, and its last report for each video.
struct Running {
    child: Child,
    lines: Receiver<String>,
    states: BTreeMap<String, String>,
}

impl Running {
    #[track_caller]
    fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(300)).expect("it says something more")
    }

    /// Reads JSON lines until the reported states equal these.
    #[track_caller]
    fn until(&mut self, expected: &[(&str, &str)]) {
        let expected: BTreeMap<_, _> = expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        while self.states != expected {
            let line: Value = serde_json::from_str(&self.line()).unwrap();
            assert_eq!(line["schema"], 1);
            for video in line["videos"].as_array().unwrap() {
                let key = video["id"].as_str().or(video["files"][0]["name"].as_str()).unwrap();
                self.states.insert(key.to_owned(), video["state"]["is"].as_str().unwrap().to_owned());
            }
            for gone in line["gone"].as_array().into_iter().flatten() {
                assert!(self.states.remove(gone.as_str().unwrap()).is_some(), "{gone} was never there");
            }
            let of = |state: &str| self.states.values().filter(|is| *is == state).count();
            assert_eq!(line["all"]["states"]["missing"], of("missing"));
            assert_eq!(line["all"]["states"]["ready"], of("ready"));
        }
    }

    /// Reads text until a line contains this.
    #[track_caller]
    fn until_line(&self, text: &str) {
        while !self.line().contains(text) {}
    }

    #[track_caller]
    fn end(mut self, with: &str, code: i32) -> Vec<String> {
        signal(&self.child, with);
        let rest = self.lines.iter().collect();
        assert_eq!(self.child.wait().unwrap().code(), Some(code));
        rest
    }
}

#[test]
fn a_scan_stays_current_as_files_come_and_go() {
    for more in [&[][..], &["--poll"]] {
        let bench = Bench::new(0);
        let mut scan = bench.start(&[&["scan", "--quick", "--watch", "--json"], more].concat());
        scan.until(&[("a", "ready"), ("b", "missing"), ("c", "missing")]);
        bench.put("Archery/v_b.mp4", 0);
        scan.until(&[("a", "ready"), ("b", "ready"), ("c", "missing")]);
        bench.put("New/v_x.mp4", 0);
        bench.put("Archery/v_c.webm", 0);
        bench.remove("Archery/v_a.mp4");
        scan.until(&[("a", "missing"), ("b", "ready"), ("c", "ready"), ("New/v_x.mp4", "unlisted")]);
        bench.remove("New/v_x.mp4");
        bench.put("Archery/v_a.mp4", 0);
        scan.until(&[("a", "ready"), ("b", "ready"), ("c", "ready")]);
        bench.put("Zumba/v_c.mp4", 0);
        scan.until(&[("a", "ready"), ("b", "ready"), ("c", "duplicate")]);
        bench.remove("Zumba/v_c.mp4");
        scan.until(&[("a", "ready"), ("b", "ready"), ("c", "ready")]);
        assert!(scan.end("-INT", 0).is_empty());
    }
}

#[test]
fn a_file_is_checked_once_it_has_stopped_changing() {
    let bench = Bench::new(1);
    bench.put("Archery/v_b.mp4", 0);
    bench.put("Archery/v_bad.mp4", 3600);
    fs::write(bench.path("list.txt"), "a,Archery\nb,Archery\nbad,Archery\n").unwrap();
    let mut scan = bench.start(&["scan", "--quick", "--watch", "--json"]);
    // No change is reported any more.
    scan.until(&[("a", "ready"), ("b", "ready"), ("bad", "corrupt")]);
    assert!(scan.end("-TERM", 3).is_empty());
}

#[test]
fn text_output_shows_changes_and_a_summary() {
    let bench = Bench::new(0);
    let scan = bench.start(&["scan", "--watch"]);
    while scan.line() != "  next: `reeldeck missing` writes lists to download or request missing videos" {}
    bench.put("Archery/v_b.mp4", 0);
    let line = scan.line();
    assert!(line.ends_with(" 1 change; now 2 unchecked, 1 missing"), "{line}");
    assert_eq!(scan.line(), "  unchecked Archery/v_b.mp4 (was missing)");
    bench.remove("Archery/v_b.mp4");
    let line = scan.line();
    assert!(line.ends_with(" 1 change; now 1 unchecked, 2 missing"), "{line}");
    assert_eq!(scan.line(), "  missing b (Archery): in the manifest, not on disk (was unchecked)");
    let rest = scan.end("-INT", 3).join("\n");
    assert!(rest.contains("missing b (Archery)") && rest.contains("missing c (Archery)"), "{rest}");
}

#[test]
fn missing_watch_updates_the_lists() {
    for more in [&[][..], &["--poll"]] {
        let bench = Bench::new(0);
        let missing = bench.start(&[&["missing", "--watch"], more].concat());
        let list = || fs::read_to_string(bench.path("out/missing/missing_files.txt")).unwrap_or_default();
        wait_for("the first lists", || list() == "b\nc");
        bench.put("Archery/v_c.mp4", 0);
        wait_for("one has come", || list() == "b");
        bench.remove("Archery/v_a.mp4");
        wait_for("one has gone", || list() == "a\nb");
        missing.end("-INT", 3);
    }
}

#[test]
fn a_file_that_is_being_written_does_not_count_when_another_one_changes() {
    for more in [&[][..], &["--poll"]] {
        let bench = Bench::new(3600);
        // One was there before, and one comes.
        bench.put("Archery/v_b.mp4", 0);
        bench.put("Archery/v_d.mp4", 3600);
        let mut scan = bench.start(&[&["scan", "--quick", "--watch", "--json"], more].concat());
        let d = ("Archery/v_d.mp4", "unlisted");
        scan.until(&[("a", "ready"), ("b", "missing"), ("c", "missing"), d]);
        let missing = bench.start(&[&["missing", "--watch"], more].concat());
        let list = || fs::read_to_string(bench.path("out/missing/missing_files.txt")).unwrap_or_default();
        wait_for("the first lists", || list() == "b\nc");
        bench.put("Archery/v_c.mp4", 3600);
        bench.remove("Archery/v_a.mp4");
        scan.until(&[("a", "missing"), ("b", "missing"), ("c", "missing"), d]);
        // The old list is removed before the new one gets its name.
        wait_for("other lists", || !["", "b\nc"].contains(&list().as_str()));
        assert_eq!(list(), "a\nb\nc");
        assert!(scan.end("-INT", 3).is_empty());
        missing.end("-INT", 3);
    }
}

#[test]
fn a_file_that_is_written_again_keeps_its_state_until_it_is_complete() {
    let bench = Bench::new(3600);
    bench.put("Archery/v_b.mp4", 3600);
    let mut scan = bench.start(&["scan", "--quick", "--watch", "--json"]);
    scan.until(&[("a", "ready"), ("b", "ready"), ("c", "missing")]);
    fs::write(bench.path("data/Archery/v_b.mp4"), "other").unwrap();
    bench.remove("Archery/v_a.mp4");
    scan.until(&[("a", "missing"), ("b", "ready"), ("c", "missing")]);
    assert!(scan.end("-INT", 3).is_empty());
}

#[test]
fn the_exit_code_is_that_of_a_last_scan() {
    let bench = Bench::new(0);
    fs::write(bench.path("list.txt"), "a,Archery\nb,Archery\n").unwrap();
    fs::write(bench.path("config.toml"), "[watch]\nsettle_s = 0\npoll_s = 3\n").unwrap();
    let scan = bench.start(&["scan", "--watch", "--poll"]);
    let missing = bench.start(&["missing", "--watch", "--poll"]);
    scan.until_line("has 2 videos in 1 class");
    missing.until_line("download.txt");
    bench.put("Archery/v_b.mp4", 0);
    scan.until_line("unchecked Archery/v_b.mp4 (was missing)");
    missing.until_line("0 of 2 videos missing or corrupt");
    // The next poll is seconds away.
    bench.remove("Archery/v_a.mp4");
    let rest = scan.end("-INT", 3).join("\n");
    assert!(rest.contains("missing a (Archery): in the manifest, not on disk"), "{rest}");
    missing.end("-INT", 3);
    assert_eq!(fs::read_to_string(bench.path("out/missing/missing_files.txt")).unwrap(), "a");
}

#[test]
fn a_scan_right_after_copying_checks_every_file() {
    let bench = Bench::new(60);
    bench.put("Archery/v_b.mp4", 0);
    bench.put("Archery/v_c.mp4", 0);
    let mut command = Command::new(env!("CARGO_BIN_EXE_reeldeck"));
    command.current_dir(bench.0.path()).env("REELDECK_PROBE", bench.path("fake"));
    let scan = command.args(["--manifest", "list.txt", "scan", "--deep"]).output().unwrap();
    let text = String::from_utf8(scan.stdout).unwrap();
    assert_eq!(scan.status.code(), Some(0), "{text}");
    assert!(!text.contains("arriving") && text.contains("3"), "{text}");
}

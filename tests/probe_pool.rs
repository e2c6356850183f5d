//! The probe of a dataset: many processes at a time, some of which crash or hang on command, and what is remembered.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reeldeck::dataset::probe::cache::Cache;
use reeldeck::dataset::probe::{Ended, Finding, ProbeError, Request, Setup, probe};
use reeldeck::dataset::scan::{Scan, scan};
use reeldeck_contract::limits::Limits;
use reeldeck_contract::probe::{Level, Verdict};
use serde_json::json;
use support::{Ran, programs, signal, wait_for};
use tempfile::TempDir;

/// A prober that does what the names of the files say. It notes each file that it is given.
const FAKE: &str = r#"#!/bin/bash
facts='{"duration_s":1.0,"frames":30,"fps":[30,1],"size":[64,48],"codec":"h264","container":"mp4"}'
here=${0%/*}
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%,*}
  path=${line#*\"path\":\"}; path=${path%%\"*}
  level=${line#*\"level\":\"}; level=${level%%\"*}
  answer() { echo "{\"id\":$id,\"cpu_us\":1,\"found\":$1}"; }
  if [ "$path" = / ]; then answer '{"Err":"a folder"}'; continue; fi
  echo "$path" >> "$here/orders"
  case "$path" in
    *v_crash*) echo 'assertion failed' >&2; kill -SEGV $$ ;;
    *v_once*) [ -e "$here/crashed" ] || { touch "$here/crashed"; kill -KILL $$; } ;;
    *v_exit*) exit 7 ;;
    *v_garbage*) echo 'what?' ;;
    *v_other*) answer '{"Err":"none"}' | sed 's/"id":[0-9]*/"id":999/' ;;
    *v_spin*) while :; do :; done ;;
    *v_sleep*) exec sleep 1000 ;;
    *v_gone*) answer '{"Err":"failed to read the file"}'; continue ;;
    *v_long*) for _ in 1 2 3 4 5 6 7; do sleep 1; echo "{\"alive\":$id}"; done ;;
    *v_slow*) sleep 0.1 ;;
    *v_hold*) while [ ! -e "$here/release" ]; do sleep 0.05; done ;;
    *v_grow*) echo more >> "$path" ;;
  esac
  stamp=$(stat -L -c '%s %.9Y' "$path"); size=${stamp% *}; time=${stamp#* }
  verdict="{\"is\":\"healthy\",\"facts\":$facts}"
  case "$path" in
    *v_broken*) verdict="{\"is\":\"damaged\",\"facts\":$facts,\"lost\":2,\"concealed\":1,\"reason\":\"2 of 30 frames are missing\"}" ;;
    *v_large*) verdict='{"is":"over-limit","reason":"too large"}' ;;
  esac
  answer "{\"Ok\":{\"level\":\"$level\",\"source\":{\"size\":$size,\"mtime_ns\":${time/./}},\"verdict\":$verdict}}"
done
"#;

/// A dataset folder and a fake prober.
struct Bench(TempDir);

impl Bench {
    fn new(videos: &[&str]) -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        bench.program(FAKE);
        for video in videos {
            bench.video(video, b"not really a video");
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes the prober, by a process of its own: a file that this one has open for writing may be inherited by another
    /// test's child just then, and cannot be run.
    fn program(&self, script: &str) {
        fs::write(self.path("script"), script).unwrap();
        fs::set_permissions(self.path("script"), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(Command::new("cp").arg(self.path("script")).arg(self.path("fake")).status().unwrap().success());
    }

    /// Adds or replaces a video that has lain there for an hour.
    fn video(&self, name: &str, bytes: &[u8]) {
        let path = self.path("data").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = fs::File::create(path).unwrap();
        file.write_all(bytes).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(3600)).unwrap();
    }

    fn scan(&self) -> Scan {
        scan(&self.path("data"), &["mp4".into(), "mkv".into()]).unwrap()
    }

    fn setup(&self, processes: usize) -> Setup {
        Setup { processes, ..Setup::new(self.path("fake"), &Limits::default()) }
    }

    fn cache(&self, scan: &Scan) -> Cache {
        Cache::open(&self.path("probe-cache"), &scan.videos, true)
    }

    /// Probes all videos and gives what came of each.
    fn probe(&self, setup: &Setup, level: Level) -> Result<BTreeMap<String, Finding>, ProbeError> {
        let scan = self.scan();
        let mut found = BTreeMap::new();
        let limits = Limits::default();
        let request = Request { root: &self.path("data"), videos: &scan.videos, level, limits: &limits };
        let mut each = |index: usize, finding| {
            let before = found.insert(scan.videos[index].name.as_str().to_owned(), finding);
            assert!(before.is_none(), "told twice");
        };
        let ended = probe(request, setup, &mut self.cache(&scan), &AtomicBool::new(false), &mut each)?;
        assert_eq!((ended, found.len()), (Ended::Complete, scan.videos.len()));
        Ok(found)
    }

    /// The files that the prober was given since the last call, sorted.
    fn orders(&self) -> Vec<String> {
        let orders = fs::read_to_string(self.path("orders")).unwrap_or_default();
        fs::write(self.path("orders"), "").unwrap();
        let mut names: Vec<_> = orders.lines().map(|line| line.rsplit('/').next().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reeldeck"));
        command.current_dir(self.0.path()).env("REELDECK_PROBE", self.path("fake")).arg("scan").args(arguments);
        command.stdin(Stdio::null());
        command
    }
}

fn is_healthy(finding: &Finding) -> bool {
    matches!(finding, Finding::Probed { probed, .. } if matches!(probed.verdict, Verdict::Healthy { .. }))
}

/// The reason of a corrupt video.
fn corrupt(finding: &Finding) -> &str {
    match finding {
        Finding::Probed { probed, .. } => match &probed.verdict {
            Verdict::Corrupt { reason } => reason,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_video_is_looked_at_once_and_known_from_then_on() {
    let names: Vec<String> = (0..40).map(|i| format!("{}/v_{i}.mp4", i % 4)).collect();
    let bench = Bench::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for processes in [1, 3, 100] {
        let _ = fs::remove_file(bench.path("probe-cache"));
        let found = bench.probe(&bench.setup(processes), Level::Quick).unwrap();
        assert!(found.values().all(is_healthy));
        assert_eq!(bench.orders().len(), 40);
    }
    let found = bench.probe(&bench.setup(2), Level::Quick).unwrap();
    assert!(found.values().all(|f| matches!(f, Finding::Probed { cached: true, .. })));
    assert_eq!(bench.orders().len(), 0);
    // Another level and a changed file are looked at; the deep look then satisfies both levels.
    assert!(bench.probe(&bench.setup(2), Level::Deep).unwrap().values().all(is_healthy));
    assert_eq!(bench.orders().len(), 40);
    bench.video("1/v_1.mp4", b"another one");
    for level in [Level::Deep, Level::Quick] {
        bench.probe(&bench.setup(2), level).unwrap();
    }
    assert_eq!(bench.orders(), ["v_1.mp4"]);
}

#[test]
fn a_file_that_brings_its_process_down_is_tried_alone_and_costs_no_other() {
    let bench = Bench::new(&["A/v_crash.mp4", "A/v_exit.mp4", "A/v_garbage.mp4", "A/v_once.mp4", "A/v_other.mp4"]);
    (0..12).for_each(|i| bench.video(&format!("B/v_{i}.mp4"), b"x"));
    let found = bench.probe(&bench.setup(3), Level::Quick).unwrap();
    for (name, how) in [
        ("A/v_crash.mp4", "it was ended by signal 11: assertion failed"),
        ("A/v_exit.mp4", "it ended with exit code 7"),
        ("A/v_garbage.mp4", "it said what no probe says"),
        ("A/v_other.mp4", "it answered what was not asked"),
    ] {
        let reason = corrupt(&found[name]);
        assert!(reason.starts_with(&format!("brings the prober down: {how}")), "{reason}");
    }
    assert!(found.iter().filter(|(name, _)| name.starts_with('B')).all(|(_, finding)| is_healthy(finding)));
    // It was not to blame: alone, nothing happened.
    assert!(is_healthy(&found["A/v_once.mp4"]), "{:?}", found["A/v_once.mp4"]);
    let orders = bench.orders();
    assert_eq!(orders.len(), 17 + 5, "each suspect a second time: {orders:?}");
    // The verdict is remembered like any other.
    bench.probe(&bench.setup(3), Level::Quick).unwrap();
    assert_eq!(bench.orders().len(), 0);
}

#[test]
fn a_file_that_computes_for_ever_is_corrupt_and_one_that_the_disk_withholds_is_not_judged() {
    let bench =
        Bench::new(&["A/v_spin.mp4", "A/v_sleep.mp4", "A/v_gone.mp4", "A/v_long.mp4", "A/v_1.mp4", "A/v_2.mp4"]);
    let setup = Setup { stall: Duration::from_secs(5), ..bench.setup(2) };
    let found = bench.probe(&setup, Level::Deep).unwrap();
    let reason = corrupt(&found["A/v_spin.mp4"]);
    assert_eq!(reason, "brings the prober down: it computes for 5 s without getting anywhere");
    let Finding::Unread(why) = &found["A/v_sleep.mp4"] else { panic!("{found:?}") };
    assert_eq!(why, "the disk or the network gave no answer for 5 s");
    assert_eq!(found["A/v_gone.mp4"], Finding::Unread("failed to read the file".into()));
    // It takes longer than the limit, and says again and again that it lives.
    assert!(["A/v_long.mp4", "A/v_1.mp4", "A/v_2.mp4"].iter().all(|name| is_healthy(&found[*name])), "{found:?}");
    // What was not judged is tried again.
    bench.orders();
    fs::remove_file(bench.path("data/A/v_sleep.mp4")).unwrap();
    bench.probe(&bench.setup(2), Level::Deep).unwrap();
    assert_eq!(bench.orders(), ["v_gone.mp4"]);
}

#[test]
fn a_disk_that_answers_nothing_ends_the_probe() {
    let names: Vec<String> = (0..30).map(|i| format!("A/v_sleep_{i}.mp4")).collect();
    let bench = Bench::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let setup = Setup { stall: Duration::from_millis(200), ..bench.setup(2) };
    let error = bench.probe(&setup, Level::Quick).unwrap_err();
    assert!(matches!(error, ProbeError::Silent { .. }), "{error}");
    assert!(bench.orders().len() < 12);
}

#[test]
fn files_that_are_still_arriving_are_not_judged() {
    let bench = Bench::new(&["A/v_1.mp4", "A/v_grow.mp4"]);
    fs::write(bench.path("data/A/v_new.mp4"), "just begun").unwrap();
    let found = bench.probe(&bench.setup(2), Level::Quick).unwrap();
    assert!(is_healthy(&found["A/v_1.mp4"]));
    assert_eq!((&found["A/v_new.mp4"], &found["A/v_grow.mp4"]), (&Finding::Arriving, &Finding::Arriving));
    assert_eq!(bench.orders(), ["v_1.mp4", "v_grow.mp4"], "what was just written is not even opened");
    assert_eq!(fs::read_to_string(bench.path("probe-cache")).unwrap().lines().count(), 2);
}

#[test]
fn a_prober_that_does_not_work_blames_no_video() {
    let bench = Bench::new(&["A/v_1.mp4", "A/v_2.mp4"]);
    for (script, how) in [
        ("#!/bin/bash\necho 'libavcodec.so.59: cannot open' >&2; exit 127\n", "exit code 127: libavcodec.so.59"),
        ("#!/bin/bash\nread -r line; echo '{}'\n", "it said what no probe says"),
        ("#!/bin/bash\nexec sleep 1000\n", "it does not answer"),
    ] {
        bench.program(script);
        // Long enough for those that do say something, however busy the machine is.
        let setup = Setup { start: Duration::from_secs(15), ..bench.setup(2) };
        let error = bench.probe(&setup, Level::Quick).unwrap_err();
        assert!(matches!(error, ProbeError::Broken { .. }) && error.to_string().contains(how), "{error}");
    }
    fs::remove_file(bench.path("fake")).unwrap();
    let error = bench.probe(&bench.setup(2), Level::Quick).unwrap_err();
    assert!(matches!(error, ProbeError::Start { .. }), "{error}");
    assert!(!bench.path("probe-cache").exists());
}

#[test]
fn a_cancelled_probe_keeps_what_it_found() {
    let names: Vec<String> = (0..60).map(|i| format!("A/v_slow_{i:02}.mp4")).collect();
    let bench = Bench::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let scan = bench.scan();
    let (cancel, limits) = (AtomicBool::new(false), Limits::default());
    let root = bench.path("data");
    let request = Request { root: &root, videos: &scan.videos, level: Level::Quick, limits: &limits };
    let mut told = 0;
    let mut each = |_, finding: Finding| {
        assert!(is_healthy(&finding));
        told += 1;
        if told == 7 {
            cancel.store(true, Ordering::Relaxed);
        }
    };
    let ended = probe(request, &bench.setup(2), &mut bench.cache(&scan), &cancel, &mut each).unwrap();
    assert_eq!(ended, Ended::Cancelled);
    // Those that were told and not taken in yet may come, and no others.
    assert!((7..60).contains(&told), "{told}");
    bench.orders();
    let found = bench.probe(&bench.setup(2), Level::Quick).unwrap();
    assert_eq!(found.values().filter(|f| matches!(f, Finding::Probed { cached: true, .. })).count(), told);
    assert_eq!(bench.orders().len(), 60 - told);
}

#[test]
fn the_command_prints_a_table_with_reasons() {
    let bench =
        Bench::new(&["A/v_1.mp4", "A/v_2.mp4", "A/v_broken.mp4", "A/v_crash.mp4", "B/v_large.mp4", "B/v_gone.mp4"]);
    let ran = Ran::to_the_end(&mut bench.command(&["--quick"]));
    assert_eq!(ran.code, 3, "{ran:?}");
    for text in [
        "6 videos, quick look\n",
        "  healthy           2\n",
        "  damaged           1\n",
        "  corrupt           1\n",
        "  over limit        1\n",
        "  not read          1\n",
        "\ndegraded A/v_broken.mp4: 2 frames lost, 1 concealed: 2 of 30 frames are missing\n",
        "\ncorrupt A/v_crash.mp4: brings the prober down: it was ended by signal 11",
        "\ncorrupt B/v_large.mp4: too large\n",
        "\nnot read B/v_gone.mp4: failed to read the file\n",
    ] {
        assert!(ran.stdout.contains(text), "{text:?} is missing in\n{}", ran.stdout);
    }
    // What holds for this run only is not kept.
    let ran = Ran::to_the_end(&mut bench.command(&["--quick", "-q"]));
    // Without the table; the scan's own line is not this command's to leave out.
    assert_eq!(
        (ran.code, ran.stdout.lines().filter(|line| !line.starts_with(' ') && line.contains(": ")).count()),
        (3, 4),
        "{ran:?}"
    );
    assert!(!ran.stdout.contains("look"), "{ran:?}");
    assert_eq!(bench.orders().iter().filter(|name| *name == "v_large.mp4" || *name == "v_gone.mp4").count(), 4);
    for bad in ["A/v_broken.mp4", "A/v_crash.mp4", "B/v_large.mp4", "B/v_gone.mp4"] {
        fs::remove_file(bench.path("data").join(bad)).unwrap();
    }
    let ran = Ran::to_the_end(bench.command(&["--quick"]).env("REELDECK_PROBE", "/nonexistent"));
    assert!(ran.code == 0 && ran.stdout.contains("2 videos, quick look, 2 known from before"), "{ran:?}");
    let ran = Ran::to_the_end(bench.command(&["--deep"]).env("REELDECK_PROBE", "/nonexistent"));
    assert!(ran.code == 1 && ran.stderr.contains("failed to start /nonexistent"), "{ran:?}");
    // A file that is no cache is none, and a dry run writes nothing.
    fs::write(bench.path("out/.reeldeck/probe-cache"), [0; 4000]).unwrap();
    let ran = Ran::to_the_end(&mut bench.command(&["--quick", "--dry-run"]));
    assert_eq!((ran.code, fs::read(bench.path("out/.reeldeck/probe-cache")).unwrap()), (0, vec![0; 4000]), "{ran:?}");
    for known in [false, true] {
        let ran = Ran::to_the_end(&mut bench.command(&["--quick"]));
        assert_eq!((ran.code, ran.stdout.contains("2 known from before")), (0, known), "{ran:?}");
    }
}

#[test]
fn an_interrupted_command_keeps_what_it_found_and_leaves_no_process() {
    let quick = (0..8).map(|i| format!("A/v_{i}.mp4"));
    let names: Vec<String> = quick.chain((0..20).map(|i| format!("B/v_hold_{i:02}.mp4"))).collect();
    let bench = Bench::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut command = bench.command(&["--quick"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let kept = || fs::read_to_string(bench.path("out/.reeldeck/probe-cache")).map_or(0, |text| text.lines().count());
    wait_for("some are found, and the others keep their processes", || kept() == 1 + 8);
    signal(&child, "-INT");
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert!(ran.code == 130 && ran.stderr.contains("interrupted; "), "{ran:?}");
    assert_eq!(kept(), 1 + 8);
    let left = || Command::new("pgrep").arg("-f").arg(bench.path("fake")).status().unwrap().success();
    wait_for("all processes are gone", || !left());
    fs::write(bench.path("release"), "").unwrap();
    let ran = Ran::to_the_end(&mut bench.command(&["--quick"]));
    assert!(ran.code == 0 && ran.stdout.contains("28 videos, quick look, 8 known from before"), "{ran:?}");
}

#[test]
fn what_was_found_is_known_to_commands_that_do_not_look() {
    let bench = Bench::new(&["A/v_1.mp4", "A/v_broken.mp4", "A/v_crash.mp4"]);
    fs::write(bench.path("list.txt"), "1,A\nbroken,A\ncrash,A\n").unwrap();
    let annotated = |id: &str| {
        json!({"duration": 1.0, "subset": "training", "url": id,
        "annotations": [{"label": "A", "segment": [0.0, 1.0]}]})
    };
    let database = json!({"1": annotated("1"), "broken": annotated("broken"), "crash": annotated("crash")});
    fs::write(bench.path("anno.json"), json!({ "database": database }).to_string()).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reeldeck"));
        // No prober is there: nothing can be looked at.
        command.current_dir(bench.0.path()).env("REELDECK_PROBE", "/nonexistent").args(arguments);
        Ran::to_the_end(command.stdin(Stdio::null()))
    };
    let ran = run(&["scan", "--manifest", "list.txt"]);
    assert!(ran.code == 0 && ran.stdout.contains("unchecked"), "{ran:?}");
    assert_eq!(Ran::to_the_end(&mut bench.command(&["--quick"])).code, 3);
    let ran = run(&["scan", "--manifest", "list.txt"]);
    assert!(ran.code == 3 && !ran.stdout.contains("unchecked"), "{ran:?}");
    assert!(ran.stdout.contains("corrupt A/v_crash.mp4: brings the prober down"), "{ran:?}");
    let ran = run(&["missing", "--manifest", "list.txt"]);
    assert!(ran.code == 3 && ran.stdout.contains("1 of 3 videos are missing or corrupt"), "{ran:?}");
    assert_eq!(fs::read_to_string(bench.path("out/missing/request.txt")).unwrap(), "crash,A\n");
    let ran = run(&["annotations", "--manifest", "anno.json"]);
    assert!(ran.code == 3 && ran.stdout.contains("0 from features, 2 from probes"), "{ran:?}");
    // What has changed since was not looked at.
    bench.video("A/v_crash.mp4", b"fetched again");
    assert_eq!(run(&["missing", "--manifest", "list.txt"]).code, 0);
}

#[test]
fn the_real_prober_on_real_videos() {
    let bench = Bench::new(&[]);
    let at = |name: &str| bench.path("data").join(name);
    let x264 = |seed: u64| json!({"frames": 90, "seed": seed, "width": 64, "height": 48, "container": {"movflags": "+faststart"}});
    let jobs = json!([
        {"file": at("A/v_1.mp4"), "video": x264(1)},
        {"file": at("A/v_cut.mp4"), "video": x264(2)},
        {"file": at("B/v_2.mkv"), "video": {"encoder": "ffv1", "frames": 20, "width": 64, "height": 48}},
    ]);
    let prober = programs().join("reeldeck-probe");
    let mut synth = Command::new(&prober).arg("synth").stdin(Stdio::piped()).spawn().unwrap();
    synth.stdin.take().unwrap().write_all(jobs.to_string().as_bytes()).unwrap();
    assert!(synth.wait().unwrap().success());
    let whole = |name: &str| fs::read(at(name)).unwrap();
    let cut = whole("A/v_cut.mp4");
    for (name, bytes) in [
        ("A/v_1.mp4", whole("A/v_1.mp4")),
        ("A/v_cut.mp4", cut[..cut.len() * 7 / 10].to_vec()),
        ("B/v_2.mkv", whole("B/v_2.mkv")),
        ("B/v_text.mp4", b"<html>404</html>".to_vec()),
    ] {
        bench.video(name, &bytes);
    }
    for (option, known) in [("--quick", false), ("--deep", false), ("--deep", true), ("--quick", true)] {
        let ran = Ran::to_the_end(bench.command(&[option]).env("REELDECK_PROBE", &prober));
        assert_eq!((ran.code, ran.stdout.contains("4 known from before")), (3, known), "{option}: {ran:?}");
        for text in ["healthy           2\n", "degraded A/v_cut.mp4: ", "corrupt B/v_text.mp4: not a video file"] {
            assert!(ran.stdout.contains(text), "{text:?} is missing in\n{}", ran.stdout);
        }
    }
}

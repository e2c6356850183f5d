//! `reeldeck scan --quick` and `--deep`: their output and their cache, also with the real prober.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;

use super::bench::Bench;
use crate::support::{Ran, programs, signal, wait_for};

#[test]
fn the_command_prints_a_table_with_reasons() {
    let bench =
        Bench::new(&["A/v_1.mp4", "A/v_2.mp4", "A/v_broken.mp4", "A/v_crash.mp4", "B/v_large.mp4", "B/v_gone.mp4"]);
    let ran = Ran::to_the_end(&mut bench.command(&["--quick"]));
    assert_eq!(ran.code, 3, "{ran:?}");
    for text in [
        "6 videos, quick check\n",
        "  healthy           2\n",
        "  damaged           1\n",
        "  corrupt           1\n",
        "  over limit        1\n",
        "  not read          1\n",
        "\ndegraded A/v_broken.mp4: 2 frames lost, 1 concealed: 2 of 30 frames are missing; max_lost in the recipe accepts less\n",
        "\ncorrupt A/v_crash.mp4: crashes the prober: it was killed by signal 11",
        "\ncorrupt B/v_large.mp4: too large\n",
        "\nnot read B/v_gone.mp4: failed to read the file\n",
    ] {
        assert!(ran.stdout.contains(text), "{text:?} is missing in\n{}", ran.stdout);
    }
    // Results that are valid for this run only are not cached.
    let ran = Ran::to_the_end(&mut bench.command(&["--quick", "-q"]));
    // Without the table; the line of the scan remains.
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
    let ran = Ran::to_the_end(&mut bench.command(&["--quick"]));
    assert!(ran.code == 0 && ran.stdout.contains("2 videos, quick check, 2 known from earlier checks"), "{ran:?}");
    // Without anything to check, no prober is needed.
    let ran = Ran::to_the_end(bench.command(&["--quick"]).env("REELDECK_PROBE", "/nonexistent"));
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = Ran::to_the_end(bench.command(&["--deep"]).env("REELDECK_PROBE", "/nonexistent"));
    assert!(ran.code == 1 && ran.stderr.contains("REELDECK_PROBE names /nonexistent"), "{ran:?}");
    // An invalid cache is ignored, and a dry run writes nothing.
    fs::write(bench.path("out/.reeldeck/probe-cache"), [0; 4000]).unwrap();
    let ran = Ran::to_the_end(&mut bench.command(&["--quick", "--dry-run"]));
    assert_eq!((ran.code, fs::read(bench.path("out/.reeldeck/probe-cache")).unwrap()), (0, vec![0; 4000]), "{ran:?}");
    for known in [false, true] {
        let ran = Ran::to_the_end(&mut bench.command(&["--quick"]));
        assert_eq!((ran.code, ran.stdout.contains("2 known from earlier checks")), (0, known), "{ran:?}");
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
    assert!(ran.code == 0 && ran.stdout.contains("28 videos, quick check, 8 known from earlier checks"), "{ran:?}");
}

#[test]
fn results_of_a_scan_are_used_by_other_commands() {
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
        // Without a prober, nothing can be probed.
        command.current_dir(bench.0.path()).env("REELDECK_PROBE", "/nonexistent").args(arguments);
        Ran::to_the_end(command.stdin(Stdio::null()))
    };
    let ran = run(&["scan", "--manifest", "list.txt"]);
    assert!(ran.code == 0 && ran.stdout.contains("unchecked"), "{ran:?}");
    assert_eq!(Ran::to_the_end(&mut bench.command(&["--quick"])).code, 3);
    let ran = run(&["scan", "--manifest", "list.txt"]);
    assert!(ran.code == 3 && !ran.stdout.contains("unchecked"), "{ran:?}");
    assert!(ran.stdout.contains("corrupt A/v_crash.mp4: crashes the prober"), "{ran:?}");
    let ran = run(&["missing", "--manifest", "list.txt"]);
    // The recipe rejects the damage of the other one.
    assert!(ran.code == 3 && ran.stdout.contains("2 of 3 videos missing or corrupt"), "{ran:?}");
    assert_eq!(fs::read_to_string(bench.path("out/missing/request.txt")).unwrap(), "broken,A\ncrash,A\n");
    let ran = run(&["annotations", "--manifest", "anno.json"]);
    assert!(ran.code == 3 && ran.stdout.contains("0 from features, 1 from probes"), "{ran:?}");
    // Files that have changed since then count as not probed.
    bench.video("A/v_crash.mp4", b"fetched again");
    bench.video("A/v_broken.mp4", b"fetched again");
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
        assert_eq!((ran.code, ran.stdout.contains("4 known from earlier checks")), (3, known), "{option}: {ran:?}");
        for text in ["healthy           2\n", "degraded A/v_cut.mp4: ", "corrupt B/v_text.mp4: not a video file"] {
            assert!(ran.stdout.contains(text), "{text:?} is missing in\n{}", ran.stdout);
        }
    }
    // A scan without a check exits alike.
    for (removed, code) in [("B/v_text.mp4", 3), ("A/v_cut.mp4", 0)] {
        fs::remove_file(at(removed)).unwrap();
        for options in [&["--deep"][..], &[]] {
            let ran = Ran::to_the_end(bench.command(options).env("REELDECK_PROBE", &prober));
            assert_eq!(ran.code, code, "{options:?}: {ran:?}");
        }
    }
}

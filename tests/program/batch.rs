//! `--batch` with a worker that misbehaves on command: no worker and no video ends the run.

use std::fs;

use crate::support::{Bench, Ran, signal, wait_for};
use reeldeck_pickle::results::read_results;

fn names(names: &[&str]) -> std::collections::BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn a_list_of_excluded_videos_that_was_edited_applies_and_unknown_names_are_noted() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok"), ("A/v_2.mp4", "ok"), ("A/v_3.mp4", "ok")]);
    let away = serde_json::json!({"annotations": [], "subset": "testing", "duration": 1});
    let manifest = serde_json::json!({"database": {"away": away}});
    fs::write(bench.path("list.json"), manifest.to_string()).unwrap();
    fs::create_dir_all(bench.path("out/.reeldeck")).unwrap();
    fs::write(bench.path("out/.reeldeck/excluded"), "A/v_1.mp4 \t\n./A/v_2.mp4\nA/v_away.mp4\nA/v_4.mp4\nv_3\n")
        .unwrap();
    let ran = bench.run(&["--batch", "--manifest", "list.json"]);
    assert!(ran.stdout.contains("1 done") && bench.files("features").len() == 1, "{ran:?}");
    assert!(ran.stderr.contains("note: 2 lines in ") && ran.stderr.contains("such as A/v_4.mp4"), "{ran:?}");
    assert_eq!(ran.stderr.matches("name no video").count(), 1, "{ran:?}");
}

#[test]
fn healthy_videos_are_done_broken_ones_fail_and_none_runs_twice() {
    let bench = Bench::new(&[
        ("A/v_1.mp4", "ok"),
        ("A/v_2.mp4", "fail corrupt"),
        ("B c/v 3.mp4", "ok"),
        ("B c/v_'4\".mkv", "ok"),
    ]);
    let ran = bench.run(&["--batch"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let done = names(&["A/v_1.mp4.safetensors", "B c/v 3.mp4.safetensors", "B c/v_'4\".mkv.safetensors"]);
    assert_eq!(bench.files("features"), done);
    assert_eq!(bench.files("failures"), names(&["A/v_2.mp4.json"]));
    assert!(ran.stderr.contains("failed A/v_2.mp4: it failed: as it was told"), "{ran:?}");
    assert!(ran.stdout.contains("3 done (3 now, 0 before), 1 failed"), "{ran:?}");
    assert!(ran.stderr.contains("seeded weights"), "{ran:?}");
    let failure = bench.failure("A/v_2.mp4");
    assert_eq!(failure["attempts"][0]["failure"]["kind"], "corrupt");
    assert!(failure["attempts"][0]["stderr"].to_string().contains("A/v_2.mp4"), "{failure}");

    let list = fs::read_to_string(bench.export("hacs_data.txt")).unwrap();
    assert_eq!(list, "A/v_1.mp4 -1\nB c/v 3.mp4 -1\nB c/v_'4\".mkv -1\n");
    assert_eq!(fs::read_to_string(bench.path("out/hacs_data.txt")).unwrap().lines().count(), 4);
    assert_eq!(
        fs::read_to_string(bench.export("missing.txt")).unwrap(),
        "A/v_2.mp4\tfailed: it failed: as it was told\n"
    );
    let results = read_results(&fs::read(bench.export("result.pkl")).unwrap()).unwrap();
    let seed = |name: &str| name.bytes().map(u32::from).sum::<u32>() as f32;
    let firsts: Vec<f32> = results.iter().map(|r| r.scores[0]).collect();
    assert_eq!(firsts, ["A/v_1.mp4", "B c/v 3.mp4", "B c/v_'4\".mkv"].map(seed), "in the order of the list");
    assert!(results.iter().all(|r| r.shape == [4, 5]));

    let again = bench.run(&["--batch"]);
    assert_eq!(again.code, 3);
    assert!(again.stdout.contains("3 done (0 now, 3 before), 1 failed"), "{again:?}");

    // A repaired file is retried automatically, an unchanged one only with --retry-failed.
    let asked = bench.run(&["--batch", "--retry-failed"]);
    assert!(asked.stderr.contains("1 queued"), "{asked:?}");
    assert_eq!(bench.failure("A/v_2.mp4")["attempts"].as_array().unwrap().len(), 2);
    bench.video("A/v_2.mp4", "ok now");
    let repaired = bench.run(&["--batch"]);
    assert_eq!((repaired.code, bench.files("failures").len()), (0, 0), "{repaired:?}");
    assert_eq!(bench.run(&["--batch"]).code, 0);
}

#[test]
fn a_changed_video_is_stale_until_redo_stale() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok"), ("A/v_2.mp4", "ok")]);
    assert_eq!(bench.run(&["--batch"]).code, 0);
    bench.video("A/v_1.mp4", "ok but longer");
    let ran = bench.run(&["--batch"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains("1 stale (--redo-stale)"), "{ran:?}");
    assert_eq!(fs::read_to_string(bench.export("hacs_data.txt")).unwrap(), "A/v_2.mp4 -1\n");
    assert!(fs::read_to_string(bench.export("missing.txt")).unwrap().contains("A/v_1.mp4\tstale"));
    assert_eq!(bench.run(&["--batch", "--redo-stale"]).code, 0);
    assert_eq!(fs::read_to_string(bench.export("hacs_data.txt")).unwrap().lines().count(), 2);
}

#[test]
fn a_misbehaving_worker_costs_only_the_video_that_caused_it() {
    for (script, says) in [
        ("crash", "signal 6"),
        ("nomemory", "reached its memory limit"),
        ("garbage", "the worker broke the protocol"),
        ("partial", "the worker exited with code 0"),
        ("leave", "the worker exited with code 0"),
    ] {
        let bench = Bench::new(&[
            ("A/v_1.mp4", "ok"),
            ("A/v_2.mp4", script),
            ("A/v_3.mp4", "ok"),
            ("A/v_4.mp4", "ok"),
            ("A/v_5.mp4", "ok"),
        ]);
        let ran = bench.run(&["--batch"]);
        assert_eq!(ran.code, 3, "{script}: {ran:?}");
        assert_eq!(bench.files("features").len(), 4, "{script}");
        assert_eq!(bench.files("failures"), names(&["A/v_2.mp4.json"]), "{script}: other videos are not charged");
        let failure = bench.failure("A/v_2.mp4");
        assert_eq!(failure["attempts"].as_array().unwrap().len(), 2, "{script}: {failure}");
        assert_eq!(failure["attempts"][1]["failure"]["kind"], "worker-crashed");
        assert!(failure["attempts"][1]["failure"]["chain"].to_string().contains(says), "{script}: {failure}");
        if script == "crash" {
            assert!(failure["attempts"][1]["stderr"].to_string().contains("about to crash"), "{failure}");
        }
    }
}

#[test]
fn a_feature_counts_if_its_worker_exited_before_reporting_it() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok"), ("A/v_2.mp4", "mute"), ("A/v_3.mp4", "ok"), ("A/v_4.mp4", "mute")]);
    let ran = bench.run(&["--batch", "-v"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!((bench.files("features").len(), bench.files("failures").len()), (4, 0));
    // Larger files come first: the same worker gets both `mute` videos.
    let count = |text: &str| ran.stderr.matches(text).count();
    assert_eq!((count("started A/v_2.mp4"), count("done A/v_2.mp4")), (1, 1), "{ran:?}");
    assert_eq!((count("requeued A/v_4.mp4"), count("done A/v_4.mp4")), (1, 1), "{ran:?}");
    assert_eq!((count("will retry"), count("restarted")), (0, 2), "no video is charged: {ran:?}");
}

#[test]
fn a_failure_file_beside_a_feature_is_removed_at_the_next_start() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok"), ("A/v_2.mp4", "fail corrupt")]);
    assert_eq!(bench.run(&["--batch"]).code, 3);
    let set = fs::read_dir(bench.path("out/failures")).unwrap().next().unwrap().unwrap().path();
    // As after a kill of the engine between the two steps.
    fs::copy(set.join("A/v_2.mp4.json"), set.join("A/v_1.mp4.json")).unwrap();
    assert_eq!(bench.run(&["--batch", "--dry-run"]).code, 3);
    assert_eq!(bench.files("failures").len(), 2, "a dry run changes nothing");
    assert_eq!(bench.run(&["--batch"]).code, 3);
    assert_eq!(bench.files("failures"), names(&["A/v_2.mp4.json"]));
}

#[test]
fn a_hanging_worker_is_killed_and_only_its_video_is_charged() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok"), ("A/v_2.mp4", "hang"), ("A/v_3.mp4", "ok"), ("A/v_4.mp4", "ok")]);
    bench.configure("[worker]\nstall_timeout_s = 1\n");
    let ran = bench.run(&["--batch"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!(bench.files("features").len(), 3);
    assert_eq!(bench.files("failures"), names(&["A/v_2.mp4.json"]));
    let failure = bench.failure("A/v_2.mp4");
    assert_eq!(failure["attempts"][1]["failure"]["kind"], "worker-hung", "{failure}");
    assert!(ran.stderr.contains("no message for 1 s"), "{ran:?}");
}

#[test]
fn temporary_errors_are_retried() {
    let bench = Bench::new(&[("A/v_1.mp4", "once fail io"), ("A/v_2.mp4", "once crash"), ("A/v_3.mp4", "ok")]);
    let ran = bench.run(&["--batch"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(bench.files("features").len(), 3);
    assert_eq!(bench.files("failures").len(), 0, "a feature takes precedence over an earlier failure");
    assert!(ran.stderr.contains("will retry A/v_1.mp4"), "{ran:?}");
}

#[test]
fn a_run_that_ends_before_a_retry_leaves_it_to_the_next_run() {
    for signal_name in ["-INT", "-KILL"] {
        let bench = Bench::new(&[("A/v_1.mp4", "once fail io"), ("A/v_2.mp4", "fail corrupt")]);
        let run = bench.start_logged(&["--batch"]);
        wait_for("the first attempt is recorded", || bench.files("failures").len() == 2);
        signal(&run, signal_name);
        bench.finish(run);
        assert_eq!(bench.failure("A/v_1.mp4")["attempts"][0]["retry"], true);
        let ran = bench.run(&["--batch"]);
        assert!(ran.stderr.contains("1 failed before") && bench.files("features").len() == 1, "{signal_name}: {ran:?}");
        assert_eq!(bench.files("failures").len(), 1, "{signal_name}");
    }
}

#[test]
fn live_exports_that_are_removed_during_the_run_are_written_again() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok"), ("A/v_2.mp4", "until go ok")]);
    bench.configure("[export]\nlive = [\"npy\"]\n[engine]\norder = \"list\"\n");
    let run = bench.start_logged(&["extract"]);
    let exported = || bench.path("out/exports").exists() && bench.export("npy/v_1.npy").exists();
    wait_for("a video is exported", exported);
    fs::remove_file(bench.export("npy/v_1.npy")).unwrap();
    fs::write(bench.path("go"), "").unwrap();
    let ran = bench.finish(run);
    assert!(ran.code == 0 && exported() && bench.export("npy/v_2.npy").exists(), "{ran:?}");
}

#[test]
fn live_exports_follow_the_run() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok"), ("A/v_2.mp4", "fail corrupt"), ("B/v_3.mp4", "ok")]);
    bench.configure("[export]\nlive = [\"npy\"]\n");
    let ran = bench.run(&["extract"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    for name in ["v_1", "v_3"] {
        let bytes = fs::read(bench.export(&format!("npy/{name}.npy"))).unwrap();
        assert!(bytes.starts_with(b"\x93NUMPY") && bytes.len() == 128 + 4 * 4 * 5, "{}", bytes.len());
    }
    let exported = bench.run(&["export", "--format", "npy"]);
    assert!(exported.stdout.contains("(0 written"), "existing files are kept: {exported:?}");
}

#[test]
fn several_workers_share_the_videos() {
    let videos: Vec<String> = (0..12).map(|i| format!("A/v_{i:02}.mp4")).collect();
    let scripts: Vec<(&str, &str)> = videos.iter().map(|name| (name.as_str(), "slow 50")).collect();
    let bench = Bench::new(&scripts);
    let ran = bench.run(&["--batch", "--devices", "cpu*3", "-v"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.stderr.matches("cpu is ready").count(), 3, "{ran:?}");
    assert_eq!(bench.files("features").len(), 12);
}

#[test]
fn unusable_workers_end_the_run_and_charge_no_video() {
    for (fault, says) in [
        ("wrong-version", "install both from one release"),
        ("fatal", "this device is not what it was"),
        ("crash-at-start", "signal 6"),
        ("silent", "the worker exited with code 0"),
    ] {
        let bench = Bench::new(&[("A/v_1.mp4", "ok")]);
        let ran = Ran::to_the_end(bench.command(&["--batch"]).env("FAKE_WORKER", fault));
        assert_eq!(ran.code, 1, "{fault}: {ran:?}");
        let error = ran.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(error.contains(says), "the error has the reason: {fault}: {ran:?}");
        assert!(bench.files("failures").is_empty() && bench.files("features").is_empty(), "{fault}");
    }
    let bench = Bench::new(&[("A/v_1.mp4", "ok")]);
    let ran = Ran::to_the_end(bench.command(&["--batch"]).env("REELDECK_WORKER", "/nonexistent/worker"));
    assert!(ran.code == 1 && ran.stderr.contains("REELDECK_WORKER names /nonexistent/worker"), "{ran:?}");
}

#[test]
fn a_full_disk_is_waited_for_and_no_video_is_charged() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok"), ("A/v_2.mp4", "once fail disk-full"), ("A/v_3.mp4", "ok")]);
    let ran = bench.run(&["--batch"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stderr.contains("waiting for the output folder: it failed") && ran.stderr.contains("resuming"),
        "{ran:?}"
    );
    assert!(bench.files("failures").is_empty());
    assert_eq!(bench.files("features").len(), 3);
}

#[test]
fn one_interrupt_finishes_videos_in_flight_and_two_stop_at_once() {
    let bench = Bench::new(&[("A/v_1.mp4", "until go"), ("A/v_2.mp4", "ok"), ("A/v_3.mp4", "ok"), ("A/v_4.mp4", "ok")]);
    bench.configure("[engine]\norder = \"list\"\n");
    let run = bench.start_logged(&["--batch", "-v"]);
    wait_for("two videos are in flight", || bench.is_assigned("A/v_2.mp4"));
    signal(&run, "-INT");
    wait_for("the run is stopping", || bench.log().contains("interrupt again to stop now"));
    fs::write(bench.path("go"), "").unwrap();
    let ran = bench.finish(run);
    assert_eq!(ran.code, 130, "{ran:?}");
    assert!(ran.stderr.contains("run the same command again"), "{ran:?}");
    assert_eq!(bench.files("features").len(), 2, "both videos in flight: {ran:?}");
    assert_eq!(bench.run(&["--batch"]).code, 0);
    assert_eq!(bench.files("features").len(), 4);

    let bench = Bench::new(&[("A/v_1.mp4", "hang"), ("A/v_2.mp4", "ok")]);
    let run = bench.start_logged(&["--batch", "-v"]);
    wait_for("the worker has begun", || bench.log().contains("started A/v_1.mp4"));
    signal(&run, "-TERM");
    wait_for("the run is stopping", || bench.log().contains("interrupt again to stop now"));
    signal(&run, "-TERM");
    let ran = bench.finish(run);
    assert_eq!(ran.code, 130, "{ran:?}");
    assert!(ran.stderr.contains("stopping now"), "{ran:?}");
    assert!(bench.files("failures").is_empty(), "an interrupted video has not failed");
}

#[test]
fn files_are_not_removed_under_a_run() {
    let bench = Bench::new(&[("A/v_1.mp4", "slow 2000")]);
    let mut first = bench.start(&["--batch"]);
    wait_for("it runs", || fs::read_to_string(bench.engine_file()).is_ok_and(|text| text.contains("\"pid\"")));
    fs::write(bench.path("retry.txt"), "A/v_1.mp4\n").unwrap();
    let retry = bench.run(&["retry", "--list", bench.path("retry.txt").to_str().unwrap()]);
    assert!(retry.code == 11 && retry.stderr.contains(&format!("process {}", first.id())), "{retry:?}");
    assert_eq!(first.wait().unwrap().code(), Some(0));
}

#[test]
fn limits_dry_runs_and_empty_datasets() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok"), ("A/v_2.mp4", "ok"), ("A/v_3.mp4", "ok")]);
    let dry = bench.run(&["--batch", "--dry-run"]);
    assert!(dry.code == 0 && dry.stdout.contains("would extract 3 videos"), "{dry:?}");
    assert!(!bench.path("out").exists());
    let limited = bench.run(&["--batch", "--limit", "2"]);
    assert_eq!(limited.code, 0, "{limited:?}");
    assert_eq!(bench.files("features").len(), 2);
    assert!(!bench.path("out/exports").exists(), "a part is not exported");
    let extracted = bench.run(&["extract"]);
    assert_eq!((extracted.code, bench.files("features").len()), (0, 3), "{extracted:?}");
    assert!(!bench.path("out/exports").exists());
    let exported = bench.run(&["export", "--format", "pkl"]);
    assert_eq!(exported.code, 0, "{exported:?}");
    assert_eq!(read_results(&fs::read(bench.export("result.pkl")).unwrap()).unwrap().len(), 3);

    let empty = Bench::new(&[]);
    let ran = empty.run(&["--batch"]);
    assert_eq!(ran.code, 4, "{ran:?}");
}

#[test]
fn without_a_checkpoint_the_message_says_where_to_get_it() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok")]);
    fs::remove_file(bench.path("config.toml")).unwrap();
    let ran = bench.run(&["--batch", "--recipe", "./tiny.toml"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("wget https://example.org/tiny-0123abcd.pth"), "{ran:?}");
    assert!(ran.stderr.contains("--checkpoint seeded"), "{ran:?}");
    assert!(!bench.path("out").exists());
}

#[test]
fn a_damaged_feature_is_reported_not_exported_and_extracted_again() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok"), ("A/v_2.mp4", "ok")]);
    assert_eq!(bench.run(&["--batch"]).code, 0);
    let set = fs::read_dir(bench.path("out/features")).unwrap().next().unwrap().unwrap().path();
    let feature = set.join("A/v_1.mp4.safetensors");
    let mut bytes = fs::read(&feature).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&feature, &bytes).unwrap();
    let exported = bench.run(&["export"]);
    assert_eq!(exported.code, 3, "{exported:?}");
    assert!(exported.stderr.contains("A/v_1.mp4") && exported.stderr.contains("checksum"), "{exported:?}");
    assert_eq!(read_results(&fs::read(bench.export("result.pkl")).unwrap()).unwrap().len(), 1);
    // A truncated feature is detected at the start of a run. Temporary files of killed runs are removed.
    fs::write(&feature, &bytes[..100]).unwrap();
    let left = set.join("A/.0-of-1.otherhost-1-1-0-0000000000000000.reeldeck-tmp");
    let command = set.join("A/.otherhost-1-1-0-0000000000000000.reeldeck-tmp");
    let list = bench.path("out/.0-of-1.otherhost-1-1-0-0000000000000000.reeldeck-tmp");
    fs::write(&left, "half").unwrap();
    fs::write(&list, "half").unwrap();
    fs::write(&command, "half").unwrap();
    assert_eq!(bench.run(&["--batch"]).code, 0);
    assert!(
        !left.exists() && !list.exists() && command.exists(),
        "that of a command on another host may still be written"
    );
    assert_eq!(read_results(&fs::read(bench.export("result.pkl")).unwrap()).unwrap().len(), 2);
}

//! Output disks that are full, read-only, missing or hanging, and videos that change during a run. The run waits, continues,
//! and charges no video.

use std::fs;
use std::process::{Child, Command};

use crate::support::hold::Hold;
use crate::support::{Bench, Ran, remove_in_use, signal, wait_for};

/// This many videos of 20 ms each; every seventh fails permanently.
fn bench(videos: usize) -> Bench {
    let names: Vec<String> = (0..videos).map(|i| format!("A/v_{i:03}.mp4")).collect();
    let script = |i: usize| if i % 7 == 3 { "slow 20 fail corrupt" } else { "slow 20" };
    let videos: Vec<(&str, &str)> = names.iter().enumerate().map(|(i, name)| (name.as_str(), script(i))).collect();
    let bench = Bench::new(&videos);
    fs::create_dir(bench.path("out")).unwrap();
    bench.configure("[engine]\norder = \"list\"\n");
    bench
}

/// reeldeck with `out` on a small file system. The shell script `meanwhile` runs beside it and may call `wait_for`, which waits
/// for a line in its standard error, and `wait_for_wake_ups`. At the end `out` is copied to `kept`.
fn on_a_small_disk(bench: &Bench, options: &str, before: &str, meanwhile: &str) -> Ran {
    let script = format!(
        "mount -t tmpfs -o {options} none out || exit 99
         {before}
         \"$@\" 2>said & run=$!
         wait_for() {{ for i in $(seq 600); do grep -q \"$1\" said && return; sleep 0.1; done; echo \"never: $1\" >&2; kill $run; }}
         wake_ups() {{ sed -n 's/^voluntary_ctxt_switches://p' /proc/$run/status; }}
         wait_for_wake_ups() {{ before=$(wake_ups); while [ $(wake_ups) -lt $((before + 5)) ]; do sleep 0.1; done; }}
         {meanwhile}
         wait $run; code=$?
         cat said >&2
         cp -r out kept
         exit $code"
    );
    let run = bench.command(&["--batch", "-v"]);
    // In a user namespace, mounting needs no root.
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", &script, "sh"]).arg(run.get_program()).args(run.get_args());
    command.envs(run.get_envs().filter_map(|(key, value)| Some((key, value?)))).current_dir(bench.dir.path());
    let ran = Ran::to_the_end(&mut command);
    assert_ne!(ran.code, 99, "this test mounts a tmpfs in a user namespace, which this system does not allow: {ran:?}");
    ran
}

/// Waits until the engine has woken up several times, so that it could have written again.
fn wait_for_wake_ups(run: &Child) {
    let count = || {
        let status = fs::read_to_string(format!("/proc/{}/status", run.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    let before = count();
    wait_for("the engine wakes up", || count() >= before + 5);
}

/// Checks that the results are those of an undisturbed run.
fn check(bench: &Bench, ran: &Ran, videos: usize, out: &str) {
    assert_eq!(ran.code, 3, "{ran:?}");
    let failed = (0..videos).filter(|i| i % 7 == 3).count();
    let found = |kind: &str| {
        let find =
            Command::new("find").args([&format!("{out}/{kind}"), "-type", "f"]).current_dir(bench.dir.path()).output();
        let text = String::from_utf8(find.unwrap().stdout).unwrap();
        assert!(!text.contains(".reeldeck-tmp"), "no half-written file is left: {text}");
        text.lines().count()
    };
    assert_eq!((found("features"), found("failures")), (videos - failed, failed), "{ran:?}");
    assert!(!ran.stderr.contains("failed to record"), "{ran:?}");
}

#[test]
fn the_run_waits_while_the_disk_is_full() {
    let bench = bench(80);
    let ballast = "head -c 2900k /dev/zero > out/ballast";
    let ran =
        on_a_small_disk(&bench, "size=3200k", ballast, "wait_for 'no space left'; wait_for_wake_ups; rm out/ballast");
    check(&bench, &ran, 80, "kept");
    assert!(ran.stderr.contains("free at least 2 MB"), "the message names the size: {ran:?}");
    assert!(ran.stderr.contains("is writable again; resuming"), "{ran:?}");
}

#[test]
fn the_run_waits_while_the_disk_has_no_inodes() {
    let bench = bench(80);
    let ballast = "for i in $(seq 30); do : > out/ballast$i; done";
    let ran = on_a_small_disk(
        &bench,
        "nr_inodes=90",
        ballast,
        "wait_for 'no space left'; mount -o remount,nr_inodes=900 out",
    );
    check(&bench, &ran, 80, "kept");
    assert!(ran.stderr.contains("its disk can hold no more files") && !ran.stderr.contains("free at least"), "{ran:?}");
}

#[test]
fn the_run_waits_while_the_disk_is_read_only() {
    let bench = bench(80);
    let meanwhile = "wait_for 'done A/v_011'; cd out/features; mount --bind * *; mount -o remount,bind,ro *; cd ../..
        wait_for 'make it writable again'; wait_for_wake_ups; umount out/features/*";
    let ran = on_a_small_disk(&bench, "size=9m", "", meanwhile);
    check(&bench, &ran, 80, "kept");
    assert!(ran.stderr.contains("Read-only file system"), "{ran:?}");
}

#[test]
fn nothing_is_written_below_an_unmounted_disk() {
    let bench = bench(80);
    // A lazy unmount, as when a disk is unplugged; then the disk is mounted again with its files.
    let before = "mkdir disk && mount --bind out disk && touch out/.reeldeck-was-here";
    let meanwhile =
        "wait_for 'done A/v_011'; umount -l out; wait_for 'another file system\\|is gone'; wait_for_wake_ups
        ls -A out > under; mount --bind disk out";
    let ran = on_a_small_disk(&bench, "size=9m", before, meanwhile);
    check(&bench, &ran, 80, "kept");
    assert_eq!(fs::read_to_string(bench.path("under")).unwrap(), "", "nothing was written where the disk had been");
}

#[test]
fn an_output_folder_that_is_moved_away_and_back_is_waited_for() {
    let bench = bench(80);
    let run = bench.start_logged(&["--batch", "-v"]);
    wait_for("some are done", || bench.log().contains("done A/v_011"));
    fs::rename(bench.path("out"), bench.path("away")).unwrap();
    wait_for("it is missed", || bench.log().contains("is gone"));
    wait_for_wake_ups(&run);
    assert!(!bench.path("out").exists(), "nothing is written in its place");
    fs::rename(bench.path("away"), bench.path("out")).unwrap();
    let ran = bench.finish(run);
    check(&bench, &ran, 80, "out");
    let done: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("done ")).collect();
    assert_eq!(done.len(), 80 - 11, "nothing was done twice: {ran:?}");
}

#[test]
fn a_recreated_output_folder_is_filled_again() {
    let bench = bench(80);
    let run = bench.start_logged(&["--batch", "-v"]);
    wait_for("some are done", || bench.log().contains("done A/v_011"));
    // By a rename, so that nothing is written in between.
    fs::rename(bench.path("out"), bench.path("away")).unwrap();
    remove_in_use(&bench.path("away"));
    wait_for("it is missed", || bench.log().contains("is gone"));
    fs::create_dir(bench.path("out")).unwrap();
    let ran = bench.finish(run);
    check(&bench, &ran, 80, "out");
    assert!(ran.stderr.contains("which are extracted again"), "{ran:?}");
    let again = bench.run(&["--batch"]);
    assert!(again.stdout.contains("69 done (0 now, 69 before)"), "{again:?}");
}

#[test]
fn videos_that_change_or_disappear_during_a_run_are_noticed() {
    let bench = bench(20);
    bench.video("A/v_000.mp4", "slow 1500");
    let run = bench.start_logged(&["--batch", "-v"]);
    wait_for("it has begun", || bench.log().contains("started A/v_000"));
    fs::remove_file(bench.path("data/A/v_015.mp4")).unwrap();
    fs::write(bench.path("data/A/v_016.mp4"), "fail corrupt").unwrap();
    fs::write(bench.path("data/A/v_017.mp4"), "ok").unwrap();
    let ran = bench.finish(run);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!(bench.failure("A/v_015.mp4")["attempts"][0]["failure"]["kind"], "missing");
    assert!(
        bench.files("failures").contains("A/v_016.mp4.json")
            && bench.files("features").contains("A/v_017.mp4.safetensors")
    );
    // A restored video has no earlier failures.
    bench.video("A/v_015.mp4", "ok");
    bench.video("A/v_016.mp4", "ok again");
    assert_eq!(bench.run(&["--batch"]).code, 3, "the expected videos have failed");
    assert_eq!(bench.files("failures").len(), 2);
}

/// A run whose first video has failed and whose journal writer waits for the failure file.
fn run_on_a_hanging_disk(config: &str) -> (Bench, Child, Hold) {
    let bench = bench(20);
    bench.video("A/v_000.mp4", "until go fail corrupt");
    bench.configure(&format!("[engine]\norder = \"list\"\n{config}"));
    let hold = Hold::new(&bench);
    let run = bench.spawn_logged(hold.prepare(&mut bench.command(&["--batch", "-v"])));
    wait_for("it has begun", || bench.log().contains("started A/v_000"));
    hold.hold("v_000.mp4.json");
    fs::write(bench.path("go"), "").unwrap();
    wait_for("it fails", || bench.log().contains("failed A/v_000"));
    (bench, run, hold)
}

#[test]
fn an_output_disk_that_hangs_is_waited_for_and_no_video_is_charged() {
    let (bench, run, hold) = run_on_a_hanging_disk("[worker]\nstall_timeout_s = 8\n");
    wait_for("the run is held", || bench.log().contains("the output folder does not respond"));
    hold.release();
    let ran = bench.finish(run);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!(bench.files("features").len(), 20 - 4, "{ran:?}");
    assert_eq!(bench.failure("A/v_000.mp4")["attempts"].as_array().unwrap().len(), 1);
    assert!(ran.stderr.contains("is writable again; resuming"), "{ran:?}");
    assert!(!ran.stderr.contains("no message") && !ran.stderr.contains("restarted"), "{ran:?}");
}

#[test]
fn a_worker_that_waits_for_the_output_disk_is_not_killed() {
    let bench = Bench::new(&[("A/v_1.mp4", "until disk"), ("A/v_2.mp4", "ok")]);
    bench.configure("[worker]\nstall_timeout_s = 4\n");
    let hold = Hold::new(&bench);
    let run = bench.spawn_logged(hold.prepare(&mut bench.command(&["--batch", "-v"])));
    hold.hold(&format!(".room-{}", run.id()));
    wait_for("the run is held", || bench.log().contains("the output folder does not respond"));
    hold.release();
    fs::write(bench.path("disk"), "").unwrap();
    let ran = bench.finish(run);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("is writable again; resuming"), "{ran:?}");
    assert!(!ran.stderr.contains("no message") && !ran.stderr.contains("restarted"), "{ran:?}");
}

#[test]
fn an_engine_answers_while_the_program_of_its_worker_does_not_start() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok")]);
    let hold = Hold::new(&bench);
    hold.hold("fake_worker");
    let run = bench.spawn_logged(hold.prepare(&mut bench.command(&["--batch", "-v"])));
    wait_for("the run has begun", || bench.run(&["status"]).stdout.contains("loading"));
    let stopped = bench.run(&["stop", "--now"]);
    assert_eq!(stopped.code, 0, "{stopped:?}");
    let ran = bench.finish(run);
    assert_eq!(ran.code, 130, "{ran:?}");
    // The disk responds late.
    let run = bench.spawn_logged(hold.prepare(&mut bench.command(&["--batch", "-v"])));
    wait_for("the run has begun", || bench.run(&["status"]).stdout.contains("loading"));
    hold.release();
    let ran = bench.finish(run);
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn a_run_that_is_stopped_at_once_does_not_wait_for_a_disk_that_hangs() {
    let (bench, run, _hold) = run_on_a_hanging_disk("");
    signal(&run, "-INT");
    wait_for("it finishes", || bench.log().contains("interrupt again"));
    signal(&run, "-INT");
    let ran = bench.finish(run);
    assert_eq!(ran.code, 130, "{ran:?}");
    assert!(ran.stderr.contains("failed to record"), "{ran:?}");
}

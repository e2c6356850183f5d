//! A dataset folder that goes during a run: nothing is charged and nothing exported, and the run resumes when it is back.

use std::fs;
use std::process::{Child, Command};

use reeldeck::internals::protocol::row::RowState;
use reeldeck::internals::protocol::snapshot::{Folder, Phase, Snapshot};

use crate::support::{Bench, Ran, wait_for};

const WAITS: &str = "waiting for the dataset folder";

/// Twenty videos in two classes; the first one waits for the file `go`.
fn bench(first: &str) -> Bench {
    let names: Vec<String> = (1..20).map(|i| format!("{}/v_{i:02}.mp4", if i % 2 == 0 { "A" } else { "B" })).collect();
    let mut videos: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "ok")).collect();
    videos.push(("A/v_00.mp4", first));
    let bench = Bench::new(&videos);
    bench.configure("[engine]\norder = \"list\"\n");
    bench
}

/// A run whose first video waits.
fn start(bench: &Bench) -> Child {
    let run = bench.start_logged(&["--batch", "-v", "--devices", "cpu"]);
    wait_for("it has begun", || bench.log().contains("A/v_00"));
    run
}

/// Checks that nothing was charged or exported while the folder was gone.
fn check_untouched(bench: &Bench) {
    assert_eq!(bench.files("failures").len(), 0);
    assert!(!bench.path("out/exports").exists(), "nothing is exported");
}

fn check_complete_run(bench: &Bench) {
    let ran = bench.run(&["--batch", "--devices", "cpu"]);
    assert_eq!((ran.code, bench.files("features").len()), (0, 20), "{ran:?}");
}

/// Checks that the run has extracted everything, at one attempt each.
fn check_complete(bench: &Bench, ran: &Ran) {
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!((bench.files("features").len(), bench.files("failures").len()), (20, 0), "{ran:?}");
    assert!(ran.stderr.contains("the dataset folder is back") && !ran.stderr.contains("failed "), "{ran:?}");
}

#[test]
fn a_batch_run_without_its_dataset_folder_ends_with_an_error() {
    let bench = bench("ok");
    check_complete_run(&bench);
    fs::rename(bench.path("data"), bench.path("away")).unwrap();
    let before = bench.files("features").len();
    for arguments in [&["--batch"][..], &["--batch", "--detach"]] {
        let ran = bench.run(arguments);
        assert!(ran.code == 2 && ran.stderr.contains("failed to open the dataset folder"), "{ran:?}");
        assert!(ran.stderr.contains("mount its disk"), "{ran:?}");
    }
    assert_eq!((bench.files("features").len(), bench.files("failures").len()), (before, 0));
}

#[test]
fn a_link_out_of_the_output_folder_is_refused_also_without_the_dataset_folder() {
    let bench = bench("ok");
    check_complete_run(&bench);
    fs::rename(bench.path("data"), bench.path("away")).unwrap();
    std::os::unix::fs::symlink(bench.path("away"), bench.path("out/annotations")).unwrap();
    let ran = bench.run(&["engine", "--wait"]);
    assert!(ran.code == 2 && ran.stderr.contains("outside of the output folder"), "{ran:?}");
}

#[test]
fn a_dataset_folder_that_is_renamed_is_waited_for() {
    let bench = bench("until go ok");
    let run = start(&bench);
    fs::rename(bench.path("data"), bench.path("away")).unwrap();
    fs::write(bench.path("go"), "").unwrap();
    wait_for("it is missed", || bench.log().contains(WAITS));
    check_untouched(&bench);
    assert!(bench.log().contains("mount its disk again"), "it says what to do");
    // An empty folder in its place is not the dataset.
    fs::create_dir(bench.path("data")).unwrap();
    wait_for("it is not taken for the dataset", || bench.log().contains("with none of the dataset's content"));
    fs::remove_dir(bench.path("data")).unwrap();
    fs::rename(bench.path("away"), bench.path("data")).unwrap();
    check_complete(&bench, &bench.finish(run));
    assert!(bench.path("out/exports").exists());
}

#[test]
fn read_errors_during_decoding_are_waited_out_while_the_folder_is_gone() {
    // The worker has the file open and reports an error of the disk.
    let bench = bench("once until go fail io");
    let run = start(&bench);
    fs::rename(bench.path("data"), bench.path("away")).unwrap();
    fs::write(bench.path("go"), "").unwrap();
    wait_for("it is missed", || bench.log().contains(WAITS));
    check_untouched(&bench);
    fs::rename(bench.path("away"), bench.path("data")).unwrap();
    check_complete(&bench, &bench.finish(run));
}

#[test]
fn an_unmounted_dataset_is_waited_for() {
    let bench = bench("until go ok");
    let script = "mkdir disk && mv data/* disk && mount --bind disk data || exit 99
        \"$@\" 2>said & run=$!
        wait_for() { for i in $(seq 3000); do grep -q \"$1\" said && return; sleep 0.1; done; echo \"never: $1\" >&2; kill $run; }
        wait_for A/v_00; umount -l data; : > go; wait_for 'waiting for the dataset folder'
        ls -A out/failures/* > failures; mount --bind disk data
        wait $run; code=$?; cat said >&2; exit $code";
    let run = bench.command(&["--batch", "-v", "--devices", "cpu"]);
    // In a user namespace, mounting needs no root.
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script, "sh"]).arg(run.get_program()).args(run.get_args());
    command.envs(run.get_envs().filter_map(|(key, value)| Some((key, value?)))).current_dir(bench.dir.path());
    let ran = Ran::to_the_end(&mut command);
    assert_ne!(ran.code, 99, "this test mounts in a user namespace, which this system does not allow: {ran:?}");
    assert_eq!(fs::read_to_string(bench.path("failures")).unwrap(), "");
    check_complete(&bench, &ran);
}

#[test]
fn one_removed_file_fails_and_the_others_are_extracted() {
    let bench = bench("until go ok");
    let run = start(&bench);
    fs::remove_file(bench.path("data/A/v_18.mp4")).unwrap();
    fs::write(bench.path("go"), "").unwrap();
    let ran = bench.finish(run);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!((bench.files("features").len(), bench.files("failures").len()), (19, 1), "{ran:?}");
    assert!(!ran.stderr.contains(WAITS), "{ran:?}");
}

#[test]
fn a_class_folder_that_goes_is_waited_for() {
    let bench = bench("until go ok");
    let run = start(&bench);
    fs::rename(bench.path("data/B"), bench.path("away")).unwrap();
    fs::write(bench.path("go"), "").unwrap();
    wait_for("it is missed", || bench.log().contains(WAITS));
    check_untouched(&bench);
    fs::rename(bench.path("away"), bench.path("data/B")).unwrap();
    check_complete(&bench, &bench.finish(run));
}

#[test]
fn an_engine_that_watches_keeps_its_videos_while_the_folder_is_gone() {
    let bench = bench("until go ok");
    bench
        .configure("[engine]\norder = \"list\"\nlinger_s = 1\n[watch]\nmode = \"polling\"\npoll_s = 1\nsettle_s = 0\n");
    let engine = bench.start_logged(&["engine", "--wait", "--devices", "cpu"]);
    let mut client = None;
    wait_for("it can be reached", || {
        let found = reeldeck::internals::client::runs(&bench.path("out")).ok().and_then(|mut runs| runs.pop());
        client =
            found.and_then(|holder| reeldeck::internals::client::Client::connect(&bench.path("out"), &holder).ok());
        client.is_some()
    });
    let mut client = client.unwrap();
    client.subscribe().unwrap();
    let snapshot = || {
        let holder = reeldeck::internals::client::runs(&bench.path("out")).unwrap().pop().unwrap();
        let mut asking = reeldeck::internals::client::Client::connect(&bench.path("out"), &holder).unwrap();
        asking.snapshot().unwrap()
    };
    wait_for("it is ready", || snapshot().phase == Phase::Waiting);
    fs::rename(bench.path("data"), bench.path("away")).unwrap();
    wait_for("the watch misses it", || snapshot().watch.is_some_and(|words| words.contains("cannot see")));
    let queued = |snapshot: Snapshot| snapshot.states[RowState::Queued as usize];
    assert_eq!(queued(snapshot()), 20, "no file counts as removed");
    fs::rename(bench.path("away"), bench.path("data")).unwrap();
    wait_for("the watch sees it", || snapshot().watch.is_some_and(|words| !words.contains("cannot see")));
    // During a run, the watch holds it before a video is tried.
    let command = reeldeck::internals::protocol::Command::Start;
    let holder = reeldeck::internals::client::runs(&bench.path("out")).unwrap().pop().unwrap();
    let mut orders = reeldeck::internals::client::Client::connect(&bench.path("out"), &holder).unwrap();
    orders.command(command).unwrap();
    wait_for("it has begun", || snapshot().counts.running > 0);
    fs::rename(bench.path("data"), bench.path("away")).unwrap();
    wait_for("it waits", || {
        let Snapshot { phase, held_by, .. } = snapshot();
        phase == Phase::Held && held_by == Some(Folder::Dataset)
    });
    fs::write(bench.path("go"), "").unwrap();
    check_untouched(&bench);
    fs::rename(bench.path("away"), bench.path("data")).unwrap();
    wait_for("it is done", || snapshot().counts.done == 20);
    assert_eq!(bench.files("failures").len(), 0);
    drop((client, orders));
    bench.finish(engine);
}

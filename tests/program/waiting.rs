//! `engine --wait`, which the terminal interface starts: its state before a run, its commands, and changes that it detects.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::prober::{self, settled};
use crate::support::{Bench, wait_for};
use reeldeck::internals::client::{Client, ClientError, runs};
use reeldeck::internals::protocol::details::Details;
use reeldeck::internals::protocol::row::{Filter, Finding, Row, RowState, Select, Sort};
use reeldeck::internals::protocol::snapshot::{Phase, Snapshot};
use reeldeck::internals::protocol::{Command, FromEngine};

/// Adds a "video" with an old time of modification. The same text counts as the same version.
fn old_video(bench: &Bench, name: &str, script: &str) {
    settled(bench, name, script, 0);
}

fn bench(videos: &[(&str, &str)]) -> Bench {
    let bench = Bench::new(&[]);
    for (name, script) in videos {
        old_video(&bench, name, script);
    }
    let config = "[engine]\nlinger_s = 1\norder = \"list\"\n[watch]\nsettle_s = 0\npoll_s = 1\nmode = \"polling\"\n";
    bench.configure(config);
    // A file with `corrupt` in its name is corrupt. Any other file has its size in bytes as its duration in seconds.
    prober::put_with(&bench, "duration_s $size.0 frames 30 size [64,48]", r#"[[ "$path" = *corrupt* ]]"#);
    bench
}

/// A waiting engine in the background, and a follower that keeps it running.
struct Waiting<'b> {
    bench: &'b Bench,
    client: Client,
    follower: Client,
}

impl<'b> Waiting<'b> {
    fn start(bench: &'b Bench, arguments: &[&str]) -> Self {
        let mut words = vec!["engine", "--wait"];
        words.extend(arguments);
        let mut command = bench.command(&words);
        command.env("REELDECK_PROBE", bench.path("prober"));
        // The engine exits by itself; the test waits for it.
        drop(command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap());
        let has_started = |mut client: Client| client.snapshot().is_ok_and(|now| now.phase != Phase::Starting);
        wait_for("it has started", || connect(bench).is_some_and(has_started));
        let mut follower = connect(bench).unwrap();
        follower.subscribe().unwrap();
        Self { bench, client: connect(bench).unwrap(), follower }
    }

    fn snapshot(&mut self) -> Snapshot {
        self.client.snapshot().unwrap()
    }

    fn command(&mut self, command: Command) -> String {
        self.client.command(command).unwrap()
    }

    fn refused(&mut self, command: Command) -> String {
        match self.client.command(command) {
            Err(ClientError::Failed(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    /// Lets the follower ask the engine to exit. Another client may not while there is a follower.
    fn leave(&mut self) -> Result<String, String> {
        assert_eq!(self.refused(Command::Leave), "other clients follow this engine");
        match self.follower.command(Command::Leave) {
            Err(ClientError::Failed(why)) => Err(why),
            other => Ok(other.unwrap()),
        }
    }

    fn rows(&mut self) -> Vec<Row> {
        self.client.rows(Filter::default(), Sort::default(), 0, 100).unwrap().rows
    }

    fn states(&mut self) -> Vec<String> {
        let words = |row: &Row| {
            let findings = row.findings.iter().map(|finding| format!(" +{}", finding.word()));
            format!("{} {}{}", row.video, row.state.word(), findings.collect::<String>())
        };
        self.rows().iter().map(words).collect()
    }

    fn wait_for_states(&mut self, states: &[&str]) {
        let started = Instant::now();
        while self.states() != states {
            assert!(started.elapsed() < Duration::from_secs(300), "{:?}, not {states:?}", self.states());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the run is over with this many finished videos. A snapshot may be slightly out of date.
    fn wait_for_the_end(&mut self, done: usize) -> Snapshot {
        let started = Instant::now();
        loop {
            let snapshot = self.snapshot();
            if snapshot.phase == Phase::Idle && snapshot.ended.is_some() && snapshot.counts.done >= done {
                return snapshot;
            }
            assert!(started.elapsed() < Duration::from_secs(300), "{snapshot:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The first snapshot that follows, in which a run is active.
    fn first_running(&mut self) -> Snapshot {
        loop {
            match self.follower.follow().unwrap() {
                FromEngine::Snapshot { snapshot, .. } if snapshot.phase == Phase::Running => return snapshot,
                _ => {}
            }
        }
    }

    fn details(&mut self, video: &str) -> Details {
        self.client.details(video).unwrap()
    }

    /// Without a follower, the engine exits.
    fn end(self) {
        let Self { bench, client, follower } = self;
        drop((client, follower));
        wait_for("the engine exits", || runs(&bench.path("out")).unwrap().is_empty());
    }
}

fn connect(bench: &Bench) -> Option<Client> {
    let holder = runs(&bench.path("out")).ok()?.pop()?;
    Client::connect(&bench.path("out"), &holder).ok()
}

fn select(videos: &[&str]) -> Select {
    Select { videos: videos.iter().map(ToString::to_string).collect(), filter: None }
}

fn is_polled(snapshot: &Snapshot) -> bool {
    snapshot.watch.as_deref().is_some_and(|watch| watch.starts_with("polling"))
}

#[test]
fn scan_then_extract() {
    let bench =
        bench(&[("A/v_1.mp4", "ok"), ("A/v_2.mp4", "fail io fail"), ("A/v_corrupt.mp4", "ok"), ("B/v_x.mp4", "ok")]);
    let manifest = r#"{"database": {
        "1": {"duration": 2, "subset": "training", "annotations": [{"label": "A", "segment": [0.5, 2]}]},
        "2": {"duration": 99, "subset": "training", "annotations": [{"label": "A", "segment": [1, 2]}]},
        "corrupt": {"duration": 2, "subset": "training", "annotations": [{"label": "A", "segment": [1, 2]}]},
        "gone": {"duration": 2, "subset": "validation", "annotations": [{"label": "B c", "segment": [1, 2]}]}}}"#;
    fs::write(bench.path("m.json"), manifest).unwrap();
    let mut engine = Waiting::start(&bench, &["--manifest", "m.json"]);
    engine.wait_for_states(&[
        "A/v_1.mp4 queued",
        "A/v_2.mp4 queued +wrong duration",
        "A/v_corrupt.mp4 queued +corrupt",
        "B/v_x.mp4 queued +unlisted",
        "B_c/v_gone missing",
    ]);
    // Snapshots are sent four times a second: the newest one may be older than the scan.
    wait_for("the look is over", || {
        let snapshot = engine.snapshot();
        // The thread that watches starts beside it.
        snapshot.scan.is_none() && snapshot.states.iter().sum::<u32>() == 5 && is_polled(&snapshot)
    });
    let snapshot = engine.snapshot();
    assert_eq!((snapshot.phase, snapshot.ended, snapshot.counts.queued), (Phase::Waiting, None, 4));
    assert_eq!(snapshot.states[RowState::Missing as usize], 1);
    assert!(snapshot.devices.iter().all(|device| device.status == "left"), "no worker is started");
    assert!(is_polled(&snapshot));
    assert_eq!(bench.files("features").len(), 0);
    let rows = engine.rows();
    assert_eq!(rows[0].facts.as_ref().unwrap().codec, "h264");
    assert_eq!(rows[2].reason.as_deref(), Some("moov atom missing"));
    let place = engine.client.locate("B/v_x.mp4", Filter::default(), Sort::default()).unwrap();
    assert_eq!(place, (Some(3), 5));
    let missing = engine.details("B_c/v_gone");
    assert_eq!((missing.path, missing.listed.unwrap().subset.as_deref()), (None, Some("validation")));

    assert!(engine.command(Command::WriteMissing).contains("2 of 4 videos are missing or corrupt"));
    assert_eq!(fs::read_to_string(bench.path("out/missing/missing_files.txt")).unwrap(), "corrupt\ngone");
    assert!(engine.command(Command::WriteList).contains("4 videos"));
    assert!(engine.refused(Command::Pause).contains("nothing to pause"));

    // One is excluded, in this run and in later ones.
    assert_eq!(engine.command(Command::Exclude { select: select(&["B/v_x.mp4"]), undo: false }), "excluded B/v_x.mp4");
    assert_eq!(fs::read_to_string(bench.path("out/.reeldeck/excluded")).unwrap(), "B/v_x.mp4\n");
    let asked = Instant::now();
    assert_eq!(engine.command(Command::Start), "3 videos queued");
    let first = engine.first_running();
    assert!(first.elapsed_s <= asked.elapsed().as_secs_f64(), "it counts the time before the run: {}", first.elapsed_s);
    assert!(engine.leave().unwrap_err().contains("stop it first"));
    let ended = engine.wait_for_the_end(2);
    assert_eq!((ended.ended, ended.counts.done, ended.counts.failed, ended.counts.excluded), (Some(3), 2, 1, 1));
    engine.wait_for_states(&[
        "A/v_1.mp4 done",
        "A/v_2.mp4 failed +wrong duration",
        "A/v_corrupt.mp4 done +corrupt",
        "B/v_x.mp4 excluded +unlisted",
        "B_c/v_gone missing",
    ]);
    let findings = engine.snapshot().findings;
    assert_eq!(
        (findings[Finding::Corrupt as usize], findings[Finding::Unlisted as usize]),
        (1, 1),
        "as before the run"
    );
    wait_for("it is exported", || {
        let sets = fs::read_dir(bench.path("out/exports")).into_iter().flatten().flatten();
        sets.into_iter().any(|set| set.path().join("result.pkl").exists())
    });
    let details = engine.details("A/v_1.mp4");
    let feature = details.feature.unwrap();
    assert_eq!((feature.tensors, feature.top1.len(), feature.heat.len()), (vec![("logits".into(), vec![4, 5])], 4, 5));
    assert!(feature.synthetic_weights && feature.classes[0].0.starts_with("#"));
    assert_eq!(details.listed.unwrap().segments.len(), 1);
    assert_eq!((details.container.as_deref(), details.fps), (Some("mp4"), Some(30.0)));
    let failed = engine.details("A/v_2.mp4");
    assert_eq!((failed.attempts.len(), engine.rows()[1].attempts, failed.feature), (3, 3, None));
    assert!(failed.next_step.is_some() && engine.client.details("A/none.mp4").is_err());
    let log: Vec<String> = engine.client.log(50).unwrap().into_iter().map(|line| line.text).collect();
    assert!(log.iter().any(|text| text.contains("failed A/v_2.mp4")), "{log:?}");
    // The log names a start and an exclusion once.
    for once in ["started: 0 of 4 videos done, 3 queued, 1 excluded", "excluded B/v_x.mp4"] {
        assert_eq!(log.iter().filter(|text| text.contains(once)).count(), 1, "{once}: {log:?}");
    }
    assert_eq!(engine.client.history().unwrap().every_s, 5.0);

    // The engine detects that a failed video was repaired, but starts nothing by itself.
    old_video(&bench, "A/v_2.mp4", "ok, and longer");
    wait_for("it is noticed", || engine.rows()[1].state != RowState::Failed);
    assert_eq!(engine.snapshot().phase, Phase::Idle);
    assert_eq!(engine.command(Command::Redo { select: select(&["A/v_2.mp4"]) }), "run started: 1 video queued");
    wait_for("it is done", || engine.rows()[1].state == RowState::Done);
    engine.wait_for_the_end(3);
    // The user requests another extraction.
    let before = fs::metadata(bench.files_of("A/v_1.mp4")).unwrap().modified().unwrap();
    assert!(
        engine
            .command(Command::Redo { select: select(&["A/v_1.mp4", "B/v_x.mp4"]) })
            .starts_with("1 video queued again")
    );
    wait_for("it is done again", || fs::metadata(bench.files_of("A/v_1.mp4")).unwrap().modified().unwrap() > before);
    engine.wait_for_the_end(3);
    engine.end();

    let ran = bench.run(&["--batch"]);
    assert_eq!((ran.code, bench.files("features").len()), (0, 3), "excluded videos are no failures: {ran:?}");
    assert!(ran.stdout.contains("1 excluded"), "{ran:?}");
    let mut engine = Waiting::start(&bench, &[]);
    wait_for("the excluded video is checked", || engine.states()[3] == "B/v_x.mp4 excluded");
    let status = bench.run(&["status"]).stdout;
    assert!(status.contains("no run is active: 3 of 4 videos done, 1 excluded"), "{status}");
    assert!(status.contains("Last run: ") && !status.contains("cpu"), "{status}");
    assert!(engine.refused(Command::Start).contains("nothing left to extract"));
    assert_eq!(
        engine.command(Command::Exclude { select: select(&["B/v_x.mp4"]), undo: true }),
        "included B/v_x.mp4 again"
    );
    assert_eq!(engine.command(Command::Start), "1 video queued");
    wait_for("it is done", || bench.files("features").len() == 4);
    engine.end();
}

#[test]
fn videos_may_come_later() {
    let bench = bench(&[]);
    let mut engine = Waiting::start(&bench, &[]);
    assert_eq!((engine.states().len(), engine.snapshot().phase), (0, Phase::Waiting));
    assert!(engine.refused(Command::Start).contains("nothing left to extract"));
    old_video(&bench, "B/v_1.mp4", "slow 200");
    old_video(&bench, "B/v_2.mp4", "ok");
    engine.wait_for_states(&["B/v_1.mp4 queued", "B/v_2.mp4 queued"]);
    assert_eq!(engine.snapshot().phase, Phase::Waiting, "nothing begins by itself");
    assert_eq!(engine.command(Command::Start), "2 videos queued");
    // A video that arrives during a run is processed by it, or by the next run if it arrives late.
    old_video(&bench, "A/v_3.mp4", "ok");
    wait_for("it is seen", || engine.states().len() == 3);
    engine.wait_for_the_end(2);
    let _ = engine.client.command(Command::Start);
    wait_for("all are done", || bench.files("features").len() == 3);
    engine.wait_for_the_end(3);
    engine.wait_for_states(&["A/v_3.mp4 done", "B/v_1.mp4 done", "B/v_2.mp4 done"]);
    // A changed file, and a removed one.
    old_video(&bench, "B/v_2.mp4", "ok, another");
    fs::remove_file(bench.path("data/B/v_1.mp4")).unwrap();
    engine.wait_for_states(&["A/v_3.mp4 done", "B/v_2.mp4 stale"]);
    // The file returns unchanged: its feature is still valid.
    old_video(&bench, "B/v_2.mp4", "ok");
    assert!(engine.command(Command::Rescan).contains(" new or changed, "));
    engine.wait_for_states(&["A/v_3.mp4 done", "B/v_2.mp4 done"]);
    engine.wait_for_the_end(2);
    engine.end();
}

#[test]
fn a_stopped_run_resumes() {
    let names: Vec<String> = (0..6).map(|i| format!("A/v_{i}.mp4")).collect();
    let mut videos: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "ok")).collect();
    videos[5].1 = "slow 100000";
    let bench = bench(&videos);
    let mut engine = Waiting::start(&bench, &[]);
    engine.command(Command::Start);
    wait_for("one is done", || engine.snapshot().counts.done > 0);
    // A retry may have started it.
    engine.command(Command::Start);
    assert_eq!(bench.run(&["stop", "--now"]).code, 0);
    let ended = engine.wait_for_the_end(1);
    assert_eq!(ended.ended, Some(130));
    assert!(ended.counts.queued > 0, "{ended:?}");
    let last = engine.rows().pop().unwrap();
    assert!(!matches!(last.state, RowState::Running | RowState::Done), "{last:?}");
    old_video(&bench, "A/v_5.mp4", "ok, soon");
    wait_for("it is noticed", || engine.rows()[5].size != last.size);
    // The engine has a follower, so it is still running; the requested video waits like the others.
    let again = engine.command(Command::Redo { select: select(&["A/v_0.mp4"]) });
    assert_eq!(again, "1 video queued again; start the run to extract what is queued");
    // A request for queued videos alone starts the run.
    let ran = bench.run(&["retry", "v_5"]);
    assert!(ran.code == 0 && ran.stdout.starts_with("run started: "), "{ran:?}");
    let ended = engine.wait_for_the_end(6);
    assert_eq!((ended.ended, ended.counts.done), (Some(0), 6));
    // A window that closes during a run does not end the run.
    engine.command(Command::Redo { select: Select { videos: vec![], filter: Some(Filter::default()) } });
    let Waiting { client, follower, .. } = engine;
    drop((client, follower));
    wait_for("it continues and then exits", || runs(&bench.path("out")).unwrap().is_empty());
    assert_eq!(bench.files("features").len(), 6);
    let journal = fs::read_dir(bench.path("out/.reeldeck/runs")).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(journal).unwrap();
    assert_eq!(text.matches("\"event\":\"run-ended\"").count(), 3);
    assert_eq!(text.matches("\"event\":\"video-done\"").count(), 6 + 1 + 6);
}

#[test]
fn a_video_is_not_extracted_again_where_that_removes_an_output() {
    let bench = bench(&[("A/v_1.mp4", "ok"), ("A/v_2.mp4", "ok")]);
    assert_eq!(bench.run(&["extract"]).code, 0);
    bench.add_pooled("A/v_2.mp4");
    let mut engine = Waiting::start(&bench, &[]);
    let refused = engine.refused(Command::Redo { select: select(&["A/v_1.mp4", "A/v_2.mp4"]) });
    assert!(refused.contains("1 feature in") && refused.contains("their pooled would be lost"), "{refused}");
    let done = engine.command(Command::Redo { select: select(&["A/v_1.mp4"]) });
    assert_eq!(done, "1 video queued again");
    engine.wait_for_the_end(2);
    engine.end();
}

#[test]
fn a_waiting_engine_reports_errors_and_exits_without_clients() {
    let bench = bench(&[("A/v_1.mp4", "ok")]);
    let engine = Waiting::start(&bench, &[]);
    engine.end();
    assert_eq!(bench.files("features").len(), 0);
    let mut engine = Waiting::start(&bench, &[]);
    assert_eq!(engine.leave().unwrap(), "no run is active; the engine exits");
    engine.end();
}

#[test]
fn everything_but_extraction_works_without_weights() {
    let bench = bench(&[("A/v_1.mp4", "ok"), ("A/v_corrupt.mp4", "ok")]);
    let config = fs::read_to_string(bench.path("config.toml")).unwrap();
    fs::write(bench.path("config.toml"), config.replace("checkpoint = \"seeded\"\n", "")).unwrap();
    fs::write(bench.path("list.txt"), "1,A\ncorrupt,A\ngone,A\n").unwrap();
    let mut engine = Waiting::start(&bench, &["--manifest", "list.txt"]);
    engine.wait_for_states(&["A/v_1.mp4 queued", "A/v_corrupt.mp4 queued +corrupt", "A/v_gone missing"]);
    assert!(engine.snapshot().needs.unwrap().contains("--checkpoint seeded"));
    let refused = engine.refused(Command::Start);
    assert!(refused.starts_with("extraction needs weights: ") && refused.contains("--checkpoint"), "{refused}");
    assert_eq!(engine.refused(Command::Redo { select: select(&["A/v_1.mp4"]) }), refused);
    assert!(engine.command(Command::WriteList).contains("2 videos"));
    assert!(engine.command(Command::WriteMissing).contains("2 of 3 videos are missing or corrupt"));
    assert!(engine.command(Command::Check { deep: true }).contains("deep check of 2 videos started"));
    assert!(engine.command(Command::Rescan).contains("0 new or changed"));
    assert!(!bench.path("out/features").exists(), "there is no feature set without weights");
    // The log has each command with its result.
    let log = engine.client.log(100).unwrap();
    for says in [
        "start: extraction needs weights",
        "wrote ",
        "deep check of 2 videos started",
        "scanned the dataset folder: 0 new or changed",
    ] {
        assert!(log.iter().any(|line| line.text.starts_with(says)), "{says}: {log:?}");
    }
    engine.end();
}

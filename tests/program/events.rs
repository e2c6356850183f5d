//! `--json`: every line parses, and docs/EVENTS.md explains each event and each field.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::support::Bench;
use reeldeck::internals::protocol::event::{Line, SCHEMA};
use serde_json::Value;

/// The documented fields of each event, without those that all events have.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/EVENTS.md");
    let text = fs::read_to_string(path).unwrap();
    let mut events: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut current: Vec<String> = vec![];
    for line in text.lines() {
        let quoted = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        if let Some(title) = line.strip_prefix("### ") {
            current = quoted(title);
            current.iter().for_each(|event| drop(events.insert(event.clone(), BTreeSet::new())));
        } else if line.starts_with("- `") {
            let fields = quoted(line.split(": ").next().unwrap());
            for event in &current {
                events.get_mut(event).unwrap().extend(fields.clone());
            }
        }
    }
    events
}

/// Checks a line of JSON against the document; returns the event.
fn check(text: &str, documented: &BTreeMap<String, BTreeSet<String>>) -> (String, Value) {
    let line: Line = serde_json::from_str(text).unwrap();
    assert_eq!(line.schema, SCHEMA);
    let value: Value = serde_json::from_str(text).unwrap();
    let event = value["event"].as_str().unwrap().to_owned();
    let fields: BTreeSet<String> = value.as_object().unwrap().keys().cloned().collect();
    let mut expected = documented.get(&event).unwrap_or_else(|| panic!("{event} is not explained")).clone();
    expected.extend(["schema", "time", "event"].map(str::to_owned));
    assert_eq!(fields, expected, "{event}");
    (event, value)
}

#[test]
fn every_event_line_is_documented() {
    let documented = documented();
    let bench = Bench::new(&[
        ("A/v_1.mp4", "ok"),
        ("A/v_2.mp4", "fail corrupt"),
        ("A/v_3.mp4", "once fail io"),
        ("A/v_4.mp4", "once fail out-of-memory"),
        ("A/v_5.mp4", "once crash"),
        ("A/v_6.mp4", "once fail disk-full"),
    ]);
    let ran = bench.run(&["--batch", "--json"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let events: Vec<(String, Value)> = ran.stdout.lines().map(|line| check(line, &documented)).collect();
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names.first(), names.last()), (Some(&"run-started"), Some(&"run-ended")));
    for name in
        ["worker-ready", "worker-restarted", "batch-reduced", "video-returned", "held", "output-back", "exported"]
    {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    let of = |name: &str| events.iter().filter(|(n, _)| n == name).map(|(_, value)| value).collect::<Vec<_>>();
    assert_eq!(of("video-done").len(), 5);
    let failed: Vec<_> = of("video-failed").into_iter().filter(|value| value["retry_in_s"].is_null()).collect();
    assert_eq!((failed.len(), &failed[0]["kind"], &failed[0]["video"]), (1, &"corrupt".into(), &"A/v_2.mp4".into()));
    let (_, ended) = events.last().unwrap();
    assert_eq!(
        (&ended["exit"], &ended["counts"]["done"], &ended["counts"]["failed"]),
        (&3.into(), &5.into(), &1.into())
    );
    assert!(ran.stderr.contains("failed A/v_2.mp4"), "messages for people still appear: {ran:?}");

    // The journal contains the same lines.
    let runs = fs::read_dir(bench.path("out/.reeldeck/runs")).unwrap();
    let journals: Vec<_> = runs.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(journals.len(), 1);
    let journal = fs::read_to_string(&journals[0]).unwrap();
    let told: Vec<&str> = ran.stdout.lines().filter(|line| !line.contains("\"event\":\"progress\"")).collect();
    assert_eq!(journal.lines().collect::<Vec<_>>(), told);
    // The log contains them as text.
    let log = bench.engine_log();
    assert!(log.contains("problem failed A/v_2.mp4: it failed") && log.contains("cpu says: about to crash"), "{log}");
}

#[test]
fn the_document_lists_exactly_the_events() {
    // Events that the run above cannot cause are constructed here.
    let documented = documented();
    let counts = r#"{"videos":1,"done":0,"resumed":0,"degraded":0,"stale":0,"failed":0,"failed_before":0,"queued":1,"running":0,"left_out":0}"#;
    let rest = [
        r#""event":"worker-lost","worker":0,"device":"cpu","reason":"x""#.to_owned(),
        r#""event":"worker-warning","worker":0,"device":"cpu","text":"x""#.to_owned(),
        r#""event":"paused""#.to_owned(),
        r#""event":"dataset-back""#.to_owned(),
        r#""event":"resumed""#.to_owned(),
        r#""event":"requeued","videos":1"#.to_owned(),
        r#""event":"command","command":"retry 1 video","done":true,"message":"x""#.to_owned(),
        r#""event":"stopping""#.to_owned(),
        r#""event":"stopping-now""#.to_owned(),
        r#""event":"blocked","reason":"x""#.to_owned(),
        r#""event":"export-failed","reason":"x""#.to_owned(),
        r#""event":"dataset-changed","arrived":1,"changed":0,"gone":2,"videos":{"arrived":["A/v.mp4"]}"#.to_owned(),
        format!(r#""event":"progress","counts":{counts},"clips_per_s":1.5,"eta_s":null"#),
    ];
    let mut seen: BTreeSet<String> = rest
        .iter()
        .map(|text| check(&format!("{{\"schema\":{SCHEMA},\"time\":\"2026-11-23T04:00:00Z\",{text}}}"), &documented).0)
        .collect();
    seen.extend(
        [
            "run-started",
            "worker-ready",
            "worker-restarted",
            "batch-reduced",
            "video-assigned",
            "video-started",
            "video-done",
            "video-failed",
            "video-returned",
            "held",
            "output-back",
            "run-ended",
            "exported",
        ]
        .map(str::to_owned),
    );
    assert_eq!(documented.keys().cloned().collect::<BTreeSet<_>>(), seen);
}

#[test]
fn quiet_prints_problems_only_and_verbose_everything() {
    let videos = [("A/v_1.mp4", "ok"), ("A/v_2.mp4", "fail corrupt")];
    let quiet = Bench::new(&videos).run(&["--batch", "-q"]);
    assert_eq!(quiet.stdout, "", "{quiet:?}");
    let lines: Vec<&str> = quiet.stderr.lines().collect();
    assert!(
        lines.len() == 5 && lines[0].contains("seeded weights") && lines[1].starts_with("failed A/v_2.mp4"),
        "{quiet:?}"
    );
    let loud = Bench::new(&videos).run(&["--batch", "-v"]);
    for says in ["cpu is ready", "cpu: started A/v_1.mp4", "done A/v_1.mp4: 10 frames", "run finished in"] {
        assert!(loud.stderr.contains(says), "{says}: {loud:?}");
    }
}

/// A full disk is not a closed pipe: the exit code must tell the script that reads the file.
#[test]
fn events_that_cannot_be_written_change_the_exit_code_and_not_the_run() {
    let bench = Bench::new(&[("A/v_0.mp4", "ok"), ("A/v_1.mp4", "ok")]);
    for arguments in [&["--batch", "--json"][..], &["--batch"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = bench.command(arguments).stdout(full).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("failed to write to standard output") && stderr.contains("No space left"), "{stderr}");
        assert_eq!(bench.files("features").len(), 2, "{stderr}");
    }
}

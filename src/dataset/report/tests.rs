//! The report of small datasets.

use reeldeck_common::probe::{Facts, Level, Probed, Verdict};

use super::super::matching::tests::{files, manifest};
use super::super::state::ACCEPTED;
use super::*;

const MANIFEST: &str = r#"{"database": {
    "two": {"duration": 5, "subset": "training", "annotations": [
        {"label": "Tai chi", "segment": [1, 2]}, {"label": "Archery", "segment": [2, 3]}]},
    "gone": {"duration": 5, "subset": "validation", "annotations": [{"label": "Tai chi", "segment": [1, 2]}]},
    "odd": {"duration": 5, "subset": "validation", "annotations": [{"label": "Tai chi", "segment": [1, 2]}]},
    "bad": {"duration": 5, "subset": "training", "annotations": [{"label": "Archery", "segment": [1, 2]}]},
    "test": {"duration": 5, "subset": "testing", "annotations": []},
    "lost": {"duration": 5, "subset": "testing", "annotations": []}}}"#;

fn scan() -> Scan {
    let names = [
        "Tai_chi/v_two.mp4",
        "Archery/v_two.mp4",
        "Archery/v_odd.mp4",
        "Archery/v_bad.mp4",
        "Tai_chi/v_test.mp4",
        "New/v_x.mp4",
    ];
    Scan { videos: files(&names), ..Scan::default() }
}

fn probes(scan: &Scan) -> Probes {
    let bad = scan.videos.iter().find(|file| file.name.file() == "v_bad.mp4").unwrap();
    let verdict = Verdict::Corrupt { reason: "no frames \u{1b}[2J".into() };
    [(bad.name.clone(), Probed { level: Level::Quick, source: bad.stamp, verdict })].into()
}

#[test]
fn every_video_has_a_row_and_a_state() {
    let (manifest, scan) = (manifest(MANIFEST), scan());
    let probes = probes(&scan);
    let report = Report::new(Some(&manifest), &scan, &probes, ACCEPTED);
    let rows: Vec<_> = report.rows().map(|row| (row.id.unwrap_or("-"), row.state.word(), row.misplaced)).collect();
    let row = |id, state, misplaced| (id, state, misplaced);
    assert_eq!(
        rows,
        [
            row("two", "duplicate", false),
            row("gone", "missing", false),
            row("odd", "unchecked", true),
            row("bad", "corrupt", false),
            row("test", "unchecked", false),
            row("lost", "missing", false),
            row("-", "unlisted", false),
        ]
    );
    assert!(!report.is_complete());
    // Without a manifest, nothing is missing.
    let report = Report::new(None, &scan, &probes, ACCEPTED);
    assert_eq!(report.rows().filter(|row| row.state == State::Unchecked).count(), 5);
    assert_eq!(report.tables().all.listed, 0);
}

#[test]
fn videos_are_counted_by_split_and_class() {
    let (manifest, scan) = (manifest(MANIFEST), scan());
    let probes = probes(&scan);
    let tables = Report::new(Some(&manifest), &scan, &probes, ACCEPTED).tables();
    let of = |listed, counts: &[(usize, usize)]| {
        let mut states = [0; 8];
        counts.iter().for_each(|(state, count)| states[*state] = *count);
        Tally { listed, states }
    };
    assert_eq!(tables.all, of(6, &[(0, 2), (1, 1), (3, 1), (5, 1), (6, 2)]));
    assert_eq!(tables.misplaced, 1);
    let splits: Vec<_> = tables.splits.into_iter().collect();
    assert_eq!(
        splits,
        [
            (None, of(0, &[(5, 1)])),
            (Some(Split::Training), of(2, &[(1, 1), (3, 1)])),
            (Some(Split::Validation), of(2, &[(0, 1), (6, 1)])),
            (Some(Split::Testing), of(2, &[(0, 1), (6, 1)])),
        ]
    );
    let classes: Vec<_> = tables.classes.into_iter().collect();
    assert_eq!(
        classes,
        [
            (String::new(), of(1, &[(0, 1)])),
            ("Archery".into(), of(2, &[(1, 1), (3, 1)])),
            ("New".into(), of(0, &[(5, 1)])),
            ("Tai chi".into(), of(4, &[(0, 1), (3, 1), (6, 2)])),
        ]
    );
}

fn text(report: &Report<'_>, most: usize) -> String {
    let mut bytes = vec![];
    report.write_tables(&mut bytes).unwrap();
    report.write_problems(&mut bytes, most).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_text_has_counts_names_reasons_and_next_steps() {
    let (manifest, scan) = (manifest(MANIFEST), scan());
    let probes = probes(&scan);
    let report = Report::new(Some(&manifest), &scan, &probes, ACCEPTED);
    let told = text(&report, 1);
    let lines: Vec<_> = told.lines().map(str::trim_end).collect();
    for line in [
        "split                listed  missing  corrupt  duplicate  unlisted  unchecked",
        "training                  2                 1          1",
        "not in the manifest                                              1",
        "all                       6        2        1          1         1          2",
        "Tai chi                   4        1                   1                    2",
        "(no class)                1        1",
        "missing gone (Tai chi, validation): in the manifest, not on disk",
        "missing 1 more; -v names them all",
        "  next: `reeldeck missing` writes lists to download or request missing videos",
        "corrupt Archery/v_bad.mp4: no frames \\u{1b}[2J",
        "duplicate two: appears twice, in different classes: Archery/v_two.mp4, Tai_chi/v_two.mp4",
        "unlisted New/v_x.mp4: on disk, not in the manifest",
        "note: 1 video is in the folder of a class that the manifest does not give, such as Archery/v_odd.mp4 (Tai chi)",
    ] {
        assert!(lines.contains(&line), "{line:?} is missing in:\n{told}");
    }
    assert!(text(&report, usize::MAX).contains("missing lost (testing): "));
    assert!(!told.contains("ready"), "columns without a video are left out");
}

#[test]
fn the_json_has_the_same_content() {
    let (manifest, scan) = (manifest(MANIFEST), scan());
    let probes = probes(&scan);
    let report = Report::new(Some(&manifest), &scan, &probes, ACCEPTED);
    let mut bytes = vec![];
    report.write_json(&mut bytes, std::path::Path::new("/data"), &["/out/f".into()]).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((json["schema"].as_u64(), json["root"].as_str()), (Some(1), Some("/data")));
    assert_eq!(json["all"]["listed"], 6);
    assert_eq!(json["all"]["states"]["missing"], 2);
    assert_eq!(json["all"]["states"]["wrong-duration"], 0);
    assert_eq!(json["splits"][3]["split"], "testing");
    assert_eq!(json["splits"][0]["split"], serde_json::Value::Null);
    assert_eq!(json["classes"][1]["class"], "Archery");
    let videos = json["videos"].as_array().unwrap();
    assert_eq!(videos.len(), 7);
    assert_eq!(videos[0]["labels"], serde_json::json!(["Tai chi", "Archery"]));
    assert_eq!(videos[0]["state"]["is"], "duplicate");
    assert_eq!(videos[0]["files"].as_array().unwrap().len(), 2);
    assert_eq!(videos[1]["files"], serde_json::json!([]));
    assert_eq!((&videos[1]["split"], &videos[1]["duration_s"]), (&"validation".into(), &5.0.into()));
    assert_eq!(videos[2]["misplaced"], true);
    assert_eq!(videos[3]["files"][0]["state"]["reason"], "no frames \u{1b}[2J");
    assert_eq!(videos[6]["id"], serde_json::Value::Null);
    assert_eq!(videos[6]["files"][0]["name"], "New/v_x.mp4");
}

#[test]
fn a_next_step_follows_the_videos_that_it_is_for() {
    let scan = Scan { videos: files(&["a/v_1.mp4", "a/v_2.mp4", "a/v_3.mp4"]), ..Scan::default() };
    let reasons = ["no index", "no decoder for the codec", "no index"];
    let probed = |(file, reason): (&VideoFile, &str)| {
        let verdict = Verdict::Corrupt { reason: reason.into() };
        (file.name.clone(), Probed { level: Level::Quick, source: file.stamp, verdict })
    };
    let probes: Probes = scan.videos.iter().zip(reasons).map(probed).collect();
    let told = text(&Report::new(None, &scan, &probes, ACCEPTED), 9);
    let download = "  next: download it again; with a manifest, `reeldeck missing` lists it with the missing videos";
    let expected = [
        "corrupt a/v_1.mp4: no index",
        "corrupt a/v_3.mp4: no index",
        download,
        "corrupt a/v_2.mp4: no decoder for the codec",
        "  next: convert it to H.264 with a program that can decode it",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_video_whose_end_is_unknown_is_noted_unless_the_manifest_has_its_duration() {
    let scan = Scan { videos: files(&["a/v_two.mp4", "b/v_odd.mp4", "b/v_bad.mp4"]), ..Scan::default() };
    let healthy = |expected_from| Verdict::Healthy {
        facts: Facts {
            duration_s: 5.0,
            frames: 150,
            fps: [30, 1],
            size: [64, 48],
            codec: "h264".into(),
            container: "mpegts".into(),
            expected_from,
        },
    };
    let verdicts = [
        ("v_two.mp4", healthy(Some(ExpectedFrom::Nothing))),
        ("v_odd.mp4", healthy(Some(ExpectedFrom::SampleTable))),
        ("v_bad.mp4", Verdict::Corrupt { reason: "no frames".into() }),
    ];
    let probes: Probes = scan
        .videos
        .iter()
        .filter_map(|file| {
            let (_, verdict) = verdicts.iter().find(|(name, _)| *name == file.name.file())?;
            let probed = Probed { level: Level::Quick, source: file.stamp, verdict: verdict.clone() };
            Some((file.name.clone(), probed))
        })
        .collect();
    let note = "note: 1 video has a container that does not state its duration, such as";
    let (durations, list) = (manifest(MANIFEST), manifest("two\nodd\nbad\n"));
    for (manifest, name) in [(None, Some("a/v_two.mp4")), (Some(&list), Some("a/v_two.mp4")), (Some(&durations), None)]
    {
        let report = Report::new(manifest, &scan, &probes, ACCEPTED);
        let told = text(&report, 9);
        let expected = name.map(|name| {
            format!("{note} {name}; only a manifest with durations shows whether frames are missing at the end")
        });
        assert_eq!(
            told.lines().find(|line| line.contains("does not state its duration")),
            expected.as_deref(),
            "{told}"
        );
        assert_eq!(report.tables().unverified, usize::from(name.is_some()));
        let mut bytes = vec![];
        report.write_json(&mut bytes, std::path::Path::new("/data"), &[]).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let sources: BTreeMap<_, _> = json["videos"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|video| video["files"].as_array())
            .flatten()
            .map(|file| (file["name"].as_str().unwrap(), file.get("expected_from").cloned()))
            .collect();
        let expected = [("a/v_two.mp4", Some("nothing")), ("b/v_bad.mp4", None), ("b/v_odd.mp4", Some("sample-table"))];
        let expected = expected.map(|(name, source)| (name, source.map(serde_json::Value::from)));
        assert_eq!(sources, expected.into());
    }
}

#[test]
fn a_prefix_that_matches_nothing_is_noted() {
    let manifest = manifest("video_test_1\nvideo_test_2\n");
    let scan = Scan { videos: files(&["test/video_test_1.mp4"]), ..Scan::default() };
    let probes = Probes::new();
    let told = text(&Report::new(Some(&manifest), &scan, &probes, ACCEPTED), 9);
    assert!(told.contains("set `[manifest] prefix = \"\"`"), "{told}");
    let scan = Scan { videos: files(&["test/v_video_test_1.mp4", "test/video_test_2.mp4"]), ..Scan::default() };
    let told = text(&Report::new(Some(&manifest), &scan, &probes, ACCEPTED), 9);
    assert!(!told.contains("prefix = "), "{told}");
}

#[test]
fn an_empty_dataset_has_an_empty_report() {
    let (scan, probes) = (Scan::default(), Probes::new());
    let report = Report::new(None, &scan, &probes, ACCEPTED);
    assert!(report.is_complete());
    assert_eq!(report.tables(), Tables::default());
    assert_eq!(text(&report, 9), "");
}

//! The table as clients see it: filters, sort orders, counts, missing videos, and files that appear, change and disappear.

use std::io::Write as _;

use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::probe::{Facts, Level, Verdict};
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;

use super::*;
use crate::dataset::manifest::Manifest;
use crate::dataset::state::ACCEPTED;
use crate::engine::other_files::OtherFile;
use crate::engine::state::{Status, Video};
use crate::protocol::row::{Column, Filter, Row, Select, Sort};

fn file(name: &str, size: u64) -> VideoFile {
    VideoFile { name: VideoName::new(name).unwrap(), stamp: SourceStamp { size, mtime_ns: 0 } }
}

fn done() -> Status {
    Status::Done { degraded: false, resumed: true }
}

fn failed(kind: ErrorKind) -> Status {
    Status::Failed { failure: Box::new(Failure::new(kind, "No Moov in it")), before: false, unreadable: false }
}

fn summary(status: Status) -> (RowSummary, Option<String>) {
    RowSummary::of(&Video::new(status))
}

fn table(videos: &[(&str, Status, u64)]) -> Table {
    let files: Vec<VideoFile> = videos.iter().map(|(name, _, size)| file(name, *size)).collect();
    let new = Table::new(Files::new(files.into()), videos.iter().map(|(_, status, _)| summary(status.clone())));
    Table { accepted: ACCEPTED, ..new }
}

fn change(id: usize, status: Status, file: Option<VideoFile>) -> Vec<Changed> {
    let (summary, reason) = summary(status);
    vec![Changed { id: VideoId(id), summary, reason, file }]
}

fn listing(text: &str) -> Arc<Listing> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Arc::new(Listing::new(Manifest::read(file.path(), "v_").unwrap()))
}

fn facts(duration_s: f64, size: [u32; 2], codec: &str) -> Facts {
    Facts {
        duration_s,
        frames: 300,
        fps: [30, 1],
        size,
        codec: codec.into(),
        container: "mp4".into(),
        expected_from: None,
    }
}

fn found(id: usize, size: u64, verdict: Verdict) -> Vec<(VideoId, Probed)> {
    vec![(VideoId(id), Probed { level: Level::Quick, source: SourceStamp { size, mtime_ns: 0 }, verdict })]
}

fn names(table: &mut Table, filter: Filter, sort: Sort) -> Vec<String> {
    let view = table.view(filter, sort);
    table.rows(&view, 0, 100).into_iter().map(|row| row.video).collect()
}

fn all(table: &mut Table) -> Vec<(String, String)> {
    let view = table.view(Filter::default(), Sort::default());
    let rows = table.rows(&view, 0, 100);
    let (mut counts, mut findings) = (StateCounts::default(), FindingCounts::default());
    for row in &rows {
        counts[row.state as usize] += 1;
        row.findings.iter().for_each(|finding| findings[finding as usize] += 1);
    }
    assert_eq!((table.totals(), table.findings()), (counts, findings), "what is kept is what is counted");
    let (mut of_classes, mut found) = (StateCounts::default(), FindingCounts::default());
    for class in table.classes() {
        of_classes.iter_mut().zip(class.counts).for_each(|(sum, count)| *sum += count);
        found.iter_mut().zip(class.findings).for_each(|(sum, count)| *sum += count);
    }
    assert_eq!((of_classes, found), (counts, findings));
    let words = |row: &Row| {
        let findings = row.findings.iter().map(|finding| format!(" +{}", finding.word()));
        format!("{}{}", row.state.word(), findings.collect::<String>())
    };
    rows.iter().map(|row| (row.video.clone(), words(row))).collect()
}

fn some() -> Table {
    table(&[
        ("A b/v_1.mp4", done(), 30),
        ("A b/v_2.mp4", failed(ErrorKind::WorkerCrashed), 10),
        ("C/v_É.mp4", Status::Queued, 20),
    ])
}

#[test]
fn filters_look_at_name_state_and_reason() {
    let mut table = some();
    let mut text = |text: &str| names(&mut table, Filter { text: text.into(), ..Filter::default() }, Sort::default());
    assert_eq!(text("a B/"), ["A b/v_1.mp4", "A b/v_2.mp4"]);
    assert_eq!(text("moov"), ["A b/v_2.mp4"]);
    assert_eq!((text("moov v_2 a"), text("moov v_1")), (vec!["A b/v_2.mp4".to_owned()], vec![]), "every word");
    assert_eq!(text("QUEUED"), ["C/v_É.mp4"]);
    assert_eq!(text("é"), ["C/v_É.mp4"]);
    assert_eq!(text("nothing"), [] as [&str; 0]);
    let class = |class: &str| Filter { class: Some(class.into()), ..Filter::default() };
    assert_eq!(names(&mut table, class("C"), Sort::default()), ["C/v_É.mp4"]);
    assert_eq!(names(&mut table, class("B"), Sort::default()), [] as [&str; 0]);
    let states = Filter { states: vec![RowState::Done, RowState::Queued], ..Filter::default() };
    assert_eq!(names(&mut table, states, Sort::default()).len(), 2);
}

#[test]
fn every_column_sorts_with_unknown_values_last() {
    let mut table = some();
    table.set_listing(listing("1,A b\n2,A b\nÉ,C\nnone,C\n"));
    table.probed(found(0, 30, Verdict::Healthy { facts: facts(5.0, [4, 4], "vp9") }));
    table.probed(found(2, 20, Verdict::Healthy { facts: facts(3.0, [8, 8], "h264") }));
    let mut by = |by, descending| {
        let rows = names(&mut table, Filter::default(), Sort { by, descending });
        rows.iter().map(|name| name.split_once('/').unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    let (one, two, three, none) = ("v_1.mp4", "v_2.mp4", "v_É.mp4", "v_none");
    for (column, up, down) in [
        (Column::Name, [one, two, none, three], [three, none, two, one]),
        (Column::File, [one, two, none, three], [three, none, two, one]),
        (Column::State, [two, none, three, one], [one, three, none, two]),
        (Column::Size, [two, three, one, none], [one, three, two, none]),
        (Column::Attempts, [one, two, three, none], [one, two, three, none]),
        (Column::Length, [three, one, two, none], [one, three, two, none]),
        (Column::Picture, [one, three, two, none], [three, one, two, none]),
        (Column::Codec, [three, one, two, none], [one, three, two, none]),
        (Column::Reason, [two, none, one, three], [none, two, one, three]),
    ] {
        assert_eq!(
            (by(column, false), by(column, true)),
            (up.map(str::to_owned).to_vec(), down.map(str::to_owned).to_vec()),
            "{column:?}"
        );
    }
}

#[test]
fn running_videos_come_before_those_that_their_workers_have_not_begun() {
    let running = || Status::Running(crate::engine::state::WorkerId(0));
    let mut table = table(&[("A/v_1.mp4", running(), 1), ("A/v_2.mp4", running(), 1), ("A/v_3.mp4", done(), 1)]);
    let (waits, reason) = summary(running());
    let waits = RowSummary { next: true, ..waits };
    table.change(vec![Changed { id: VideoId(0), summary: waits, reason, file: None }]);
    let sort = |descending| Sort { by: Column::State, descending };
    assert_eq!(names(&mut table, Filter::default(), sort(false)), ["A/v_2.mp4", "A/v_1.mp4", "A/v_3.mp4"]);
    assert_eq!(names(&mut table, Filter::default(), sort(true)), ["A/v_3.mp4", "A/v_1.mp4", "A/v_2.mp4"]);
}

#[test]
fn counts_of_classes_follow_changes() {
    let mut table = some();
    let (mut tried, _) = summary(done());
    tried.attempts = 2;
    table.change(vec![Changed { id: VideoId(1), summary: tried, reason: None, file: None }]);
    table.change(change(9, done(), None));
    let classes = table.classes();
    let mut counts = [0; RowState::ALL.len()];
    counts[RowState::Done as usize] = 2;
    assert_eq!((classes[0].class.as_str(), classes[0].counts, classes.len()), ("A b", counts, 2));
    let view = table.view(Filter::default(), Sort::default());
    let row = table.rows(&view, 1, 1).remove(0);
    assert_eq!((row.attempts, row.reason, row.size, row.has_feature), (2, None, 10, true));
    assert_eq!((table.place(&view, "C/v_É.mp4"), table.place(&view, "C/x")), (Some(2), None));
    all(&mut table);
}

#[test]
fn patterns_find_failed_videos() {
    let mut table = some();
    assert_eq!(table.failed(&["v_É".into()]), Ok(vec![VideoId(2)]), "a queued one, if no other matches");
    table.change(change(2, failed(ErrorKind::Corrupt), None));
    let failed = |patterns: &[&str]| table.failed(&patterns.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(failed(&[]), Ok(vec![VideoId(1), VideoId(2)]));
    for pattern in ["A b/*", "v_2", "v_?.mp4", "A b/v_2.mp4", "*2*"] {
        assert!(failed(&[pattern]).unwrap().contains(&VideoId(1)), "{pattern}");
    }
    assert!(failed(&["v_1"]).unwrap_err().contains("no matching video has failed"));
    assert!(failed(&["v_2", "v_9"]).unwrap_err().contains("no video matches \"v_9\""));
    assert!(failed(&["[a"]).unwrap_err().contains("invalid pattern"));
}

#[test]
fn commands_select_files_by_name_and_by_filter() {
    let mut table = some();
    table.set_listing(listing("1,A b\nnone,C\n"));
    let select = |videos: &[&str], filter: Option<Filter>| Select {
        videos: videos.iter().map(ToString::to_string).collect(),
        filter,
    };
    assert_eq!(table.select(&select(&["C/v_É.mp4", "C/v_none"], None)), Ok(vec![VideoId(2)]));
    assert_eq!(table.select(&select(&["C/v_É.mp4"], Some(Filter::default()))), Ok([2, 0, 1].map(VideoId).to_vec()));
    assert!(table.select(&select(&["C/x"], None)).unwrap_err().contains("\"C/x\""));
    assert!(table.select(&select(&["C/v_none"], None)).unwrap_err().contains("no selected video is on disk"));
}

#[test]
fn findings_of_the_dataset_stand_beside_the_state() {
    let videos = ["A/v_1.mp4", "A/v_2.mp4", "A/v_3.mp4", "B/v_3.mp4", "B/v_4.mp4", "B/v_5.mp4", "B/x.mp4"];
    let queued: Vec<_> = videos.iter().map(|name| (*name, Status::Queued, 7)).collect();
    let mut table = table(&queued);
    let text = r#"{"database": {
        "1": {"duration": 10, "subset": "training", "annotations": [{"label": "A", "segment": [1, 2]}]},
        "2": {"duration": 10, "subset": "training", "annotations": [{"label": "A", "segment": [1, 2]}]},
        "3": {"duration": 10, "subset": "training", "annotations": [{"label": "A", "segment": [1, 2]}]},
        "4": {"duration": 10, "subset": "training", "annotations": [{"label": "B", "segment": [1, 2]}]},
        "5": {"duration": 10, "subset": "training", "annotations": [{"label": "B", "segment": [1, 2]}]},
        "6": {"duration": 10, "subset": "training", "annotations": [{"label": "New one", "segment": [1, 2]}]},
        "7": {"duration": 10, "subset": "testing", "annotations": []}}}"#;
    let path = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
    std::fs::write(path.path(), text).unwrap();
    table.set_listing(Arc::new(Listing::new(Manifest::read(path.path(), "v_").unwrap())));
    table.probed(found(0, 7, Verdict::Healthy { facts: facts(10.5, [4, 4], "h264") }));
    table.probed(found(1, 7, Verdict::Healthy { facts: facts(20.0, [4, 4], "h264") }));
    table.probed(found(4, 7, Verdict::Corrupt { reason: "cut short".into() }));
    let damaged = Verdict::Damaged { facts: facts(10.0, [4, 4], "h264"), lost: 3, concealed: 0, reason: "cut".into() };
    table.probed(found(5, 7, damaged));
    let expected = [
        ("(no class)/v_7", "missing"),
        ("A/v_1.mp4", "queued"),
        ("A/v_2.mp4", "queued +wrong duration"),
        ("A/v_3.mp4", "queued +duplicate +unchecked"),
        ("B/v_3.mp4", "queued +duplicate +unchecked"),
        ("B/v_4.mp4", "queued +corrupt"),
        ("B/v_5.mp4", "queued +degraded"),
        ("B/x.mp4", "queued +unlisted +unchecked"),
        ("New_one/v_6", "missing"),
    ];
    let owned = |rows: &[(&str, &str)]| {
        rows.iter().map(|(name, words)| ((*name).to_owned(), (*words).to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(all(&mut table), owned(&expected));
    let of = |table: &mut Table, findings: &[Finding], states: &[RowState]| {
        let filter = Filter { findings: findings.to_vec(), states: states.to_vec(), ..Filter::default() };
        names(table, filter, Sort::default())
    };
    assert_eq!(of(&mut table, &[Finding::Corrupt, Finding::Degraded], &[]), ["B/v_4.mp4", "B/v_5.mp4"]);
    assert_eq!(of(&mut table, &[Finding::Unlisted], &[RowState::Missing]).len(), 3, "either is enough");
    let class = |table: &Table, class: &str| table.classes().into_iter().find(|row| row.class == class).unwrap();
    assert_eq!((class(&table, "A").problems, class(&table, "B").problems), (2, 2));
    let sort = Sort { by: Column::State, descending: false };
    assert_eq!(names(&mut table, Filter::default(), sort)[2..5], ["B/v_4.mp4", "A/v_2.mp4", "A/v_3.mp4"]);
    let reason = |table: &Table, name: &str| table.look_up(name).unwrap().row.reason.unwrap();
    assert_eq!(reason(&table, "A/v_2.mp4"), "is 20.0 s long; the manifest says 10.0 s");
    assert_eq!(reason(&table, "A/v_3.mp4"), "appears twice, in different classes: A/v_3.mp4, B/v_3.mp4");
    assert_eq!(reason(&table, "B/v_4.mp4"), "cut short");
    assert_eq!(reason(&table, "New_one/v_6"), "in the manifest, not on disk");
    let known = table.look_up("A/v_1.mp4").unwrap();
    assert_eq!((known.container.as_deref(), known.fps, known.listed.unwrap().1), (Some("mp4"), Some(30.0), 0));
    // A run changes states, and leaves the findings.
    table.change(change(1, done(), None));
    table.change(change(2, failed(ErrorKind::Limit), None));
    table.change(change(4, failed(ErrorKind::Corrupt), None));
    table.change(change(6, done(), None));
    let rows = all(&mut table);
    assert_eq!(rows[2].1, "done +wrong duration");
    assert_eq!(reason(&table, "A/v_2.mp4"), "is 20.0 s long; the manifest says 10.0 s");
    assert_eq!((rows[3].1.as_str(), rows[4].1.as_str()), ("failed +corrupt", "queued +duplicate +unchecked"));
    assert_eq!((rows[5].1.as_str(), rows[7].1.as_str()), ("failed +corrupt", "done +unlisted"));
    assert_eq!(table.findings()[Finding::Corrupt as usize], 2);
}

#[test]
fn refused_and_ignored_files_have_rows_with_a_reason() {
    let mut table = some();
    let file = |shown: &str, reason: &str| OtherFile { shown: shown.into(), reason: reason.into() };
    table.set_others(Arc::new(OtherFiles {
        refused: vec![file("A b/deep/v_3.mp4", "deeper than Class/file"), file("v_0.mp4", "not in a class folder")],
        ignored: vec![file("A b/notes.txt", "not a video")],
        ignored_count: 7,
        unreadable: None,
    }));
    let of = |table: &mut Table, states: &[RowState]| {
        names(table, Filter { states: states.to_vec(), ..Filter::default() }, Sort::default())
    };
    assert_eq!(of(&mut table, &[]), ["A b/deep/v_3.mp4", "A b/v_1.mp4", "A b/v_2.mp4", "C/v_É.mp4", "v_0.mp4"]);
    assert_eq!(of(&mut table, &[RowState::Refused]), ["A b/deep/v_3.mp4", "v_0.mp4"]);
    assert_eq!(of(&mut table, &[RowState::Ignored]), ["A b/notes.txt"]);
    let totals = table.totals();
    assert_eq!((totals[RowState::Refused as usize], totals[RowState::Ignored as usize]), (2, 7));
    let row = table.look_up("v_0.mp4").unwrap().row;
    assert_eq!((row.state, row.reason.as_deref()), (RowState::Refused, Some("not in a class folder")));
    let text = |table: &mut Table, text: &str| {
        names(table, Filter { text: text.into(), ..Filter::default() }, Sort::default())
    };
    assert_eq!(text(&mut table, "deeper than"), ["A b/deep/v_3.mp4"]);
    assert_eq!(text(&mut table, "refused").len(), 2);
    // They are not videos: no command applies to them. They count in the class of their folder.
    let select = |name: &str| Select { videos: vec![name.into()], filter: None };
    assert!(table.select(&select("v_0.mp4")).unwrap_err().contains("no selected video is on disk"));
    let of_class: Vec<(String, u32, u32, u32)> = table
        .classes()
        .into_iter()
        .map(|row| {
            let count = |state: RowState| row.counts[state as usize];
            (row.class, count(RowState::Refused), count(RowState::Ignored), row.problems)
        })
        .collect();
    let of_class: Vec<_> = of_class
        .iter()
        .map(|(class, refused, ignored, problems)| (class.as_str(), *refused, *ignored, *problems))
        .collect();
    assert_eq!(of_class, [("(no class)", 1, 0, 1), ("A b", 1, 1, 2), ("C", 0, 0, 0)]);
    let filter =
        Filter { class: Some("A b".into()), states: vec![RowState::Ignored, RowState::Refused], ..Filter::default() };
    assert_eq!(names(&mut table, filter, Sort::default()), ["A b/deep/v_3.mp4", "A b/notes.txt"]);
    for column in [Column::File, Column::State, Column::Size, Column::Reason, Column::Codec] {
        assert_eq!(names(&mut table, Filter::default(), Sort { by: column, descending: true }).len(), 5);
    }
    table.set_others(Arc::default());
    assert_eq!(of(&mut table, &[]).len(), 3);
    all(&mut table);
}

#[test]
fn added_changed_and_removed_files_are_reported() {
    let mut table = table(&[("B/v_1.mp4", done(), 7), ("B/v_3.mp4", Status::Queued, 7)]);
    table.set_listing(listing("1,B\n2,B\n3,B\n"));
    let view =
        |table: &mut Table| all(table).into_iter().map(|(name, words)| format!("{name} {words}")).collect::<Vec<_>>();
    assert_eq!(view(&mut table), ["B/v_1.mp4 done", "B/v_2 missing", "B/v_3.mp4 queued +unchecked"]);
    // A missing video, one that sorts first, and a second copy appear.
    table.change(change(2, Status::Queued, Some(file("B/v_2.mkv", 5))));
    table.change(change(3, Status::Queued, Some(file("A/v_0.mp4", 0))));
    table.change(change(4, Status::Queued, Some(file("A/v_3.mp4", 5))));
    table.probed(found(2, 5, Verdict::Healthy { facts: facts(9.0, [2, 2], "av1") }));
    assert_eq!(
        view(&mut table),
        [
            "A/v_0.mp4 queued +corrupt +unlisted",
            "A/v_3.mp4 queued +duplicate +unchecked",
            "B/v_1.mp4 done",
            "B/v_2.mkv queued",
            "B/v_3.mp4 queued +duplicate +unchecked"
        ]
    );
    // A new version is unchecked; a result for the old one does not apply.
    table.change(change(2, Status::Queued, Some(file("B/v_2.mkv", 6))));
    table.probed(found(2, 5, Verdict::Corrupt { reason: "cut".into() }));
    assert_eq!(view(&mut table)[3], "B/v_2.mkv queued +unchecked");
    assert_eq!(table.look_up("B/v_2.mkv").unwrap().row.facts, None);
    // A listed video whose last copy is gone is missing again, even with a feature.
    for id in [0, 3, 4] {
        table.change(change(id, Status::Gone, None));
    }
    assert_eq!(view(&mut table), ["B/v_1 missing", "B/v_2.mkv queued +unchecked", "B/v_3.mp4 queued +unchecked"]);
    assert!(table.look_up("B/v_1.mp4").is_none() && table.look_up("A/v_0.mp4").is_none());
    assert!(table.look_up("B/v_1").is_some() && table.look_up("A/v_1").is_none());
    assert_eq!(table.classes().len(), 1, "classes without rows are not listed");
    table.change(change(0, done(), Some(file("B/v_1.mp4", 7))));
    assert_eq!(view(&mut table)[0], "B/v_1.mp4 done");
}

//! The report of a scan: the state of every video, and how many are in which state, by split and by class.

use std::collections::BTreeMap;

use reeldeck_common::feature::ExpectedFrom;

use super::manifest::{Listed, Manifest, Split, id_of};
use super::matching::{Matched, Matches, is_misplaced};
use super::scan::{Scan, VideoFile};
use super::state::{self, Probes, State};

mod changes;
mod json;
mod text;

pub(crate) use changes::{Change, States};

/// The combined knowledge of a dataset. Rows are computed on request, so that memory is little more than that of the scan
/// and the manifest.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    scan: &'a Scan,
    probes: &'a Probes,
    tolerance_s: f64,
    matches: Option<(&'a Manifest, Matches<'a>)>,
}

/// A video of the manifest, or a file that is not in it.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    /// The id in the manifest.
    pub id: Option<&'a str>,
    /// The entry of the manifest.
    pub listed: Option<&'a Listed>,
    /// The labels in the manifest.
    pub labels: Vec<&'a str>,
    /// The files, the preferred one first.
    pub files: Vec<&'a VideoFile>,
    /// The state.
    pub state: State,
    /// Whether the preferred file is in a class folder that the manifest does not list for the video.
    pub misplaced: bool,
}

/// Numbers of videos, in total and by state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Videos of the manifest.
    pub listed: usize,
    /// By [`State::index`].
    pub states: [usize; State::WORDS.len()],
}

/// The counts of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tables {
    /// Each video once.
    pub all: Tally,
    /// By split; `None` counts videos without a split.
    pub splits: BTreeMap<Option<Split>, Tally>,
    /// By class, sorted by name. A video counts in each of its classes. The empty name counts videos without a class.
    pub classes: BTreeMap<String, Tally>,
    /// Videos in a folder that is not one of their classes.
    pub misplaced: usize,
    /// Videos of which neither the container nor the manifest says how long they are.
    pub unverified: usize,
}

impl<'a> Row<'a> {
    /// The labels, else the folder of the file, else none.
    pub(crate) fn classes(&self) -> Vec<&'a str> {
        match (self.labels.as_slice(), self.files.as_slice()) {
            ([], [first, ..]) => Some(first.name.class()).filter(|class| !class.is_empty()).into_iter().collect(),
            _ => self.labels.clone(),
        }
    }
}

impl<'a> Report<'a> {
    /// Combines manifest, scan and probes. `tolerance_s` is the accepted difference in duration, in seconds.
    pub(crate) fn new(manifest: Option<&'a Manifest>, scan: &'a Scan, probes: &'a Probes, tolerance_s: f64) -> Self {
        let matches = manifest.map(|manifest| (manifest, Matches::new(manifest, &scan.videos)));
        Self { scan, probes, tolerance_s, matches }
    }

    /// Every video of the manifest in its order, then the other files by name. Without a manifest, every file.
    pub(crate) fn rows(&self) -> Box<dyn Iterator<Item = Row<'a>> + '_> {
        match &self.matches {
            None => Box::new(self.scan.videos.iter().map(|file| self.loose(file, None))),
            Some((manifest, matches)) => {
                let listed = matches.videos().map(|video| self.listed(manifest, video));
                Box::new(listed.chain(matches.unlisted().map(|file| self.loose(file, Some(State::Unlisted)))))
            }
        }
    }

    fn listed(&self, manifest: &'a Manifest, video: Matched<'a>) -> Row<'a> {
        let Matched { id, listed, files } = video;
        let labels = manifest.labels(listed).collect();
        let misplaced = files.first().is_some_and(|file| is_misplaced(manifest, listed, &file.name));
        let states = files.iter().map(|file| (*file, self.of_file(file, listed.duration_s))).collect();
        Row { id: Some(id), listed: Some(listed), labels, files, state: state::of_video(states), misplaced }
    }

    fn loose(&self, file: &'a VideoFile, known: Option<State>) -> Row<'a> {
        let state = known.unwrap_or_else(|| self.of_file(file, None));
        Row { id: None, listed: None, labels: vec![], files: vec![file], state, misplaced: false }
    }

    /// The state of a single file.
    fn of_file(&self, file: &VideoFile, want_s: Option<f64>) -> State {
        state::of_file(file, want_s, self.probes.get(&file.name), self.tolerance_s)
    }

    /// Counts all rows.
    pub(crate) fn tables(&self) -> Tables {
        let mut tables = Tables::default();
        // A folder with underscores and a label with spaces are the same class, which is shown by its label.
        let mut classes: BTreeMap<String, (String, Tally)> = BTreeMap::new();
        for row in self.rows() {
            tables.all.count(&row);
            tables.misplaced += usize::from(row.misplaced);
            tables.unverified += usize::from(self.has_unverified_end(&row));
            tables.splits.entry(row.listed.and_then(|listed| listed.split)).or_default().count(&row);
            let known = row.classes();
            let nobody_knows = known.is_empty().then_some("");
            for class in known.into_iter().chain(nobody_knows) {
                let (_, tally) =
                    classes.entry(class.replace(' ', "_")).or_insert_with(|| (class.to_owned(), Tally::default()));
                tally.count(&row);
            }
        }
        tables.classes = classes.into_values().collect();
        tables
    }

    /// Whether frames may be missing at the end of a readable video: neither its container nor the manifest says how long it is.
    pub(super) fn has_unverified_end(&self, row: &Row<'_>) -> bool {
        let is_readable = matches!(row.state, State::Ready | State::Degraded { .. });
        let is_unknown = |file: &&VideoFile| self.expected_from(file) == Some(ExpectedFrom::Nothing);
        let has_duration = row.listed.is_some_and(|listed| listed.duration_s.is_some_and(|seconds| seconds > 0.0));
        is_readable && !has_duration && row.files.first().is_some_and(is_unknown)
    }

    /// Where the number of frames of a file comes from.
    pub(super) fn expected_from(&self, file: &VideoFile) -> Option<ExpectedFrom> {
        let probed = self.probes.get(&file.name).filter(|probed| probed.source == file.stamp)?;
        probed.verdict.facts()?.expected_from
    }

    /// The prefix with which files match the manifest, if none does with the configured one.
    fn other_prefix(&self) -> Option<&'static str> {
        let (manifest, matches) = self.matches.as_ref()?;
        let files = &self.scan.videos;
        let is_listed = |file: &VideoFile, prefix: &str| {
            id_of(file.name.file(), prefix).is_some_and(|id| manifest.position(id).is_some())
        };
        let matched = |prefix: &&str| files.iter().any(|file| is_listed(file, prefix));
        if matches.unlisted().len() == files.len() { ["", "v_"].into_iter().find(matched) } else { None }
    }

    /// Number of videos in the manifest.
    pub(crate) fn listed_videos(&self) -> usize {
        self.matches.as_ref().map_or(0, |(manifest, _)| manifest.len())
    }

    /// Whether every video of the manifest is usable; without a manifest, every file.
    pub(crate) fn is_complete(&self) -> bool {
        !self.rows().any(|row| row.state.is_problem())
    }
}

impl Tally {
    fn count(&mut self, row: &Row<'_>) {
        self.listed += usize::from(row.listed.is_some());
        if let Some(states) = self.states.get_mut(row.state.index()) {
            *states += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use reeldeck_common::probe::{Facts, Level, Probed, Verdict};

    use super::super::matching::tests::{files, manifest};
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
        let report = Report::new(Some(&manifest), &scan, &probes, 2.0);
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
        let report = Report::new(None, &scan, &probes, 2.0);
        assert_eq!(report.rows().filter(|row| row.state == State::Unchecked).count(), 5);
        assert_eq!(report.tables().all.listed, 0);
    }

    #[test]
    fn videos_are_counted_by_split_and_class() {
        let (manifest, scan) = (manifest(MANIFEST), scan());
        let probes = probes(&scan);
        let tables = Report::new(Some(&manifest), &scan, &probes, 2.0).tables();
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
        let report = Report::new(Some(&manifest), &scan, &probes, 2.0);
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
        let report = Report::new(Some(&manifest), &scan, &probes, 2.0);
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
        for (manifest, name) in
            [(None, Some("a/v_two.mp4")), (Some(&list), Some("a/v_two.mp4")), (Some(&durations), None)]
        {
            let report = Report::new(manifest, &scan, &probes, 2.0);
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
            let expected =
                [("a/v_two.mp4", Some("nothing")), ("b/v_bad.mp4", None), ("b/v_odd.mp4", Some("sample-table"))];
            let expected = expected.map(|(name, source)| (name, source.map(serde_json::Value::from)));
            assert_eq!(sources, expected.into());
        }
    }

    #[test]
    fn a_prefix_that_matches_nothing_is_noted() {
        let manifest = manifest("video_test_1\nvideo_test_2\n");
        let scan = Scan { videos: files(&["test/video_test_1.mp4"]), ..Scan::default() };
        let probes = Probes::new();
        let told = text(&Report::new(Some(&manifest), &scan, &probes, 2.0), 9);
        assert!(told.contains("set `[manifest] prefix = \"\"`"), "{told}");
        let scan = Scan { videos: files(&["test/v_video_test_1.mp4", "test/video_test_2.mp4"]), ..Scan::default() };
        let told = text(&Report::new(Some(&manifest), &scan, &probes, 2.0), 9);
        assert!(!told.contains("prefix = "), "{told}");
    }

    #[test]
    fn an_empty_dataset_has_an_empty_report() {
        let (scan, probes) = (Scan::default(), Probes::new());
        let report = Report::new(None, &scan, &probes, 2.0);
        assert!(report.is_complete());
        assert_eq!(report.tables(), Tables::default());
        assert_eq!(text(&report, 9), "");
    }
}

//! Datasets, devices and runs for the tests.

use reeldeck_common::error::ErrorKind;

use super::harness::Harness;
use crate::protocol::details::{Details, ListedVideo, Segment};
use crate::protocol::row::{Finding, FindingCounts, Findings, Row, RowFacts, RowState, Select, StateCounts};
use crate::protocol::snapshot::{
    Bound, Counts, DeviceState, Gauges, History, InFlight, Machine, Phase, Snapshot, Stages,
};
use crate::protocol::summary::{Ending, FailureGroup, RunSummary, next_step};
use crate::protocol::words::Level;
use crate::protocol::{LogLine, Welcome};

pub(crate) fn row(video: &str, state: RowState) -> Row {
    Row {
        video: video.into(),
        state,
        findings: Findings::default(),
        has_feature: false,
        leaves: false,
        size: 41_234_567,
        attempts: 0,
        reason: None,
        facts: None,
    }
}

pub(crate) fn welcome() -> Welcome {
    Welcome {
        version: 1,
        tool: "reeldeck 0".into(),
        pid: 4711,
        root: "/data/hacs".into(),
        out: "/out/hacs".into(),
        set: "slowonly-0123abcd".into(),
        dataset: "hacs".into(),
        checkpoint: "weights".into(),
        synthetic_weights: false,
        manifest: Some("/data/HACS_segments_v1.1.1.json".into()),
        settings: 0,
        exports_result: true,
    }
}

pub(crate) fn snapshot() -> Snapshot {
    Snapshot {
        revision: 0,
        phase: Phase::Waiting,
        reason: None,
        ended: None,
        exporting: false,
        elapsed_s: 0.0,
        counts: Counts::default(),
        clips_per_video: 100,
        clips_done: 0,
        clips_per_s: None,
        eta_s: None,
        eta_guess_s: None,
        devices: vec![],
        held_by: None,
        states: StateCounts::default(),
        findings: FindingCounts::default(),
        needs: None,
        last_run: None,
        scan: None,
        watch: None,
        machine: Machine::default(),
        stages: None,
        videos_per_s: None,
    }
}

/// A run that has just ended.
pub(crate) fn summary(ending: Ending, counts: Counts) -> RunSummary {
    let group = |kind, videos, reason: &str| FailureGroup {
        kind: Some(kind),
        reason: reason.into(),
        videos,
        example: "Zumba/v_x.mp4".into(),
    };
    RunSummary {
        started: "2026-11-24T14:02:11Z".parse().unwrap(),
        ended: "2026-11-24T14:02:31Z".parse().unwrap(),
        engines: vec![],
        ending,
        exit: 3,
        reason: (ending == Ending::Failed).then(|| "no usable device".into()),
        seconds: 20.0,
        counts,
        refused: 0,
        failures: vec![
            group(ErrorKind::Corrupt, 3, "corrupt: no video stream in the file"),
            group(ErrorKind::OutOfMemory, 1, "out of memory: batch 4 does not fit into the memory of cuda:0"),
        ],
        clips: 8_300,
        clips_per_s: 415.0,
        exports: vec![],
        features: "/out/hacs/features/slowonly-0123abcd".into(),
        next_step: next_step(ending, counts, 0, false).map(str::to_owned),
    }
}

/// Details of a file on disk.
pub(crate) fn details(row: Row) -> Details {
    let segment = Segment { label: "Zumba".into(), start_s: 3.0, end_s: 21.0 };
    let listed = ListedVideo {
        id: "abc".into(),
        duration_s: Some(30.0),
        subset: Some("training".into()),
        url: None,
        segments: vec![segment],
    };
    Details {
        path: (row.state != RowState::Missing).then(|| format!("/data/hacs/{}", row.video).into()),
        row,
        modified: None,
        container: Some("mov,mp4".into()),
        fps: Some(29.97),
        attempts: vec![],
        next_step: None,
        listed: Some(listed),
        feature: None,
        feature_error: None,
    }
}

/// A file name by number, with eleven characters as on YouTube.
pub(crate) fn name(class: &str, number: usize) -> String {
    let mut code = String::new();
    let mut rest = number as u64 * 2_654_435_761 + 12_345;
    for _ in 0..11 {
        code.push(char::from(b"abcdefghijkmnopqrstuvwxyzABCDEFGH_-0123456789"[(rest % 45) as usize]));
        rest = rest / 45 + rest % 7 * 1_000_003;
    }
    format!("{class}/v_{code}.mp4")
}

pub(crate) const CLASSES: [&str; 6] =
    ["Applying sunscreen", "Archery", "Belly dance", "Horseback riding", "Playing ten pins", "Zumba"];

fn facts(number: usize) -> RowFacts {
    RowFacts {
        duration_s: 30.0 + (number * 37 % 400) as f32,
        frames: 3_000,
        size: if number.is_multiple_of(3) { [640, 360] } else { [1280, 720] },
        codec: "h264".into(),
    }
}

/// Videos of which nearly all are fine.
pub(crate) fn many(count: usize) -> Vec<Row> {
    let state = |i: usize| match i % 100 {
        0 if i.is_multiple_of(1_000) => RowState::Failed,
        1 if i.is_multiple_of(3) => RowState::Missing,
        2..60 => RowState::Done,
        _ => RowState::Queued,
    };
    let make = |i: usize| Row { facts: Some(facts(i)), ..row(&name(CLASSES[i * 6 / count.max(1)], i), state(i)) };
    (0..count).map(make).collect()
}

/// Every problem that videos can have, with hostile names and reasons.
pub(crate) fn failing() -> Vec<Row> {
    let mut rows = many(100);
    use Finding as F;
    use RowState as S;
    let wrong: [(RowState, &[Finding], Option<&str>); 13] = [
        (S::Failed, &[], Some("out of memory: batch 4 at 1920×1080 on cuda:2, tried 3 times")),
        (S::Failed, &[F::Corrupt], Some("moov atom missing: the file is cut at 1,048,576 bytes of 41,234,567")),
        (S::Missing, &[], Some("in the manifest, training")),
        (S::Done, &[F::WrongDuration], Some("is 12.1 s long; the manifest says 192.0 s")),
        (S::Queued, &[F::WrongDuration, F::Duplicate], Some("also Zumba/v_twice.mkv")),
        (S::Stale, &[], Some("the file has changed since")),
        (S::Done, &[F::Degraded], Some("12 of 4,524 frames concealed")),
        (S::Excluded, &[], None),
        (S::Queued, &[F::Unlisted], None),
        (S::Queued, &[F::Unchecked], None),
        (S::Queued, &[F::Damaged], Some("its feature does not match its checksum")),
        (S::LeftOut, &[], None),
        (S::Refused, &[], Some("deeper than Class/file; move it up into the class folder")),
    ];
    for (i, (state, findings, reason)) in wrong.into_iter().cycle().take(39).enumerate() {
        let findings: Findings = findings.iter().copied().collect();
        let facts = (state != S::Missing && state != S::Refused && !findings.has(F::Corrupt)).then(|| facts(i));
        let size = if state == S::Missing { 0 } else { 9_876_543 };
        let attempts = if state == S::Failed { 3 } else { 0 };
        let video = name(CLASSES[i % 6], 1_000 + i);
        rows.push(Row { size, attempts, facts, findings, reason: reason.map(Into::into), ..row(&video, state) });
    }
    rows.push(Row {
        reason: Some("\u{1b}[31mred\u{7}\nand \u{202e}backwards".into()),
        ..row("Ärger\u{200b}/v_\u{1b}[2J日本語のビデオ\t.mp4", RowState::Failed)
    });
    rows
}

/// GPUs at work, except for one.
pub(crate) fn gpus(count: usize) -> Vec<DeviceState> {
    let gib = |n: u64| n << 30;
    let one = |i: usize| DeviceState {
        device: format!("cuda:{i}"),
        status: if i == 2 { "lost" } else { "ready" }.into(),
        detail: Some(if i == 2 { "out of memory with a batch of one".into() } else { "NVIDIA H200".into() }),
        batch: 8,
        done: 100 + i,
        clips: 10_000,
        in_flight: match i {
            2 => vec![],
            _ => vec![
                InFlight {
                    video: name(CLASSES[i % 6], i),
                    clips: (i * 13 + 20) % 100,
                    of: Some(100),
                    frames: 300,
                    seconds: 4.0,
                },
                InFlight { video: name(CLASSES[i % 6], i + 50), clips: 0, of: None, frames: 0, seconds: 0.0 },
            ],
        },
        clips_per_s: Some(800.0 + i as f64),
        restarts: 0,
        gauges: Gauges {
            memory: Some([gib(38 + i as u64), gib(141)]),
            busy_percent: Some(41.0),
            decoder_percent: Some(88.0),
            temperature_c: (i != 1).then_some(61.0),
            power_w: Some(412.0),
        },
    };
    (0..count).map(one).collect()
}

/// A harness with an active run.
pub(crate) fn running(width: u16, height: u16, rows: Vec<Row>, devices: Vec<DeviceState>) -> Harness {
    let mut harness = Harness::new(width, height);
    harness.table.rows = rows;
    // The videos in progress are some of the queued ones.
    let mut devices = devices;
    let mut waiting = harness.table.rows.iter_mut().filter(|row| row.state == RowState::Queued);
    for hand in devices.iter_mut().flat_map(|device| &mut device.in_flight) {
        if let Some(row) = waiting.next() {
            row.state = RowState::Running;
            hand.video.clone_from(&row.video);
        }
    }
    drop(waiting);
    harness.table.rows.sort_by(|a, b| a.video.cmp(&b.video));
    harness.snapshot.phase = Phase::Running;
    harness.snapshot.elapsed_s = 8_040.4;
    harness.snapshot.eta_s = Some(13_860);
    harness.snapshot.clips_per_s = Some(2_415.0);
    harness.snapshot.videos_per_s = Some(9.23);
    harness.snapshot.stages = Some(Stages { decode: 0.96, model: 0.41, write: 0.03, bound: Bound::Decode });
    harness.snapshot.machine = Machine {
        cores: 64,
        cpu_percent: Some(88.4),
        memory: Some([212 << 30, 512 << 30]),
        disk: Some([812_000_000_000, 4_000_000_000_000]),
        disk_needed: Some(9_000_000_000),
    };
    harness.snapshot.devices = devices;
    harness.history = History {
        every_s: 10.0,
        clips_per_s: (0..90).map(|i| (i > 4).then_some(2_000.0 + 400.0 * (i as f32 / 9.0).sin())).collect(),
    };
    let line = |i: usize| LogLine {
        time: format!("2026-11-24T14:02:{:02}Z", i % 60),
        level: match i % 8 {
            3 => Level::Problem,
            5 => Level::Info,
            _ => Level::Detail,
        },
        text: match i % 8 {
            3 => format!("failed {}: out of memory at batch 4", name("Zumba", i)),
            5 => "batch 8 → 4 on cuda:2".into(),
            _ => format!("done {}: 4524 frames in 2.9 s", name("Archery", i)),
        },
    };
    harness.log = (0..60).map(line).collect();
    harness.connect();
    harness
}

pub(crate) fn named(select: &Select) -> Vec<&str> {
    select.videos.iter().map(String::as_str).collect()
}

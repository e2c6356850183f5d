//! The readers of this crate, with valid input and the memory that each may use.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use reeldeck_common::atomic::Owner;
use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::failure::{Attempt, FailureFile};
use reeldeck_common::feature::{CheckpointId, ExpectedFrom, Feature, FrameCounts, Header, Matrix, Provenance};
use reeldeck_common::limits::Limits;
use reeldeck_common::probe::{Answer, Facts, Level, Order, Probed, Verdict};
use reeldeck_common::protocol::{CheckpointSource, FoundGpu, FromWorker, Init, Nvdec, Report, ToWorker, VERSION, line};
use reeldeck_common::recipe::{BUILT_IN, Precision, Recipe};
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::memory;

/// Memory per byte of JSON. A value of two bytes takes 32 until the type of the message is known, and a list that grows is
/// copied.
const JSON: usize = 48;
/// Memory per byte of TOML, whose tokens are kept. Recipes have at most 64 KiB.
const TOML: usize = 128;
/// Memory independent of the input.
const CONSTANT: usize = 100_000;

/// A reader and its valid input.
pub struct Reader {
    pub name: &'static str,
    pub valid: Vec<Vec<u8>>,
    /// Memory that it may use per byte.
    times: usize,
    /// Whether the reader accepts these bytes, which are also in the file at the path.
    read: fn(&[u8], &Path) -> bool,
}

impl Reader {
    /// Whether the reader accepts these bytes. Fails when it uses more memory than it may.
    pub fn run(&self, bytes: &[u8]) -> bool {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        let (peak, taken) = memory::peak(|| (self.read)(bytes, file.path()));
        let allowed = self.times * bytes.len() + CONSTANT;
        assert!(peak <= allowed, "{}: {} bytes took {peak}", self.name, bytes.len());
        taken
    }
}

fn json<T: DeserializeOwned>(bytes: &[u8], _: &Path) -> bool {
    serde_json::from_slice::<T>(bytes).is_ok()
}

fn lines<T: Serialize>(messages: &[T]) -> Vec<Vec<u8>> {
    messages.iter().map(|message| line(message).unwrap().into_bytes()).collect()
}

pub fn all() -> &'static [Reader] {
    static ALL: LazyLock<[Reader; 8]> = LazyLock::new(make);
    &*ALL
}

fn make() -> [Reader; 8] {
    [
        Reader { name: "to worker", valid: lines(&to_worker()), times: JSON, read: json::<ToWorker> },
        Reader { name: "from worker", valid: lines(&from_worker()), times: JSON, read: json::<FromWorker> },
        Reader { name: "order", valid: lines(&orders()), times: JSON, read: json::<Order> },
        Reader { name: "answer", valid: lines(&answers()), times: JSON, read: json::<Answer> },
        Reader {
            name: "failure file",
            valid: failures().iter().map(|file| serde_json::to_vec_pretty(file).unwrap()).collect(),
            times: JSON,
            read: |_, path| FailureFile::read(path).is_ok(),
        },
        Reader {
            name: "feature",
            valid: features().iter().map(|feature| feature.to_bytes().unwrap()).collect(),
            times: JSON,
            read: |_, path| Feature::read(path).is_ok(),
        },
        Reader {
            name: "header of a feature",
            valid: features().iter().map(|feature| feature.to_bytes().unwrap()).collect(),
            times: JSON,
            read: |_, path| Header::read(path).is_ok_and(|header| header.satisfies(&header.provenance.recipe)),
        },
        Reader {
            name: "recipe",
            valid: BUILT_IN.iter().map(|(_, text)| text.as_bytes().to_vec()).collect(),
            times: TOML,
            read: |_, path| match Recipe::find(path.to_str().unwrap()) {
                Ok(recipe) => !recipe.set_name("digest").is_empty(),
                Err(error) => error.to_string().is_empty(),
            },
        },
    ]
}

fn recipe() -> Recipe {
    Recipe::find(BUILT_IN[0].0).unwrap()
}

fn video() -> VideoName {
    VideoName::new("Horseback riding/v_-a \"b\" é.mp4").unwrap()
}

fn checkpoint() -> CheckpointId {
    CheckpointId { name: "a.pth".into(), digest: "0123456789abcdef".repeat(4), synthetic_weights: false }
}

const SOURCE: SourceStamp = SourceStamp { size: 12_345_678, mtime_ns: -5 };
const COUNTS: FrameCounts = FrameCounts { expected: 300, output: 290, concealed: 2 };

fn failure() -> Failure {
    Failure { kind: ErrorKind::OutOfMemory, chain: vec!["failed to read".into(), "no such\nthing \u{1b}".into()] }
}

fn to_worker() -> Vec<ToWorker> {
    let init = Init {
        version: VERSION,
        set: recipe().set_name("d"),
        recipe: recipe(),
        checkpoint: CheckpointSource::File("/data/a.pth".into()),
        checkpoint_id: checkpoint(),
        device: "cuda:0".into(),
        threads: 4,
        decoders: 2,
        prefetch_frames: 64,
        algorithms: Some("/cache/convolutions.json".into()),
        nvdec: Some(Nvdec { gpu: 1, streams: 8, is_default: true }),
        graphs: true,
        limits: Limits::default(),
        owner: Owner::engine(),
    };
    let seeded = Init { checkpoint: CheckpointSource::Seeded, algorithms: None, nvdec: None, ..init.clone() };
    let extract = ToWorker::Extract { job: 7, video: video(), path: "/d/v".into(), feature: "/o/v".into(), batch: 2 };
    vec![ToWorker::Init(Box::new(init)), ToWorker::Init(Box::new(seeded)), extract, ToWorker::Finish]
}

fn from_worker() -> Vec<FromWorker> {
    let report = Report {
        frames: COUNTS,
        clips: 100,
        clips_computed: 44,
        plain_pass: true,
        nvdec: false,
        expected_from: Some(ExpectedFrom::PacketCount),
        convolutions: Some("direct".into()),
        decode_ms: 1,
        model_ms: 2,
        wait_ms: 3,
        write_ms: 4,
    };
    vec![
        FromWorker::Ready { version: VERSION, device: "CPU, 2 threads".into(), load_ms: 250 },
        FromWorker::Gpu(FoundGpu {
            pci: Some("0000:3b:00.0".into()),
            uuid: Some("01234567-89ab-cdef-0123-456789abcdef".into()),
            free: None,
        }),
        FromWorker::Fatal { failure: failure() },
        FromWorker::Progress { job: 1, clips: 50, of: Some(100), frames: 300 },
        FromWorker::Done { job: u64::MAX, report },
        FromWorker::Failed { job: 2, failure: failure(), source: Some(SOURCE) },
        FromWorker::Failed { job: 2, failure: failure(), source: None },
    ]
}

fn orders() -> Vec<Order> {
    let order = |level| Order { id: 3, path: "/data/a/v.mp4".into(), level, limits: Limits::default() };
    vec![order(Level::Quick), order(Level::Deep)]
}

fn answers() -> Vec<Answer> {
    let facts = Facts {
        duration_s: 12.5,
        frames: 300,
        fps: [30_000, 1001],
        size: [340, 256],
        codec: "h264".into(),
        container: "mov,mp4,m4a,3gp,3g2,mj2".into(),
        expected_from: Some(ExpectedFrom::Nothing),
    };
    let reason = || "it ends too early".to_owned();
    [
        Ok(Verdict::Healthy { facts: facts.clone() }),
        Ok(Verdict::Damaged { facts, lost: 3, concealed: 4, reason: reason() }),
        Ok(Verdict::Corrupt { reason: reason() }),
        Err(reason()),
    ]
    .into_iter()
    .map(|found| Answer {
        id: 9,
        cpu_us: 1234,
        found: found.map(|verdict| Probed { level: Level::Quick, source: SOURCE, verdict }),
    })
    .collect()
}

fn failures() -> Vec<FailureFile> {
    let attempt = |kind| Attempt {
        started: "2026-11-22T10:00:00Z".parse().unwrap(),
        ended: "2026-11-22T10:00:01.123456789Z".parse().unwrap(),
        device: "cpu".into(),
        failure: Failure { kind, ..failure() },
        stderr: vec!["a line".into(), String::new()],
        retry: kind == ErrorKind::Io,
    };
    let file = |source, attempts| FailureFile { video: video(), source, content: None, attempts };
    vec![
        file(Some(SOURCE), vec![attempt(ErrorKind::Corrupt)]),
        file(Some(SOURCE), vec![attempt(ErrorKind::Io)]),
        file(None, vec![attempt(ErrorKind::Missing), attempt(ErrorKind::DiskFull), attempt(ErrorKind::Internal)]),
    ]
}

fn features() -> Vec<Feature> {
    let matrix = |rows: usize, columns: usize| Matrix {
        shape: [rows, columns],
        data: (0..rows * columns).map(|i| i as f32 * 0.5).collect(),
    };
    let feature = |tensors| Feature {
        provenance: Provenance {
            format: Provenance::FORMAT,
            tool: "reeldeck test".into(),
            set: recipe().set_name("d"),
            recipe: recipe(),
            checkpoint: checkpoint(),
            video: video(),
            source: SOURCE,
            frames: COUNTS,
            resampled: None,
            fps: [30_000, 1001],
            size: [340, 256],
            precision: Precision::Fp32,
            device: "cpu".into(),
            libtorch: "2.11.0".into(),
            convolutions: None,
            nvdec: false,
            expected_from: Some(ExpectedFrom::SampleTable),
        },
        tensors,
    };
    vec![
        feature([("logits".into(), matrix(100, 700))].into()),
        feature([("logits".into(), matrix(3, 5)), ("pooled".into(), matrix(3, 7))].into()),
        feature([].into()),
    ]
}

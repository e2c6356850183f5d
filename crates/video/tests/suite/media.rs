//! Helpers of the tests: generating a video, extracting its frames, and small pictures that keep the tests fast.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use reeldeck_common::limits::Limits;
use reeldeck_common::probe::{Level, Verdict};
use reeldeck_common::recipe::{Damage, Sampling, Transform};
use reeldeck_video::VideoError;
use reeldeck_video::check::check;
use reeldeck_video::frames::{self, Extraction, Pass, Request, Sink};
use reeldeck_video::sampling::ClipPlan;
use reeldeck_video::synth::{self, Synth};
use tempfile::TempDir;

/// The sampling of the built-in recipe: from a few hundred frames it leaves out only some.
pub const DENSE: Sampling = Sampling::spread(100, 8, 8);

/// Leaves out most frames, so that there is much to skip.
pub const SPARSE: Sampling = Sampling::spread(4, 3, 5);

pub const SMALL: Transform = Transform::short_side(40, 32, [0.0; 3], [1.0; 3]);

pub fn request(sampling: Sampling) -> Request {
    Request { sampling, transform: SMALL, damage: Damage { max_lost: 0.05 }, limits: Limits::default() }
}

/// A folder with videos, removed when dropped.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn make(&self, name: &str, synth: &Synth) -> PathBuf {
        let path = self.path(name);
        synth::write(&path, synth).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        path
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

fn pairs(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A small video of an encoder with some options.
pub fn small(encoder: &str, frames: u64, options: &[(&str, &str)]) -> Synth {
    let mut options = pairs(options);
    let quick: &[(&str, &str)] = match encoder {
        "libx264" => &[("preset", "veryfast")],
        "libx265" => &[("preset", "ultrafast"), ("x265-params", "log-level=none:pools=none:frame-threads=1")],
        "libvpx-vp9" => &[("deadline", "realtime"), ("cpu-used", "8")],
        _ => &[],
    };
    for (key, value) in pairs(quick) {
        options.entry(key).or_insert(value);
    }
    let pixels = if encoder == "mjpeg" { "yuvj420p" } else { "yuv420p" };
    Synth { encoder: encoder.into(), pixels: pixels.into(), width: 64, height: 48, frames, options, ..Synth::default() }
}

/// H.264 with B-frames in fixed places and the index at the start of the file, as in downloads.
pub fn h264(frames: u64) -> Synth {
    let options = &[("bf", "2"), ("g", "30"), ("x264-params", "b-adapt=0:scenecut=0")];
    contained(small("libx264", frames, options), &[("movflags", "+faststart")])
}

pub fn contained(synth: Synth, container: &[(&str, &str)]) -> Synth {
    Synth { container: pairs(container), ..synth }
}

/// The result of extracting a video.
#[derive(Debug, PartialEq)]
pub struct Taken {
    pub plan: ClipPlan,
    pub frames: BTreeMap<u64, Vec<u8>>,
    pub facts: Extraction,
}

#[derive(Default)]
struct Collect {
    plan: Option<ClipPlan>,
    frames: BTreeMap<u64, Vec<u8>>,
    bytes: usize,
}

impl Sink for Collect {
    fn plan(&mut self, plan: ClipPlan) -> Result<(), VideoError> {
        self.plan = Some(plan);
        self.frames.clear();
        Ok(())
    }

    fn frame(&mut self, index: u64, pixels: Vec<u8>) -> Result<(), VideoError> {
        assert_eq!(pixels.len(), self.bytes);
        assert!(self.frames.last_key_value().is_none_or(|(last, _)| *last < index), "frames come in order");
        self.frames.insert(index, pixels);
        Ok(())
    }
}

pub fn take(path: &Path, request: &Request, pass: Pass) -> Result<Taken, VideoError> {
    let mut collect = Collect { bytes: request.transform.frame_bytes(), ..Collect::default() };
    let facts = frames::extract(path, request, pass, &mut collect)?;
    let plan = collect.plan.unwrap();
    if request.sampling.fps().is_none() {
        assert_eq!(plan, ClipPlan::new(facts.counts.output, &request.sampling)?);
    }
    assert!(collect.frames.keys().copied().eq(plan.frames()), "all planned frames came, and no others");
    Ok(Taken { plan, frames: collect.frames, facts })
}

/// Extracts with both passes, asserts that they agree, and returns the result of the best pass.
pub fn take_both(path: &Path, request: &Request) -> Result<Taken, VideoError> {
    let plain = take(path, request, Pass::Plain);
    let best = take(path, request, Pass::Best);
    assert_same(&best, &plain, &path.file_name().unwrap().to_string_lossy());
    best
}

/// Asserts that the best pass and the plain pass agree, except about flaws in frames that the best pass skips.
pub fn assert_same(best: &Result<Taken, VideoError>, plain: &Result<Taken, VideoError>, name: &str) {
    match (best, plain) {
        (Ok(best), Ok(plain)) => {
            let facts = (best.facts, plain.facts);
            assert!(plain.facts.plain_pass && plain.facts.skipped == 0);
            assert_eq!(best.plan, plain.plan, "{name:?}: {facts:?}");
            let differ: Vec<_> = best.frames.iter().filter(|(index, pixels)| plain.frames[index] != **pixels).collect();
            let differ: Vec<u64> = differ.into_iter().map(|(index, _)| *index).collect();
            assert!(differ.is_empty(), "{name:?}: the passes differ in the frames {differ:?}: {facts:?}");
            let mut seen = Extraction { plain_pass: true, skipped: 0, ..best.facts };
            if (1..=best.facts.skipped).contains(&plain.facts.counts.concealed) {
                seen.counts.concealed = plain.facts.counts.concealed;
            }
            assert_eq!(seen, plain.facts, "{name:?}");
        }
        (Err(best), Err(plain)) => assert_eq!(best.to_string(), plain.to_string(), "{name:?}"),
        (Ok(best), Err(VideoError::Damaged { counts, .. })) if counts.concealed <= best.facts.skipped => {}
        (Ok(best), Err(plain)) => panic!("{name:?}: {plain}, but the best pass gives {:?}", best.facts),
        (Err(best), Ok(plain)) => panic!("{name:?}: {best}, but the plain pass gives {:?}", plain.facts),
    }
}

/// The verdict of the check.
pub fn probed(path: &Path, level: Level) -> Verdict {
    let probed = check(path, level, &Limits::default(), &mut || Ok(()));
    let probed = probed.unwrap_or_else(|error| panic!("{}: {error:?}", path.display()));
    assert_eq!(probed.level, level);
    probed.verdict
}

/// Asserts that the file is healthy at each level, with the right number of frames.
pub fn assert_healthy(path: &Path, frames: u64) {
    for level in [Level::Quick, Level::Deep] {
        match probed(path, level) {
            Verdict::Healthy { facts } => assert_eq!(facts.frames, frames, "{}: {level:?}", path.display()),
            other => panic!("{} is healthy, but {level:?} says {other:?}", path.display()),
        }
    }
}

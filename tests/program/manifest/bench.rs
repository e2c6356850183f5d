//! A working folder with the official manifest, in which reeldeck runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reeldeck_common::atomic::Owner;
use reeldeck_common::feature::{CheckpointId, Feature, FrameCounts, Matrix, Provenance};
use reeldeck_common::layout::Layout;
use reeldeck_common::recipe::{Precision, Recipe};
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;
use tempfile::TempDir;

pub const HACS: &str = "HACS_segments_v1.1.1.json";

pub fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hacs").join(name)).unwrap()
}

/// A working folder that contains a dataset folder. Programs run in it.
pub struct Bench(TempDir);

pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Bench {
    /// A folder with the fixture of the official manifest and these videos.
    pub fn new(videos: &[&str]) -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        fs::create_dir(bench.at("data")).unwrap();
        fs::write(bench.at(HACS), fixture(HACS)).unwrap();
        for video in videos {
            bench.put(video, "x");
        }
        bench
    }

    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(path)
    }

    pub fn put(&self, video: &str, content: &str) {
        let path = self.at("data").join(video);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Writes a feature of a video with this many frames, as a worker does.
    pub fn extracted(&self, video: &str, frames: u64) {
        let name = VideoName::new(video).unwrap();
        let recipe = Recipe::find("slowonly-r50-8x8-k700").unwrap();
        let set = recipe.set_name("0123456789abcdef");
        let source = SourceStamp::read(&name.under(&self.at("data"))).unwrap();
        let feature = Feature {
            provenance: Provenance {
                format: Provenance::FORMAT,
                tool: "test".into(),
                set: set.clone(),
                recipe,
                checkpoint: CheckpointId {
                    name: "a.pth".into(),
                    digest: "0123456789abcdef".into(),
                    synthetic_weights: true,
                },
                video: name.clone(),
                source,
                frames: FrameCounts { expected: frames + 1, output: frames, concealed: 1 },
                resampled: None,
                fps: [30, 1],
                size: [340, 256],
                precision: Precision::Fp32,
                device: "cpu".into(),
                libtorch: "0".into(),
                convolutions: None,
                nvdec: false,
                expected_from: None,
            },
            tensors: [("logits".into(), Matrix { shape: [1, 2], data: vec![0.0, 1.0] })].into(),
        };
        let layout = Layout::new(&self.at("out"), &set);
        layout.prepare().unwrap();
        feature.write(&layout.feature(&name), &Owner::this_process()).unwrap();
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        self.finish(Command::new(env!("CARGO_BIN_EXE_reeldeck")).args(args))
    }

    /// Runs reeldeck with the official manifest.
    pub fn hacs(&self, args: &[&str]) -> Ran {
        self.run(&[&["--manifest", HACS], args].concat())
    }

    /// Runs a program in this folder until it ends.
    pub fn finish(&self, command: &mut Command) -> Ran {
        let output = command.current_dir(self.0.path()).stdin(Stdio::null()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).expect("what is printed is text");
        let ran = Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
        for printed in [&ran.out, &ran.err] {
            assert!(
                !printed.contains(|c: char| c.is_control() && c != '\n'),
                "the output contains control characters: {printed:?}"
            );
        }
        ran
    }

    #[track_caller]
    pub fn text(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }
}

impl Ran {
    #[track_caller]
    pub fn expect(self, code: i32, says: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        for text in says {
            let said = self.out.contains(text) || self.err.contains(text);
            assert!(said, "{text:?} is missing in:\n{}\n{}", self.out, self.err);
        }
        self
    }
}

pub const VIDEOS: [&str; 5] = [
    "Dodgeball/v_--0edUL8zmA.mp4",
    "Horseback_riding/v__a-B3xYz012.mp4",
    "Archery/v_-Zq9_k2LmNo.mp4",
    "Playing_squash/v_-Zq9_k2LmNo.mp4",
    "Anywhere/v_T3sT_v1deo-.webm",
];

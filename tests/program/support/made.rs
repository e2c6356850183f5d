//! A dataset of "videos" that are a few bytes of text, with generated features for them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reeldeck_common::atomic::Owner;
use reeldeck_common::feature::{CheckpointId, Feature, FrameCounts, Matrix, Provenance};
use reeldeck_common::layout::Layout;
use reeldeck_common::recipe::{Output, Recipe};
use reeldeck_common::source::SourceStamp;
use reeldeck_common::versions::SEEDED_WEIGHTS;
use reeldeck_common::video::VideoName;
use tempfile::TempDir;

/// The small recipe of the other tests, with a second output and as few channels as possible.
pub fn recipe() -> String {
    let recipe = include_str!("tiny.toml").replace("[\"logits\"]", "[\"logits\", \"pooled\"]");
    recipe.replace("base_channels = 4", "base_channels = 1")
}

/// A dataset, a recipe and an output folder.
pub struct Set {
    folder: PathBuf,
    /// Removed on drop.
    _temporary: Option<TempDir>,
    pub recipe: Recipe,
    pub layout: Layout,
    pub owner: Owner,
}

/// The exit code and the output of a process.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Set {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        fs::write(dir.path().join("tiny.toml"), recipe()).unwrap();
        fs::write(dir.path().join("config.toml"), "recipe = \"./tiny.toml\"\n").unwrap();
        let set = Self::in_folder(dir.path());
        let set = Self { _temporary: Some(dir), ..set };
        set.layout.prepare().unwrap();
        set
    }

    /// An empty set of another recipe.
    pub fn with_recipe(text: &str) -> Self {
        let set = Self::new();
        fs::write(set.at("tiny.toml"), text).unwrap();
        let recipe = Recipe::parse("tiny.toml", text).unwrap();
        let layout = Layout::new(&set.at("out"), &recipe.set_name(SEEDED_WEIGHTS));
        layout.prepare().unwrap();
        Self { recipe, layout, ..set }
    }

    /// A set in an existing folder. Writes nothing.
    pub fn in_folder(folder: &Path) -> Self {
        let recipe = Recipe::parse("tiny.toml", &recipe()).unwrap();
        let layout = Layout::new(&folder.join("out"), &recipe.set_name(SEEDED_WEIGHTS));
        Self { folder: folder.to_owned(), _temporary: None, recipe, layout, owner: Owner::this_process() }
    }

    /// A set of these videos, with a feature file for each.
    pub fn of(videos: &[&str]) -> Self {
        let set = Self::new();
        for video in videos {
            set.video(video);
            set.feature(video, |_| {});
        }
        set
    }

    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.folder.join(path)
    }

    /// A file in the export folder of the feature set.
    pub fn exported(&self, path: &str) -> PathBuf {
        self.layout.exports().join(path)
    }

    pub fn bytes(&self, path: &str) -> Vec<u8> {
        let path = self.exported(path);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub fn json(&self, path: &str) -> serde_json::Value {
        serde_json::from_slice(&self.bytes(path)).unwrap()
    }

    /// Names in a folder of the exports, without hidden ones.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.exported(folder)) else { return vec![] };
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    }

    /// Adds or changes a "video".
    pub fn video(&self, name: &str) -> PathBuf {
        let path = self.at("data").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = format!("{name} {}", fs::read_to_string(&path).unwrap_or_default());
        fs::write(&path, text).unwrap();
        path
    }

    /// The feature of a video, with numbers that follow from its name.
    pub fn made(&self, video: &str) -> Feature {
        let name = VideoName::new(video).unwrap();
        let seed = video.bytes().fold(1.0, |seed: f32, byte| (seed * 1.7 + f32::from(byte) * 0.013) % 11.0);
        let matrix = |output: Output| {
            let shape = [self.recipe.sampling.rows(298), self.recipe.columns(output)];
            let data = (0..shape[0] * shape[1]).map(|i| seed - (i as f32).sqrt() * 1.37).collect();
            (output.name().to_owned(), Matrix { shape, data })
        };
        Feature {
            provenance: Provenance {
                format: Provenance::FORMAT,
                tool: "test".into(),
                set: self.layout.set().to_owned(),
                recipe: self.recipe.clone(),
                checkpoint: CheckpointId::seeded(),
                source: SourceStamp::read(&name.under(&self.at("data"))).unwrap(),
                video: name,
                frames: FrameCounts { expected: 300, output: 298, concealed: 1 },
                resampled: None,
                fps: [30000, 1001],
                size: [340, 256],
                precision: self.recipe.precision,
                device: "cpu".into(),
                libtorch: "none".into(),
                convolutions: None,
                nvdec: false,
                expected_from: None,
            },
            tensors: BTreeMap::from([matrix(Output::Logits), matrix(Output::Pooled)]),
        }
    }

    /// Changes the feature of a video and writes it.
    pub fn feature(&self, video: &str, change: impl FnOnce(&mut Feature)) -> PathBuf {
        let mut feature = self.made(video);
        let path = self.layout.feature(&feature.provenance.video);
        change(&mut feature);
        feature.write(&path, &self.owner).unwrap();
        path
    }

    pub fn logits(&self, video: &str) -> Matrix {
        self.made(video).tensors.remove("logits").unwrap()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reeldeck"));
        command.current_dir(&self.folder).args(args).stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&mut self.command(args))
    }
}

impl Ran {
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).expect("output is text");
        let ran = Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
        let steers = |text: &str| text.contains(|c: char| c.is_control() && c != '\n' && c != '\t');
        assert!(!steers(&ran.out) && !steers(&ran.err), "the output steers the terminal: {ran:?}");
        ran
    }

    #[track_caller]
    pub fn expect(self, code: i32, says: &[&str]) -> Self {
        let all = format!("{}{}", self.out, self.err);
        assert_eq!(self.code, Some(code), "{all}");
        for text in says {
            assert!(all.contains(text), "{text:?} is missing in:\n{all}");
        }
        self
    }
}

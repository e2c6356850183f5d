//! Recipes, which define what to extract from a video: sampling, transform, model, checkpoint, outputs, precision, and the
//! damage that is accepted.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::bounded;
use crate::strict::{self, TomlError};

/// The largest recipe file. A recipe has a few kilobytes, most of them comments.
const MAX_BYTES: u64 = 64 << 10;

/// The names and texts of the built-in recipes.
pub const BUILT_IN: &[(&str, &str)] =
    &[("slowonly-r50-8x8-k700", include_str!("../../../assets/recipes/slowonly-r50-8x8-k700.toml"))];

/// What to extract from a video, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// A short name, the first part of the feature set's name.
    pub name: String,
    /// The frames to use.
    pub sampling: Sampling,
    /// The conversion of frames to the model's input.
    pub transform: Transform,
    /// The network.
    pub model: Model,
    /// The published weights.
    pub checkpoint: Checkpoint,
    /// The outputs that are stored for each video. They are not part of the set's hash.
    pub outputs: Vec<Output>,
    /// The model's arithmetic.
    pub precision: Precision,
    /// The damage that is accepted. It is not part of the set's hash.
    pub damage: Damage,
}

/// Clips at regular intervals over the whole video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Clips per video.
    pub clips: usize,
    /// Frames per clip.
    pub length: usize,
    /// Distance between the frames of a clip, in frames of the video.
    pub interval: usize,
}

impl Sampling {
    /// The first frame of each clip of a video with `frames` frames, in ascending order.
    ///
    /// Clip `i` of `n` starts at `round(i * (last / (n - 1)))`, rounded half to even, where `last` is the latest start of a
    /// clip that fits into the video. A single clip starts in the middle.
    pub fn starts(&self, frames: u64) -> Vec<u64> {
        let span = (self.length as u64).saturating_sub(1) * self.interval as u64 + 1;
        let last = frames.saturating_sub(span);
        if self.clips == 1 {
            return vec![last / 2];
        }
        let step = last as f64 / (self.clips - 1) as f64;
        (0..self.clips).map(|i| (i as f64 * step).round_ties_even() as u64).collect()
    }
}

/// Resizing, centre crop and normalisation of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transform {
    /// Length of the short side after resizing, in pixels.
    pub short_side: usize,
    /// Side of the square centre crop, in pixels.
    pub crop: usize,
    /// Subtracted from R, G and B, which are 0 to 255.
    pub mean: [f32; 3],
    /// Divides the difference.
    pub std: [f32; 3],
}

/// The architecture of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The family.
    pub family: Family,
    /// Layers of the ResNet: 50 or 101.
    pub depth: u32,
    /// Channels of the first stage.
    pub base_channels: usize,
    /// For each of the four stages, 1 if its first convolutions span three frames, 0 if one.
    pub inflate: [u8; 4],
    /// Classes of the head.
    pub classes: usize,
}

/// The supported families of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// The slow pathway of SlowFast alone.
    Slowonly,
}

/// The published weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// URL of the file.
    pub url: String,
    /// The first hex digits of the file's SHA-256.
    pub sha256_prefix: String,
}

/// A matrix that is stored for each video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// Class scores before the softmax, clips × classes.
    Logits,
    /// Mean of the last stage over time and space, clips × channels.
    Pooled,
}

impl Output {
    /// Its name in recipes and feature files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logits => "logits",
            Self::Pooled => "pooled",
        }
    }
}

/// The model's arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32-bit floating point on all devices, without TF32 on CUDA.
    Fp32,
    /// bfloat16 convolutions, 32-bit pooling and head.
    Bf16,
    /// 32-bit storage with CUDA's TF32 products. On a CPU the same as `fp32`.
    Tf32,
}

/// The damage that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Damage {
    /// The largest accepted ratio of lost and concealed frames to expected frames. A video above it fails.
    pub max_lost: f64,
}

/// Why a recipe is unusable.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// It is not valid TOML, or has unknown keys.
    #[error(transparent)]
    Toml(#[from] TomlError),
    /// A value is out of range.
    #[error("{name}: {message}")]
    Value {
        /// The recipe's file or name.
        name: String,
        /// The key and its valid values.
        message: String,
    },
    /// It is neither a built-in name nor a file.
    #[error("no recipe {asked:?}: built in are {}; anything else must be a TOML file{hint}", built_in_names())]
    Unknown {
        /// The name that was given.
        asked: String,
        /// `; did you mean …?`, or an empty string.
        hint: String,
    },
    /// The file cannot be read.
    #[error("failed to read the recipe {path}")]
    Read {
        /// The file.
        path: String,
        /// The cause.
        source: io::Error,
    },
}

fn built_in_names() -> String {
    BUILT_IN.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

impl Recipe {
    /// Finds a recipe by its built-in name or by the path of a TOML file.
    ///
    /// # Errors
    /// When there is no such recipe, or its file is unreadable or invalid.
    pub fn find(asked: &str) -> Result<Self, RecipeError> {
        if let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| *name == asked) {
            return Self::parse(name, text);
        }
        let looks_like_a_file = asked.contains('/') || asked.ends_with(".toml");
        let read = bounded::read(Path::new(asked), MAX_BYTES).and_then(|bytes| {
            String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        });
        match read {
            Ok(text) => Self::parse(asked, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !looks_like_a_file => {
                let hint = strict::nearest(asked, BUILT_IN.iter().map(|(name, _)| *name));
                let hint = hint.map_or(String::new(), |name| format!("; did you mean {name}?"));
                Err(RecipeError::Unknown { asked: asked.to_owned(), hint })
            }
            Err(source) => Err(RecipeError::Read { path: asked.to_owned(), source }),
        }
    }

    /// Reads a recipe from TOML. `name` appears in errors only.
    ///
    /// # Errors
    /// When the text is not TOML, has unknown keys, or a value is out of range.
    pub fn parse(name: &str, text: &str) -> Result<Self, RecipeError> {
        let recipe: Self = strict::from_toml(name, text)?;
        recipe.check().map_err(|message| RecipeError::Value { name: name.to_owned(), message })?;
        Ok(recipe)
    }

    /// Checks that all values are in range. [`Recipe::parse`] does so too; a recipe from a message is unchecked.
    ///
    /// # Errors
    /// The first key that is out of range, and its valid values.
    pub fn check(&self) -> Result<(), String> {
        let Self { sampling: s, transform: t, model: m, .. } = self;
        let within = |key: &str, value: usize, least: usize, most: usize| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(format!("{key} = {value}: must be {least} to {most}"))
            }
        };
        if self.name.is_empty()
            || !self.name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
            || self.name.starts_with('.')
            || self.name.len() > 100
        {
            return Err(format!(
                "name = {:?}: letters, digits, `-`, `_` and `.` only, at most 100; it becomes a folder's name",
                self.name
            ));
        }
        within("sampling.clips", s.clips, 1, 10_000)?;
        within("sampling.length", s.length, 1, 256)?;
        within("sampling.interval", s.interval, 1, 256)?;
        within("transform.short_side", t.short_side, 32, 1024)?;
        within("transform.crop", t.crop, 32, t.short_side)?;
        if t.std.iter().chain(&t.mean).any(|v| !v.is_finite()) || t.std.iter().any(|v| *v <= 0.0) {
            return Err("transform.mean and transform.std: must be finite, and std above zero".into());
        }
        if !matches!(m.depth, 50 | 101) {
            return Err(format!("model.depth = {}: must be 50 or 101", m.depth));
        }
        within("model.base_channels", m.base_channels, 1, 256)?;
        within("model.classes", m.classes, 1, 100_000)?;
        if m.inflate.iter().any(|i| *i > 1) {
            return Err("model.inflate: four numbers, each 0 or 1".into());
        }
        if self.outputs.is_empty() {
            return Err("outputs: at least one of \"logits\", \"pooled\"".into());
        }
        if !(0.0..=1.0).contains(&self.damage.max_lost) {
            return Err(format!("damage.max_lost = {}: must be 0 to 1", self.damage.max_lost));
        }
        Ok(())
    }

    /// The name of the feature set: the recipe's name and eight hex digits of a hash over everything that determines the
    /// numbers, including the checkpoint's digest. The outputs are not included: a file that lacks one is incomplete, but
    /// belongs to the same set.
    pub fn set_name(&self, checkpoint_digest: &str) -> String {
        // Struct fields are serialised in the order of their declaration, so this text is canonical.
        let identity = (1, self.sampling, self.transform, self.model, self.precision, checkpoint_digest);
        #[expect(clippy::expect_used, reason = "numbers, strings and unit enums always have a JSON form")]
        let digest = Sha256::digest(serde_json::to_string(&identity).expect("plain data"));
        format!("{}-{:02x}{:02x}{:02x}{:02x}", self.name, digest[0], digest[1], digest[2], digest[3])
    }

    /// Columns of an output: classes or channels.
    pub fn columns(&self, output: Output) -> usize {
        match output {
            Output::Logits => self.model.classes,
            Output::Pooled => self.model.base_channels.saturating_mul(32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built_in() -> Recipe {
        Recipe::find("slowonly-r50-8x8-k700").unwrap()
    }

    #[test]
    fn every_built_in_recipe_is_valid_and_has_its_name() {
        for (name, _) in BUILT_IN {
            assert_eq!(Recipe::find(name).unwrap().name, *name);
        }
        let recipe = built_in();
        assert_eq!(
            (recipe.sampling.clips, recipe.columns(Output::Logits), recipe.columns(Output::Pooled)),
            (100, 700, 2048)
        );
    }

    #[test]
    fn the_set_name_depends_only_on_what_changes_the_numbers() {
        let recipe = built_in();
        let name = recipe.set_name("abc");
        let changed = |change: fn(&mut Recipe)| {
            let mut other = recipe.clone();
            change(&mut other);
            other.set_name("abc")
        };
        assert_eq!(name, changed(|r| r.outputs.push(Output::Pooled)));
        assert_eq!(name, changed(|r| r.damage.max_lost = 0.5));
        assert_ne!(name, recipe.set_name("abd"));
        assert_ne!(name, changed(|r| r.precision = Precision::Bf16));
        assert_ne!(name, changed(|r| r.sampling.clips = 10));
        assert_ne!(name, changed(|r| r.transform.mean[0] = 0.0));
        assert_ne!(name, changed(|r| r.model.base_channels = 8));
        // If this name changes, all existing features of all users are ignored.
        assert_eq!(recipe.set_name("seeded-1"), "slowonly-r50-8x8-k700-ec5034eb");
    }

    #[test]
    fn invalid_values_are_reported_by_key() {
        let text = BUILT_IN[0].1;
        for (from, to, says) in [
            ("clips = 100", "clips = 0", "sampling.clips = 0"),
            ("depth = 50", "depth = 51", "model.depth = 51"),
            ("crop = 256", "crop = 300", "transform.crop = 300"),
            ("max_lost = 0.05", "max_lost = 5.0", "damage.max_lost = 5"),
            ("name = \"slow", "name = \"../slow", "name = \"../slow"),
            ("interval = 8", "interal = 8", "did you mean `interval`?"),
            ("precision = \"fp32\"", "precision = \"f32\"", "did you mean `fp32`?"),
        ] {
            assert!(text.contains(from), "{from}");
            let error = Recipe::parse("r.toml", &text.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(says), "{to}: {error}");
        }
        let error = Recipe::find("slowonly-r50-8x8-k70").unwrap_err().to_string();
        assert!(error.contains("did you mean slowonly-r50-8x8-k700?"), "{error}");
    }
}

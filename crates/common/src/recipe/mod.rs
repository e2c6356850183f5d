//! Recipes, which define what to extract from a video: sampling, transform, model, checkpoint, outputs, precision, and the
//! damage that is accepted.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::bounded;
use crate::strict::{self, TomlError};

mod model;
mod sampling;
mod transform;

pub use model::{Model, SlowFast, SlowOnly, TorchScript, VideoMae};
pub use sampling::{Placement, Sampling, Short};
pub use transform::{Filter, Resize, Transform};

/// The largest recipe file. A recipe has a few kilobytes, most of them comments.
const MAX_BYTES: u64 = 64 << 10;

/// The names and texts of the built-in recipes.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("slowonly-r50-8x8-k700", include_str!("../../../../assets/recipes/slowonly-r50-8x8-k700.toml")),
    ("videomaev2-s-16x4", include_str!("../../../../assets/recipes/videomaev2-s-16x4.toml")),
    ("videomaev2-s-16x16", include_str!("../../../../assets/recipes/videomaev2-s-16x16.toml")),
    ("videomaev2-b-16x4", include_str!("../../../../assets/recipes/videomaev2-b-16x4.toml")),
    ("videomaev2-b-16x16", include_str!("../../../../assets/recipes/videomaev2-b-16x16.toml")),
    ("videomaev2-l-16x4", include_str!("../../../../assets/recipes/videomaev2-l-16x4.toml")),
    ("videomaev2-l-16x16", include_str!("../../../../assets/recipes/videomaev2-l-16x16.toml")),
    ("videomaev2-h-16x4", include_str!("../../../../assets/recipes/videomaev2-h-16x4.toml")),
    ("videomaev2-h-16x16", include_str!("../../../../assets/recipes/videomaev2-h-16x16.toml")),
    ("videomaev2-g-16x4", include_str!("../../../../assets/recipes/videomaev2-g-16x4.toml")),
    ("videomaev2-g-16x16", include_str!("../../../../assets/recipes/videomaev2-g-16x16.toml")),
    ("slowfast-r50-32x8", include_str!("../../../../assets/recipes/slowfast-r50-32x8.toml")),
    ("slowfast-r101-32x8", include_str!("../../../../assets/recipes/slowfast-r101-32x8.toml")),
];

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
    #[serde(default)]
    pub checkpoint: Checkpoint,
    /// The outputs that are stored for each video. They are not part of the set's hash.
    pub outputs: Vec<Output>,
    /// The model's arithmetic.
    pub precision: Precision,
    /// The damage that is accepted. It is not part of the set's hash.
    pub damage: Damage,
}

/// The published weights. All keys are optional: not every network has published weights, and not all have an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Checkpoint {
    /// URL of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The first hex digits of the file's SHA-256; empty if unknown.
    pub sha256_prefix: String,
    /// Where the authors say how to get the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The licence of the weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
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
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Logits, Self::Pooled];

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
    /// bfloat16 products, 32-bit pooling and head.
    Bf16,
    /// IEEE half-precision products, 32-bit pooling and head.
    Fp16,
    /// 32-bit storage with CUDA's TF32 products. On a CPU the same as `fp32`.
    Tf32,
}

impl Precision {
    /// Its name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
            Self::Fp16 => "fp16",
            Self::Tf32 => "tf32",
        }
    }
}

/// The damage that is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
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

/// Checks that a number is in its range.
fn within(key: &str, value: usize, least: usize, most: usize) -> Result<(), String> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(format!("{key} = {value}: must be {least} to {most}")) }
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
            Ok(text) => {
                let recipe = Self::parse(asked, &text)?;
                let folder = Path::new(asked).parent().unwrap_or(Path::new(""));
                Ok(Self { model: recipe.model.based_on(folder), ..recipe })
            }
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
        self.sampling.check()?;
        self.transform.check()?;
        self.model.check(&self.sampling, &self.transform)?;
        if self.outputs.is_empty() {
            return Err("outputs: at least one of \"logits\", \"pooled\"".into());
        }
        if (1..self.outputs.len()).any(|at| self.outputs[..at].contains(&self.outputs[at])) {
            return Err("outputs: name each output once".into());
        }
        if let Some(output) = self.outputs.iter().find(|output| self.columns(**output) == 0) {
            let name = output.name();
            return Err(format!(
                "outputs: the model has no {name:?}; logits need `classes` in [model], and a module has only \"pooled\""
            ));
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
        let identity = (1, self.sampling, self.transform, self.model.identity(), self.precision, checkpoint_digest);
        #[expect(clippy::expect_used, reason = "numbers, strings and unit enums always have a JSON form")]
        let digest = Sha256::digest(serde_json::to_string(&identity).expect("plain data"));
        format!("{}-{:02x}{:02x}{:02x}{:02x}", self.name, digest[0], digest[1], digest[2], digest[3])
    }

    /// Billions of multiplications for one clip; `None` for a module, which does not say.
    pub fn giga_multiplications(&self) -> Option<f64> {
        self.model.products(&self.sampling, &self.transform).map(|products| products / 1e9)
    }

    /// The output that trainers read unless a user chooses another one: the logits, or the first output if there are none.
    pub fn main_output(&self) -> Output {
        let is_logits = |output: &&Output| **output == Output::Logits;
        self.outputs.iter().find(is_logits).or(self.outputs.first()).copied().unwrap_or(Output::Logits)
    }

    /// Columns of an output: classes or channels; 0 if the model does not have it.
    pub fn columns(&self, output: Output) -> usize {
        self.model.columns(output)
    }
}

#[cfg(test)]
mod tests;

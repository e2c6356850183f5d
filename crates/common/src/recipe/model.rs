//! The network of a recipe. Only this module and `crates/model` know the families of networks.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Output, Sampling, Transform, within};

/// A network: the family and its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "kebab-case")]
pub enum Model {
    /// The slow pathway of SlowFast alone.
    Slowonly(SlowOnly),
    /// SlowFast.
    Slowfast(SlowFast),
    /// The vision transformer of VideoMAE and VideoMAE V2.
    Videomae(VideoMae),
    /// A module that torch.jit saved.
    Torchscript(TorchScript),
}

/// The slow pathway of SlowFast alone, as in MMAction2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlowOnly {
    /// Layers of the ResNet: 50 or 101.
    pub depth: u32,
    /// Channels of the first stage.
    pub base_channels: usize,
    /// For each of the four stages, 1 if its first convolutions span three frames, 0 if one.
    pub inflate: [u8; 4],
    /// Classes of the head.
    pub classes: usize,
}

/// SlowFast as in MMAction2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlowFast {
    /// Layers of the ResNets: 50 or 101.
    pub depth: u32,
    /// The slow pathway sees every `tau`-th frame of a clip (MMAction2's `resample_rate`).
    pub tau: usize,
    /// The fast pathway sees `alpha` times as many frames (`speed_ratio`).
    pub alpha: usize,
    /// The fast pathway has this many times fewer channels (`channel_ratio`).
    pub beta_inv: usize,
    /// Frames of the convolutions from the fast to the slow pathway.
    #[serde(default = "usual_fusion_kernel")]
    pub fusion_kernel: usize,
    /// Channels of the slow pathway's first stage.
    #[serde(default = "usual_base_channels")]
    pub base_channels: usize,
    /// Classes of the head. Without it there are no logits, and a head in the checkpoint is not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
}

fn usual_base_channels() -> usize {
    64
}

fn usual_fusion_kernel() -> usize {
    5
}

/// The vision transformer of VideoMAE and VideoMAE V2.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VideoMae {
    /// Side of a patch in pixels.
    pub patch: usize,
    /// Channels of a token.
    pub width: usize,
    /// Blocks.
    pub depth: usize,
    /// Heads of the attention.
    pub heads: usize,
    /// Hidden channels of a block's MLP over `width`.
    pub mlp_ratio: f64,
    /// Frames of a clip.
    pub frames: usize,
    /// Frames of a token.
    pub tubelet: usize,
    /// Classes of the head. Without it there are no logits, and a head in the checkpoint is not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
}

impl VideoMae {
    /// Hidden channels of a block's MLP.
    pub fn hidden(&self) -> usize {
        (self.width as f64 * self.mlp_ratio).round() as usize
    }
}

/// A module that `torch.jit.trace` or `torch.jit.script` saved, from batch × 3 × length × height × width to batch × width.
///
/// A module is a program. Its digest is part of the recipe, so that no other one runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TorchScript {
    /// The file. A relative path starts at the recipe's folder.
    pub module: PathBuf,
    /// The file's SHA-256, all 64 hex digits.
    pub sha256: String,
    /// Channels of the result.
    pub width: usize,
}

impl Model {
    /// The matrix of the head in every checkpoint of this network, with its number of rows, by which a wrong file can be
    /// told. `None` where checkpoints may lack it.
    pub fn head_tensor(&self) -> Option<(&'static str, usize)> {
        match self {
            Self::Slowonly(model) => Some(("cls_head.fc_cls.weight", model.classes)),
            Self::Slowfast(_) | Self::Videomae(_) | Self::Torchscript(_) => None,
        }
    }

    /// Whether the weights are a state dict that `torch.save` wrote.
    pub fn loads_state_dict(&self) -> bool {
        !matches!(self, Self::Torchscript(_))
    }

    /// Channels of an output; 0 if the network does not have it.
    pub(super) fn columns(&self, output: Output) -> usize {
        let classes = |classes: &Option<usize>| classes.unwrap_or(0);
        match (self, output) {
            (Self::Slowonly(model), Output::Logits) => model.classes,
            (Self::Slowonly(model), Output::Pooled) => model.base_channels.saturating_mul(32),
            (Self::Slowfast(model), Output::Logits) => classes(&model.classes),
            (Self::Slowfast(model), Output::Pooled) => {
                let slow = model.base_channels.saturating_mul(32);
                slow.saturating_add(slow / model.beta_inv.max(1))
            }
            (Self::Videomae(model), Output::Logits) => classes(&model.classes),
            (Self::Videomae(model), Output::Pooled) => model.width,
            (Self::Torchscript(_), Output::Logits) => 0,
            (Self::Torchscript(model), Output::Pooled) => model.width,
        }
    }

    /// The family's name in recipes.
    pub fn family(&self) -> &'static str {
        match self {
            Self::Slowonly(_) => "slowonly",
            Self::Slowfast(_) => "slowfast",
            Self::Videomae(_) => "videomae",
            Self::Torchscript(_) => "torchscript",
        }
    }

    /// Multiplications for one clip. For ResNets it is MMAction2's number for 256 × 256 pixels in the sampling of its
    /// configuration, scaled to this one.
    pub(super) fn products(&self, sampling: &Sampling, transform: &Transform) -> Option<f64> {
        let (height, width) = transform.output();
        let frames = sampling.length as f64 * (height * width) as f64 / (256.0 * 256.0);
        let channels = |base: usize| (base as f64 / 64.0).powi(2);
        match self {
            Self::Slowonly(model) => {
                let of_eight = if model.depth == 101 { 112.0e9 } else { 54.75e9 };
                Some(of_eight * frames / 8.0 * channels(model.base_channels))
            }
            Self::Slowfast(model) => {
                // With 8 frames in the slow pathway and 32 in the fast one.
                let of_eight = if model.depth == 101 { 126.0e9 } else { 66.1e9 };
                Some(of_eight * frames / model.tau as f64 / 8.0 * channels(model.base_channels))
            }
            Self::Videomae(model) => {
                let tokens = (height / model.patch * (width / model.patch) * (model.frames / model.tubelet)) as f64;
                let (wide, hidden) = (model.width as f64, model.hidden() as f64);
                let of_token = 4.0 * wide * wide + 2.0 * wide * hidden + 2.0 * tokens * wide;
                let patch = (3 * model.patch * model.patch * model.tubelet) as f64;
                Some(tokens * (model.depth as f64 * of_token + patch * wide))
            }
            Self::Torchscript(_) => None,
        }
    }

    /// The file that contains network and weights, and its SHA-256, if the recipe itself names one.
    pub fn module(&self) -> Option<(&Path, &str)> {
        match self {
            Self::Torchscript(model) => Some((&model.module, &model.sha256)),
            _ => None,
        }
    }

    /// The same model with the path of its file relative to `folder`.
    pub(super) fn based_on(mut self, folder: &Path) -> Self {
        if let Self::Torchscript(model) = &mut self {
            model.module = folder.join(&model.module);
        }
        self
    }

    /// What identifies the network in the hash of a feature set: everything but the path of a file.
    pub(super) fn identity(&self) -> Self {
        match self {
            Self::Torchscript(model) => Self::Torchscript(TorchScript { module: PathBuf::new(), ..model.clone() }),
            other => other.clone(),
        }
    }

    /// Checks the ranges of all values, and that sampling and transform fit the network.
    ///
    /// # Errors
    /// The first key that is out of range, and its valid values.
    pub(super) fn check(&self, sampling: &Sampling, transform: &Transform) -> Result<(), String> {
        let classes = |classes: Option<usize>| classes.map_or(Ok(()), |n| within("model.classes", n, 1, 100_000));
        match self {
            Self::Slowonly(model) => {
                check_depth(model.depth)?;
                within("model.base_channels", model.base_channels, 1, 256)?;
                classes(Some(model.classes))?;
                if model.inflate.iter().any(|i| *i > 1) {
                    return Err("model.inflate: four numbers, each 0 or 1".into());
                }
                check_square(transform)
            }
            Self::Slowfast(model) => {
                check_depth(model.depth)?;
                within("model.tau", model.tau, 1, 64)?;
                within("model.alpha", model.alpha, 1, 64)?;
                within("model.beta_inv", model.beta_inv, 1, 64)?;
                within("model.base_channels", model.base_channels, 1, 256)?;
                classes(model.classes)?;
                if model.fusion_kernel % 2 == 0 || model.fusion_kernel > 15 {
                    return Err(format!("model.fusion_kernel = {}: must be odd, 1 to 15", model.fusion_kernel));
                }
                if model.base_channels % model.beta_inv != 0 {
                    return Err(format!("model.beta_inv = {}: must divide base_channels", model.beta_inv));
                }
                if model.tau % model.alpha != 0 {
                    return Err(format!("model.alpha = {}: must divide tau = {}", model.alpha, model.tau));
                }
                if !sampling.length.is_multiple_of(model.tau) {
                    return Err(format!(
                        "sampling.length = {}: must be a multiple of tau = {}",
                        sampling.length, model.tau
                    ));
                }
                check_square(transform)
            }
            Self::Videomae(model) => {
                within("model.patch", model.patch, 1, 64)?;
                within("model.width", model.width, 1, 8192)?;
                within("model.depth", model.depth, 1, 200)?;
                within("model.heads", model.heads, 1, 256)?;
                within("model.frames", model.frames, 1, 256)?;
                within("model.tubelet", model.tubelet, 1, model.frames)?;
                classes(model.classes)?;
                if !(0.1..=16.0).contains(&model.mlp_ratio) {
                    return Err(format!("model.mlp_ratio = {}: must be 0.1 to 16", model.mlp_ratio));
                }
                if model.width % model.heads != 0 {
                    return Err(format!("model.heads = {}: must divide width = {}", model.heads, model.width));
                }
                if model.frames % model.tubelet != 0 {
                    return Err(format!("model.tubelet = {}: must divide frames = {}", model.tubelet, model.frames));
                }
                if sampling.length != model.frames {
                    let (length, frames) = (sampling.length, model.frames);
                    return Err(format!("sampling.length = {length}: must be the model's frames = {frames}"));
                }
                let (height, width) = transform.output();
                if height % model.patch != 0 || width % model.patch != 0 {
                    let patch = model.patch;
                    return Err(format!(
                        "transform gives {height} × {width} pixels: must be multiples of patch = {patch}"
                    ));
                }
                Ok(())
            }
            Self::Torchscript(model) => {
                within("model.width", model.width, 1, 100_000)?;
                if model.sha256.len() != 64 || !model.sha256.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')) {
                    return Err(format!(
                        "model.sha256 = {:?}: must be the 64 lower-case hex digits that `sha256sum` prints for {}",
                        model.sha256,
                        model.module.display()
                    ));
                }
                Ok(())
            }
        }
    }
}

fn check_depth(depth: u32) -> Result<(), String> {
    if matches!(depth, 50 | 101) { Ok(()) } else { Err(format!("model.depth = {depth}: must be 50 or 101")) }
}

fn check_square(transform: &Transform) -> Result<(), String> {
    let (height, width) = transform.output();
    if height == width {
        return Ok(());
    }
    Err(format!("transform gives {height} × {width} pixels: this family needs a square, add `crop`"))
}

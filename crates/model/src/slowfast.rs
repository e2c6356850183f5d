//! SlowFast as in MMAction2: a slow pathway that sees few frames and a fast one with few channels, joined by convolutions over
//! time. All its stages see whole clips, because the fast pathway does.

use reeldeck_common::recipe::SlowFast;
use tch::{Device, Kind, Tensor};

use crate::algorithms::Algorithms;
use crate::backbone::{Backbone, Family, Setup};
use crate::blocks::{self, Block};
use crate::builder::Builder;
use crate::conv::{Backend, Conv, Epilogue};
use crate::device;
use crate::error::ModelError;
use crate::fast::seeded_range;
use crate::input::Input;
use crate::network::{BlockSpec, ConvSpec, HEAD_BIAS, HEAD_WEIGHT, stages};
use crate::rows::Rows;
use crate::weights::Weights;

/// Frames of the fast pathway's first convolution.
const STEM_FRAMES: usize = 5;

/// The convolutions of a pathway.
struct PathwaySpec {
    stem: ConvSpec,
    stages: [Vec<BlockSpec>; 4],
}

/// The slow and the fast pathway, and the convolutions from the fast one to the input of each stage of the slow one.
fn specs(model: &SlowFast) -> (PathwaySpec, PathwaySpec, [ConvSpec; 4]) {
    let (base, few) = (model.base_channels, model.base_channels / model.beta_inv);
    // The channels of the fast pathway before each stage.
    let before = [few, few * 4, few * 8, few * 16];
    let lateral = |stage: usize| {
        let name = if stage == 0 { "conv1_lateral".into() } else { format!("layer{stage}_lateral") };
        let kernel = [model.fusion_kernel, 1, 1];
        let conv = ConvSpec::new(format!("backbone.slow_path.{name}"), before[stage], before[stage] * 2, kernel, 1);
        ConvSpec { stride_t: model.alpha, is_normalised: false, ..conv }
    };
    let slow = PathwaySpec {
        stem: ConvSpec::new("backbone.slow_path.conv1".into(), 3, base, [1, 7, 7], 2),
        stages: stages("backbone.slow_path", model.depth, base, [0, 0, 1, 1], before.map(|channels| channels * 2)),
    };
    let fast = PathwaySpec {
        stem: ConvSpec::new("backbone.fast_path.conv1".into(), 3, few, [STEM_FRAMES, 7, 7], 2),
        stages: stages("backbone.fast_path", model.depth, few, [1; 4], [0; 4]),
    };
    (slow, fast, [lateral(0), lateral(1), lateral(2), lateral(3)])
}

impl Family for SlowFast {
    fn entries(&self) -> Vec<(String, Vec<usize>)> {
        let (slow, fast, laterals) = specs(self);
        let pathways = [&slow, &fast];
        let convs = pathways.iter().flat_map(|pathway| {
            std::iter::once(&pathway.stem).chain(pathway.stages.iter().flatten().flat_map(BlockSpec::convs))
        });
        let mut entries: Vec<_> = convs.chain(&laterals).flat_map(ConvSpec::entries).collect();
        if let Some(classes) = self.classes {
            let features = (self.base_channels + self.base_channels / self.beta_inv) * 32;
            entries.extend([(HEAD_WEIGHT.into(), vec![classes, features]), (HEAD_BIAS.into(), vec![classes])]);
        }
        entries
    }

    fn seeded_range(&self, name: &str, shape: &[usize]) -> (f32, f32) {
        seeded_range(name, shape)
    }

    fn ignores(&self, name: &str) -> bool {
        self.classes.is_none() && name.starts_with("cls_head.")
    }

    fn build(&self, weights: &Weights, setup: &Setup<'_>) -> Result<Box<dyn Backbone>, ModelError> {
        let _guard = tch::no_grad_guard();
        let Setup { transform, length, precision, device, choice } = *setup;
        let kind = device::kind(precision);
        let backend = Backend::fastest(device, kind);
        let algorithms = &Algorithms::new(choice);
        let builder =
            |every: usize| Builder { weights, device, precision, length: (length / every) as i64, backend, algorithms };
        let [slow_builder, fast_builder] = [builder(self.tau), builder(self.tau / self.alpha)];
        let (slow, fast, laterals) = specs(self);
        let side = transform.output().0 as i64;
        let mut lateral_side = pooled_side(side);
        let mut laterals = laterals.iter().enumerate().map(|(stage, spec)| {
            if stage > 1 {
                lateral_side = (lateral_side - 1) / 2 + 1;
            }
            fast_builder.conv(spec, &mut lateral_side.clone())
        });
        let mut lateral =
            || laterals.next().unwrap_or_else(|| Err(ModelError::Internal("a convolution is missing".into())));
        Ok(Box::new(SlowFastModel {
            input: Input::new(transform, device)?,
            kind,
            length: length as i64,
            laterals: [lateral()?, lateral()?, lateral()?, lateral()?],
            slow: Pathway::new(&slow_builder, &slow, self.tau, side)?,
            fast: Pathway::new(&fast_builder, &fast, self.tau / self.alpha, side)?,
            head: match self.classes {
                Some(_) => Some([weights.tensor(HEAD_WEIGHT, device)?, weights.tensor(HEAD_BIAS, device)?]),
                None => None,
            },
            convolutions: (device == Device::Cpu).then(|| algorithms.describe()),
        }))
    }
}

/// The side of an image after the stem and the pooling.
fn pooled_side(side: i64) -> i64 {
    let halved = (side - 1) / 2 + 1;
    (halved - 1) / 2 + 1
}

/// A pathway on a device.
struct Pathway {
    /// It sees every `every`-th frame of a clip.
    every: i64,
    /// The frames of a clip that it sees.
    length: i64,
    stem: Conv,
    stages: Vec<Vec<Block>>,
}

impl Pathway {
    fn new(builder: &Builder<'_>, spec: &PathwaySpec, every: usize, mut side: i64) -> Result<Self, ModelError> {
        let stem = builder.conv(&spec.stem, &mut side)?;
        side = (side - 1) / 2 + 1;
        let stages = spec.stages.iter().map(|stage| builder.blocks(stage, &mut side)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { every: every as i64, length: builder.length, stem, stages })
    }

    /// Stem and pooling of clips × frames × height × width × channels. Returns frames × channels × height × width.
    fn start(&self, clips: &Tensor, reach: i64) -> Result<Tensor, ModelError> {
        let size = clips.size();
        let mut x = clips.f_slice(1, None, None, self.every)?;
        if reach > 1 {
            // The channels of neighbouring frames become channels of one frame, with zeros around the clip.
            let margin = (reach - 1) / 2;
            let padded = x.f_constant_pad_nd([0, 0, 0, 0, 0, 0, margin, margin])?;
            let shifted = (0..reach).map(|by| padded.f_narrow(1, by, self.length));
            x = Tensor::f_cat(&shifted.collect::<Result<Vec<_>, _>>()?, 4)?;
        }
        let x = x.f_contiguous()?.f_view([-1, size[2], size[3], reach * 3])?.f_permute([0, 3, 1, 2])?;
        let x = self.stem.output(&x, self.length, Epilogue::Relu)?;
        Ok(x.f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)?)
    }

    fn stage(&self, stage: usize, x: Tensor) -> Result<Tensor, ModelError> {
        blocks::run(&self.stages[stage], x, self.length)
    }

    /// The mean over time and space: clips × channels in 32 bits.
    fn pooled(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        let (_, channels, _, _) = x.size4()?;
        let frames = x.f_mean_dim([2_i64, 3].as_slice(), false, Kind::Float)?;
        Ok(frames.f_view([-1, self.length, channels])?.f_mean_dim([1_i64].as_slice(), false, Kind::Float)?)
    }
}

/// The network on a device.
struct SlowFastModel {
    input: Input,
    kind: Kind,
    /// Frames of a clip.
    length: i64,
    slow: Pathway,
    fast: Pathway,
    /// From the fast pathway to the input of each stage of the slow one.
    laterals: [Conv; 4],
    head: Option<[Tensor; 2]>,
    convolutions: Option<String>,
}

impl Backbone for SlowFastModel {
    fn input(&self) -> &Input {
        &self.input
    }

    fn convolutions(&self) -> Option<&str> {
        self.convolutions.as_deref()
    }

    /// The fast pathway's first layer sees five frames, so this only normalises: frames × height × width × 3.
    fn frames(&self, pixels: &Tensor) -> Result<Tensor, ModelError> {
        let _guard = tch::no_grad_guard();
        Ok(self.input.normalised(pixels)?.f_to_kind(self.kind)?)
    }

    fn clips(&self, frames: Tensor) -> Result<Rows, ModelError> {
        let _guard = tch::no_grad_guard();
        let (_, height, width, _) = frames.size4()?;
        let clips = frames.f_view([-1, self.length, height, width, 3])?;
        let mut slow = self.slow.start(&clips, 1)?;
        let mut fast = self.fast.start(&clips, STEM_FRAMES as i64)?;
        drop((clips, frames));
        for (stage, lateral) in self.laterals.iter().enumerate() {
            let from_fast = lateral.output(&fast, self.fast.length, Epilogue::None)?;
            slow = self.slow.stage(stage, Tensor::f_cat(&[slow, from_fast], 1)?)?;
            fast = self.fast.stage(stage, fast)?;
        }
        let pooled = Tensor::f_cat(&[self.fast.pooled(&fast)?, self.slow.pooled(&slow)?], 1)?;
        let logits = self.head.as_ref().map(|[weight, bias]| pooled.f_linear(weight, Some(bias))).transpose()?;
        Ok(Rows { pooled, logits })
    }
}

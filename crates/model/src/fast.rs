//! The same network as fast as libtorch can: batch normalisation folded into the convolutions, every layer as a 2D
//! convolution over channels-last memory, and the layers that see one frame at a time apart from those that see several.

use reeldeck_contract::recipe::{Precision, Transform};
use tch::{Device, Kind, Tensor};

use crate::device;
use crate::error::ModelError;
use crate::network::{BlockSpec, ConvSpec, HEAD_BIAS, HEAD_WEIGHT, Network};
use crate::weights::{Array, Weights};

const EPSILON: f32 = 1e-5;

/// A network ready to run on one device.
pub struct FastModel {
    device: Device,
    kind: Kind,
    crop: i64,
    length: i64,
    mean: Tensor,
    std: Tensor,
    stem: Conv,
    framewise: Vec<Block>,
    clipwise: Vec<Block>,
    head_weight: Tensor,
    head_bias: Tensor,
}

struct Block {
    conv1: Conv,
    conv2: Conv,
    conv3: Conv,
    shortcut: Option<Conv>,
}

struct Conv {
    weight: Tensor,
    bias: Tensor,
    stride: i64,
    reach: Reach,
}

/// Over what a convolution looks.
enum Reach {
    /// Height and width, padded by this much.
    Space(i64),
    /// Three neighbouring frames, one pixel.
    Time,
}

struct Maker<'w> {
    weights: &'w Weights,
    device: Device,
    kind: Kind,
}

impl Maker<'_> {
    fn array(&self, name: &str) -> Result<&Array, ModelError> {
        self.weights.get(name).ok_or_else(|| ModelError::Internal(format!("no weight {name}")))
    }

    /// Folds the normalisation: y = γ (w·x − μ) / √(σ² + ε) + β becomes w' = w γ/√(σ² + ε), b' = β − μ γ/√(σ² + ε).
    fn conv(&self, spec: &ConvSpec) -> Result<Conv, ModelError> {
        let bn = |part: &str| self.array(&format!("{}.bn.{part}", spec.name));
        let (gamma, beta, mean, var) = (bn("weight")?, bn("bias")?, bn("running_mean")?, bn("running_var")?);
        let weight = self.array(&format!("{}.conv.weight", spec.name))?;
        let scale: Vec<f32> = gamma.data.iter().zip(&var.data).map(|(g, v)| g / (v + EPSILON).sqrt()).collect();
        let bias: Vec<f32> = beta.data.iter().zip(&mean.data).zip(&scale).map(|((b, m), s)| b - m * s).collect();
        let per_output = weight.data.len() / scale.len();
        let folded: Vec<f32> = weight.data.iter().enumerate().map(|(i, w)| w * scale[i / per_output]).collect();
        let [t, h, w] = spec.kernel.map(|k| k as i64);
        let (shape, reach) = match t {
            1 => ([spec.output as i64, spec.input as i64, h, w], Reach::Space((h - 1) / 2)),
            _ => ([spec.output as i64, spec.input as i64, t, 1], Reach::Time),
        };
        let weight = channels_last(&Tensor::from_slice(&folded).f_reshape(shape)?)?;
        Ok(Conv {
            weight: weight.f_to(self.device)?.f_to_kind(self.kind)?,
            bias: Tensor::from_slice(&bias).f_to(self.device)?.f_to_kind(self.kind)?,
            stride: spec.stride as i64,
            reach,
        })
    }

    fn block(&self, spec: &BlockSpec) -> Result<Block, ModelError> {
        let shortcut = spec.shortcut.as_ref().map(|conv| self.conv(conv)).transpose()?;
        Ok(Block {
            conv1: self.conv(&spec.conv1)?,
            conv2: self.conv(&spec.conv2)?,
            conv3: self.conv(&spec.conv3)?,
            shortcut,
        })
    }

    fn plain(&self, name: &str) -> Result<Tensor, ModelError> {
        let array = self.array(name)?;
        let shape: Vec<i64> = array.shape.iter().map(|n| *n as i64).collect();
        Ok(Tensor::from_slice(&array.data).f_reshape(shape)?.f_to(self.device)?)
    }
}

/// Rearranges N×C×H×W in memory so that the channels of a pixel lie together; the shape stays.
fn channels_last(x: &Tensor) -> Result<Tensor, ModelError> {
    Ok(x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?)
}

impl Conv {
    /// `x` is frames × channels × height × width, `length` frames a clip.
    fn run(&self, x: &Tensor, length: i64) -> Result<Tensor, ModelError> {
        if x.device() == Device::Cpu {
            let (frames, _, height, width) = x.size4()?;
            let pixels = frames * (height / self.stride + 1) * (width / self.stride + 1);
            // In 32 bits whatever the precision: half of it is then for what is made on the way.
            device::check_room((pixels * self.weight.size()[0] * 4) as usize)?;
        }
        match self.reach {
            Reach::Space(padding) => {
                Ok(x.f_conv2d(&self.weight, Some(&self.bias), [self.stride; 2], [padding; 2], [1, 1], 1)?)
            }
            Reach::Time => {
                // The same memory seen as clips × channels × length × pixels: a 3×1 convolution, nothing is moved.
                let (frames, channels, height, width) = x.size4()?;
                let clips = frames / length;
                let seen = x
                    .f_permute([0, 2, 3, 1])?
                    .f_view([clips, length, height * width, channels])?
                    .f_permute([0, 3, 1, 2])?;
                let y = seen.f_conv2d(&self.weight, Some(&self.bias), [1, 1], [1, 0], [1, 1], 1)?;
                let y = y.f_permute([0, 2, 3, 1])?.f_contiguous()?;
                Ok(y.f_view([frames, height, width, self.weight.size()[0]])?.f_permute([0, 3, 1, 2])?)
            }
        }
    }
}

impl Block {
    fn run(&self, x: Tensor, length: i64) -> Result<Tensor, ModelError> {
        let y = self.conv1.run(&x, length)?.f_relu_()?;
        let y = self.conv2.run(&y, length)?.f_relu_()?;
        let mut y = self.conv3.run(&y, length)?;
        let shortcut = match &self.shortcut {
            Some(conv) => conv.run(&x, length)?,
            None => x,
        };
        Ok(y.f_add_(&shortcut)?.f_relu_()?)
    }
}

impl FastModel {
    /// Folds the weights and moves them to the device.
    ///
    /// # Errors
    /// What libtorch reports, lack of memory above all.
    pub fn new(
        network: &Network,
        weights: &Weights,
        transform: &Transform,
        length: usize,
        precision: Precision,
        device: Device,
    ) -> Result<Self, ModelError> {
        let _guard = tch::no_grad_guard();
        let kind = if precision == Precision::Bf16 { Kind::BFloat16 } else { Kind::Float };
        let maker = Maker { weights, device, kind };
        let blocks =
            |stages: &[Vec<BlockSpec>]| stages.iter().flatten().map(|b| maker.block(b)).collect::<Result<_, _>>();
        Ok(Self {
            device,
            kind,
            crop: transform.crop as i64,
            length: length as i64,
            mean: Tensor::from_slice(&transform.mean).f_to(device)?,
            std: Tensor::from_slice(&transform.std).f_to(device)?,
            stem: maker.conv(&network.stem)?,
            framewise: blocks(&network.stages[..network.framewise])?,
            clipwise: blocks(&network.stages[network.framewise..])?,
            head_weight: maker.plain(HEAD_WEIGHT)?,
            head_bias: maker.plain(HEAD_BIAS)?,
        })
    }

    /// The layers that see each frame alone. `pixels` holds whole frames of crop × crop × 3 bytes, RGB.
    ///
    /// # Errors
    /// What libtorch reports.
    pub fn frames(&self, pixels: &[u8]) -> Result<Tensor, ModelError> {
        let _guard = tch::no_grad_guard();
        let count = pixels.len() as i64 / (self.crop * self.crop * 3);
        let x = Tensor::f_from_data_size(pixels, &[count, self.crop, self.crop, 3], Kind::Uint8)?.f_to(self.device)?;
        // As the original: subtract, then a true division, in 32 bits.
        let x = x.f_to_kind(Kind::Float)?.f_sub_(&self.mean)?.f_div_(&self.std)?;
        let x = x.f_permute([0, 3, 1, 2])?.f_to_kind(self.kind)?;
        let x = self.stem.run(&x, 1)?;
        // Whether the larger number is taken before or after the negative ones become zero is all the same; after it, only
        // a quarter of them is left.
        let mut x = x.f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)?.f_relu_()?;
        for block in &self.framewise {
            x = block.run(x, 1)?;
        }
        Ok(x)
    }

    /// The layers that see whole clips. `frames` holds what [`FastModel::frames`] gave for the frames of whole clips, in
    /// order. Returns `pooled` and `logits` in 32 bits on the CPU, a row a clip.
    ///
    /// # Errors
    /// What libtorch reports.
    pub fn clips(&self, frames: Tensor) -> Result<(Tensor, Tensor), ModelError> {
        let _guard = tch::no_grad_guard();
        let mut x = frames;
        for block in &self.clipwise {
            x = block.run(x, self.length)?;
        }
        let (count, channels, _, _) = x.size4()?;
        let pooled = x.f_mean_dim([2_i64, 3].as_slice(), false, Kind::Float)?;
        let pooled = pooled.f_view([count / self.length, self.length, channels])?;
        let pooled = pooled.f_mean_dim([1_i64].as_slice(), false, Kind::Float)?;
        let logits = pooled.f_linear(&self.head_weight, Some(&self.head_bias))?;
        Ok((pooled.f_to(Device::Cpu)?, logits.f_to(Device::Cpu)?))
    }
}

//! The vision transformer of VideoMAE and VideoMAE V2, with the weights of their published `.pth` files.

use reeldeck_common::recipe::VideoMae;
use tch::{Kind, Tensor};

use crate::backbone::{Backbone, Family, Setup};
use crate::device;
use crate::error::ModelError;
use crate::input::Input;
use crate::rows::Rows;
use crate::weights::Weights;

const EPSILON: f64 = 1e-6;

/// The shape of a weight.
fn entry(name: impl Into<String>, shape: &[usize]) -> (String, Vec<usize>) {
    (name.into(), shape.to_vec())
}

impl Family for VideoMae {
    fn entries(&self) -> Vec<(String, Vec<usize>)> {
        let (width, hidden) = (self.width, self.hidden());
        let mut entries = vec![
            entry("patch_embed.proj.weight", &[width, 3, self.tubelet, self.patch, self.patch]),
            entry("patch_embed.proj.bias", &[width]),
        ];
        for block in 0..self.depth {
            let name = |part: &str| format!("blocks.{block}.{part}");
            entries.extend([
                entry(name("norm1.weight"), &[width]),
                entry(name("norm1.bias"), &[width]),
                entry(name("attn.q_bias"), &[width]),
                entry(name("attn.v_bias"), &[width]),
                entry(name("attn.qkv.weight"), &[3 * width, width]),
                entry(name("attn.proj.weight"), &[width, width]),
                entry(name("attn.proj.bias"), &[width]),
                entry(name("norm2.weight"), &[width]),
                entry(name("norm2.bias"), &[width]),
                entry(name("mlp.fc1.weight"), &[hidden, width]),
                entry(name("mlp.fc1.bias"), &[hidden]),
                entry(name("mlp.fc2.weight"), &[width, hidden]),
                entry(name("mlp.fc2.bias"), &[width]),
            ]);
        }
        entries.extend([entry("fc_norm.weight", &[width]), entry("fc_norm.bias", &[width])]);
        if let Some(classes) = self.classes {
            entries.extend([entry("head.weight", &[classes, width]), entry("head.bias", &[classes])]);
        }
        entries
    }

    fn seeded_range(&self, name: &str, shape: &[usize]) -> (f32, f32) {
        match name.rsplit_once('.') {
            Some((layer, "weight")) if layer.contains("norm") => (0.8, 1.2),
            Some((_, "weight")) => {
                let bound = (3.0 / shape.iter().skip(1).product::<usize>() as f32).sqrt();
                (-bound, bound)
            }
            _ => (-0.1, 0.1),
        }
    }

    fn ignores(&self, name: &str) -> bool {
        self.classes.is_none() && name.starts_with("head.")
    }

    fn state_dict_key(&self) -> &'static str {
        "module"
    }

    fn build(&self, weights: &Weights, setup: &Setup<'_>) -> Result<Box<dyn Backbone>, ModelError> {
        let _guard = tch::no_grad_guard();
        let (height, width) = setup.transform.output();
        let tensor = |name: &str| weights.tensor(name, setup.device);
        let kind = device::kind(setup.precision);
        let linear = |name: &str| -> Result<Linear, ModelError> {
            Ok(Linear {
                weight: tensor(&format!("{name}.weight"))?.f_tr()?.f_contiguous()?.f_to_kind(kind)?,
                bias: tensor(&format!("{name}.bias"))?.f_to_kind(kind)?,
            })
        };
        let norm = |name: &str| -> Result<Norm, ModelError> {
            let weight = tensor(&format!("{name}.weight"))?;
            Ok(Norm { weight, bias: tensor(&format!("{name}.bias"))? })
        };
        let blocks = (0..self.depth).map(|block| {
            let name = |part: &str| format!("blocks.{block}.{part}");
            let [q_bias, v_bias] = [tensor(&name("attn.q_bias"))?, tensor(&name("attn.v_bias"))?];
            let weight = tensor(&name("attn.qkv.weight"))?;
            Ok(Block {
                norm1: norm(&name("norm1"))?,
                qkv: Linear {
                    weight: weight.f_tr()?.f_contiguous()?.f_to_kind(kind)?,
                    // Keys have no bias.
                    bias: Tensor::f_cat(&[&q_bias, &q_bias.f_zeros_like()?, &v_bias], 0)?.f_to_kind(kind)?,
                },
                proj: linear(&name("attn.proj"))?,
                norm2: norm(&name("norm2"))?,
                fc1: linear(&name("mlp.fc1"))?,
                fc2: linear(&name("mlp.fc2"))?,
            })
        });
        let blocks = blocks.collect::<Result<Vec<_>, ModelError>>()?;
        // Frames have their channels last, so the weights of a patch get the same order.
        let embed = tensor("patch_embed.proj.weight")?.f_permute([0, 2, 3, 4, 1])?.f_contiguous()?;
        let grid = [self.frames / self.tubelet, height / self.patch, width / self.patch].map(|n| n as i64);
        Ok(Box::new(VisionTransformer {
            input: Input::new(setup.transform, setup.device)?,
            kind,
            width: self.width as i64,
            heads: self.heads as i64,
            frames: self.frames as i64,
            grid,
            patch: [self.tubelet, self.patch, self.patch].map(|n| n as i64),
            embed: Linear {
                weight: embed.f_view([self.width as i64, -1])?.f_tr()?.f_contiguous()?.f_to_kind(kind)?,
                bias: tensor("patch_embed.proj.bias")?.f_to_kind(kind)?,
            },
            positions: positions(grid.iter().product(), self.width as i64)?.f_to(setup.device)?,
            blocks,
            norm: norm("fc_norm")?,
            head: match self.classes {
                Some(_) => Some([tensor("head.weight")?, tensor("head.bias")?]),
                None => None,
            },
        }))
    }
}

/// The table of sines and cosines that is added to the tokens: positions × width, computed in 64 bits as in the original.
fn positions(count: i64, width: i64) -> Result<Tensor, ModelError> {
    let angle =
        |position: i64, column: i64| position as f64 / 10_000_f64.powf((2 * (column / 2)) as f64 / width as f64);
    let value = |position, column| {
        let angle: f64 = angle(position, column);
        (if column % 2 == 0 { angle.sin() } else { angle.cos() }) as f32
    };
    let table: Vec<f32> = (0..count).flat_map(|row| (0..width).map(move |column| value(row, column))).collect();
    Ok(Tensor::f_from_slice(&table)?.f_view([count, width])?)
}

/// A matrix product with a bias. The weight is inputs × outputs.
struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// `x` is rows × inputs.
    fn run(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        if x.device() == tch::Device::Cpu {
            let (rows, _) = x.size2()?;
            device::check_room((rows * self.bias.numel() as i64 * 4) as usize)?;
        }
        Ok(self.bias.f_addmm(x, &self.weight)?)
    }
}

/// A layer norm over the last dimension, in 32 bits.
struct Norm {
    weight: Tensor,
    bias: Tensor,
}

impl Norm {
    fn run(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        let width = self.weight.numel() as i64;
        Ok(x.f_layer_norm([width], Some(&self.weight), Some(&self.bias), EPSILON, false)?)
    }
}

struct Block {
    norm1: Norm,
    qkv: Linear,
    proj: Linear,
    norm2: Norm,
    fc1: Linear,
    fc2: Linear,
}

/// The network on a device. Products have the type of the precision; the residual stream and the norms have 32 bits.
struct VisionTransformer {
    input: Input,
    kind: Kind,
    width: i64,
    heads: i64,
    /// Frames of a clip.
    frames: i64,
    /// Tokens of a clip over time, height and width.
    grid: [i64; 3],
    /// Frames, rows and columns of a token.
    patch: [i64; 3],
    embed: Linear,
    positions: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
    head: Option<[Tensor; 2]>,
}

impl VisionTransformer {
    /// The tokens of whole clips: (clips · tokens) × width.
    fn embed(&self, frames: &Tensor, clips: i64) -> Result<Tensor, ModelError> {
        let ([time, rows, columns], [depth, height, width]) = (self.grid, self.patch);
        let patches = frames
            .f_view([clips, time, depth, rows, height, columns, width, 3].as_slice())?
            .f_permute([0, 1, 3, 5, 2, 4, 6, 7])?
            .f_reshape([clips * time * rows * columns, depth * height * width * 3])?;
        let tokens = self.embed.run(&patches)?.f_to_kind(Kind::Float)?;
        let tokens = tokens.f_view([clips, time * rows * columns, self.width])?.f_add_(&self.positions)?;
        Ok(tokens.f_view([-1, self.width])?)
    }

    fn attention(&self, block: &Block, x: &Tensor, clips: i64) -> Result<Tensor, ModelError> {
        let tokens: i64 = self.grid.iter().product();
        let qkv = block.qkv.run(x)?.f_view([clips, tokens, 3, self.heads, self.width / self.heads])?;
        let qkv = qkv.f_permute([2, 0, 3, 1, 4])?;
        let [q, k, v] = [qkv.f_select(0, 0)?, qkv.f_select(0, 1)?, qkv.f_select(0, 2)?];
        let y = Tensor::f_scaled_dot_product_attention(&q, &k, &v, None::<&Tensor>, 0.0, false, None, false)?;
        let y = y.f_transpose(1, 2)?.f_reshape([clips * tokens, self.width])?;
        block.proj.run(&y)
    }
}

impl Backbone for VisionTransformer {
    fn input(&self) -> &Input {
        &self.input
    }

    /// The first layer sees two frames, so this only normalises: frames × height × width × 3.
    fn frames(&self, pixels: &Tensor) -> Result<Tensor, ModelError> {
        let _guard = tch::no_grad_guard();
        Ok(self.input.normalised(pixels)?.f_to_kind(self.kind)?)
    }

    fn clips(&self, frames: Tensor) -> Result<Rows, ModelError> {
        let _guard = tch::no_grad_guard();
        let clips = frames.size4()?.0 / self.frames;
        let mut x = self.embed(&frames, clips)?;
        drop(frames);
        for block in &self.blocks {
            let y = self.attention(block, &block.norm1.run(&x)?.f_to_kind(self.kind)?, clips)?;
            x = x.f_add_(&y)?;
            let y = block.fc1.run(&block.norm2.run(&x)?.f_to_kind(self.kind)?)?.f_gelu_("none")?;
            x = x.f_add_(&block.fc2.run(&y)?)?;
        }
        let pooled = x.f_view([clips, -1, self.width])?.f_mean_dim([1_i64].as_slice(), false, Kind::Float)?;
        let pooled = self.norm.run(&pooled)?;
        let logits = self.head.as_ref().map(|[weight, bias]| pooled.f_linear(weight, Some(bias))).transpose()?;
        Ok(Rows { pooled, logits })
    }
}

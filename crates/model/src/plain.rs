//! The network as in the paper and in the original code: 3D convolutions and batch normalisation. It is slow, and serves tests
//! and benchmarks as the reference for the fast implementation.

use tch::{Device, Tensor};

use crate::error::ModelError;
use crate::network::{BlockSpec, ConvSpec, HEAD_BIAS, HEAD_WEIGHT, Network};
use crate::weights::Weights;

const EPSILON: f64 = 1e-5;

/// The reference network in fp32 on the CPU.
pub struct PlainModel<'w> {
    network: Network,
    weights: &'w Weights,
}

impl<'w> PlainModel<'w> {
    /// A network with these weights.
    pub fn new(network: Network, weights: &'w Weights) -> Self {
        Self { network, weights }
    }

    fn tensor(&self, name: &str) -> Result<Tensor, ModelError> {
        let array = self.weights.get(name).ok_or_else(|| ModelError::Internal(format!("no weight {name}")))?;
        let shape: Vec<i64> = array.shape.iter().map(|n| *n as i64).collect();
        Ok(Tensor::from_slice(&array.data).f_reshape(shape)?.to_device(Device::Cpu))
    }

    fn conv(&self, x: &Tensor, spec: &ConvSpec) -> Result<Tensor, ModelError> {
        let weight = self.tensor(&format!("{}.conv.weight", spec.name))?;
        let padding = spec.kernel.map(|k| (k as i64 - 1) / 2);
        let stride = spec.stride as i64;
        let y = x.f_conv3d(&weight, None::<&Tensor>, [1, stride, stride], padding, [1, 1, 1], 1)?;
        let bn = |part: &str| self.tensor(&format!("{}.bn.{part}", spec.name));
        let (gamma, beta, mean, var) = (bn("weight")?, bn("bias")?, bn("running_mean")?, bn("running_var")?);
        Ok(y.f_batch_norm(Some(&gamma), Some(&beta), Some(&mean), Some(&var), false, 0.1, EPSILON, false)?)
    }

    fn block(&self, x: &Tensor, spec: &BlockSpec) -> Result<Tensor, ModelError> {
        let y = self.conv(x, &spec.conv1)?.f_relu()?;
        let y = self.conv(&y, &spec.conv2)?.f_relu()?;
        let y = self.conv(&y, &spec.conv3)?;
        let shortcut = match &spec.shortcut {
            Some(conv) => self.conv(x, conv)?,
            None => x.shallow_clone(),
        };
        Ok((y + shortcut).f_relu()?)
    }

    /// Computes `pooled` (clips × channels) and `logits` (clips × classes) of normalised clips, which are
    /// clips × 3 × length × height × width.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn forward(&self, clips: &Tensor) -> Result<(Tensor, Tensor), ModelError> {
        let _guard = tch::no_grad_guard();
        let mut x = self.conv(clips, &self.network.stem)?.f_relu()?;
        x = x.f_max_pool3d([1, 3, 3], [1, 2, 2], [0, 1, 1], [1, 1, 1], false)?;
        for block in self.network.stages.iter().flatten() {
            x = self.block(&x, block)?;
        }
        let pooled = x.f_mean_dim([2_i64, 3, 4].as_slice(), false, tch::Kind::Float)?;
        let logits = pooled.f_linear(&self.tensor(HEAD_WEIGHT)?, Some(&self.tensor(HEAD_BIAS)?))?;
        Ok((pooled, logits))
    }
}

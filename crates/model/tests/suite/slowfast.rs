//! Tests of SlowFast against a plain implementation with 3D convolutions and batch normalisation.

use reeldeck_common::recipe::{Precision, SlowFast};
use reeldeck_model::clips::ClipRunner;
use reeldeck_model::seeded;
use reeldeck_model::tch::{Device, Kind, Tensor};
use reeldeck_model::weights::Weights;
use reeldeck_model::{Choice, Family, Setup};

use crate::support::{frame, needed, relative, transform};

const SIDE: usize = 64;
const LENGTH: usize = 16;

fn model(tau: usize, alpha: usize, fusion_kernel: usize) -> SlowFast {
    SlowFast { depth: 50, tau, alpha, beta_inv: 4, fusion_kernel, base_channels: 8, classes: Some(6) }
}

fn windows() -> Vec<Vec<u64>> {
    (0..3).map(|clip| (0..LENGTH as u64).map(|k| clip * 5 + k).collect()).collect()
}

struct Plain<'w>(&'w Weights);

impl Plain<'_> {
    fn get(&self, name: &str) -> Tensor {
        let array = self.0.get(name).unwrap_or_else(|| panic!("{name}"));
        let shape: Vec<i64> = array.shape.iter().map(|n| *n as i64).collect();
        Tensor::from_slice(&array.data).reshape(shape)
    }

    fn conv(&self, x: &Tensor, name: &str, stride: [i64; 3]) -> Tensor {
        let weight = self.get(&format!("{name}.conv.weight"));
        let padding: Vec<i64> = weight.size()[2..].iter().map(|k| (k - 1) / 2).collect();
        let y = x.conv3d(&weight, None::<&Tensor>, stride, padding.as_slice(), [1, 1, 1], 1);
        if self.0.get(&format!("{name}.bn.weight")).is_none() {
            return y;
        }
        let [gamma, beta, mean, var] =
            ["weight", "bias", "running_mean", "running_var"].map(|part| self.get(&format!("{name}.bn.{part}")));
        y.batch_norm(Some(&gamma), Some(&beta), Some(&mean), Some(&var), false, 0.1, 1e-5, false)
    }

    fn start(&self, x: &Tensor, name: &str) -> Tensor {
        let y = self.conv(x, &format!("{name}.conv1"), [1, 2, 2]).relu();
        y.max_pool3d([1, 3, 3], [1, 2, 2], [0, 1, 1], [1, 1, 1], false)
    }

    fn stage(&self, mut x: Tensor, name: &str, number: usize) -> Tensor {
        for block in 0..[3, 4, 6, 3][number] {
            let name = |part: &str| format!("{name}.layer{}.{block}.{part}", number + 1);
            let stride = if block == 0 && number > 0 { [1, 2, 2] } else { [1, 1, 1] };
            let y = self.conv(&x, &name("conv1"), [1, 1, 1]).relu();
            let y = self.conv(&y, &name("conv2"), stride).relu();
            let y = self.conv(&y, &name("conv3"), [1, 1, 1]);
            let shortcut = if block == 0 { self.conv(&x, &name("downsample"), stride) } else { x };
            x = (y + shortcut).relu();
        }
        x
    }

    /// `x` is clips × 3 × frames × height × width.
    fn forward(&self, model: &SlowFast, x: &Tensor) -> (Tensor, Tensor) {
        let every = |frames: usize| x.slice(2, None, None, frames as i64);
        let (slow_name, fast_name) = ("backbone.slow_path", "backbone.fast_path");
        let mut slow = self.start(&every(model.tau), slow_name);
        let mut fast = self.start(&every(model.tau / model.alpha), fast_name);
        for stage in 0..4 {
            let lateral = if stage == 0 { "conv1_lateral".into() } else { format!("layer{stage}_lateral") };
            let lateral = self.conv(&fast, &format!("{slow_name}.{lateral}"), [model.alpha as i64, 1, 1]);
            slow = self.stage(Tensor::cat(&[slow, lateral], 1), slow_name, stage);
            fast = self.stage(fast, fast_name, stage);
        }
        let mean = |x: &Tensor| x.mean_dim([2_i64, 3, 4].as_slice(), false, Kind::Float);
        let pooled = Tensor::cat(&[mean(&fast), mean(&slow)], 1);
        let logits = pooled.linear(&self.get("cls_head.fc_cls.weight"), Some(&self.get("cls_head.fc_cls.bias")));
        (pooled, logits)
    }
}

#[test]
fn slowfast_equals_the_plain_one() {
    let transform = transform(SIDE);
    for model in [model(8, 8, 5), model(4, 4, 7), model(4, 2, 5)] {
        let weights = seeded::weights(&model);
        let setup = Setup {
            transform: &transform,
            length: LENGTH,
            precision: Precision::Fp32,
            device: Device::Cpu,
            choice: Choice::Direct,
        };
        let backbone = model.build(&weights, &setup).unwrap();
        let mut runner = ClipRunner::new(&*backbone, windows(), 2);
        for index in needed(&windows()) {
            runner.push(index, &frame(index, SIDE)).unwrap();
        }
        let outputs = runner.finish().unwrap().fetch().unwrap();
        let pixels: Vec<u8> = windows().iter().flatten().flat_map(|index| frame(*index, SIDE)).collect();
        let shape = [3, LENGTH as i64, SIDE as i64, SIDE as i64, 3];
        let x = Tensor::from_data_size(&pixels, &shape, Kind::Uint8).to_kind(Kind::Float);
        let x = (x - Tensor::from_slice(&transform.mean)) / Tensor::from_slice(&transform.std);
        let (pooled, logits) = Plain(&weights).forward(&model, &x.permute([0, 4, 1, 2, 3]).contiguous());
        let numbers = |x: Tensor| Vec::<f32>::try_from(x.flatten(0, -1)).unwrap();
        let (pooled, logits) = (numbers(pooled), numbers(logits));
        assert_eq!(outputs.pooled.len(), 3 * (8 + 2) * 32);
        let errors = [relative(&outputs.pooled, &pooled), relative(&outputs.logits, &logits)];
        assert!(errors.iter().all(|error| *error < 1e-5), "{model:?}: {errors:?}");
    }
}

#[test]
fn the_weights_have_the_names_of_the_original() {
    let model = SlowFast { base_channels: 64, beta_inv: 8, classes: Some(400), ..model(8, 8, 5) };
    let entries = model.entries();
    let shape = |name: &str| entries.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("{name}")).1.clone();
    assert_eq!(shape("backbone.slow_path.conv1_lateral.conv.weight"), [16, 8, 5, 1, 1]);
    assert_eq!(shape("backbone.slow_path.layer3_lateral.conv.weight"), [256, 128, 5, 1, 1]);
    assert_eq!(shape("backbone.slow_path.layer1.0.conv1.conv.weight"), [64, 80, 1, 1, 1]);
    assert_eq!(shape("backbone.slow_path.layer4.0.downsample.conv.weight"), [2048, 1280, 1, 1, 1]);
    assert_eq!(shape("backbone.fast_path.conv1.conv.weight"), [8, 3, 5, 7, 7]);
    assert_eq!(shape("backbone.fast_path.layer4.2.conv1.conv.weight"), [64, 256, 3, 1, 1]);
    assert_eq!(shape("cls_head.fc_cls.weight"), [400, 2304]);
}

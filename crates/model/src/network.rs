//! The architecture of ResNets over video: their convolutions, and the names and shapes of their weights in a checkpoint.

use reeldeck_common::recipe::SlowOnly;

/// A convolution with its batch normalisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvSpec {
    /// Name in the checkpoint, such as `backbone.layer3.0.conv1`.
    pub name: String,
    /// Input channels.
    pub input: usize,
    /// Output channels.
    pub output: usize,
    /// Kernel size over time, height and width.
    pub kernel: [usize; 3],
    /// Stride over height and width.
    pub stride: usize,
    /// Stride over time.
    pub stride_t: usize,
    /// Whether a batch normalisation follows.
    pub is_normalised: bool,
}

impl ConvSpec {
    /// A convolution with its batch normalisation and this stride over height and width.
    pub(crate) fn new(name: String, input: usize, output: usize, kernel: [usize; 3], stride: usize) -> Self {
        Self { name, input, output, kernel, stride, stride_t: 1, is_normalised: true }
    }

    /// The names and shapes of its weights, without the counter of training steps.
    pub(crate) fn entries(&self) -> Vec<(String, Vec<usize>)> {
        let [t, h, w] = self.kernel;
        let mut out = vec![(format!("{}.conv.weight", self.name), vec![self.output, self.input, t, h, w])];
        if self.is_normalised {
            let parts = ["weight", "bias", "running_mean", "running_var"];
            out.extend(parts.map(|part| (format!("{}.bn.{part}", self.name), vec![self.output])));
        }
        out
    }
}

/// The four stages of a ResNet whose weights have names that begin with `prefix`. `base` is the number of channels of the
/// first stage, and each stage has some additional input channels.
pub(crate) fn stages(
    prefix: &str,
    depth: u32,
    base: usize,
    inflate: [u8; 4],
    additional: [usize; 4],
) -> [Vec<BlockSpec>; 4] {
    let counts = if depth == 101 { [3, 4, 23, 3] } else { [3, 4, 6, 3] };
    let mut input = base;
    let mut stage = |number: usize| {
        let (planes, frames) = (base << number, if inflate[number] == 1 { 3 } else { 1 });
        input += additional[number];
        (0..counts[number])
            .map(|block| {
                let name = |part: &str| format!("{prefix}.layer{}.{block}.{part}", number + 1);
                let conv = |part: &str, input, output, kernel, stride| {
                    ConvSpec::new(name(part), input, output, kernel, stride)
                };
                let stride = if block == 0 && number > 0 { 2 } else { 1 };
                let spec = BlockSpec {
                    conv1: conv("conv1", input, planes, [frames, 1, 1], 1),
                    conv2: conv("conv2", planes, planes, [1, 3, 3], stride),
                    conv3: conv("conv3", planes, planes * 4, [1, 1, 1], 1),
                    shortcut: (block == 0).then(|| conv("downsample", input, planes * 4, [1, 1, 1], stride)),
                };
                input = planes * 4;
                spec
            })
            .collect()
    };
    [stage(0), stage(1), stage(2), stage(3)]
}

/// A bottleneck block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockSpec {
    /// 1×1×1 or 3×1×1.
    pub conv1: ConvSpec,
    /// 1×3×3, with the block's stride.
    pub conv2: ConvSpec,
    /// 1×1×1.
    pub conv3: ConvSpec,
    /// 1×1×1 on the shortcut, in the first block of a stage.
    pub shortcut: Option<ConvSpec>,
}

impl BlockSpec {
    /// Its convolutions, in the order of a checkpoint.
    pub(crate) fn convs(&self) -> impl Iterator<Item = &ConvSpec> {
        [&self.conv1, &self.conv2, &self.conv3].into_iter().chain(self.shortcut.as_ref())
    }
}

/// A SlowOnly network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// 1×7×7, stride 2.
    pub stem: ConvSpec,
    /// Four stages of bottlenecks.
    pub stages: [Vec<BlockSpec>; 4],
    /// Number of leading stages that see a single frame.
    pub framewise: usize,
    /// Channels of the last stage, the length of `pooled`.
    pub features: usize,
    /// Classes of the head, the length of `logits`.
    pub classes: usize,
}

impl Network {
    /// A SlowOnly network.
    pub fn new(model: &SlowOnly) -> Self {
        let base = model.base_channels;
        Self {
            stem: ConvSpec::new("backbone.conv1".into(), 3, base, [1, 7, 7], 2),
            stages: stages("backbone", model.depth, base, model.inflate, [0; 4]),
            framewise: model.inflate.iter().take_while(|i| **i == 0).count(),
            features: base * 32,
            classes: model.classes,
        }
    }

    /// All convolutions, in the order of a checkpoint.
    pub fn convs(&self) -> impl Iterator<Item = &ConvSpec> {
        std::iter::once(&self.stem).chain(self.stages.iter().flatten().flat_map(BlockSpec::convs))
    }

    /// The names and shapes of all weights, without the counters of training steps.
    pub fn entries(&self) -> Vec<(String, Vec<usize>)> {
        let mut out: Vec<_> = self.convs().flat_map(ConvSpec::entries).collect();
        out.push((HEAD_WEIGHT.into(), vec![self.classes, self.features]));
        out.push((HEAD_BIAS.into(), vec![self.classes]));
        out
    }
}

/// The name of the head's matrix in a checkpoint.
pub const HEAD_WEIGHT: &str = "cls_head.fc_cls.weight";
/// The name of the head's bias in a checkpoint.
pub const HEAD_BIAS: &str = "cls_head.fc_cls.bias";

#[cfg(test)]
mod tests {
    use super::*;
    use reeldeck_common::recipe::{Model, Recipe};

    #[test]
    fn the_built_in_recipe_matches_the_published_network() {
        let Model::Slowonly(model) = Recipe::find("slowonly-r50-8x8-k700").unwrap().model else { panic!() };
        let network = Network::new(&model);
        let entries = network.entries();
        // The published file has 320 entries, of which 53 are counters of training steps.
        assert_eq!(entries.len(), 320 - 53);
        let parameters: usize = entries.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        // The number of trained parameters according to mmaction2 1.2.0.
        let running: usize = network.convs().map(|c| 2 * c.output).sum();
        assert_eq!(parameters - running, 33_068_796);
        assert_eq!(network.framewise, 2);
        let shape = |name: &str| entries.iter().find(|(n, _)| n == name).unwrap().1.clone();
        assert_eq!(shape("backbone.layer3.0.conv1.conv.weight"), [256, 512, 3, 1, 1]);
        assert_eq!(shape("backbone.layer2.0.downsample.conv.weight"), [512, 256, 1, 1, 1]);
        assert_eq!(shape("cls_head.fc_cls.weight"), [700, 2048]);
    }
}

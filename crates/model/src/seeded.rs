//! Synthetic weights: pseudo-random numbers from a fixed seed, to try everything without the published checkpoint.

use std::collections::HashMap;

#[cfg(doc)]
use reeldeck_common::versions::SEEDED_WEIGHTS;

use crate::backbone::Family;
use crate::weights::{Array, Weights};

/// The weights of version [`SEEDED_WEIGHTS`]: uniform numbers from a generator that is seeded with the weight's name. They are
/// the same on all machines, because all operations are rounded exactly.
pub fn weights(family: &dyn Family) -> Weights {
    let entries = family.entries();
    let arrays: HashMap<String, Array> = entries
        .iter()
        .map(|(name, shape)| {
            let (low, high) = family.seeded_range(name, shape);
            let mut numbers = Uniform::named(name);
            let data = (0..shape.iter().product()).map(|_| low + (high - low) * numbers.next()).collect();
            (name.clone(), Array { shape: shape.clone(), data })
        })
        .collect();
    #[expect(clippy::expect_used, reason = "the entries were taken from the family itself")]
    Weights::new(&entries, arrays).expect("complete")
}

/// SplitMix64. The first 24 bits give a number in [0, 1).
struct Uniform(u64);

impl Uniform {
    fn named(name: &str) -> Self {
        // FNV-1a.
        Self(name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)))
    }

    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Network;
    use reeldeck_common::recipe::SlowOnly;

    /// Features from seeded weights must stay comparable between versions.
    #[test]
    fn seeded_weights_are_stable() {
        let model = SlowOnly { depth: 50, base_channels: 4, inflate: [0, 0, 1, 1], classes: 10 };
        let weights = weights(&Network::new(&model));
        let first = |name: &str| weights.get(name).unwrap().data[0];
        let stem = weights.get("backbone.conv1.conv.weight").unwrap();
        assert_eq!(stem.shape, [4, 3, 1, 7, 7]);
        assert!(stem.data.iter().all(|v| v.abs() <= 0.202_031) && stem.data.iter().any(|v| v.abs() > 0.19));
        assert_eq!(
            first("backbone.conv1.conv.weight").to_bits(),
            FIRST_STEM,
            "{}",
            first("backbone.conv1.conv.weight")
        );
        assert_eq!(first("cls_head.fc_cls.bias").to_bits(), FIRST_BIAS, "{}", first("cls_head.fc_cls.bias"));
    }

    const FIRST_STEM: u32 = 3_182_207_177;
    const FIRST_BIAS: u32 = 3_199_714_188;
}

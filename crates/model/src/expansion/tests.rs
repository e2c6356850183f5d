//! Compares the results with their definition in 64 bits.

use proptest::prelude::*;

use super::*;
use crate::cpu::random;

#[derive(Clone, Debug)]
struct Case {
    input: usize,
    output: usize,
    /// Channels and stride.
    shortcut: Option<(usize, usize)>,
    reduced: Option<usize>,
    frames: usize,
    /// The size of the shortcut's input.
    before: [usize; 2],
}

impl Case {
    fn size(&self) -> [usize; 2] {
        let stride = self.shortcut.map_or(1, |(_, stride)| stride);
        self.before.map(|side| (side - 1) / stride + 1)
    }

    fn pixels(&self) -> usize {
        self.frames * self.size().iter().product::<usize>()
    }

    /// y, x, the weights and biases of the three convolutions, and what is in the result before.
    fn numbers(&self) -> [Vec<f32>; 9] {
        let (channels, _) = self.shortcut.unwrap_or((0, 1));
        let Self { input, output, frames, before, .. } = self;
        let reduced = self.reduced.unwrap_or(0);
        let weights = |n: usize, input: usize, seed| {
            let bound = (6.0 / input.max(1) as f32).sqrt();
            random(n * input, seed).into_iter().map(|w| w * bound).collect()
        };
        [
            random(self.pixels() * input, 1).into_iter().map(f32::abs).collect(),
            random(frames * before[0] * before[1] * channels, 2).into_iter().map(f32::abs).collect(),
            weights(*output, *input, 3),
            random(*output, 4),
            weights(*output, channels, 5),
            random(*output, 6),
            weights(reduced, *output, 7),
            random(reduced, 8),
            random(self.pixels() * output, 9),
        ]
    }

    fn run(&self, isa: Isa, threads: usize) -> [Vec<f32>; 2] {
        let [y, x, w, b, w_short, b_short, w_next, b_next, mut sum] = self.numbers();
        let shortcut = self.shortcut.map(|(_, stride)| (Weights { weights: &w_short, bias: &b_short }, stride));
        let reducing = self.reduced.map(|_| Weights { weights: &w_next, bias: &b_next });
        let conv = Expansion::new(isa, Weights { weights: &w, bias: &b }, shortcut, reducing).unwrap();
        let mut reduced = vec![f32::NAN; self.pixels() * self.reduced.unwrap_or(0)];
        if shortcut.is_some() {
            // Nothing is added to this.
            sum.fill(f32::NAN);
        }
        let tensors = Tensors {
            y: &y,
            x: shortcut.map(|_| (x.as_slice(), self.before)),
            sum: &mut sum,
            reduced: self.reduced.map(|_| reduced.as_mut_slice()),
        };
        conv.run(tensors, self.size(), threads).unwrap();
        [sum, reduced]
    }

    /// The results of a pixel by the definition.
    fn expected(&self, numbers: &[Vec<f32>; 9], pixel: usize) -> [Vec<f64>; 2] {
        let [y, x, w, b, w_short, b_short, w_next, b_next, sum] = numbers;
        let [height, width] = self.size();
        let dot = |a: &[f64], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * f64::from(*b)).sum::<f64>();
        let wide = |a: &[f32]| a.iter().map(|a| f64::from(*a)).collect::<Vec<_>>();
        let y = wide(&y[pixel * self.input..][..self.input]);
        let sum: Vec<f64> = (0..self.output)
            .map(|n| {
                let own = dot(&y, &w[n * self.input..][..self.input]) + f64::from(b[n]);
                let other = match self.shortcut {
                    None => f64::from(sum[pixel * self.output + n]),
                    Some((channels, stride)) => {
                        let (frame, row, column) = (pixel / (height * width), pixel / width % height, pixel % width);
                        let from = (frame * self.before[0] + row * stride) * self.before[1] + column * stride;
                        let x = wide(&x[from * channels..][..channels]);
                        dot(&x, &w_short[n * channels..][..channels]) + f64::from(b_short[n])
                    }
                };
                (own + other).max(0.0)
            })
            .collect();
        let next = |n: usize| (dot(&sum, &w_next[n * self.output..][..self.output]) + f64::from(b_next[n])).max(0.0);
        let reduced = (0..self.reduced.unwrap_or(0)).map(next).collect();
        [sum, reduced]
    }

    /// The largest difference from the definition, relative to the largest number.
    fn error(&self, isa: Isa, threads: usize) -> f64 {
        let (found, numbers) = (self.run(isa, threads), self.numbers());
        let (mut most, mut largest) = (0.0_f64, 1.0_f64);
        for pixel in 0..self.pixels() {
            for (found, expected) in found.iter().zip(self.expected(&numbers, pixel)) {
                for (found, expected) in found[pixel * expected.len()..].iter().zip(expected) {
                    most = most.max((f64::from(*found) - expected).abs());
                    assert!(!found.is_nan(), "a number is not set");
                    largest = largest.max(expected);
                }
            }
        }
        most / largest
    }
}

prop_compose! {
    fn cases()(
        input in (1..4_usize).prop_map(|n| n * 32), output in (1..4_usize).prop_map(|n| n * 32),
        shortcut in prop::option::of(((1..3_usize).prop_map(|n| n * 32), 1..=2_usize)),
        reduced in prop::option::of((1..3_usize).prop_map(|n| n * 32)),
        frames in 1..4_usize, before in [1..9_usize, 1..9_usize],
    ) -> Case {
        Case { input, output, shortcut, reduced, frames, before }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn results_are_those_of_the_definition(case in cases()) {
        for isa in Isa::available() {
            let error = case.error(isa, 2);
            prop_assert!(error <= 2e-6, "{isa:?}: {error:e}");
        }
    }

    #[test]
    fn results_depend_neither_on_threads_nor_on_other_frames(case in cases()) {
        for isa in Isa::available() {
            let one = case.run(isa, 1);
            prop_assert!(one == case.run(isa, 3));
        }
    }
}

/// The ends of the blocks of a ResNet-50 that see single frames, smaller.
#[test]
fn layers_of_the_network_are_precise() {
    let case =
        |input, output, shortcut, reduced| Case { input, output, shortcut, reduced, frames: 1, before: [16, 16] };
    for case in [
        case(64, 256, Some((64, 1)), Some(64)),
        case(64, 256, None, Some(64)),
        case(128, 512, Some((256, 2)), Some(128)),
        case(128, 512, None, None),
    ] {
        for isa in Isa::available() {
            let error = case.error(isa, 2);
            assert!(error <= 2e-6, "{case:?}, {isa:?}: {error:e}");
        }
    }
}

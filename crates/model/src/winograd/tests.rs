//! Compares the convolutions with their definition in 64 bits.

use proptest::prelude::*;

use super::*;
use crate::cpu::random;

/// A convolution and its input.
#[derive(Clone, Debug)]
struct Case {
    taps: Taps,
    input: usize,
    output: usize,
    size: Size,
    after: After,
}

impl Case {
    fn numbers(&self) -> [Vec<f32>; 4] {
        let Self { taps, input, output, size, .. } = self;
        let pixels = size.frames * size.pixels();
        // As in a network: inputs after a ReLU, and weights that keep the magnitude.
        let x = random(pixels * input, 1).into_iter().map(f32::abs).collect();
        let bound = (6.0 / (input * taps.count()) as f32).sqrt();
        let weights = random(output * input * taps.count(), 2).into_iter().map(|w| w * bound).collect();
        [x, weights, random(*output, 3), random(pixels * output, 4)]
    }

    fn run(&self, isa: Isa, threads: usize) -> Vec<f32> {
        let [x, weights, bias, mut y] = self.numbers();
        let conv = Winograd::new(isa, self.taps, &weights, &bias).unwrap();
        conv.run(&x, &mut y, self.size, self.after, threads).unwrap();
        y
    }

    /// The output at a place by the definition.
    fn expected(&self, [x, weights, bias, y]: &[Vec<f32>; 4], place: usize) -> f64 {
        let Self { taps, input, output, size, after } = self;
        let (pixel, channel) = (place / output, place % output);
        let (frame, row, column) = (pixel / size.pixels(), pixel / size.width % size.height, pixel % size.width);
        let within = |at: usize, tap: usize, len: usize| (at + tap).checked_sub(1).filter(|at| *at < len);
        let mut sum = f64::from(bias[channel]);
        for tap in 0..taps.count() {
            let from = match taps {
                Taps::Space => within(row, tap / 3, size.height)
                    .zip(within(column, tap % 3, size.width))
                    .map(|(y, x)| (frame * size.height + y) * size.width + x),
                Taps::Time => within(frame % size.length, tap, size.length)
                    .map(|t| (frame / size.length * size.length + t) * size.pixels() + pixel % size.pixels()),
            };
            let Some(from) = from else { continue };
            let weights = weights[channel * input * taps.count()..].iter().skip(tap).step_by(taps.count());
            let products = x[from * input..][..*input].iter().zip(weights).map(|(x, w)| f64::from(*x) * f64::from(*w));
            sum += products.sum::<f64>();
        }
        match after {
            After::Nothing => sum,
            After::Relu => sum.max(0.0),
            After::AddRelu => (sum + f64::from(y[place])).max(0.0),
        }
    }

    /// The largest error of every `step`-th output.
    fn error(&self, isa: Isa, threads: usize, step: usize) -> f64 {
        let (numbers, found) = (self.numbers(), self.run(isa, threads));
        let error = |place| (self.expected(&numbers, place) - f64::from(found[place])).abs();
        (0..found.len()).step_by(step).map(error).fold(0.0, f64::max)
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let taps = prop_oneof![Just(Taps::Space), Just(Taps::Time)];
    let after = prop_oneof![Just(After::Nothing), Just(After::Relu), Just(After::AddRelu)];
    let size = (1..3_usize, 1..10_usize, 1..14_usize, 1..14_usize);
    (taps, 1..70_usize, 1..70_usize, size, after).prop_map(
        |(taps, input, output, (clips, length, height, width), after)| {
            let size = Size { frames: clips * length, length, height, width };
            Case { taps, input, output, size, after }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Any number of channels, frames and pixels, also those that leave parts of vectors, panels and tiles empty.
    #[test]
    fn every_instruction_set_computes_the_convolution(case in cases(), threads in 1..4_usize) {
        for isa in Isa::available() {
            let error = case.error(isa, threads, 7);
            prop_assert!(error < 2e-5, "{isa:?}: {error:e}");
        }
    }

    /// So features depend neither on the threads nor on which clips share a batch.
    #[test]
    fn a_clip_gives_the_same_bits_alone_and_beside_others(case in cases(), threads in 1..5_usize) {
        for isa in Isa::available() {
            let together = case.run(isa, threads);
            prop_assert!(together == case.run(isa, 1), "{isa:?}");
            let [x, weights, bias, mut y] = case.numbers();
            let conv = Winograd::new(isa, case.taps, &weights, &bias).unwrap();
            let Size { frames, length, .. } = case.size;
            let clip = Size { frames: length, ..case.size };
            let of_clip = |numbers: usize| numbers / (frames / length);
            for (x, y) in x.chunks(of_clip(x.len())).zip(y.chunks_mut(of_clip(together.len()))) {
                conv.run(x, y, clip, case.after, threads).unwrap();
            }
            prop_assert!(y == together, "{isa:?}");
        }
    }
}

/// The layers of SlowOnly: taps, channels of input and output, the side of a frame, and a bound of the error against 64 bits.
/// Outputs have a magnitude of 1.
const LAYERS: [(Taps, usize, usize, usize, f64); 8] = [
    (Taps::Space, 64, 64, 64, 2e-5),
    (Taps::Space, 128, 128, 32, 2e-5),
    (Taps::Space, 256, 256, 16, 2e-5),
    (Taps::Space, 512, 512, 8, 2e-5),
    (Taps::Time, 512, 256, 32, 1e-5),
    (Taps::Time, 1024, 256, 16, 1e-5),
    (Taps::Time, 1024, 512, 16, 1e-5),
    (Taps::Time, 2048, 512, 8, 1e-5),
];

#[test]
fn the_error_of_every_layer_of_the_network_is_bounded() {
    for (taps, input, output, side, bound) in LAYERS {
        let size = Size { frames: 8, length: 8, height: side, width: side };
        let case = Case { taps, input, output, size, after: After::Relu };
        for isa in Isa::available().into_iter().filter(|isa| *isa != Isa::Plain) {
            let error = case.error(isa, 2, 997);
            println!("{taps:?} {input} to {output}, {isa:?}: {error:.1e}");
            assert!(error < bound, "{taps:?} {input} to {output}, {isa:?}: {error:e}");
        }
    }
}

#[test]
fn no_frames_give_no_outputs() {
    let size = Size { frames: 0, length: 8, height: 4, width: 4 };
    let case = Case { taps: Taps::Time, input: 3, output: 5, size, after: After::Relu };
    assert!(Isa::available().into_iter().all(|isa| case.run(isa, 2).is_empty()));
}

//! OpenCV's 8-bit bilinear resize, bit for bit, and torch's in 32 bits, for only the crop that is needed.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod float;
mod line;
mod rows;
mod scalar;
mod taps;

use reeldeck_common::recipe::Filter;

use crate::geometry::Geometry;
#[cfg(target_arch = "x86_64")]
use crate::simd::Avx2;
#[cfg(target_arch = "x86_64")]
use avx2::Avx2Resizer;
use float::FloatResizer;
pub use rows::{RgbPicture, RgbRows};
use scalar::ScalarResizer;
pub use taps::Tap;

/// Resizes and crops frames of one size.
pub struct Resizer(Implementation);

enum Implementation {
    Scalar(ScalarResizer),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2Resizer),
    Float(FloatResizer),
}

impl Resizer {
    /// Prepares for frames of this size, with the fastest implementation that the processor supports.
    pub fn new(geometry: Geometry, filter: Filter) -> Self {
        if filter == Filter::TorchF32 {
            return Self(Implementation::Float(FloatResizer::new(geometry)));
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = Avx2::detect() {
            return Self(Implementation::Avx2(Avx2Resizer::new(simd, geometry)));
        }
        Self::scalar(geometry, filter)
    }

    /// Prepares the reference implementation, which uses no vector instructions.
    pub fn scalar(geometry: Geometry, filter: Filter) -> Self {
        match filter {
            Filter::OpencvU8 => Self(Implementation::Scalar(ScalarResizer::new(geometry))),
            Filter::TorchF32 => Self(Implementation::Float(FloatResizer::scalar(geometry))),
        }
    }

    /// The sizes that this resizer was prepared for.
    pub fn geometry(&self) -> Geometry {
        match &self.0 {
            Implementation::Scalar(scalar) => scalar.geometry,
            #[cfg(target_arch = "x86_64")]
            Implementation::Avx2(avx2) => avx2.geometry(),
            Implementation::Float(float) => float.geometry(),
        }
    }

    /// Fills `out` with the crop of one frame: height × width × 3 values, RGB, row by row. The values are bytes, or with
    /// [`Filter::TorchF32`] numbers of 32 bits in the processor's order of bytes.
    pub fn run(&mut self, rows: &mut dyn RgbRows, out: &mut [u8]) {
        match &mut self.0 {
            Implementation::Scalar(scalar) => scalar.run(rows, out),
            #[cfg(target_arch = "x86_64")]
            Implementation::Avx2(avx2) => avx2.run(rows, out),
            Implementation::Float(float) => float.run(rows, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use reeldeck_common::recipe::{Resize, Transform};

    fn picture(width: usize, height: usize, seed: u64) -> Vec<u8> {
        let mut state = seed | 1;
        (0..width * height * 3)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 56) as u8
            })
            .collect()
    }

    /// The whole resized frame, computed pixel by pixel straight from the formula.
    fn reference(source: &[u8], (w, h): (usize, usize), (nw, nh): (usize, usize)) -> Vec<u8> {
        let at = |x: usize, y: usize, c: usize| i64::from(source[(y * w + x) * 3 + c]);
        let mut out = vec![];
        for y in 0..nh {
            for x in 0..nw {
                for c in 0..3 {
                    if (w, h) == (nw, nh) {
                        out.push(source[(y * w + x) * 3 + c]);
                        continue;
                    }
                    if w == 2 * nw && h == 2 * nh {
                        let (x, y) = (2 * x, 2 * y);
                        out.push(
                            ((at(x, y, c) + at(x + 1, y, c) + at(x, y + 1, c) + at(x + 1, y + 1, c) + 2) >> 2) as u8,
                        );
                        continue;
                    }
                    let coordinate = |d: usize, n: usize, nn: usize| {
                        let f = ((d as f64 + 0.5) * (1.0 / (nn as f64 / n as f64)) - 0.5) as f32;
                        (f.floor() as i64, f - f.floor())
                    };
                    let round = |v: f32| (v * 2048.0).round_ties_even() as i64;
                    let (mut sx, mut fx) = coordinate(x, w, nw);
                    if sx < 0 {
                        (sx, fx) = (0, 0.0);
                    }
                    if sx >= w as i64 - 1 {
                        (sx, fx) = (w as i64 - 1, 0.0);
                    }
                    let (sy, fy) = coordinate(y, h, nh);
                    let row = |r: i64| {
                        let r = r.clamp(0, h as i64 - 1) as usize;
                        at(sx as usize, r, c) * round(1.0 - fx) + at((sx as usize + 1).min(w - 1), r, c) * round(fx)
                    };
                    let sum = ((round(1.0 - fy) * (row(sy) >> 4)) >> 16) + ((round(fy) * (row(sy + 1) >> 4)) >> 16);
                    out.push(((sum + 2) >> 2).clamp(0, 255) as u8);
                }
            }
        }
        out
    }

    fn compare(w: usize, h: usize, transform: &Transform, seed: u64) {
        let geometry = Geometry::new(w, h, transform);
        let source = picture(w, h, seed);
        let whole = reference(&source, (w, h), geometry.resized);
        let row = geometry.crop.0 * 3;
        for (name, mut resizer) in [
            ("scalar", Resizer::scalar(geometry, Filter::OpencvU8)),
            ("chosen", Resizer::new(geometry, Filter::OpencvU8)),
        ] {
            let mut out = vec![0; geometry.values()];
            // Run twice: nothing of the previous frame may remain.
            resizer.run(&mut RgbPicture { data: &picture(w, h, seed ^ 2), stride: w * 3 }, &mut out);
            resizer.run(&mut RgbPicture { data: &source, stride: w * 3 }, &mut out);
            for (y, out) in out.chunks_exact(row).enumerate() {
                let start = ((geometry.corner.1 + y) * geometry.resized.0 + geometry.corner.0) * 3;
                assert!(*out == whole[start..start + row], "{name}: {w}x{h} to {transform:?} row {y}");
            }
        }
    }

    /// A pixel straight from torch's definition of bilinear interpolation without `align_corners`, in 64 bits.
    fn plain_float(
        source: &[u8],
        (w, h): (usize, usize),
        (nw, nh): (usize, usize),
        x: usize,
        y: usize,
        c: usize,
    ) -> f64 {
        let centre = |d: usize, n: usize, nn: usize| ((d as f64 + 0.5) * n as f64 / nn as f64 - 0.5).max(0.0);
        let (fx, fy) = (centre(x, w, nw), centre(y, h, nh));
        let at = |x: usize, y: usize| f64::from(source[(y.min(h - 1) * w + x.min(w - 1)) * 3 + c]);
        let (x, y) = (fx as usize, fy as usize);
        let (fx, fy) = (fx.fract(), fy.fract());
        let row = |y: usize| at(x, y) * (1.0 - fx) + at(x + 1, y) * fx;
        row(y) * (1.0 - fy) + row(y + 1) * fy
    }

    fn compare_floats(w: usize, h: usize, transform: &Transform, seed: u64) {
        let geometry = Geometry::new(w, h, transform);
        let source = picture(w, h, seed);
        let mut results = vec![];
        for new in [Resizer::scalar, Resizer::new] {
            let mut resizer = new(geometry, Filter::TorchF32);
            let mut out = vec![0; geometry.values() * 4];
            resizer.run(&mut RgbPicture { data: &picture(w, h, seed ^ 2), stride: w * 3 }, &mut out);
            resizer.run(&mut RgbPicture { data: &source, stride: w * 3 }, &mut out);
            results.push(out);
        }
        assert!(results[0] == results[1], "both give the same bits");
        for (at, bytes) in results[0].as_chunks::<4>().0.iter().enumerate() {
            let (x, y, c) = (at / 3 % geometry.crop.0, at / 3 / geometry.crop.0, at % 3);
            let (x, y) = (x + geometry.corner.0, y + geometry.corner.1);
            let (ours, plain) = (f32::from_ne_bytes(*bytes), plain_float(&source, (w, h), geometry.resized, x, y, c));
            // Positions are computed in 32 bits: they err by a part in ten million of the position.
            let bound = 3e-5 * w.max(h) as f64 + 1e-4;
            assert!(
                (f64::from(ours) - plain).abs() < bound,
                "{w}x{h} to {transform:?}: {x},{y} is {ours}, not {plain}"
            );
        }
    }

    fn short_side(side: usize, crop: usize) -> Transform {
        Transform::short_side(side, crop, [0.0; 3], [1.0; 3])
    }

    fn exact(width: usize, height: usize, crop: Option<usize>) -> Transform {
        Transform { resize: Resize::Exact { height, width }, crop, ..short_side(32, 32) }
    }

    #[test]
    fn common_and_extreme_sizes_match_the_formula() {
        for (w, h) in
            [(340, 256), (512, 910), (910, 512), (512, 512), (1920, 1080), (1280, 720), (320, 240), (144, 256)]
        {
            compare(w, h, &short_side(256, 256), 3);
            compare_floats(w, h, &exact(224, 224, None), 3);
        }
        for (w, h) in [(1, 1), (1, 9), (2, 2), (3, 1), (255, 257), (513, 911), (3840, 2160), (300, 4321)] {
            compare(w, h, &short_side(256, 256), 4);
            compare(w, h, &exact(171, 128, Some(112)), 4);
            compare_floats(w, h, &exact(171, 128, Some(112)), 4);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn any_size_matches_the_formula(w in 1..400usize, h in 1..400usize, side in 32..80usize, less in 0..8usize, seed: u64) {
            compare(w, h, &short_side(side, (side - less).max(32)), seed);
        }

        #[test]
        fn any_size_to_any_other_matches_the_formula(w in 1..400usize, h in 1..400usize, width in 32..300usize, height in 32..300usize, seed: u64) {
            compare(w, h, &exact(width, height, None), seed);
            compare_floats(w, h, &exact(width, height, None), seed);
        }

        #[test]
        fn floats_of_the_short_side_match_the_formula(w in 1..400usize, h in 1..400usize, side in 32..80usize, seed: u64) {
            compare_floats(w, h, &short_side(side, 32), seed);
        }
    }
}

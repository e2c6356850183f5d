//! OpenCV's 8-bit bilinear resize, to the bit, for just the crop that is needed.

use crate::geometry::Geometry;
#[cfg(target_arch = "x86_64")]
use crate::simd::{self, Avx2, Fast, Planes};

/// Gives rows of pixels of one decoded picture.
pub trait RgbRows {
    /// Writes the pixels `x0..x1` of row `y` to `out`, three bytes a pixel.
    fn row(&mut self, y: usize, x0: usize, x1: usize, out: &mut [u8]);

    /// The same with the channels apart; `x0` is even.
    #[cfg(target_arch = "x86_64")]
    fn planes(&mut self, simd: Avx2, y: usize, x0: usize, x1: usize, out: &mut Planes);
}

/// Resizes and crops pictures of one size.
pub struct Resizer(Way);

enum Way {
    Plain(Plain),
    #[cfg(target_arch = "x86_64")]
    Fast(Fast),
}

impl Resizer {
    /// Prepares for pictures of this size, for the fastest way that the processor has.
    pub fn new(geometry: Geometry) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = Avx2::find() {
            return Self(Way::Fast(Fast::new(simd, geometry)));
        }
        Self::plain(geometry)
    }

    /// The reference: pixel by pixel.
    pub fn plain(geometry: Geometry) -> Self {
        Self(Way::Plain(Plain::new(geometry)))
    }

    /// Which size this is for.
    pub fn geometry(&self) -> Geometry {
        match &self.0 {
            Way::Plain(plain) => plain.geometry,
            #[cfg(target_arch = "x86_64")]
            Way::Fast(fast) => fast.geometry(),
        }
    }

    /// Fills `out` (crop × crop × 3 bytes, RGB, row by row) from one picture.
    pub fn run(&mut self, rows: &mut dyn RgbRows, out: &mut [u8]) {
        match &mut self.0 {
            Way::Plain(plain) => plain.run(rows, out),
            #[cfg(target_arch = "x86_64")]
            Way::Fast(fast) => fast.run(rows, out),
        }
    }
}

/// The plain way. Holds the coefficients and the two rows in work.
struct Plain {
    geometry: Geometry,
    method: Method,
    line: Vec<u8>,
}

enum Method {
    /// The size stays: rows are copied.
    Copy,
    /// Exactly half in both directions: the mean of four pixels.
    Halve { second: Vec<u8> },
    /// Everything else.
    Bilinear(Bilinear),
}

struct Bilinear {
    /// Columns of the source that are read, from and to.
    columns: (usize, usize),
    /// For each column of the crop, with its pixels counted within `columns`.
    horizontal: Vec<Tap>,
    /// For each row of the crop.
    vertical: Vec<Tap>,
    /// The two rows last made, with the source row each is of.
    upper: Row,
    lower: Row,
}

/// The two columns or rows of the source that one of the crop is made of, and their weights of 2048.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tap {
    /// The left or upper one.
    pub first: usize,
    /// The other one; the same at an edge.
    pub second: usize,
    /// Of the first and the second.
    pub weights: (i32, i32),
}

struct Row {
    of: Option<usize>,
    /// Horizontal sums scaled by 2048, then shifted right by four as the vertical step needs them.
    sums: Vec<i32>,
}

/// Source position of destination pixel `d`: the pixel to its left, and how far beyond that it lies.
fn position(d: usize, source: usize, destination: usize) -> (i64, f32) {
    let scale = 1.0 / (destination as f64 / source as f64);
    let exact = ((d as f64 + 0.5) * scale - 0.5) as f32;
    let left = exact.floor();
    (left as i64, exact - left)
}

fn weights(fraction: f32) -> (i32, i32) {
    let weight = |part: f32| (part * 2048.0).round_ties_even() as i32;
    (weight(1.0 - fraction), weight(fraction))
}

fn horizontal_tap(d: usize, source: usize, destination: usize) -> Tap {
    let (left, fraction) = position(d, source, destination);
    let last = source - 1;
    // At both edges OpenCV takes one pixel alone.
    if left < 0 {
        return Tap { first: 0, second: 1.min(last), weights: (2048, 0) };
    }
    let left = left as usize;
    if left >= last {
        return Tap { first: last, second: last, weights: (2048, 0) };
    }
    Tap { first: left, second: left + 1, weights: weights(fraction) }
}

fn vertical_tap(d: usize, source: usize, destination: usize) -> Tap {
    let (top, fraction) = position(d, source, destination);
    // Here, unlike in rows, the weights stay and only the rows are clipped.
    let clip = |row: i64| row.clamp(0, source as i64 - 1) as usize;
    Tap { first: clip(top), second: clip(top + 1), weights: weights(fraction) }
}

/// For each column of the crop, the columns of the source that it is made of.
pub(crate) fn horizontal_taps(geometry: Geometry) -> Vec<Tap> {
    let Geometry { source, resized, corner, crop } = geometry;
    (corner.0..corner.0 + crop).map(|d| horizontal_tap(d, source.0, resized.0)).collect()
}

/// For each row of the crop, the rows of the source that it is made of.
pub(crate) fn vertical_taps(geometry: Geometry) -> Vec<Tap> {
    let Geometry { source, resized, corner, crop } = geometry;
    (corner.1..corner.1 + crop).map(|d| vertical_tap(d, source.1, resized.1)).collect()
}

impl Plain {
    fn new(geometry: Geometry) -> Self {
        let Geometry { source, resized, crop, .. } = geometry;
        let (method, columns) = if source == resized {
            (Method::Copy, crop)
        } else if source == (resized.0 * 2, resized.1 * 2) {
            (Method::Halve { second: vec![0; crop * 6] }, crop * 2)
        } else {
            let mut horizontal = horizontal_taps(geometry);
            let start = horizontal.iter().map(|t| t.first).min().unwrap_or(0);
            let end = horizontal.iter().map(|t| t.second + 1).max().unwrap_or(1);
            for tap in &mut horizontal {
                tap.first -= start;
                tap.second -= start;
            }
            let row = || Row { of: None, sums: vec![0; crop * 3] };
            let (vertical, columns) = (vertical_taps(geometry), (start, end));
            (Method::Bilinear(Bilinear { columns, horizontal, vertical, upper: row(), lower: row() }), end - start)
        };
        Self { geometry, method, line: vec![0; columns * 3] }
    }

    fn run(&mut self, rows: &mut dyn RgbRows, out: &mut [u8]) {
        let Geometry { corner, crop, .. } = self.geometry;
        let line = &mut self.line;
        match &mut self.method {
            Method::Copy => {
                for (y, out) in out.chunks_exact_mut(crop * 3).enumerate() {
                    rows.row(corner.1 + y, corner.0, corner.0 + crop, out);
                }
            }
            Method::Halve { second } => {
                let (x0, x1) = (corner.0 * 2, (corner.0 + crop) * 2);
                for (y, out) in out.chunks_exact_mut(crop * 3).enumerate() {
                    let top = (corner.1 + y) * 2;
                    rows.row(top, x0, x1, line);
                    rows.row(top + 1, x0, x1, second);
                    halve(line, second, out);
                }
            }
            Method::Bilinear(bilinear) => bilinear.run(rows, line, crop, out),
        }
    }
}

fn halve(upper: &[u8], lower: &[u8], out: &mut [u8]) {
    let pixels = upper.as_chunks::<6>().0.iter().zip(lower.as_chunks::<6>().0).zip(out.as_chunks_mut::<3>().0);
    for ((a, b), out) in pixels {
        for c in 0..3 {
            let sum = u16::from(a[c]) + u16::from(a[c + 3]) + u16::from(b[c]) + u16::from(b[c + 3]);
            out[c] = ((sum + 2) >> 2) as u8;
        }
    }
}

impl Bilinear {
    fn run(&mut self, rows: &mut dyn RgbRows, line: &mut [u8], crop: usize, out: &mut [u8]) {
        // The rows kept are of the picture before.
        self.upper.of = None;
        self.lower.of = None;
        for (tap, out) in self.vertical.iter().zip(out.chunks_exact_mut(crop * 3)) {
            if self.lower.of == Some(tap.first) {
                std::mem::swap(&mut self.upper, &mut self.lower);
            }
            for (row, wanted) in [(&mut self.upper, tap.first), (&mut self.lower, tap.second)] {
                if row.of != Some(wanted) {
                    rows.row(wanted, self.columns.0, self.columns.1, line);
                    stretch(line, &self.horizontal, &mut row.sums);
                    row.of = Some(wanted);
                }
            }
            let (upper, lower) = tap.weights;
            for ((a, b), out) in self.upper.sums.iter().zip(&self.lower.sums).zip(out) {
                *out = ((((upper * a) >> 16) + ((lower * b) >> 16) + 2) >> 2).clamp(0, 255) as u8;
            }
        }
    }
}

/// One row of the source to the width of the crop.
fn stretch(line: &[u8], taps: &[Tap], sums: &mut [i32]) {
    let pixels = line.as_chunks::<3>().0;
    for (tap, sum) in taps.iter().zip(sums.as_chunks_mut::<3>().0) {
        let (Some(a), Some(b)) = (pixels.get(tap.first), pixels.get(tap.second)) else { return };
        for c in 0..3 {
            sum[c] = (i32::from(a[c]) * tap.weights.0 + i32::from(b[c]) * tap.weights.1) >> 4;
        }
    }
}

/// A picture that is already RGB24.
pub struct RgbPicture<'a> {
    /// The pixels, row after row.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

impl RgbRows for RgbPicture<'_> {
    fn row(&mut self, y: usize, x0: usize, x1: usize, out: &mut [u8]) {
        let start = y * self.stride + x0 * 3;
        out.copy_from_slice(&self.data[start..start + (x1 - x0) * 3]);
    }

    #[cfg(target_arch = "x86_64")]
    fn planes(&mut self, simd: Avx2, y: usize, x0: usize, x1: usize, out: &mut Planes) {
        let start = y * self.stride + x0 * 3;
        simd::split(simd, &self.data[start..start + (x1 - x0) * 3], out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use reeldeck_common::recipe::Transform;

    fn picture(width: usize, height: usize, seed: u64) -> Vec<u8> {
        let mut state = seed | 1;
        (0..width * height * 3)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 56) as u8
            })
            .collect()
    }

    /// The whole resized picture, pixel by pixel, as slowly and plainly as the formula reads.
    fn slow(source: &[u8], (w, h): (usize, usize), (nw, nh): (usize, usize)) -> Vec<u8> {
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

    fn compare(w: usize, h: usize, short_side: usize, crop: usize, seed: u64) {
        let transform = Transform { short_side, crop, mean: [0.0; 3], std: [1.0; 3] };
        let geometry = Geometry::new(w, h, &transform);
        let source = picture(w, h, seed);
        let whole = slow(&source, (w, h), geometry.resized);
        for (way, mut resizer) in [("plain", Resizer::plain(geometry)), ("chosen", Resizer::new(geometry))] {
            let mut out = vec![0; crop * crop * 3];
            // Twice: nothing may be left over from the picture before.
            resizer.run(&mut RgbPicture { data: &picture(w, h, seed ^ 2), stride: w * 3 }, &mut out);
            resizer.run(&mut RgbPicture { data: &source, stride: w * 3 }, &mut out);
            for y in 0..crop {
                let start = ((geometry.corner.1 + y) * geometry.resized.0 + geometry.corner.0) * 3;
                let same = out[y * crop * 3..(y + 1) * crop * 3] == whole[start..start + crop * 3];
                assert!(same, "{way}: {w}x{h} row {y}");
            }
        }
    }

    #[test]
    fn sizes_that_matter_agree_with_the_slow_reference() {
        for (w, h) in
            [(340, 256), (512, 910), (910, 512), (512, 512), (1920, 1080), (1280, 720), (320, 240), (144, 256)]
        {
            compare(w, h, 256, 256, 3);
        }
        for (w, h) in [(1, 1), (1, 9), (2, 2), (3, 1), (255, 257), (513, 911), (3840, 2160), (300, 4321)] {
            compare(w, h, 256, 256, 4);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn any_size_agrees_with_the_slow_reference(w in 1..400usize, h in 1..400usize, side in 32..80usize, less in 0..8usize, seed: u64) {
            compare(w, h, side, (side - less).max(32), seed);
        }
    }
}

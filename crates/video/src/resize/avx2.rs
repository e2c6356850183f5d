//! OpenCV's bilinear resize with AVX2, on separate channels.

use std::arch::x86_64::*;

use super::rows::RgbRows;
use super::taps::{Tap, horizontal_taps, vertical_taps};
use crate::geometry::Geometry;
use crate::simd::layout::{Interleaver, interleave_channels};
use crate::simd::vector::{load, load_half, load_words, store, store_words};
use crate::simd::{Avx2, Planes};

/// Resizes and crops frames of one size, to the same bytes as the scalar implementation.
pub(super) struct Avx2Resizer {
    simd: Avx2,
    geometry: Geometry,
    /// Range of source columns that are read. The first is even: chroma covers pairs of pixels.
    columns: (usize, usize),
    /// The source row that was read last.
    line: Planes,
    method: Method,
}

enum Method {
    Copy,
    Halve { second: Planes },
    Bilinear(Bilinear),
}

impl Avx2Resizer {
    /// Prepares for frames of this size.
    pub(super) fn new(simd: Avx2, geometry: Geometry) -> Self {
        let Geometry { source, resized, corner, crop: (crop, _) } = geometry;
        let (method, columns) = if source == resized {
            (Method::Copy, (corner.0 & !1, corner.0 + crop))
        } else if source == (resized.0 * 2, resized.1 * 2) {
            (Method::Halve { second: Planes::new(crop * 2) }, (corner.0 * 2, (corner.0 + crop) * 2))
        } else {
            let (bilinear, columns) = Bilinear::new(geometry);
            (Method::Bilinear(bilinear), columns)
        };
        Self { simd, geometry, columns, line: Planes::new(columns.1 - columns.0), method }
    }

    /// The sizes that this resizer was prepared for.
    pub(super) fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Fills `out` (height × width × 3 bytes of the crop, RGB, row by row) from one frame.
    pub(super) fn run(&mut self, rows: &mut dyn RgbRows, out: &mut [u8]) {
        let Self { simd, geometry: Geometry { corner, crop: (crop, _), .. }, columns: (x0, x1), .. } = *self;
        let line = &mut self.line;
        match &mut self.method {
            Method::Copy => {
                for (y, out) in out.chunks_exact_mut(crop * 3).enumerate() {
                    rows.planes(simd, corner.1 + y, x0, x1, line);
                    interleave_channels(simd, line, corner.0 - x0, out);
                }
            }
            Method::Halve { second } => {
                for (y, out) in out.chunks_exact_mut(crop * 3).enumerate() {
                    let top = (corner.1 + y) * 2;
                    rows.planes(simd, top, x0, x1, line);
                    rows.planes(simd, top + 1, x0, x1, second);
                    halve(simd, line, second);
                    interleave_channels(simd, line, 0, out);
                }
            }
            Method::Bilinear(bilinear) => bilinear.run(simd, rows, (x0, x1), line, out),
        }
    }
}

/// Coefficients of one geometry, and the two most recent horizontal results.
struct Bilinear {
    horizontal: Vec<Group>,
    vertical: Vec<Tap>,
    upper: Row,
    lower: Row,
}

/// Eight neighbouring columns of the crop.
struct Group {
    /// The pieces of the source row that hold their pixels: one if the scale is near 1, more for a strong reduction.
    windows: Vec<Window>,
    /// The two weights of each column.
    weights: [i16; 16],
}

/// 16 bytes of the source row. `mask` selects the two pixels of each column; values of 128 and above select none.
struct Window {
    offset: usize,
    mask: [u8; 16],
}

/// A source row resized to the width of the crop, with separate channels. Sums are scaled by 2048, then shifted right by four,
/// which leaves 15 bits.
struct Row {
    source: Option<usize>,
    sums: [Vec<i16>; 3],
}

impl Row {
    fn new(crop: usize) -> Self {
        let row = || vec![0; crop.next_multiple_of(32)];
        Self { source: None, sums: [row(), row(), row()] }
    }
}

impl Group {
    /// `taps` belong to at most eight columns; their positions are relative to the start of the row.
    fn new(taps: &[Tap]) -> Self {
        let (mut windows, mut weights) = (Vec::<Window>::new(), [0; 16]);
        for (i, (tap, weights)) in taps.iter().zip(weights.as_chunks_mut::<2>().0).enumerate() {
            // A weight is at most 2049, after rounding.
            *weights = [tap.weights.0 as i16, tap.weights.1 as i16];
            let window = match windows.pop() {
                Some(window) if tap.second - window.offset < 16 => window,
                full => {
                    windows.extend(full);
                    Window { offset: tap.first, mask: [0xff; 16] }
                }
            };
            windows.push(window);
            if let Some(window) = windows.last_mut() {
                window.mask[2 * i] = (tap.first - window.offset) as u8;
                window.mask[2 * i + 1] = (tap.second - window.offset) as u8;
            }
        }
        Self { windows, weights }
    }
}

impl Bilinear {
    /// Prepares for a geometry and returns the range of source columns that it reads.
    fn new(geometry: Geometry) -> (Self, (usize, usize)) {
        let mut taps = horizontal_taps(geometry);
        let start = taps.iter().map(|tap| tap.first).min().unwrap_or(0) & !1;
        let end = taps.iter().map(|tap| tap.second + 1).max().unwrap_or(1);
        for tap in &mut taps {
            tap.first -= start;
            tap.second -= start;
        }
        let horizontal = taps.chunks(8).map(Group::new).collect();
        let (upper, lower) = (Row::new(geometry.crop.0), Row::new(geometry.crop.0));
        (Self { horizontal, vertical: vertical_taps(geometry), upper, lower }, (start, end))
    }

    /// Fills `out` from one frame. `line` has room for the source columns `x0..x1`.
    fn run(&mut self, simd: Avx2, rows: &mut dyn RgbRows, (x0, x1): (usize, usize), line: &mut Planes, out: &mut [u8]) {
        // The stored rows belong to the previous frame.
        self.upper.source = None;
        self.lower.source = None;
        let bytes = out.len() / self.vertical.len().max(1);
        for (tap, out) in self.vertical.iter().zip(out.chunks_exact_mut(bytes)) {
            if self.lower.source == Some(tap.first) {
                std::mem::swap(&mut self.upper, &mut self.lower);
            }
            for (row, needed) in [(&mut self.upper, tap.first), (&mut self.lower, tap.second)] {
                if row.source != Some(needed) {
                    rows.planes(simd, needed, x0, x1, line);
                    // SAFETY: an `Avx2` exists only on a processor with AVX2.
                    unsafe { stretch(line, &self.horizontal, &mut row.sums) };
                    row.source = Some(needed);
                }
            }
            // SAFETY: as above.
            unsafe { blend(&self.upper, &self.lower, tap.weights, out) };
        }
    }
}

/// Resizes one source row to the width of the crop.
#[target_feature(enable = "avx2")]
fn stretch(line: &Planes, groups: &[Group], sums: &mut [Vec<i16>; 3]) {
    for (row, sums) in line.0.iter().zip(sums) {
        for (group, sums) in groups.iter().zip(sums.as_chunks_mut::<8>().0) {
            let mut pairs = _mm_setzero_si128();
            for window in &group.windows {
                let Some(bytes) = row.get(window.offset..).and_then(|rest| rest.first_chunk()) else { continue };
                let picked = _mm_shuffle_epi8(load_half(bytes), load_half(&window.mask));
                pairs = _mm_or_si128(pairs, picked);
            }
            let scaled = _mm256_madd_epi16(_mm256_cvtepu8_epi16(pairs), load_words(&group.weights));
            let scaled = _mm256_srai_epi32(scaled, 4);
            let (low, high) = (_mm256_castsi256_si128(scaled), _mm256_extracti128_si256(scaled, 1));
            store_words(sums, _mm_packs_epi32(low, high));
        }
    }
}

/// Blends two rows into one row of the crop and interleaves the channels.
#[target_feature(enable = "avx2")]
fn blend(upper: &Row, lower: &Row, weights: (i32, i32), out: &mut [u8]) {
    let interleaver = Interleaver::new();
    let [above, below] = [weights.0, weights.1].map(|weight| _mm256_set1_epi16(weight as i16));
    let two = _mm256_set1_epi16(2);
    let words = |a: &[i16; 16], b: &[i16; 16]| {
        let sum = _mm256_add_epi16(_mm256_mulhi_epi16(load_words(a), above), _mm256_mulhi_epi16(load_words(b), below));
        _mm256_srai_epi16(_mm256_add_epi16(sum, two), 2)
    };
    let channel = |upper: &[i16], lower: &[i16], at: usize| {
        let (upper, lower) = (upper.as_chunks().0, lower.as_chunks().0);
        let both = _mm256_packus_epi16(words(&upper[at], &lower[at]), words(&upper[at + 1], &lower[at + 1]));
        // Packing works on 128-bit halves: swap the middle quarters.
        _mm256_permute4x64_epi64(both, 0xd8)
    };
    let pixels = |chunk: usize| {
        let mut channels = [_mm256_setzero_si256(); 3];
        for (result, (upper, lower)) in channels.iter_mut().zip(upper.sums.iter().zip(&lower.sums)) {
            *result = channel(upper, lower, chunk * 2);
        }
        channels
    };
    let (whole, rest) = out.as_chunks_mut::<96>();
    let last = whole.len();
    for (chunk, out) in whole.iter_mut().enumerate() {
        interleaver.write(pixels(chunk), out);
    }
    if !rest.is_empty() {
        let mut bytes = [0; 96];
        interleaver.write(pixels(last), &mut bytes);
        rest.copy_from_slice(&bytes[..rest.len()]);
    }
}

/// Writes the mean of each 2 × 2 pixels into the first half of `upper`.
fn halve(_simd: Avx2, upper: &mut Planes, lower: &Planes) {
    // SAFETY: an `Avx2` exists only on a processor with AVX2.
    unsafe { means(upper, lower) }
}

#[target_feature(enable = "avx2")]
fn means(upper: &mut Planes, lower: &Planes) {
    let (ones, two) = (_mm256_set1_epi8(1), _mm256_set1_epi16(2));
    let mean = |a: &[u8; 32], b: &[u8; 32]| {
        let sum = _mm256_add_epi16(_mm256_maddubs_epi16(load(a), ones), _mm256_maddubs_epi16(load(b), ones));
        _mm256_srli_epi16(_mm256_add_epi16(sum, two), 2)
    };
    for (upper, lower) in upper.0.iter_mut().zip(&lower.0) {
        // Each write lies before the next read.
        for (at, lower) in lower.as_chunks::<64>().0.iter().enumerate() {
            let from: [u8; 64] = upper.as_chunks().0[at];
            let ([a0, a1], [b0, b1]) = (halves(&from), halves(lower));
            let both = _mm256_permute4x64_epi64(_mm256_packus_epi16(mean(a0, b0), mean(a1, b1)), 0xd8);
            store(&mut upper.as_chunks_mut().0[at], both);
        }
    }
}

/// The first and the last 32 of 64 bytes.
fn halves(bytes: &[u8; 64]) -> [&[u8; 32]; 2] {
    let (halves, _) = bytes.as_chunks();
    [&halves[0], &halves[1]]
}

//! torch's bilinear interpolation in 32 bits, without `align_corners` and without antialiasing, for only the crop that is needed.

use super::line::Line;
use super::rows::RgbRows;
use crate::geometry::Geometry;

/// The two source columns or rows that one column or row of the crop is computed from, and their weights.
#[derive(Clone, Copy, Debug)]
struct FloatTap {
    first: usize,
    second: usize,
    weights: [f32; 2],
}

impl FloatTap {
    /// As torch computes it, in 32 bits: the centre of the destination pixel in the source, not before the first pixel.
    fn new(d: usize, source: usize, destination: usize) -> Self {
        if source == destination {
            return Self { first: d, second: d, weights: [1.0, 0.0] };
        }
        let ratio = source as f32 / destination as f32;
        let exact = (ratio * (d as f32 + 0.5) - 0.5).max(0.0);
        let last = source - 1;
        let first = (exact as usize).min(last);
        let fraction = (exact - first as f32).clamp(0.0, 1.0);
        Self { first, second: (first + 1).min(last), weights: [1.0 - fraction, fraction] }
    }
}

/// Resizes and crops frames of one size to values from 0 to 255.
pub(super) struct FloatResizer {
    geometry: Geometry,
    /// Range of source columns that are read. The first is even: chroma covers pairs of pixels.
    columns: (usize, usize),
    /// For each column of the crop; positions are relative to the start of `columns`.
    horizontal: Vec<FloatTap>,
    /// For each row of the crop.
    vertical: Vec<FloatTap>,
    line: Line,
    /// The two most recent source rows, resized to the width of the crop.
    upper: Row,
    lower: Row,
}

struct Row {
    source: Option<usize>,
    values: Vec<f32>,
}

impl Row {
    fn new(values: usize) -> Self {
        Self { source: None, values: vec![0.0; values] }
    }
}

impl FloatResizer {
    /// Prepares for frames of this size, with the fastest conversion to RGB that the processor supports.
    pub(super) fn new(geometry: Geometry) -> Self {
        Self::with_line(geometry, Line::new)
    }

    /// The same without vector instructions.
    pub(super) fn scalar(geometry: Geometry) -> Self {
        Self::with_line(geometry, Line::scalar)
    }

    fn with_line(geometry: Geometry, line: fn(usize) -> Line) -> Self {
        let Geometry { source, resized, corner, crop } = geometry;
        let taps = |corner: usize, crop: usize, source: usize, resized: usize| -> Vec<FloatTap> {
            (corner..corner + crop).map(|d| FloatTap::new(d, source, resized)).collect()
        };
        let mut horizontal = taps(corner.0, crop.0, source.0, resized.0);
        let start = horizontal.iter().map(|tap| tap.first).min().unwrap_or(0) & !1;
        let end = horizontal.iter().map(|tap| tap.second + 1).max().unwrap_or(1);
        for tap in &mut horizontal {
            tap.first -= start;
            tap.second -= start;
        }
        Self {
            geometry,
            columns: (start, end),
            horizontal,
            vertical: taps(corner.1, crop.1, source.1, resized.1),
            line: line(end - start),
            upper: Row::new(crop.0 * 3),
            lower: Row::new(crop.0 * 3),
        }
    }

    /// The sizes that this resizer was prepared for.
    pub(super) fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Fills `out` (height × width × 3 values of four bytes in the processor's order, RGB, row by row) from one frame.
    pub(super) fn run(&mut self, rows: &mut dyn RgbRows, out: &mut [u8]) {
        let Self { columns, horizontal, line, upper, lower, .. } = self;
        // The stored rows belong to the previous frame.
        (upper.source, lower.source) = (None, None);
        for (tap, out) in self.vertical.iter().zip(out.chunks_exact_mut(self.geometry.crop.0 * 12)) {
            if lower.source == Some(tap.first) {
                std::mem::swap(upper, lower);
            }
            for (row, needed) in [(&mut *upper, tap.first), (&mut *lower, tap.second)] {
                if row.source != Some(needed) {
                    stretch(line.read(rows, needed, *columns), horizontal, &mut row.values);
                    row.source = Some(needed);
                }
            }
            let [above, below] = tap.weights;
            let values = upper.values.iter().zip(&lower.values).map(|(upper, lower)| upper * above + lower * below);
            for (value, out) in values.zip(out.as_chunks_mut::<4>().0) {
                *out = value.to_ne_bytes();
            }
        }
    }
}

/// Resizes one source row, given by channel, to the width of the crop.
fn stretch(line: [&[u8]; 3], taps: &[FloatTap], values: &mut [f32]) {
    for (tap, values) in taps.iter().zip(values.as_chunks_mut::<3>().0) {
        for (value, channel) in values.iter_mut().zip(line) {
            let (Some(a), Some(b)) = (channel.get(tap.first), channel.get(tap.second)) else { return };
            *value = f32::from(*a) * tap.weights[0] + f32::from(*b) * tap.weights[1];
        }
    }
}

//! The reference implementation: one pixel at a time.

use super::rows::RgbRows;
use super::taps::{Tap, horizontal_taps, vertical_taps};
use crate::geometry::Geometry;

/// Resizes and crops frames of one size.
pub(super) struct ScalarResizer {
    pub(super) geometry: Geometry,
    method: Method,
    line: Vec<u8>,
}

enum Method {
    /// Source and target have the same size: rows are copied.
    Copy,
    /// The target is exactly half the source in both directions: each pixel is the mean of four.
    Halve { second: Vec<u8> },
    /// Any other ratio.
    Bilinear(Bilinear),
}

struct Bilinear {
    /// Range of source columns that are read.
    columns: (usize, usize),
    /// For each column of the crop; positions are relative to the start of `columns`.
    horizontal: Vec<Tap>,
    /// For each row of the crop.
    vertical: Vec<Tap>,
    /// The two most recent horizontal results.
    upper: Row,
    lower: Row,
}

struct Row {
    /// The source row that `sums` was computed from.
    source: Option<usize>,
    /// Horizontal sums scaled by 2048, then shifted right by four as the vertical step needs them.
    sums: Vec<i32>,
}

impl ScalarResizer {
    pub(super) fn new(geometry: Geometry) -> Self {
        let Geometry { source, resized, crop: (crop, _), .. } = geometry;
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
            let row = || Row { source: None, sums: vec![0; crop * 3] };
            let (vertical, columns) = (vertical_taps(geometry), (start, end));
            (Method::Bilinear(Bilinear { columns, horizontal, vertical, upper: row(), lower: row() }), end - start)
        };
        Self { geometry, method, line: vec![0; columns * 3] }
    }

    pub(super) fn run(&mut self, rows: &mut dyn RgbRows, out: &mut [u8]) {
        let Geometry { corner, crop: (crop, _), .. } = self.geometry;
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
        // The stored rows belong to the previous frame.
        self.upper.source = None;
        self.lower.source = None;
        for (tap, out) in self.vertical.iter().zip(out.chunks_exact_mut(crop * 3)) {
            if self.lower.source == Some(tap.first) {
                std::mem::swap(&mut self.upper, &mut self.lower);
            }
            for (row, needed) in [(&mut self.upper, tap.first), (&mut self.lower, tap.second)] {
                if row.source != Some(needed) {
                    rows.row(needed, self.columns.0, self.columns.1, line);
                    stretch(line, &self.horizontal, &mut row.sums);
                    row.source = Some(needed);
                }
            }
            let (upper, lower) = tap.weights;
            for ((a, b), out) in self.upper.sums.iter().zip(&self.lower.sums).zip(out) {
                *out = ((((upper * a) >> 16) + ((lower * b) >> 16) + 2) >> 2).clamp(0, 255) as u8;
            }
        }
    }
}

/// Resizes one source row to the width of the crop.
fn stretch(line: &[u8], taps: &[Tap], sums: &mut [i32]) {
    let pixels = line.as_chunks::<3>().0;
    for (tap, sum) in taps.iter().zip(sums.as_chunks_mut::<3>().0) {
        let (Some(a), Some(b)) = (pixels.get(tap.first), pixels.get(tap.second)) else { return };
        for c in 0..3 {
            sum[c] = (i32::from(a[c]) * tap.weights.0 + i32::from(b[c]) * tap.weights.1) >> 4;
        }
    }
}

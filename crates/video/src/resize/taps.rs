//! Which source columns and rows each column and row of the crop is computed from, and with which weights.

use crate::geometry::Geometry;

/// The two source columns or rows that one column or row of the crop is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tap {
    /// The left or upper one.
    pub first: usize,
    /// The right or lower one; equal to `first` at an edge.
    pub second: usize,
    /// Weights of the first and the second, in units of 1/2048.
    pub weights: (i32, i32),
}

/// Source position of destination pixel `d`: the pixel to its left, and the distance beyond that pixel.
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
    // OpenCV uses a single pixel at both edges.
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
    // Unlike columns, rows are clipped and their weights are kept.
    let clip = |row: i64| row.clamp(0, source as i64 - 1) as usize;
    Tap { first: clip(top), second: clip(top + 1), weights: weights(fraction) }
}

/// The taps of every column of the crop.
pub(crate) fn horizontal_taps(geometry: Geometry) -> Vec<Tap> {
    let Geometry { source, resized, corner, crop } = geometry;
    (corner.0..corner.0 + crop.0).map(|d| horizontal_tap(d, source.0, resized.0)).collect()
}

/// The taps of every row of the crop.
pub(crate) fn vertical_taps(geometry: Geometry) -> Vec<Tap> {
    let Geometry { source, resized, corner, crop } = geometry;
    (corner.1..corner.1 + crop.1).map(|d| vertical_tap(d, source.1, resized.1)).collect()
}

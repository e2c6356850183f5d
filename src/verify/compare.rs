//! Measures how far two matrices differ.

use std::borrow::Cow;
use std::fmt;

use reeldeck_common::feature::Matrix;

use crate::export::npy::transposed;
use crate::out::count;

/// Number of clips that a difference lists.
const WORST: usize = 3;

/// The difference of two matrices.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    /// The largest absolute difference; infinite if only one of two values is a number.
    pub max_abs: f64,
    /// The mean absolute difference.
    pub mean_abs: f64,
    /// The norm of the difference divided by the norm of the reference.
    pub relative_l2: f64,
    /// Whether all values are bit-identical.
    pub is_equal: bool,
    /// The clips that differ most, the worst first, each with its largest difference. Equal clips are left out.
    pub worst: Vec<(usize, f64)>,
}

/// The largest difference that is accepted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Tolerance {
    /// Bound on the largest absolute difference.
    MaxAbs(f64),
    /// Bound on the relative norm.
    RelativeL2(f64),
}

impl Tolerance {
    /// Whether a difference is within the bound.
    pub(crate) fn allows(self, difference: &Difference) -> bool {
        match self {
            Self::MaxAbs(bound) => difference.max_abs <= bound,
            Self::RelativeL2(bound) => difference.relative_l2 <= bound,
        }
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxAbs(bound) => write!(f, "{bound:.1e}"),
            Self::RelativeL2(bound) => write!(f, "a relative L2 of {bound:.1e}"),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_equal {
            return f.write_str("bit-identical");
        }
        write!(
            f,
            "max {:.2e}, mean {:.2e}, relative L2 {:.2e}; worst clips",
            self.max_abs, self.mean_abs, self.relative_l2
        )?;
        self.worst.iter().try_for_each(|(clip, max)| write!(f, " {clip} ({max:.1e})"))
    }
}

/// Compares two matrices of the same or of transposed shape.
///
/// # Errors
/// Incompatible shapes.
pub(crate) fn compare(ours: &Matrix, theirs: &Matrix) -> Result<Difference, String> {
    let [_, columns] = ours.shape;
    let other = match theirs.shape {
        shape if shape == ours.shape => Cow::Borrowed(theirs.data.as_slice()),
        [c, r] if [r, c] == ours.shape => Cow::Owned(transposed(theirs)),
        shape => return Err(other_shape(shape, ours.shape)),
    };
    if other.len() != ours.data.len() {
        return Err("it has fewer numbers than its shape says".into());
    }
    let columns = columns.max(1);
    let (mut sum, mut squares, mut norm) = (0.0, 0.0, 0.0);
    let mut is_equal = true;
    let mut clips: Vec<(usize, f64)> = vec![];
    for (clip, (own, other)) in ours.data.chunks_exact(columns).zip(other.chunks_exact(columns)).enumerate() {
        let mut max: f64 = 0.0;
        for (own, other) in own.iter().zip(other) {
            is_equal &= own.to_bits() == other.to_bits();
            let difference = apart(*own, *other);
            max = max.max(difference);
            sum += difference;
            squares += difference * difference;
            norm += f64::from(*other) * f64::from(*other);
        }
        clips.push((clip, max));
    }
    let count = ours.data.len().max(1) as f64;
    let max_abs = clips.iter().fold(0.0, |most: f64, (_, max)| most.max(*max));
    clips.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    clips.retain(|(_, max)| *max > 0.0);
    clips.truncate(WORST);
    // For a reference of zeros, any difference is infinite.
    let relative_l2 = if squares == 0.0 { 0.0 } else { (squares / norm).sqrt() };
    Ok(Difference { max_abs, mean_abs: sum / count, relative_l2, is_equal, worst: clips })
}

/// Why two shapes cannot be compared.
fn other_shape([r, c]: [usize; 2], [rows, columns]: [usize; 2]) -> String {
    let clips = |theirs: usize| {
        let averaged = if theirs == 1 { ", or the average of all clips" } else { "" };
        format!("theirs has {}, ours {rows}: a different sampling{averaged}", count(theirs, "row", "rows"))
    };
    match [r, c] {
        [theirs, same] if same == columns => clips(theirs),
        [same, theirs] if same == columns => clips(theirs),
        [same, theirs] if same == rows => {
            let numbers = count(theirs, "number", "numbers");
            format!("theirs has {numbers} per clip, ours {columns}: another network, or another layer of it")
        }
        _ => format!("its shape is {r} × {c}, and ours {rows} × {columns}"),
    }
}

/// Two equal values and two NaNs have no difference. NaN and a number differ infinitely.
fn apart(a: f32, b: f32) -> f64 {
    let difference = (f64::from(a) - f64::from(b)).abs();
    let is_same = a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
    match (is_same, difference.is_nan()) {
        (true, _) => 0.0,
        (false, true) => f64::INFINITY,
        (false, false) => difference,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matrix(shape: [usize; 2], data: &[f32]) -> Matrix {
        Matrix { shape, data: data.to_vec() }
    }

    #[test]
    fn differences_are_measured_per_clip() {
        let ours = matrix([3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let theirs = matrix([3, 2], &[1.0, 2.0, 3.5, 4.0, 5.0, 5.75]);
        let difference = compare(&ours, &theirs).unwrap();
        assert_eq!((difference.max_abs, difference.mean_abs), (0.5, 0.125));
        assert_eq!(difference.worst, [(1, 0.5), (2, 0.25)]);
        let norm: f64 = theirs.data.iter().map(|v| f64::from(v * v)).sum();
        assert!((difference.relative_l2 - (0.3125 / norm).sqrt()).abs() < 1e-12);
        assert!(!difference.is_equal && compare(&ours, &ours).unwrap().is_equal);
        assert!(Tolerance::MaxAbs(0.5).allows(&difference) && !Tolerance::MaxAbs(0.49).allows(&difference));
        assert!(!Tolerance::RelativeL2(1e-2).allows(&difference));
    }

    #[test]
    fn a_transposed_matrix_is_accepted_and_other_shapes_are_refused() {
        let ours = matrix([3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let turned = matrix([2, 3], &[1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
        assert!(compare(&ours, &turned).unwrap().is_equal);
        for (shape, says) in [
            ([1, 6], "its shape is 1 × 6, and ours 3 × 2"),
            ([4, 2], "theirs has 4 rows, ours 3: a different sampling"),
            ([2, 4], "theirs has 4 rows, ours 3: a different sampling"),
            ([1, 2], "theirs has 1 row, ours 3: a different sampling, or the average of all clips"),
            ([3, 5], "theirs has 5 numbers per clip, ours 2: another network, or another layer of it"),
        ] {
            let numbers = vec![0.0; shape[0] * shape[1]];
            assert_eq!(compare(&ours, &matrix(shape, &numbers)).unwrap_err(), says);
        }
        assert!(compare(&ours, &matrix([3, 2], &[0.0; 5])).is_err());
    }

    #[test]
    fn nan_equals_only_nan() {
        let ours = matrix([1, 4], &[f32::NAN, f32::INFINITY, 1.0, f32::NAN]);
        let same = matrix([1, 4], &[f32::NAN, f32::INFINITY, 1.0, -f32::NAN]);
        assert_eq!(compare(&ours, &same).unwrap().max_abs, 0.0);
        for other in [[f32::NAN, f32::INFINITY, f32::NAN, f32::NAN], [f32::NAN, f32::NEG_INFINITY, 1.0, f32::NAN]] {
            let difference = compare(&ours, &matrix([1, 4], &other)).unwrap();
            assert_eq!(difference.max_abs, f64::INFINITY);
            assert!(!Tolerance::MaxAbs(1e30).allows(&difference) && !Tolerance::RelativeL2(1e30).allows(&difference));
        }
    }

    proptest! {
        #[test]
        fn no_difference_is_overlooked(data in proptest::collection::vec(-20f32..20.0, 12), at in 0..12usize, by in 0.001f32..1.0) {
            let ours = matrix([3, 4], &data);
            let mut other = data;
            other[at] += by;
            let difference = compare(&ours, &matrix([3, 4], &other)).unwrap();
            let exact = (f64::from(ours.data[at]) - f64::from(other[at])).abs();
            prop_assert_eq!(difference.max_abs, exact);
            prop_assert_eq!(difference.worst, vec![(at / 4, exact)]);
        }
    }
}

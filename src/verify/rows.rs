//! Checks the values of one feature: NaN and infinities, constant clips, repeated clips.

use reeldeck_common::feature::Matrix;

use super::Kind;

/// Checks a matrix of clips × channels. `starts` is the first frame of each clip.
///
/// Clips of the same frames are computed once and must be equal. Clips of different frames usually differ, but not always: a
/// black beginning repeats the same picture. A few equal neighbours are therefore a note. They are an error if they are more
/// than half of all, as from a decoder that repeats one picture.
pub(super) fn judge(name: &str, matrix: &Matrix, starts: &[u64]) -> Vec<(Kind, String)> {
    let [_, columns] = matrix.shape;
    let rows: Vec<&[f32]> = matrix.data.chunks_exact(columns.max(1)).collect();
    let mut found = vec![];
    let odd = |row: &&[f32]| row.iter().filter(|value| !value.is_finite()).count();
    let count: usize = rows.iter().map(odd).sum();
    if count > 0 {
        let first = rows.iter().position(|row| odd(row) > 0).unwrap_or_default();
        found.push((Kind::NotFinite, format!("{count} of its {name} are NaN or infinite, the first in clip {first}")));
    }
    let is_constant = |row: &&[f32]| row.len() > 1 && row.windows(2).all(|pair| pair.first() == pair.last());
    let constant = rows.iter().filter(|row| is_constant(row)).count();
    if constant > 0 {
        let first = rows.iter().position(is_constant).unwrap_or_default();
        found.push((
            Kind::Constant,
            format!("all {name} of a clip are the same number in {constant} clips, the first of them {first}"),
        ));
    }
    let (mut neighbours, mut repeated, mut first) = (0, 0, 0);
    for (clip, (pair, starts)) in rows.windows(2).zip(starts.windows(2)).enumerate() {
        let ([a, b], [start, next]) = (pair, starts) else { continue };
        let is_same = a.iter().zip(b.iter()).all(|(a, b)| a.to_bits() == b.to_bits());
        match (start == next, is_same) {
            (true, true) => {}
            (true, false) => {
                let text =
                    format!("the {name} of clips {clip} and {} differ, and both are of the same frames", clip + 1);
                found.push((Kind::Repeated, text));
                return found;
            }
            (false, is_same) => {
                neighbours += 1;
                repeated += usize::from(is_same);
                first = if is_same && repeated == 1 { clip } else { first };
            }
        }
    }
    if repeated > 0 {
        let kind = if repeated * 2 > neighbours { Kind::Repeated } else { Kind::Note };
        let text = format!(
            "{} with the {name} of the clip before, although their frames differ; the first is clip {}",
            crate::out::count(repeated, "clip", "clips"),
            first + 1
        );
        found.push((kind, text));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(rows: &[[f32; 3]], starts: &[u64]) -> Vec<(Kind, String)> {
        judge("logits", &Matrix { shape: [rows.len(), 3], data: rows.concat() }, starts)
    }

    #[test]
    fn a_healthy_matrix_has_no_finding() {
        assert_eq!(judged(&[[1.0, 2.0, 3.0], [1.0, 2.0, 4.0], [0.0, 0.5, 1.0]], &[0, 1, 2]), []);
        // In a video shorter than a clip, all clips are the same.
        assert_eq!(judged(&[[1.0, 2.0, 3.0]; 4], &[0; 4]), []);
    }

    #[test]
    fn each_fault_is_reported_with_its_clip() {
        let found = judged(&[[1.0, 2.0, 3.0], [f32::NAN, 2.0, f32::INFINITY], [0.0, 0.5, 1.0]], &[0, 1, 2]);
        assert_eq!(found.len(), 1);
        assert!(found[0].0 == Kind::NotFinite && found[0].1.starts_with("2 of its logits"), "{found:?}");
        assert!(found[0].1.ends_with("clip 1"), "{found:?}");

        let found = judged(&[[1.0, 2.0, 3.0], [7.0, 7.0, 7.0], [0.0, 0.0, 0.0]], &[0, 1, 2]);
        assert!(found[0].0 == Kind::Constant && found[0].1.contains("in 2 clips, the first of them 1"), "{found:?}");

        let found = judged(&[[1.0, 2.0, 3.0], [1.0, 2.0, 3.5]], &[0, 0]);
        assert!(found[0].0 == Kind::Repeated && found[0].1.contains("clips 0 and 1 differ"), "{found:?}");
    }

    #[test]
    fn few_repeated_clips_are_a_note_and_many_are_an_error() {
        let (a, b, c, d) = ([1.0, 2.0, 3.0], [1.0, 2.0, 4.0], [1.0, 2.0, 5.0], [1.0, 2.0, 6.0]);
        let found = judged(&[a, a, b, c, d], &[0, 1, 2, 3, 4]);
        assert!(
            found[0].0 == Kind::Note && found[0].1.starts_with("1 clip with") && found[0].1.ends_with("clip 1"),
            "{found:?}"
        );
        let found = judged(&[a, b, b, b, b], &[0, 1, 2, 3, 4]);
        assert!(found[0].0 == Kind::Repeated && found[0].1.starts_with("3 clips with"), "{found:?}");
        // Clips of the same frames are not counted.
        let found = judged(&[a, a, a, b, b], &[0, 0, 0, 1, 2]);
        assert_eq!(found[0].0, Kind::Note, "one of two neighbours is not more than half");
    }
}

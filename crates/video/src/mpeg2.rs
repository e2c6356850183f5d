//! The pictures in a packet of MPEG-2: frames or single fields, and whether they are complete. A picture consists of slices, at least
//! one for each row of blocks.

use crate::mpeg4::units;

/// Rows have numbers of one byte in pictures up to this height.
const MAX_HEIGHT: i32 = 2800;

const PICTURE: u8 = 0x00;
const EXTENSION: u8 = 0xb5;

/// A picture that is a whole frame. Others are a field.
const FRAME: u8 = 3;

/// The structure of a picture, if this is the extension of one: after its number come four lengths of vectors, a precision, and the
/// structure.
fn structure(kind: u8, body: &[u8]) -> Option<u8> {
    match (kind, body) {
        (EXTENSION, [first, _, third, ..]) if first >> 4 == 8 => Some(third & 3),
        _ => None,
    }
}

/// For each picture in these bytes whether it is a field. Empty for MPEG-1.
pub(crate) fn fields(packet: &[u8]) -> impl Iterator<Item = bool> {
    units(packet).filter_map(|(kind, body)| structure(kind, body)).map(|structure| structure != FRAME)
}

/// Whether the last picture in these bytes lacks rows. False for MPEG-1, where a slice may span several rows.
pub(crate) fn is_incomplete(packet: &[u8], height: i32) -> bool {
    if !(1..=MAX_HEIGHT).contains(&height) {
        return false;
    }
    let (mut last, mut rows) = (0, None);
    for (kind, body) in units(packet) {
        match kind {
            PICTURE => (last, rows) = (0, None),
            1..=0xaf => last = last.max(i32::from(kind)),
            _ => {
                let structure = structure(kind, body);
                rows =
                    structure.map(|kind| if kind == FRAME { (height + 15) / 16 } else { (height + 31) / 32 }).or(rows);
            }
        }
    }
    rows.is_some_and(|rows| last < rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(rows: u8, structure: u8) -> Vec<u8> {
        let code = |kind: u8, body: &[u8]| [&[0, 0, 1, kind][..], body].concat();
        let head = [code(PICTURE, &[0; 4]), code(EXTENSION, &[0x8f, 0xff, 0xfc | structure, 0x98, 0])].concat();
        [head, (1..=rows).flat_map(|row| code(row, &[0x22, 9, 9, 9])).collect()].concat()
    }

    #[test]
    fn a_picture_without_its_last_rows_is_incomplete() {
        for (rows, height, incomplete) in
            [(8, 120, false), (7, 120, true), (8, 128, false), (8, 129, true), (9, 4000, false)]
        {
            assert_eq!(is_incomplete(&picture(rows, 3), height), incomplete, "{rows} {height}");
        }
        assert!(!is_incomplete(&picture(4, 1), 120) && is_incomplete(&picture(3, 2), 120), "a field has half the rows");
        assert!(!is_incomplete(&[picture(3, 3), picture(8, 3)].concat(), 120), "only the last picture counts");
        assert!(!is_incomplete(&[0, 0, 1, PICTURE, 0, 0, 1, 1], 120), "MPEG-1");
    }
}

//! Whether an MPEG-2 picture is complete: it consists of slices, at least one for each row of blocks.

/// Rows have numbers of one byte in pictures up to this height.
const MAX_HEIGHT: i32 = 2800;

const PICTURE: u8 = 0x00;
const EXTENSION: u8 = 0xb5;

/// Whether the last picture in these bytes lacks rows. False for MPEG-1, where a slice may span several rows.
pub(crate) fn is_incomplete(packet: &[u8], height: i32) -> bool {
    if !(1..=MAX_HEIGHT).contains(&height) {
        return false;
    }
    let (mut last, mut rows) = (0, None);
    let starts = packet.windows(3).enumerate().filter(|(_, code)| *code == [0, 0, 1]).map(|(at, _)| at + 3);
    for (kind, body) in starts.filter_map(|at| packet.get(at..)?.split_first()) {
        match (*kind, body) {
            (PICTURE, _) => (last, rows) = (0, None),
            // The extension of a picture: after its number, four lengths of vectors and a precision comes the structure, 3 for a
            // whole frame and less for a field.
            (EXTENSION, [first, _, third, ..]) if first >> 4 == 8 => {
                rows = Some(if third & 3 == 3 { (height + 15) / 16 } else { (height + 31) / 32 });
            }
            (row @ 1..=0xaf, _) => last = last.max(i32::from(row)),
            _ => {}
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

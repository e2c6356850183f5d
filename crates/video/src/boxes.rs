//! A walk over the top-level boxes of an MP4 file: is the index there, and does the file reach as far as it says?

use std::io::{self, Read, Seek, SeekFrom};

/// What the walk found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Boxes {
    /// The file begins like an MP4 or MOV file.
    pub is_mp4: bool,
    /// There is a `moov` box.
    pub has_index: bool,
    /// A box claims more bytes than the file has.
    pub cut: bool,
}

/// Reads eight or sixteen bytes a box, whatever the file's size.
///
/// # Errors
/// When reading fails; a short or foreign file is no error.
pub fn walk(file: &mut (impl Read + Seek)) -> io::Result<Boxes> {
    let size = file.seek(SeekFrom::End(0))?;
    let mut found = Boxes::default();
    let mut at = 0;
    while at + 8 <= size {
        file.seek(SeekFrom::Start(at))?;
        let mut head = [0; 8];
        file.read_exact(&mut head)?;
        let [a, b, c, d, kind @ ..] = head;
        if at == 0 {
            found.is_mp4 = matches!(&kind, b"ftyp" | b"moov" | b"mdat" | b"free" | b"skip" | b"wide" | b"styp");
            if !found.is_mp4 {
                return Ok(found);
            }
        }
        let length = match u64::from(u32::from_be_bytes([a, b, c, d])) {
            0 => size - at,
            1 if at + 16 <= size => {
                let mut long = [0; 8];
                file.read_exact(&mut long)?;
                u64::from_be_bytes(long)
            }
            short => short,
        };
        found.has_index |= kind == *b"moov";
        let Some(end) = at.checked_add(length).filter(|_| length >= 8) else { break };
        found.cut |= end > size;
        at = end;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn boxed(kind: &[u8; 4], body: usize) -> Vec<u8> {
        let mut out = ((body + 8) as u32).to_be_bytes().to_vec();
        out.extend(kind);
        out.resize(body + 8, 0);
        out
    }

    #[test]
    fn finds_the_index_and_the_cut() {
        let whole = [boxed(b"ftyp", 8), boxed(b"moov", 100), boxed(b"mdat", 1000)].concat();
        let walked = |bytes: &[u8]| walk(&mut Cursor::new(bytes)).unwrap();
        assert_eq!(walked(&whole), Boxes { is_mp4: true, has_index: true, cut: false });
        assert_eq!(walked(&whole[..500]), Boxes { is_mp4: true, has_index: true, cut: true });
        let late = [boxed(b"ftyp", 8), boxed(b"mdat", 1000), boxed(b"moov", 100)].concat();
        assert_eq!(walked(&late[..700]), Boxes { is_mp4: true, has_index: false, cut: true });
        assert_eq!(walked(b"not a video at all"), Boxes::default());
        assert_eq!(walked(b""), Boxes::default());
    }

    proptest! {
        #[test]
        fn ends_on_anything(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = walk(&mut Cursor::new(&bytes));
            if bytes.len() >= 8 {
                bytes[4..8].copy_from_slice(b"ftyp");
                let _ = walk(&mut Cursor::new(&bytes));
            }
        }
    }
}

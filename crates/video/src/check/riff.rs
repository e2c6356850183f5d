//! A look at the lists of an AVI file: does the file reach as far as the list of its pictures does?

use std::io::{self, Read, Seek, SeekFrom};

use super::Walked;

/// A chunk's identity, its length, and, for lists, their kind. No length: its writer did not know it.
struct Chunk {
    id: [u8; 4],
    length: Option<u64>,
    kind: [u8; 4],
}

/// Walks over the top-level chunks of each RIFF list (one, or several in a long file).
///
/// # Errors
/// When reading fails. A file that is no AVI file has nothing wrong with it.
pub fn walk(mut file: impl Read + Seek) -> io::Result<Walked> {
    let size = file.seek(SeekFrom::End(0))?;
    let mut at = 0;
    while let Some(list) =
        chunk(&mut file, at, size)?.filter(|c| &c.id == b"RIFF" && matches!(&c.kind, b"AVI " | b"AVIX"))
    {
        let mut inside = at + 12;
        // A list of a length that its writer never came to fill in promises nothing.
        while let Some(Chunk { id, length: Some(length), kind }) = chunk(&mut file, inside, size)? {
            let end = inside + 8 + length;
            if &id == b"LIST" && &kind == b"movi" && end > size {
                return Ok(Walked { missing: end - size, broken_at: None });
            }
            inside = end + (length & 1);
        }
        let Some(length) = list.length else { break };
        at += 8 + length + (length & 1);
    }
    Ok(Walked::default())
}

/// The chunk that begins here; `None` where none does.
fn chunk(file: &mut (impl Read + Seek), at: u64, size: u64) -> io::Result<Option<Chunk>> {
    if at.checked_add(12).is_none_or(|end| end > size) {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(at))?;
    let mut head = [0; 12];
    file.read_exact(&mut head)?;
    let [a, b, c, d, l, m, n, o, kind @ ..] = head;
    let (id, length) = ([a, b, c, d], u32::from_le_bytes([l, m, n, o]));
    // Zero and all ones stand there until the file is finished.
    let length = (length > 0 && length < u32::MAX - 8).then_some(u64::from(length));
    Ok(id.iter().all(|byte| (0x20..0x7f).contains(byte)).then_some(Chunk { id, length, kind }))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn listed(id: &[u8], kind: &[u8], body: &[u8]) -> Vec<u8> {
        [id, &(body.len() as u32 + 4).to_le_bytes(), kind, body].concat()
    }

    fn avi(pictures: usize) -> Vec<u8> {
        let index = [&b"idx1"[..], &32_u32.to_le_bytes(), &[0; 32]].concat();
        let body = [listed(b"LIST", b"hdrl", &[1; 61]), vec![0], listed(b"LIST", b"movi", &vec![2; pictures]), index];
        listed(b"RIFF", b"AVI ", &body.concat())
    }

    fn missing(bytes: &[u8]) -> u64 {
        walk(Cursor::new(bytes)).unwrap().missing
    }

    #[test]
    fn only_missing_pictures_count() {
        let file = avi(1000);
        let pictures = file.windows(4).position(|w| w == b"movi").unwrap() + 4;
        for end in [pictures + 4, pictures + 500, pictures + 999] {
            assert_eq!(missing(&file[..end]), (pictures + 1000 - end) as u64);
        }
        // Without the index all pictures are still there.
        for end in pictures + 1000..=file.len() {
            assert_eq!(missing(&file[..end]), 0);
        }
        assert_eq!(missing(&[file.clone(), vec![0; 99]].concat()), 0);
        let more = listed(b"RIFF", b"AVIX", &listed(b"LIST", b"movi", &[3; 400]));
        assert_eq!(missing(&[file.clone(), more.clone()].concat()), 0);
        assert_eq!(missing(&[file, more[..300].to_vec()].concat()), 124);
    }

    #[test]
    fn lengths_that_were_never_filled_in_promise_nothing() {
        let file = avi(1000);
        let pictures = file.windows(4).position(|w| w == b"movi").unwrap() + 4;
        for length in [0, u32::MAX] {
            for places in [vec![4], vec![pictures - 8], vec![4, pictures - 8]] {
                let mut open = file[..pictures + 500].to_vec();
                places.iter().for_each(|at| open[*at..at + 4].copy_from_slice(&length.to_le_bytes()));
                assert_eq!(missing(&open) > 0, places == [4], "{length} {places:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn ends_on_anything(at in 0..150_usize, noise in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut file = avi(100);
            let end = file.len().min(at + noise.len());
            file[at..end].copy_from_slice(&noise[..end - at]);
            let _ = walk(Cursor::new(&file));
            let _ = walk(Cursor::new(&noise));
        }
    }
}

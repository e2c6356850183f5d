//! A look at the lists of an AVI file: does the file reach as far as the list of its pictures does?

use std::io::{self, Read, Seek, SeekFrom};

use super::Walked;

/// Walks over the top-level chunks of each RIFF list (one, or several in a long file).
///
/// # Errors
/// When reading fails. A file that is no AVI file has nothing wrong with it.
pub fn walk(mut file: impl Read + Seek) -> io::Result<Walked> {
    let size = file.seek(SeekFrom::End(0))?;
    let mut at = 0;
    while let Some((b"RIFF", length, kind)) = chunk(&mut file, at, size)?.as_ref().map(|(id, n, kind)| (id, *n, kind)) {
        if !matches!(kind, b"AVI " | b"AVIX") {
            break;
        }
        let mut inside = at + 12;
        while let Some((id, length, kind)) = chunk(&mut file, inside, size)? {
            let Some(length) = length else { return Ok(Walked::default()) };
            let end = inside + 8 + length + (length & 1);
            if &id == b"LIST" && &kind == b"movi" && inside + 8 + length > size {
                // A list of a length that its writer never came to fill in promises nothing; this one does.
                return Ok(Walked { missing: inside + 8 + length - size, broken_at: None });
            }
            inside = end;
        }
        let Some(length) = length else { break };
        at += 8 + length + (length & 1);
    }
    Ok(Walked::default())
}

/// Identity, length and, for lists, kind of the chunk that begins here. No length: its writer did not know it.
fn chunk(file: &mut (impl Read + Seek), at: u64, size: u64) -> io::Result<Option<([u8; 4], Option<u64>, [u8; 4])>> {
    if at.checked_add(12).is_none_or(|end| end > size) {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(at))?;
    let mut head = [0; 12];
    file.read_exact(&mut head)?;
    let [a, b, c, d, l, m, n, o, kind @ ..] = head;
    let length = u32::from_le_bytes([l, m, n, o]);
    // Zero and all ones stand there until the file is finished.
    let known = (length > 0 && length < u32::MAX - 8).then_some(u64::from(length));
    Ok([a, b, c, d].iter().all(|byte| (0x20..0x7f).contains(byte)).then_some(([a, b, c, d], known, kind)))
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

//! NumPy's `.npz`: a zip archive of `.npy` files. Ours has one array, `feats`, as OpenTAD reads it.

use std::io::{self, Cursor, Read, Write};

use reeldeck_common::feature::Matrix;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use super::npy;
use crate::format::Axes;

/// The array's name.
pub const KEY: &str = "feats";
/// The largest array that is read. 10,000 clips of 4096 numbers have 160 MB.
const MAX_ARRAY_BYTES: u64 = 1 << 30;

/// Appends the file of a matrix, uncompressed. The bytes depend on the numbers alone.
///
/// # Errors
/// No error is known: the archive is made in memory.
pub fn write(matrix: &Matrix, axes: Axes, out: &mut Vec<u8>) -> io::Result<()> {
    let mut array = vec![];
    npy::write(matrix, axes, &mut array);
    let mut archive = ZipWriter::new(Cursor::new(vec![]));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::DEFAULT);
    archive.start_file(format!("{KEY}.npy"), options)?;
    archive.write_all(&array)?;
    out.append(&mut archive.finish()?.into_inner());
    Ok(())
}

/// Reads the array `feats`, or the only array of the archive.
///
/// # Errors
/// What is wrong.
pub fn read(bytes: &[u8]) -> Result<Matrix, String> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| format!("it is not a .npz file: {error}"))?;
    let name = format!("{KEY}.npy");
    let index = match (archive.index_for_name(&name), archive.len()) {
        (Some(index), _) => index,
        (None, 1) => 0,
        (None, count) => return Err(format!("it holds {count} arrays and none by the name {KEY}")),
    };
    let file = archive.by_index(index).map_err(|error| format!("its array cannot be read: {error}"))?;
    if file.compression() != CompressionMethod::Stored {
        return Err("its array is compressed; write it with numpy.savez instead of savez_compressed".into());
    }
    // The size in the archive may be wrong, so the read is bounded.
    let mut array = vec![];
    file.take(MAX_ARRAY_BYTES).read_to_end(&mut array).map_err(|error| format!("its array is damaged: {error}"))?;
    npy::read(&array)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_file_is_read_and_reproducible() {
        let matrix = Matrix { shape: [2, 3], data: vec![1.0, 2.0, 3.0, 4.0, 5.0, -0.5] };
        let mut first = vec![];
        write(&matrix, Axes::Tc, &mut first).unwrap();
        assert_eq!(read(&first).unwrap(), matrix);
        let mut second = vec![];
        write(&matrix, Axes::Tc, &mut second).unwrap();
        assert_eq!(first, second);
    }

    #[test]
    fn damage_is_reported() {
        let matrix = Matrix { shape: [2, 3], data: vec![1.0; 6] };
        let mut bytes = vec![];
        write(&matrix, Axes::Tc, &mut bytes).unwrap();
        assert!(read(&bytes[..bytes.len() - 30]).unwrap_err().contains("not a .npz file"));
        // Inside the numbers, so that only the checksum of the archive can detect it.
        let at = bytes.windows(4).position(|w| w == 1f32.to_le_bytes()).unwrap();
        bytes[at] ^= 1;
        assert!(read(&bytes).unwrap_err().contains("damaged"), "{:?}", read(&bytes));
        assert!(read(b"\x93NUMPY").is_err());
        // The method of compression, in both headers.
        let mut bytes = vec![];
        write(&matrix, Axes::Tc, &mut bytes).unwrap();
        let central = bytes.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
        (bytes[8], bytes[central + 10]) = (8, 8);
        assert!(read(&bytes).unwrap_err().contains("instead of savez_compressed"), "{:?}", read(&bytes));
    }
}

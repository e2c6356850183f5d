//! Writes a feature file row by row. Few rows stay in memory: the others lie in a file without a name beside the feature file,
//! because its header begins with the checksum and the provenance, which are known last.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use xxhash_rust::xxh3::Xxh3;

use super::{KEY, Provenance, Sealed};
use crate::atomic::{self, Owner};
use crate::layout::create_outer_folders;
use crate::recipe::Output;
use crate::video::VideoName;

/// Bytes of a matrix that stay in memory. The features of most videos fit.
const MAX_IN_MEMORY: usize = 4 << 20;

/// A feature file that is being computed.
pub struct FeatureWriter {
    path: PathBuf,
    video: VideoName,
    owner: Owner,
    matrices: BTreeMap<&'static str, Rows>,
}

/// The rows of a matrix so far, as bytes.
struct Rows {
    columns: usize,
    bytes: u64,
    /// The rows that are not in memory any more.
    spilled: Option<File>,
    recent: Vec<u8>,
}

impl FeatureWriter {
    /// Begins the file of a video. Nothing is on disk yet.
    pub fn new(path: &Path, video: &VideoName, owner: &Owner) -> Self {
        Self { path: path.to_owned(), video: video.clone(), owner: owner.clone(), matrices: BTreeMap::new() }
    }

    /// Removes all rows.
    pub fn clear(&mut self) {
        self.matrices.clear();
    }

    /// Appends rows of `columns` numbers to the matrix of an output.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn push(&mut self, output: Output, columns: usize, numbers: &[f32]) -> io::Result<()> {
        let empty = || Rows { columns, bytes: 0, spilled: None, recent: vec![] };
        let rows = self.matrices.entry(output.name()).or_insert_with(empty);
        rows.recent.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        rows.bytes += numbers.len() as u64 * 4;
        if rows.recent.len() < MAX_IN_MEMORY {
            return Ok(());
        }
        let file = match &mut rows.spilled {
            Some(file) => file,
            None => {
                create_outer_folders(&self.path, &self.video)?;
                rows.spilled.insert(atomic::unnamed(&self.path, &self.owner)?)
            }
        };
        file.write_all(&rows.recent)?;
        rows.recent.clear();
        Ok(())
    }

    /// Writes the file atomically, with the same bytes as [`super::Feature::write`].
    ///
    /// # Errors
    /// When the file system fails, or the provenance has no JSON form.
    pub fn finish(mut self, provenance: &Provenance) -> io::Result<()> {
        let mut hash = Xxh3::new();
        hash.update(&serde_json::to_vec(provenance)?);
        let mut shapes = BTreeMap::new();
        for (name, rows) in &mut self.matrices {
            let shape = rows.shape()?;
            shapes.insert((*name).to_owned(), shape);
            update_with_shape(&mut hash, name, shape);
            rows.read(&mut |bytes| {
                hash.update(bytes);
                Ok(())
            })?;
        }
        let head = head(provenance, &shapes, format!("{:032x}", hash.digest128()))?;
        create_outer_folders(&self.path, &self.video)?;
        atomic::write(&self.path, &self.owner, |writer| {
            writer.write_all(&head)?;
            self.matrices.values_mut().try_for_each(|rows| rows.read(&mut |bytes| writer.write_all(bytes)))
        })
    }
}

#[cfg(test)]
impl FeatureWriter {
    /// Bytes in memory of each matrix.
    pub(super) fn matrices_in_memory(&self) -> Vec<usize> {
        self.matrices.values().map(|rows| rows.recent.len()).collect()
    }
}

impl Rows {
    fn shape(&self) -> io::Result<[usize; 2]> {
        let rows = usize::try_from(self.bytes / 4).unwrap_or(usize::MAX) / self.columns.max(1);
        let is_whole = (rows as u64 * self.columns as u64 * 4) == self.bytes;
        is_whole.then_some([rows, self.columns]).ok_or_else(|| io::Error::other("the last row is not complete"))
    }

    /// Hands over all bytes in order, piece by piece.
    fn read(&mut self, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if let Some(file) = &mut self.spilled {
            file.seek(SeekFrom::Start(0))?;
            let mut buffer = vec![0; 1 << 20];
            let mut left = self.bytes - self.recent.len() as u64;
            while left > 0 {
                let piece = &mut buffer[..usize::try_from(left).map_or(1 << 20, |left| left.min(1 << 20))];
                file.read_exact(piece)?;
                left -= piece.len() as u64;
                take(piece)?;
            }
        }
        take(&self.recent)
    }
}

/// Adds what precedes the numbers of a matrix to a checksum.
pub(super) fn update_with_shape(hash: &mut Xxh3, name: &str, shape: [usize; 2]) {
    hash.update(name.as_bytes());
    for side in shape {
        hash.update(&(side as u64).to_le_bytes());
    }
}

/// What precedes the numbers in a feature file: the length of the header, then the header.
pub(super) fn head(
    provenance: &Provenance,
    shapes: &BTreeMap<String, [usize; 2]>,
    xxh3: String,
) -> io::Result<Vec<u8>> {
    let sealed = serde_json::to_string(&Sealed { provenance: provenance.clone(), xxh3 })?;
    let mut end = 0;
    let tensors = shapes.iter().map(|(name, shape)| {
        let start = end;
        end += shape.iter().product::<usize>() * 4;
        (name.clone(), TensorInfo { dtype: Dtype::F32, shape: shape.to_vec(), data_offsets: (start, end) })
    });
    // A single key: the crate writes several keys in random order.
    let metadata = [(KEY.to_owned(), sealed)].into_iter().collect();
    let metadata = Metadata::new(Some(metadata), tensors.collect()).map_err(io::Error::other)?;
    let mut header = serde_json::to_vec(&metadata)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok([&(header.len() as u64).to_le_bytes()[..], &header].concat())
}

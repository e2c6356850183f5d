//! The feature file: a video's tensors in the safetensors format, with their provenance as canonical JSON in the metadata.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::atomic::{self, Owner};
use crate::error::is_absent;
use crate::layout::create_outer_folders;
use crate::open;
use crate::recipe::{Output, Recipe};

mod provenance;
mod stream;

pub use provenance::{CheckpointId, ExpectedFrom, FrameCounts, Provenance};
pub use stream::FeatureWriter;

/// The key of the provenance in the metadata.
const KEY: &str = "reeldeck";
const FORMAT: u32 = 1;
/// The longest header in bytes. A feature's header has a few kilobytes.
const MAX_HEADER: u64 = 1 << 20;

/// A matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// Rows and columns: clips × classes, or clips × channels.
    pub shape: [usize; 2],
    /// The values in row-major order.
    pub data: Vec<f32>,
}

/// The feature of a video.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    /// Its provenance.
    pub provenance: Provenance,
    /// The matrices by output name.
    pub tensors: BTreeMap<String, Matrix>,
}

/// The header of a feature file, without the numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// The feature's provenance.
    pub provenance: Provenance,
    /// The shapes by output name.
    pub shapes: BTreeMap<String, Vec<usize>>,
    /// The checksum in the file, over provenance and numbers, in hex. It identifies the feature.
    pub digest: String,
}

/// Why a feature file is unusable.
#[derive(Debug, thiserror::Error)]
pub enum FeatureError {
    /// It cannot be read.
    #[error("failed to read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It is not a complete feature file of the current format.
    #[error("{path} is damaged: {reason}; the next run extracts this video again")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The problem.
        reason: String,
    },
}

/// The metadata of a feature file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    provenance: Provenance,
    xxh3: String,
}

fn checksum(provenance: &Provenance, tensors: &BTreeMap<String, Matrix>) -> io::Result<String> {
    let mut hash = Xxh3::new();
    hash.update(&serde_json::to_vec(provenance)?);
    for (name, matrix) in tensors {
        stream::update_with_shape(&mut hash, name, matrix.shape);
        hash.update(&little_endian(&matrix.data));
    }
    Ok(format!("{:032x}", hash.digest128()))
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

impl FeatureError {
    /// Whether the file does not exist. After any other error it may.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Read { source, .. } if is_absent(source))
    }

    /// Whether the file was read and is damaged.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Invalid { .. })
    }
}

impl Feature {
    /// The file's content. Equal features have equal bytes.
    ///
    /// # Errors
    /// When the number of a matrix's values does not match its shape.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        if self.tensors.values().any(|matrix| matrix.shape[0].checked_mul(matrix.shape[1]) != Some(matrix.data.len())) {
            return Err(io::Error::other("a matrix does not have as many values as its shape says"));
        }
        let shapes = self.tensors.iter().map(|(name, matrix)| (name.clone(), matrix.shape)).collect();
        let mut bytes = stream::head(&self.provenance, &shapes, checksum(&self.provenance, &self.tensors)?)?;
        self.tensors.values().for_each(|matrix| bytes.extend(little_endian(&matrix.data)));
        Ok(bytes)
    }

    /// The header of its file.
    ///
    /// # Errors
    /// When the provenance has no JSON form.
    pub fn header(&self) -> io::Result<Header> {
        let shapes = self.tensors.iter().map(|(name, matrix)| (name.clone(), matrix.shape.to_vec())).collect();
        let digest = checksum(&self.provenance, &self.tensors)?;
        Ok(Header { provenance: self.provenance.clone(), shapes, digest })
    }

    /// Writes the file atomically.
    ///
    /// # Errors
    /// As [`to_bytes`](Self::to_bytes) and [`atomic::write`].
    pub fn write(&self, path: &Path, owner: &Owner) -> io::Result<()> {
        let bytes = self.to_bytes()?;
        create_outer_folders(path, &self.provenance.video)?;
        atomic::write(path, owner, |writer| writer.write_all(&bytes))
    }

    /// Reads the whole file and verifies its checksum.
    ///
    /// # Errors
    /// When the file is unreadable, truncated, altered, or not a feature file.
    pub fn read(path: &Path) -> Result<Self, FeatureError> {
        let bytes = read_whole(path).map_err(|source| FeatureError::Read { path: path.to_owned(), source })?;
        Self::from_bytes(&bytes).map_err(|reason| FeatureError::Invalid { path: path.to_owned(), reason })
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
        let text = metadata.metadata().as_ref().and_then(|m| m.get(KEY)).ok_or("it was not written by reeldeck")?;
        let seal: Sealed = unseal(text)?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            let &[rows, columns] = view.shape() else { return Err(format!("{name} is not a matrix")) };
            if view.dtype() != Dtype::F32 {
                return Err(format!("{name} is not float32"));
            }
            let data = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            tensors.insert(name.to_owned(), Matrix { shape: [rows, columns], data });
        }
        if checksum(&seal.provenance, &tensors).map_err(|e| e.to_string())? != seal.xxh3 {
            return Err("its content does not match its checksum".into());
        }
        Ok(Self { provenance: seal.provenance, tensors })
    }
}

/// Reads a file as far as its size says. A read that ends earlier is an error, so that it is not taken for a damaged file.
fn read_whole(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = open::regular(path)?;
    let size = file.metadata()?.len();
    let mut bytes = vec![];
    // A size that does not fit is an error instead of an abort.
    bytes.try_reserve_exact(usize::try_from(size).unwrap_or(usize::MAX)).map_err(|_| io::ErrorKind::OutOfMemory)?;
    file.read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < size {
        let text = format!("only {} of {size} bytes could be read", bytes.len());
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
    }
    Ok(bytes)
}

fn unseal(text: &str) -> Result<Sealed, String> {
    let version: serde_json::Value =
        serde_json::from_str(text).map_err(|e| format!("its provenance is broken: {e}"))?;
    match version["provenance"]["format"].as_u64() {
        Some(format) if format == u64::from(FORMAT) => {}
        Some(format) => return Err(format!("it has format {format}, and this version reads format {FORMAT}")),
        None => return Err("its provenance names no format".into()),
    }
    serde_json::from_value(version).map_err(|e| format!("its provenance is broken: {e}"))
}

#[derive(Deserialize)]
struct RawHeader {
    #[serde(rename = "__metadata__")]
    metadata: BTreeMap<String, String>,
    #[serde(flatten)]
    tensors: BTreeMap<String, RawTensor>,
}

#[derive(Deserialize)]
struct RawTensor {
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

impl Header {
    /// Reads only the header and checks the file's size against it. This is fast enough for all files at the start of a run.
    ///
    /// # Errors
    /// When the file is unreadable, truncated, or not a feature file.
    pub fn read(path: &Path) -> Result<Self, FeatureError> {
        let read_error = |source| FeatureError::Read { path: path.to_owned(), source };
        let invalid = |reason: String| FeatureError::Invalid { path: path.to_owned(), reason };
        let mut file = open::regular(path).map_err(read_error)?;
        let size = file.metadata().map_err(read_error)?.len();
        let mut length = [0; 8];
        if size < 8 {
            return Err(invalid(format!("it has only {size} bytes")));
        }
        file.read_exact(&mut length).map_err(read_error)?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER || length + 8 > size {
            return Err(invalid("its header is cut or not a header".into()));
        }
        let mut text = vec![0; length as usize];
        file.read_exact(&mut text).map_err(read_error)?;
        let raw: RawHeader =
            serde_json::from_slice(&text).map_err(|e| invalid(format!("its header is broken: {e}")))?;
        let end = raw.tensors.values().map(|t| t.data_offsets[1]).max().unwrap_or(0);
        if end.checked_add(8 + length) != Some(size) {
            return Err(invalid(format!(
                "it has {size} bytes where its header says {}",
                end.saturating_add(8 + length)
            )));
        }
        let text = raw.metadata.get(KEY).ok_or_else(|| invalid("it was not written by reeldeck".into()))?;
        let seal = unseal(text).map_err(invalid)?;
        let shapes = raw.tensors.into_iter().map(|(name, tensor)| (name, tensor.shape)).collect();
        Ok(Self { provenance: seal.provenance, shapes, digest: seal.xxh3 })
    }

    /// Whether the file contains every output of the recipe in the right shape, and not more damage than the recipe accepts. Another
    /// recipe of the same set may have accepted more.
    pub fn satisfies(&self, recipe: &Recipe) -> bool {
        recipe.outputs.iter().all(|output| self.has_output(recipe, *output)) && !self.is_too_damaged(recipe)
    }

    /// Whether more frames of the video are lost or concealed than the recipe accepts.
    pub(crate) fn is_too_damaged(&self, recipe: &Recipe) -> bool {
        !self.provenance.frames.are_accepted(recipe.damage)
    }

    /// Whether the file contains this output in the recipe's shape.
    pub fn has_output(&self, recipe: &Recipe, output: Output) -> bool {
        let expected = [recipe.sampling.rows(self.provenance.sampled_frames()), recipe.columns(output)];
        self.shapes.get(output.name()).is_some_and(|shape| *shape == expected)
    }
}

#[cfg(test)]
mod tests;

//! PyTorch checkpoints: reads the tensors of a `.pth` file without running it.

pub(crate) mod archive;
mod identify;
mod until_error;
mod write;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

pub use archive::ArchiveError;
pub use identify::NotACheckpoint;
pub use write::{TensorData, TensorEntry, write_checkpoint};

use crate::map::MappedFile;
use crate::read::{Limits, PickleError};
use crate::tensor::{TensorError, TensorRef};
pub use crate::torch::NotATensor;
pub use crate::torch::legacy::LegacyError;
use crate::torch::{StorageId, Storages, TensorParts, legacy};
use crate::value::{NodeId, Pickle};
use identify::{Format, identify};

/// The longest name of a tensor. Names are copied, and a pickle can repeat a long name for two bytes each time.
const MAX_NAME_BYTES: usize = 4096;

/// Why a checkpoint is unreadable.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file cannot be opened.
    #[error("failed to open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is not a checkpoint.
    #[error(transparent)]
    NotACheckpoint(#[from] NotACheckpoint),
    /// The zip archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The file in the format of PyTorch before 1.6 cannot be read.
    #[error(transparent)]
    Legacy(#[from] LegacyError),
    /// The pickle in the file cannot be read.
    #[error(transparent)]
    Pickle(#[from] PickleError),
    /// The file contains another object than a state dict, perhaps a whole model.
    #[error(
        "failed to find a state dict: the file contains another object, maybe a whole model; save `model.state_dict()`"
    )]
    NoStateDict,
    /// The state dict has no tensors.
    #[error(
        "failed to find tensors in the state dict; save it alone or under the key `state_dict` (the file has the keys {top_level_keys:?})"
    )]
    NoTensors {
        /// The keys of the outermost dict; at most 20.
        top_level_keys: Vec<String>,
    },
    /// The name of a tensor is too long.
    #[error("failed to read the state dict: a tensor's name has {0} bytes")]
    LongName(usize),
    /// A tensor does not fit its storage.
    #[error("failed to read tensor {name:?}: {problem}")]
    Tensor {
        /// The tensor's name.
        name: String,
        /// The problem.
        problem: TensorError,
    },
    /// The storage of a tensor is missing or too short.
    #[error(
        "failed to read tensor {name:?}: its data is not all there; the file is damaged, remove it and download it again"
    )]
    MissingData {
        /// The tensor's name.
        name: String,
    },
    /// A tensor has no valid shape, strides or storage.
    #[error("failed to read tensor {name:?}: {problem}")]
    Damaged {
        /// The tensor's name.
        name: String,
        /// The problem.
        problem: NotATensor,
    },
}

/// An open file that begins like a checkpoint.
#[derive(Debug)]
pub struct CheckpointFile {
    bytes: Bytes,
    format: Format,
}

#[derive(Debug)]
enum Bytes {
    Mapped(MappedFile),
    Owned(Vec<u8>),
}

impl CheckpointFile {
    /// Maps a file into memory. No program may change the file in place while this value exists.
    ///
    /// # Errors
    /// [`CheckpointError::Open`], and [`CheckpointError::NotACheckpoint`] for another kind of file.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let mapped =
            MappedFile::open(path).map_err(|source| CheckpointError::Open { path: path.to_owned(), source })?;
        let format = identify(&mapped)?;
        Ok(Self { bytes: Bytes::Mapped(mapped), format })
    }

    /// Takes the content of a file.
    ///
    /// # Errors
    /// [`CheckpointError::NotACheckpoint`] for another kind of file.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, CheckpointError> {
        let format = identify(&bytes)?;
        Ok(Self { bytes: Bytes::Owned(bytes), format })
    }

    /// The file's content.
    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(mapped) => mapped,
            Bytes::Owned(owned) => owned,
        }
    }

    /// Whether the format has checksums, which [`read`](Self::read) checks.
    pub fn has_checksums(&self) -> bool {
        self.format == Format::Zip
    }

    /// Reads the file without decoding the elements of tensors. Checks all checksums of the format.
    ///
    /// # Errors
    /// [`CheckpointError`] when the file is damaged or of an unsupported kind.
    pub fn read(&self) -> Result<Checkpoint<'_>, CheckpointError> {
        let limits = Limits::default();
        let (pickle, storages) = match self.format {
            Format::Zip => archive::read_file(self.bytes(), &limits)?,
            Format::Legacy => legacy::read_file(self.bytes(), &limits)?,
        };
        Ok(Checkpoint { pickle, storages })
    }

    /// The tensors of the state dict in the order of the file: [`read`](Self::read) and [`Checkpoint::state_dict`] combined.
    ///
    /// # Errors
    /// As these two.
    pub fn state_dict(&self) -> Result<Vec<(String, TensorRef<'_>)>, CheckpointError> {
        self.read()?.state_dict().map(|state_dict| state_dict.tensors)
    }
}

/// The content of a checkpoint file.
#[derive(Debug)]
pub struct Checkpoint<'a> {
    pickle: Pickle<'a>,
    storages: Storages<'a>,
}

/// A state dict.
#[derive(Clone, Debug, PartialEq)]
pub struct StateDict<'a> {
    /// Names and tensors in the order of the file. The names are unique.
    pub tensors: Vec<(String, TensorRef<'a>)>,
    /// The names of the other values, and why they are not tensors.
    pub skipped: Vec<(String, NotATensor)>,
}

impl<'a> Checkpoint<'a> {
    /// All values in the file.
    pub fn pickle(&self) -> &Pickle<'a> {
        &self.pickle
    }

    /// The text keys of the outermost dict, in order. Empty if the outermost value is not a dict.
    pub fn top_level_keys(&self) -> Vec<&str> {
        let entries = self.pickle.entries(self.pickle.root()).unwrap_or_default();
        entries.iter().filter_map(|&(key, _)| self.pickle.as_str(key)).collect()
    }

    /// The tensors in the dict `state_dict`, `model` or `module`, or in the outermost dict if it has no such key.
    ///
    /// # Errors
    /// [`CheckpointError`] when there is no such dict, it has no tensors, or a tensor is invalid.
    pub fn state_dict(&self) -> Result<StateDict<'a>, CheckpointError> {
        let root = self.pickle.root();
        // OpenMMLab, then VideoMAE; a wrapped model of DeepSpeed is called `module`.
        let field = |key: &&str| self.pickle.field(root, key).filter(|&node| self.pickle.entries(node).is_some());
        let state_dict = ["state_dict", "model", "module"].iter().find_map(field).unwrap_or(root);
        let entries = self.pickle.entries(state_dict).ok_or(CheckpointError::NoStateDict)?;

        // As in a Python dict, a name that is set again keeps its position and gets the new value.
        let mut named: Vec<(&str, NodeId)> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for &(key, value) in entries.iter() {
            let Some(name) = self.pickle.as_str(key) else { continue };
            if name.len() > MAX_NAME_BYTES {
                return Err(CheckpointError::LongName(name.len()));
            }
            let place = *places.entry(name).or_insert(named.len());
            match named.get_mut(place) {
                Some(entry) => entry.1 = value,
                None => named.push((name, value)),
            }
        }

        let mut state_dict = StateDict { tensors: Vec::new(), skipped: Vec::new() };
        for (name, value) in named {
            match self.tensor(name, value) {
                Ok(Ok(tensor)) => state_dict.tensors.push((name.to_owned(), tensor)),
                Ok(Err(why)) => state_dict.skipped.push((name.to_owned(), why)),
                Err(error) => return Err(error),
            }
        }
        if state_dict.tensors.is_empty() {
            let top_level_keys = self.top_level_keys().into_iter().take(20);
            let top_level_keys = top_level_keys.map(|key| key.chars().take(100).collect()).collect();
            return Err(CheckpointError::NoTensors { top_level_keys });
        }
        Ok(state_dict)
    }

    /// The tensor of a node, or why the node is skipped.
    fn tensor(&self, name: &str, value: NodeId) -> Result<Result<TensorRef<'a>, NotATensor>, CheckpointError> {
        let damaged = || CheckpointError::Damaged { name: name.to_owned(), problem: NotATensor::Damaged };
        let parts = match TensorParts::of(&self.pickle, value) {
            Ok(parts) => parts,
            Err(NotATensor::Damaged) => return Err(damaged()),
            Err(why) => return Ok(Err(why)),
        };
        let id = StorageId::of(&self.pickle, parts.storage).ok_or_else(damaged)?;
        let Some(dtype) = id.dtype else { return Ok(Err(NotATensor::Unsupported)) };
        let stored = self.storages.get(id.key).and_then(|stored| id.slice(dtype, stored));
        let stored = stored.ok_or_else(|| CheckpointError::MissingData { name: name.to_owned() })?;
        match parts.over(dtype, stored) {
            Ok(tensor) => Ok(Ok(tensor)),
            Err(problem) => Err(CheckpointError::Tensor { name: name.to_owned(), problem }),
        }
    }
}

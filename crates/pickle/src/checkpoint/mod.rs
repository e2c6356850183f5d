//! PyTorch checkpoints: the tensors and plain values of a `.pth` file, without running it.

mod archive;
mod identify;
mod write;

use std::borrow::Cow;
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
use crate::value::{Node, NodeId, Pickle};
use identify::{Format, identify};

/// Longer than any name of a parameter. Names are copied, and a pickle can repeat a long one for two bytes a time.
const MAX_NAME_BYTES: usize = 4096;

/// Why a checkpoint could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file cannot be opened.
    #[error("failed to open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The file is something else.
    #[error(transparent)]
    NotACheckpoint(#[from] NotACheckpoint),
    /// The zip archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A file in the format from before zip cannot be read.
    #[error(transparent)]
    Legacy(#[from] LegacyError),
    /// The pickle inside cannot be read.
    #[error(transparent)]
    Pickle(#[from] PickleError),
    /// A whole model was saved, or something that is no model.
    #[error(
        "failed to find a state dict: the file holds some other object, perhaps a whole model; save `model.state_dict()`"
    )]
    NoStateDict,
    /// The state dict, or what was taken for one, has no tensors.
    #[error(
        "failed to find tensors in the state dict; save it alone or under the key `state_dict` (the file has the keys {top_level_keys:?})"
    )]
    NoTensors {
        /// The keys of the outermost dict; at most 20.
        top_level_keys: Vec<String>,
    },
    /// A name of absurd length.
    #[error("failed to read the state dict: a tensor's name has {0} bytes")]
    LongName(usize),
    /// A tensor that does not fit what is stored for it.
    #[error("failed to read tensor {name:?}: {problem}")]
    Tensor {
        /// The tensor's name.
        name: String,
        /// What is wrong with it.
        problem: TensorError,
    },
    /// A tensor whose storage is not in the file, or shorter than the file says elsewhere.
    #[error("failed to read tensor {name:?}: its data is not all there; the file is damaged, download it again")]
    MissingData {
        /// The tensor's name.
        name: String,
    },
    /// A tensor that lacks its shape, its strides or its storage.
    #[error("failed to read tensor {name:?}: {problem}")]
    Damaged {
        /// The tensor's name.
        name: String,
        /// What is wrong with it.
        problem: NotATensor,
    },
}

/// An open checkpoint file, known to begin as one. [`read`](Self::read) does the rest.
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
    /// Opens a file by mapping it into memory. No program may change it in place while this value lives.
    ///
    /// # Errors
    /// [`CheckpointError::Open`], and [`CheckpointError::NotACheckpoint`] for a file that is something else.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let mapped =
            MappedFile::open(path).map_err(|source| CheckpointError::Open { path: path.to_owned(), source })?;
        let format = identify(&mapped)?;
        Ok(Self { bytes: Bytes::Mapped(mapped), format })
    }

    /// The same for a file that is in memory.
    ///
    /// # Errors
    /// [`CheckpointError::NotACheckpoint`] for a file that is something else.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, CheckpointError> {
        let format = identify(&bytes)?;
        Ok(Self { bytes: Bytes::Owned(bytes), format })
    }

    /// The file as it is, for hashing.
    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(mapped) => mapped,
            Bytes::Owned(owned) => owned,
        }
    }

    /// Reads everything but the tensors' elements.
    ///
    /// # Errors
    /// [`CheckpointError`] where the file is damaged or of a kind that is not read.
    pub fn read(&self) -> Result<Checkpoint<'_>, CheckpointError> {
        let limits = Limits::default();
        let (pickle, storages) = match self.format {
            Format::Zip => archive::read_file(self.bytes(), &limits)?,
            Format::Legacy => legacy::read_file(self.bytes(), &limits)?,
        };
        Ok(Checkpoint { pickle, storages })
    }

    /// The tensors of the state dict, in the file's order: [`read`](Self::read) and [`Checkpoint::state_dict`] in one.
    ///
    /// # Errors
    /// [`CheckpointError`], as those two.
    pub fn state_dict(&self) -> Result<Vec<(String, TensorRef<'_>)>, CheckpointError> {
        self.read()?.state_dict().map(|state_dict| state_dict.tensors)
    }
}

/// What a checkpoint file holds.
#[derive(Debug)]
pub struct Checkpoint<'a> {
    pickle: Pickle<'a>,
    storages: Storages<'a>,
}

/// A state dict.
#[derive(Clone, Debug, PartialEq)]
pub struct StateDict<'a> {
    /// Names and tensors in the file's order; no name twice.
    pub tensors: Vec<(String, TensorRef<'a>)>,
    /// The names of what is no tensor, and why.
    pub skipped: Vec<(String, NotATensor)>,
}

impl<'a> Checkpoint<'a> {
    /// Everything in the file as plain data.
    pub fn pickle(&self) -> &Pickle<'a> {
        &self.pickle
    }

    /// The text keys of the outermost dict, in order; none where it is no dict.
    pub fn top_level_keys(&self) -> Vec<&str> {
        let entries = self.pickle.entries(self.pickle.root()).unwrap_or_default();
        entries.iter().filter_map(|&(key, _)| self.pickle.as_str(key)).collect()
    }

    /// The text, numbers and bools directly in the dict under `meta`, in order, as text. Everything else is left out.
    pub fn meta_strings(&self) -> Vec<(&str, Cow<'_, str>)> {
        let meta = self.pickle.field(self.pickle.root(), "meta");
        let entries = meta.and_then(|meta| self.pickle.entries(meta)).unwrap_or_default();
        let text = |value: NodeId| match self.pickle.get(value) {
            Node::Str(text) => Some(Cow::Borrowed(text.as_ref())),
            Node::Int(number) => Some(Cow::Owned(number.to_string())),
            Node::Float(number) => Some(Cow::Owned(number.to_string())),
            Node::Bool(value) => Some(Cow::Owned(value.to_string())),
            _ => None,
        };
        entries.iter().filter_map(|&(key, value)| Some((self.pickle.as_str(key)?, text(value)?))).collect()
    }

    /// The tensors under `state_dict` or, where there is no such key, those in the outermost dict.
    ///
    /// # Errors
    /// [`CheckpointError`] where that is no dict or has no tensors, or where a tensor does not fit its data.
    pub fn state_dict(&self) -> Result<StateDict<'a>, CheckpointError> {
        let root = self.pickle.root();
        let state_dict = self.pickle.field(root, "state_dict").unwrap_or(root);
        let entries = self.pickle.entries(state_dict).ok_or(CheckpointError::NoStateDict)?;

        // As in a dict, a name that is set again keeps its place and gets the new value.
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

    /// The tensor of a node, or else why the node is to be skipped.
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

//! Reads the results of other extractors: `result.pkl` files of reeldeck and of all versions of MMAction2, and similar files.
//!
//! A file is a pickle or a `torch.save` file. It holds a list in the order of a list of videos, or a dict by name or id. The
//! result of a video is a tensor, a numpy array, or a dict with one as `pred_score`.

use std::borrow::Cow;

use crate::checkpoint::archive;
use crate::numpy::ArrayParts;
use crate::read::{Limits, PickleError, read};
use crate::tensor::{TensorError, TensorRef};
use crate::torch::legacy::{self, LegacyError};
use crate::torch::{NotATensor, StorageId, Storages, TensorParts};
use crate::value::{NodeId, NotLatin1, Pickle};

/// A video has about 40 values, so this is enough for 400,000 videos.
const LIMITS: Limits = Limits { max_nodes: 16_000_000 };
/// The longest name of a video. Names are copied, and a pickle can repeat a long name for two bytes each time.
const MAX_NAME_BYTES: usize = 1024;
/// The four pickles around a storage have 20 values.
const STORAGE_LIMITS: Limits = Limits { max_nodes: 1000 };

/// The scores of a video.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultSample {
    /// The scores in row-major order.
    pub scores: Vec<f32>,
    /// The shape of the scores: usually clips × classes, or only classes if the clips were averaged.
    pub shape: Vec<usize>,
    /// The index of the video's class, if the file has it.
    pub label: Option<i64>,
}

/// Why a `result.pkl` is unreadable.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ResultsError {
    /// The pickle cannot be read.
    #[error(transparent)]
    Pickle(#[from] PickleError),
    /// The value is neither a list nor a dict with names.
    #[error("failed to read the results: the file holds neither a list nor a dict by video")]
    NotAList,
    /// The `torch.save` file cannot be read, for this reason.
    #[error("failed to read the results: {0}")]
    Saved(String),
    /// A video cannot be read.
    #[error("failed to read result {index} (counted from 0): {problem}")]
    Sample {
        /// The index in the list, from 0.
        index: usize,
        /// The problem.
        problem: SampleError,
    },
}

/// Why the result of a video is unreadable.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SampleError {
    /// It is not a dict, a tensor or an array.
    #[error("it is neither a dict nor an array")]
    NotADict,
    /// It has neither `pred_score` nor `pred_scores.item`.
    #[error("it has no `pred_score`")]
    NoScores,
    /// A value is not a readable tensor.
    #[error(transparent)]
    NotATensor(#[from] NotATensor),
    /// The text that encodes a tensor's bytes is invalid.
    #[error(transparent)]
    NotLatin1(#[from] NotLatin1),
    /// A tensor's storage cannot be read.
    #[error(transparent)]
    Storage(#[from] LegacyError),
    /// A tensor does not fit its storage.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// The results are larger than the file, because they refer to the same bytes many times. Such a file is an attack.
    #[error("all results together are larger than the file")]
    TooMuch,
}

/// Reads all videos of a `result.pkl`, in the order of the file.
///
/// # Errors
/// [`ResultsError`] when the file is damaged or not a `result.pkl`.
pub fn read_results(bytes: &[u8]) -> Result<Vec<ResultSample>, ResultsError> {
    Results::parse(bytes)?.samples().collect()
}

/// A parsed file of results. [`samples`](Self::samples) decodes its tensors, one video at a time.
#[derive(Debug)]
pub struct Results<'a> {
    pickle: Pickle<'a>,
    /// The storages of a `torch.save` file.
    storages: Storages<'a>,
    elements: Vec<NodeId>,
    names: Option<Vec<String>>,
    input_len: usize,
}

impl<'a> Results<'a> {
    /// Parses the file without decoding tensors.
    ///
    /// # Errors
    /// [`ResultsError::Pickle`], [`ResultsError::Saved`] and [`ResultsError::NotAList`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ResultsError> {
        let saved = |error: &dyn std::fmt::Display| ResultsError::Saved(error.to_string());
        let (pickle, storages) = if bytes.starts_with(b"PK\x03\x04") {
            archive::read_file(bytes, &LIMITS).map_err(|error| saved(&error))?
        } else if legacy::after_magic(bytes).is_some() {
            legacy::read_file(bytes, &LIMITS).map_err(|error| saved(&error))?
        } else {
            (read(bytes, &LIMITS)?.0, Storages::new())
        };
        let root = pickle.root();
        let (elements, names) = match pickle.elements(root) {
            Some(elements) => (elements.to_vec(), None),
            None => {
                let entries = pickle.entries(root).ok_or(ResultsError::NotAList)?;
                let name = |key| pickle.as_str(key).filter(|name| name.len() <= MAX_NAME_BYTES).map(str::to_owned);
                let names: Option<Vec<String>> = entries.iter().map(|(key, _)| name(*key)).collect();
                let elements = entries.iter().map(|(_, value)| *value).collect();
                (elements, Some(names.ok_or(ResultsError::NotAList)?))
            }
        };
        Ok(Self { pickle, storages, elements, names, input_len: bytes.len() })
    }

    /// The number of videos.
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Whether there are no videos.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// The names of the videos, if the file has them.
    pub fn names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }

    /// An iterator that decodes the videos.
    pub fn samples(&self) -> Samples<'_> {
        let Self { pickle, storages, elements, input_len, .. } = self;
        Samples { pickle, storages, elements, next: 0, budget: budget(*input_len) }
    }
}

/// Decodes the videos of a [`Results`]. It ends after the first error.
#[derive(Clone, Debug)]
pub struct Samples<'p> {
    pickle: &'p Pickle<'p>,
    storages: &'p Storages<'p>,
    elements: &'p [NodeId],
    next: usize,
    /// How many bytes of input may still be decoded, see [`budget`].
    budget: usize,
}

/// How many bytes of input may be decoded. A pickle can refer to a value a million times for two bytes each. Valid results
/// share almost nothing (perhaps a label), so all videos together are about as long as the file.
fn budget(input_len: usize) -> usize {
    input_len.saturating_mul(2).saturating_add(1 << 20)
}

impl Iterator for Samples<'_> {
    type Item = Result<ResultSample, ResultsError>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.next;
        let &element = self.elements.get(index)?;
        self.next += 1;
        let sample = self.sample(element);
        if sample.is_err() {
            self.next = self.elements.len();
        }
        Some(sample.map_err(|problem| ResultsError::Sample { index, problem }))
    }
}

impl<'p> Samples<'p> {
    fn sample(&mut self, element: NodeId) -> Result<ResultSample, SampleError> {
        let read = |tensor: &TensorRef<'_>| Ok((tensor.to_f32(), tensor.shape().to_vec()));
        match self.tensor(element, read) {
            Err(SampleError::NotATensor(NotATensor::Other)) => {}
            read => return read.map(|(scores, shape)| ResultSample { scores, shape, label: None }),
        }
        let entries = self.entries(element)?;
        let scores = self.value(&entries, "pred_score", "pred_scores")?.ok_or(SampleError::NoScores)?;
        let (scores, shape) = self.tensor(scores, read)?;
        let label = match self.value(&entries, "gt_label", "gt_labels")? {
            Some(label) => match self.tensor(label, |tensor| Ok(tensor.to_i64()?.first().copied())) {
                Err(SampleError::NotATensor(NotATensor::Other)) => self.pickle.as_int(label),
                label => label?,
            },
            None => None,
        };
        Ok(ResultSample { scores, shape, label })
    }

    fn charge(&mut self, amount: usize) -> Result<(), SampleError> {
        self.budget = self.budget.checked_sub(amount).ok_or(SampleError::TooMuch)?;
        Ok(())
    }

    fn entries(&mut self, dict: NodeId) -> Result<Cow<'p, [(NodeId, NodeId)]>, SampleError> {
        let entries = self.pickle.entries(dict).ok_or(SampleError::NotADict)?;
        self.charge(entries.len())?;
        Ok(entries)
    }

    /// The value of `key`; or, in files of older versions, the value of `item` in the dict `old_key`.
    fn value(&mut self, entries: &[(NodeId, NodeId)], key: &str, old_key: &str) -> Result<Option<NodeId>, SampleError> {
        if let Some(value) = self.pickle.lookup(entries, key) {
            return Ok(Some(value));
        }
        let Some(nested) = self.pickle.lookup(entries, old_key) else { return Ok(None) };
        let nested = self.entries(nested)?;
        Ok(self.pickle.lookup(&nested, "item"))
    }

    /// Decodes the tensor or array of a node.
    fn tensor<T>(
        &mut self,
        node: NodeId,
        decode: impl FnOnce(&TensorRef<'_>) -> Result<T, SampleError>,
    ) -> Result<T, SampleError> {
        match ArrayParts::of(self.pickle, node) {
            Ok(parts) => return self.array(parts, decode),
            Err(NotATensor::Other) => {}
            Err(error) => return Err(error.into()),
        }
        let parts = TensorParts::of(self.pickle, node)?;
        if let Some(id) = StorageId::of(self.pickle, parts.storage) {
            let dtype = id.dtype.ok_or(NotATensor::Unsupported)?;
            let stored = self.storages.get(id.key).and_then(|stored| id.slice(dtype, stored));
            let tensor = parts.over(dtype, stored.ok_or(NotATensor::Damaged)?)?;
            self.charge(tensor.len().saturating_mul(dtype.size()))?;
            return decode(&tensor);
        }
        // Outside of `torch.save`, the storage is a complete `torch.save` file in bytes.
        let call = self.pickle.call(parts.storage).ok_or(NotATensor::Damaged)?;
        let ("torch.storage", "_load_from_bytes", &[bytes]) = (call.module, call.name, call.args) else {
            return Err(NotATensor::Damaged.into());
        };
        self.charge(self.pickle.encoded_len(bytes))?;
        let bytes = self.pickle.bytes(bytes)?.ok_or(NotATensor::Damaged)?;

        let (value, storages) = legacy::read_file(&bytes, &STORAGE_LIMITS)?;
        let id = StorageId::of(&value, value.root()).ok_or(NotATensor::Damaged)?;
        let dtype = id.dtype.ok_or(NotATensor::Unsupported)?;
        let stored = storages.get(id.key).and_then(|stored| id.slice(dtype, stored)).ok_or(NotATensor::Damaged)?;
        let tensor = parts.over(dtype, stored)?;
        if tensor.len() > stored.len() / dtype.size() {
            return Err(SampleError::TooMuch);
        }
        decode(&tensor)
    }

    fn array<T>(
        &mut self,
        parts: ArrayParts,
        decode: impl FnOnce(&TensorRef<'_>) -> Result<T, SampleError>,
    ) -> Result<T, SampleError> {
        self.charge(self.pickle.encoded_len(parts.bytes))?;
        let bytes = self.pickle.bytes(parts.bytes)?.ok_or(NotATensor::Damaged)?;
        decode(&TensorRef::new(parts.dtype, &bytes, 0, parts.shape, parts.strides)?)
    }
}

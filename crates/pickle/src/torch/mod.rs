//! How PyTorch pickles tensors: the calls that rebuild a tensor, the persistent ids of storages, and the legacy file format.

pub(crate) mod legacy;

use std::collections::HashMap;

use crate::tensor::{Dtype, MAX_DIMENSIONS, TensorError, TensorRef};
use crate::value::{Call, Node, NodeId, Pickle};

/// The largest number of nested wrappers around a tensor. PyTorch nests at most two.
const MAX_WRAPPERS: usize = 4;
/// The longest key of a storage. PyTorch uses a counter or an address.
const MAX_KEY_BYTES: usize = 128;

/// The bytes of the storages by key.
pub(crate) type Storages<'a> = HashMap<String, &'a [u8]>;

/// Why a node is not a readable tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotATensor {
    /// It is another value.
    #[error("it is neither a tensor nor an array")]
    Other,
    /// It is a tensor or an array of an unsupported kind or type, such as sparse, quantized, complex or big-endian.
    #[error(
        "it is a tensor or an array of a kind that is not supported (sparse, quantized, big-endian or of an unusual type)"
    )]
    Unsupported,
    /// It is a call that builds a tensor, but with invalid arguments.
    #[error("it is a damaged tensor")]
    Damaged,
}

/// A pickled tensor: a view of a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TensorParts {
    /// The storage: a persistent id in a file of `torch.save`, or a call of `_load_from_bytes` in a plain pickle.
    pub(crate) storage: NodeId,
    /// In elements.
    pub(crate) offset: usize,
    pub(crate) shape: Vec<usize>,
    /// In elements.
    pub(crate) strides: Vec<usize>,
}

impl TensorParts {
    /// The tensor that `node` rebuilds, without the `Parameter` or subclass around it.
    pub(crate) fn of(pickle: &Pickle<'_>, node: NodeId) -> Result<Self, NotATensor> {
        let mut call = pickle.call(node).ok_or(NotATensor::Other)?;
        for _ in 0..MAX_WRAPPERS {
            match (call.module, call.name, call.args) {
                ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state", &[data, ..]) => {
                    call = pickle.call(data).ok_or(NotATensor::Damaged)?;
                }
                // A tensor with attributes: function, class, arguments, attributes.
                ("torch._tensor", "_rebuild_from_type_v2", &[function, _, args, ..]) => {
                    let (module, name) = pickle.as_global(function).ok_or(NotATensor::Damaged)?;
                    let args = pickle.elements(args).ok_or(NotATensor::Damaged)?;
                    call = Call { module, name, args };
                }
                ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2", args) => {
                    return Self::from_args(pickle, args);
                }
                ("torch._utils" | "torch._tensor", _, _) => return Err(NotATensor::Unsupported),
                _ => return Err(NotATensor::Other),
            }
        }
        Err(NotATensor::Damaged)
    }

    fn from_args(pickle: &Pickle<'_>, args: &[NodeId]) -> Result<Self, NotATensor> {
        let &[storage, offset, shape, strides, ..] = args else { return Err(NotATensor::Damaged) };
        let sizes = |node| {
            // Many tensors may refer to one long tuple, so check its length before copying it.
            let few = pickle.elements(node).is_some_and(|elements| elements.len() <= MAX_DIMENSIONS);
            few.then(|| pickle.sizes(node)).flatten().ok_or(NotATensor::Damaged)
        };
        Ok(Self {
            storage,
            offset: pickle.as_usize(offset).ok_or(NotATensor::Damaged)?,
            shape: sizes(shape)?,
            strides: sizes(strides)?,
        })
    }

    /// The tensor over the bytes of its storage.
    pub(crate) fn over(self, dtype: Dtype, bytes: &[u8]) -> Result<TensorRef<'_>, TensorError> {
        TensorRef::new(dtype, bytes, self.offset, self.shape, self.strides)
    }
}

/// The persistent id of a storage: `('storage', class, key, device, elements)`. In the legacy format a sixth element tells
/// which part of another storage it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StorageId<'p> {
    /// The type of the elements; `None` if it is not supported.
    pub(crate) dtype: Option<Dtype>,
    /// The size of an element in bytes; `None` if the class is unknown.
    pub(crate) element_size: Option<usize>,
    pub(crate) key: &'p str,
    pub(crate) elements: usize,
    /// The first element and the number of elements, if it is a part of the storage with this key.
    pub(crate) part: Option<(usize, usize)>,
}

impl<'p> StorageId<'p> {
    pub(crate) fn of(pickle: &'p Pickle<'_>, node: NodeId) -> Option<Self> {
        let Node::Persistent(id) = pickle.get(node) else { return None };
        let &[kind, class, key, _device, elements, ref rest @ ..] = pickle.elements(*id)? else { return None };
        if pickle.as_str(kind) != Some("storage") {
            return None;
        }
        let (module, class) = pickle.as_global(class)?;
        let key = pickle.as_str(key).filter(|key| key.len() <= MAX_KEY_BYTES)?;
        let part = match rest.first().map(|&view| pickle.elements(view)) {
            // The key of the view, the first element, the number of elements.
            Some(Some(&[_, first, count])) => Some((pickle.as_usize(first)?, pickle.as_usize(count)?)),
            Some(Some(_)) => return None,
            Some(None) | None => None,
        };
        let dtype = Dtype::of_storage_class(class).filter(|_| module == "torch" || module.starts_with("torch."));
        Some(Self {
            dtype,
            element_size: dtype.map(Dtype::size).or_else(|| size_in_other_class(class)),
            key,
            elements: pickle.as_usize(elements)?,
            part,
        })
    }

    /// The bytes of this storage in those of its key; `None` if there are too few.
    pub(crate) fn slice<'a>(&self, dtype: Dtype, stored: &'a [u8]) -> Option<&'a [u8]> {
        let (first, count) = self.part.unwrap_or((0, self.elements));
        let start = first.checked_mul(dtype.size())?;
        let end = count.checked_mul(dtype.size())?.checked_add(start)?;
        stored.get(start..end)
    }
}

/// The size in bytes of elements of an unsupported type, which is needed to skip them.
fn size_in_other_class(class: &str) -> Option<usize> {
    match class {
        "ComplexDoubleStorage" => Some(16),
        "ComplexFloatStorage" => Some(8),
        "ComplexHalfStorage" | "QInt32Storage" => Some(4),
        "QInt8Storage" | "QUInt8Storage" | "QUInt4x2Storage" | "QUInt2x4Storage" | "UntypedStorage" => Some(1),
        _ => None,
    }
}

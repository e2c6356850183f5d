//! The `torch.save` format of PyTorch before 1.6, which tensors in plain pickles still use.
//!
//! It has five pickles: magic number, protocol version, system, the value, and the keys of the storages. For each key the
//! number of elements (64 bits) and the elements follow.

use std::collections::HashMap;
use std::io;

use super::{StorageId, Storages};
use crate::read::{Limits, PickleError, Problem, read};
use crate::tensor::Dtype;
use crate::value::{Node, Pickle};
use crate::write::PickleWriter;

/// The number 0x1950a86a20f9469cfc6c in little-endian order. Every file begins with a pickle of it.
const MAGIC_NUMBER: &[u8] = b"l\xfc\x9cF\xf9 j\xa8P\x19";
/// This pickle in protocol 2, the default.
pub(crate) const MAGIC: &[u8] = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.";
/// The only version of the format.
const PROTOCOL_VERSION: i64 = 1001;

/// Why a file of this format is unreadable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LegacyError {
    /// It does not begin with the magic number.
    #[error("the data does not begin as `torch.save` data from before PyTorch 1.6 does")]
    NoMagic,
    /// A pickle cannot be read.
    #[error(transparent)]
    Pickle(#[from] PickleError),
    /// The version is unknown.
    #[error("the format version of the `torch.save` data is not {PROTOCOL_VERSION}")]
    Version,
    /// The file was written on a big-endian machine.
    #[error("the `torch.save` data was written on a big-endian machine; load and save it again with PyTorch")]
    BigEndian,
    /// The list of keys is invalid, or the value does not use a key or uses it with an unknown type.
    #[error("the list of storages does not match the tensors, or they are of an unknown type")]
    Keys,
    /// The file ends within its pickles or storages.
    #[error("the `torch.save` data ends early: the download did not finish; remove it and download it again")]
    EndsEarly,
}

/// The bytes after the magic number, which may be pickled in any protocol; `None` if there is no magic number.
pub(crate) fn after_magic(bytes: &[u8]) -> Option<&[u8]> {
    let (head, _) = bytes.split_at(bytes.len().min(64));
    let (pickle, length) = read(head, &Limits { max_nodes: 1 }).ok()?;
    let Node::BigInt(number) = pickle.get(pickle.root()) else { return None };
    bytes.get(length..).filter(|_| number.as_ref() == MAGIC_NUMBER)
}

/// Reads the value, whose persistent ids refer to storages, and the storages.
pub(crate) fn read_file<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(Pickle<'a>, Storages<'a>), LegacyError> {
    let mut rest = after_magic(bytes).ok_or(LegacyError::NoMagic)?;
    let mut next = || -> Result<Pickle<'a>, LegacyError> {
        let (pickle, length) = read(rest, limits).map_err(|error| match error.problem {
            Problem::EndsEarly => LegacyError::EndsEarly,
            problem => PickleError { offset: bytes.len() - rest.len() + error.offset, problem }.into(),
        })?;
        rest = rest.get(length..).unwrap_or_default();
        Ok(pickle)
    };
    let version = next()?;
    if version.as_int(version.root()) != Some(PROTOCOL_VERSION) {
        return Err(LegacyError::Version);
    }
    let system = next()?;
    let little_endian = system.field(system.root(), "little_endian").and_then(|id| system.as_bool(id));
    if little_endian == Some(false) {
        return Err(LegacyError::BigEndian);
    }
    let pickle = next()?;
    let keys = next()?;
    let storages = storages(&pickle, &keys, rest)?;
    Ok((pickle, storages))
}

/// Splits the bytes after the pickles into storages. Only the value tells the size of their elements.
fn storages<'a>(pickle: &Pickle<'_>, keys: &Pickle<'_>, mut rest: &'a [u8]) -> Result<Storages<'a>, LegacyError> {
    let named = pickle.ids().filter_map(|id| StorageId::of(pickle, id));
    let sizes: HashMap<&str, Option<usize>> = named.map(|storage| (storage.key, storage.element_size)).collect();
    let mut storages = Storages::new();
    for &key in keys.elements(keys.root()).ok_or(LegacyError::Keys)? {
        let key = keys.as_str(key).ok_or(LegacyError::Keys)?;
        let size = sizes.get(key).copied().flatten().ok_or(LegacyError::Keys)?;
        let (count, after) = rest.split_first_chunk().ok_or(LegacyError::EndsEarly)?;
        let count = usize::try_from(u64::from_le_bytes(*count)).map_err(|_| LegacyError::EndsEarly)?;
        let length = count.checked_mul(size).ok_or(LegacyError::EndsEarly)?;
        let (storage, after) = after.split_at_checked(length).ok_or(LegacyError::EndsEarly)?;
        storages.insert(key.to_owned(), storage);
        rest = after;
    }
    Ok(storages)
}

/// Appends a file with a single storage, as PyTorch embeds it in a plain pickle. `data` appends the elements in little-endian
/// order.
pub(crate) fn write_storage(
    out: &mut Vec<u8>,
    dtype: Dtype,
    key: &str,
    elements: usize,
    data: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
) -> io::Result<()> {
    out.extend(MAGIC);

    let mut version = PickleWriter::new(&mut *out)?;
    version.int(PROTOCOL_VERSION)?;
    version.finish()?;

    let mut system = PickleWriter::new(&mut *out)?;
    system.empty_dict()?;
    system.mark()?;
    system.str("protocol_version")?;
    system.int(PROTOCOL_VERSION)?;
    system.str("little_endian")?;
    system.bool(true)?;
    system.str("type_sizes")?;
    system.empty_dict()?;
    system.mark()?;
    for (name, size) in [("short", 2), ("int", 4), ("long", 4)] {
        system.str(name)?;
        system.int(size)?;
    }
    system.set_items()?;
    system.set_items()?;
    system.finish()?;

    let mut value = PickleWriter::new(&mut *out)?;
    value.mark()?;
    value.str("storage")?;
    value.global("torch", dtype.storage_class())?;
    value.str(key)?;
    value.str("cpu")?;
    value.usize(elements)?;
    // It is not a part of another storage.
    value.none()?;
    value.tuple()?;
    value.persistent_id()?;
    value.finish()?;

    let mut keys = PickleWriter::new(&mut *out)?;
    keys.empty_list()?;
    keys.str(key)?;
    keys.append()?;
    keys.finish()?;

    out.extend((elements as u64).to_le_bytes());
    data(out)
}

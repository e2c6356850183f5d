//! The zip format of `torch.save`: the entry `<root>/data.pkl`, and an entry `<root>/data/<key>` for each storage.

use std::io::Cursor;

use zip::read::{ArchiveOffset, Config};
use zip::{CompressionMethod, ZipArchive};

use super::CheckpointError;
use crate::read::{Limits, read};
use crate::torch::Storages;
use crate::value::Pickle;

/// Why an archive is unreadable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// The central directory at the end is missing.
    #[error(
        "the file stops before the end of its zip archive: the download did not finish; remove it and download it again"
    )]
    Truncated,
    /// The archive is inconsistent.
    #[error("the file's zip archive is damaged ({0}); remove it and download it again")]
    Damaged(String),
    /// The bytes of an entry do not match its CRC-32.
    #[error(
        "the file is damaged: the checksum (CRC-32) of its zip entry {0:?} is wrong; remove it and download it again, or save it \
         again if it was saved without checksums (`torch.serialization.set_crc32_options(False)`)"
    )]
    Checksum(String),
    /// Several entries have the same name, so it is unclear which one is valid.
    #[error("the file's zip archive has several entries of the same name; load and save it again with PyTorch")]
    DuplicateNames,
    /// An entry is compressed. PyTorch does not compress, so the archive was repacked.
    #[error(
        "zip entry {0:?} is compressed, which `torch.save` never does; unpack the archive and pack it with `zip -0`"
    )]
    Compressed(String),
    /// An entry is encrypted.
    #[error("zip entry {0:?} is encrypted; decrypt the file first")]
    Encrypted(String),
    /// The archive was written by `torch.jit.save`.
    #[error(
        "the file is a TorchScript archive, which holds code; save `torch.jit.load(path).state_dict()` with `torch.save`"
    )]
    TorchScript,
    /// The number of entries named `data.pkl` is not one.
    #[error("the file is a zip archive, but not one that `torch.save` wrote: it has {0} entries named data.pkl")]
    NotOnePickle(usize),
    /// The archive was written on a big-endian machine.
    #[error("the file was written on a big-endian machine; load and save it again with PyTorch")]
    BigEndian,
}

const PICKLE: &str = "data.pkl";

/// Reads the pickle and locates the storages.
pub(crate) fn read_file<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(Pickle<'a>, Storages<'a>), CheckpointError> {
    let mut archive = Archive::open(bytes)?;
    let root = archive.root()?;

    if let Some(index) = archive.zip.index_for_name(&format!("{root}byteorder"))
        && archive.entry(index)?.trim_ascii() != b"little"
    {
        return Err(ArchiveError::BigEndian.into());
    }
    let prefix = format!("{root}data/");
    let mut storages = Storages::new();
    for index in 0..archive.zip.len() {
        if let Some(key) = archive.name(index).strip_prefix(&prefix) {
            let key = key.to_owned();
            storages.insert(key, archive.entry(index)?);
        }
    }
    let index = archive.zip.index_for_name(&format!("{root}{PICKLE}")).ok_or(ArchiveError::NotOnePickle(0))?;
    let (pickle, _) = read(archive.entry(index)?, limits)?;
    Ok((pickle, storages))
}

struct Archive<'a> {
    bytes: &'a [u8],
    /// Bytes of the entries that were read.
    read: usize,
    zip: ZipArchive<Cursor<&'a [u8]>>,
}

impl<'a> Archive<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, ArchiveError> {
        // The file begins with the archive.
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let zip = ZipArchive::with_config(config, Cursor::new(bytes)).map_err(|error| {
            if has_end(bytes) { ArchiveError::Damaged(error.to_string()) } else { ArchiveError::Truncated }
        })?;
        if zip.has_duplicate_names() {
            return Err(ArchiveError::DuplicateNames);
        }
        Ok(Self { bytes, read: 0, zip })
    }

    fn name(&self, index: usize) -> String {
        let entry = self.zip.by_index_data(index);
        entry.map(|entry| String::from_utf8_lossy(entry.name_raw()).into_owned()).unwrap_or_default()
    }

    /// The common folder of all entries, with a trailing slash.
    fn root(&self) -> Result<String, ArchiveError> {
        let names: Vec<String> = (0..self.zip.len()).map(|index| self.name(index)).collect();
        let mut roots = Vec::new();
        for name in &names {
            if let Some(root) = name.strip_suffix(PICKLE)
                && (root.is_empty() || root.ends_with('/'))
            {
                roots.push(root);
            }
        }
        let &[root] = roots.as_slice() else { return Err(ArchiveError::NotOnePickle(roots.len())) };
        let is_code = |name: &String| {
            name.strip_prefix(root).is_some_and(|name| name == "constants.pkl" || name.starts_with("code/"))
        };
        if names.iter().any(is_code) {
            return Err(ArchiveError::TorchScript);
        }
        Ok(root.to_owned())
    }

    /// The bytes of an entry, borrowed from the file, after a check of their CRC-32.
    fn entry(&mut self, index: usize) -> Result<&'a [u8], ArchiveError> {
        let name = self.name(index);
        let entry = self.zip.by_index_raw(index).map_err(|error| ArchiveError::Damaged(error.to_string()))?;
        if entry.encrypted() {
            return Err(ArchiveError::Encrypted(name));
        }
        if entry.compression() != CompressionMethod::Stored {
            return Err(ArchiveError::Compressed(name));
        }
        let range = || {
            let start = usize::try_from(entry.data_start()?).ok()?;
            let length = usize::try_from(entry.size()).ok()?;
            Some(start..start.checked_add(length)?)
        };
        let inside = entry.size() == entry.compressed_size();
        let data = range().filter(|_| inside).and_then(|range| self.bytes.get(range));
        let data = data.ok_or_else(|| ArchiveError::Damaged(format!("entry {name:?} lies outside the file")))?;
        // Many entries of a small file could be the whole file.
        self.read = self.read.saturating_add(data.len());
        if self.read > self.bytes.len() {
            return Err(ArchiveError::Damaged("its entries overlap".into()));
        }
        if crc32fast::hash(data) != entry.crc32() {
            return Err(ArchiveError::Checksum(name));
        }
        Ok(data)
    }
}

/// Whether the file has an end-of-archive record, which at most a comment of 64 KiB may follow.
fn has_end(bytes: &[u8]) -> bool {
    let tail = bytes.len().saturating_sub(22 + 65_535);
    bytes.get(tail..).unwrap_or_default().windows(4).any(|window| window == b"PK\x05\x06")
}

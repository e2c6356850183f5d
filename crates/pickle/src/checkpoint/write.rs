//! Writes checkpoints that PyTorch loads, with or without `weights_only`.

use std::collections::HashSet;
use std::io::{self, Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipWriter};

use super::until_error::UntilError;
use crate::tensor::{Dtype, element_count, row_major_strides};
use crate::write::{PickleWriter, invalid, write_f32s, write_i64s};

/// PyTorch's alignment of storages, which allows using them in a mapped file.
const ALIGNMENT: u16 = 64;
/// The size from which an entry gets 64-bit sizes: 4 GiB, less some space for headers.
const LARGE_BYTES: usize = 0xff00_0000;

/// The elements of a tensor, in row-major order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TensorData<'a> {
    /// `torch.float32`.
    F32(&'a [f32]),
    /// `torch.int64`.
    I64(&'a [i64]),
}

impl TensorData<'_> {
    fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::I64(_) => Dtype::I64,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::I64(values) => values.len(),
        }
    }
}

/// A tensor to write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TensorEntry<'a> {
    /// Its unique name in the state dict.
    pub name: &'a str,
    /// Its shape; empty for a scalar.
    pub shape: &'a [usize],
    /// Its elements, whose number matches the shape.
    pub data: TensorData<'a>,
}

/// Writes the equivalent of `torch.save({'meta': meta, key: OrderedDict(entries)}, out)`. Equal input gives equal
/// bytes. `out` should be buffered.
///
/// # Errors
/// When writing to `out` fails, and [`io::ErrorKind::InvalidInput`] when a shape does not match the number of elements or a
/// name occurs twice. Nothing is written after the first error.
pub fn write_checkpoint<'a, W: Write + Seek>(
    out: W,
    key: &str,
    entries: impl IntoIterator<Item = TensorEntry<'a>>,
    meta: &[(&str, &str)],
) -> io::Result<W> {
    let entries: Vec<TensorEntry<'a>> = entries.into_iter().collect();
    check(&entries)?;

    let mut zip = ZipWriter::new(UntilError::new(out));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .system(System::Unix)
        .unix_permissions(0o644)
        .with_alignment(ALIGNMENT);

    // PyTorch takes the folder's name from the first entry, and writes `data.pkl` first.
    zip.start_file("archive/data.pkl", options)?;
    zip.write_all(&pickle(key, &entries, meta)?)?;
    zip.start_file("archive/byteorder", options)?;
    zip.write_all(b"little")?;
    for (key, entry) in entries.iter().enumerate() {
        let large = entry.data.len().saturating_mul(entry.data.dtype().size()) >= LARGE_BYTES;
        zip.start_file(format!("archive/data/{key}"), options.large_file(large))?;
        match entry.data {
            TensorData::F32(values) => write_f32s(&mut zip, values)?,
            TensorData::I64(values) => write_i64s(&mut zip, values)?,
        }
    }
    zip.start_file("archive/version", options)?;
    zip.write_all(b"3\n")?;
    let mut out = zip.finish()?.into_inner();
    out.flush()?;
    Ok(out)
}

fn check(entries: &[TensorEntry<'_>]) -> io::Result<()> {
    let mut names = HashSet::new();
    for TensorEntry { name, shape, data } in entries {
        if element_count(shape) != Some(data.len()) {
            let count = data.len();
            return Err(invalid(format!(
                "failed to write tensor {name:?}: shape {shape:?} does not fit its {count} elements"
            )));
        }
        if !names.insert(name) {
            return Err(invalid(format!("failed to write tensor {name:?}: the name is there twice")));
        }
    }
    Ok(())
}

/// `{'meta': {…}, key: OrderedDict([…])}`.
fn pickle(state_dict: &str, entries: &[TensorEntry<'_>], meta: &[(&str, &str)]) -> io::Result<Vec<u8>> {
    let mut pickle = PickleWriter::new(Vec::new())?;
    pickle.empty_dict()?;
    pickle.mark()?;
    pickle.str("meta")?;
    pickle.empty_dict()?;
    pickle.mark()?;
    for (key, value) in meta {
        pickle.str(key)?;
        pickle.str(value)?;
    }
    pickle.set_items()?;
    pickle.str(state_dict)?;
    ordered_dict(&mut pickle)?;
    pickle.mark()?;
    for (key, entry) in entries.iter().enumerate() {
        pickle.str(entry.name)?;
        tensor(&mut pickle, key, entry)?;
    }
    pickle.set_items()?;
    pickle.set_items()?;
    pickle.finish()
}

/// `_rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, backward_hooks)`.
fn tensor(pickle: &mut PickleWriter<Vec<u8>>, key: usize, entry: &TensorEntry<'_>) -> io::Result<()> {
    pickle.global("torch._utils", "_rebuild_tensor_v2")?;
    pickle.mark()?;
    pickle.mark()?;
    pickle.str("storage")?;
    pickle.global("torch", entry.data.dtype().storage_class())?;
    pickle.str(&key.to_string())?;
    pickle.str("cpu")?;
    pickle.usize(entry.data.len())?;
    pickle.tuple()?;
    pickle.persistent_id()?;
    pickle.int(0)?;
    pickle.sizes(entry.shape)?;
    pickle.sizes(&row_major_strides(entry.shape))?;
    pickle.bool(false)?;
    ordered_dict(pickle)?;
    pickle.tuple()?;
    pickle.reduce()
}

fn ordered_dict(pickle: &mut PickleWriter<Vec<u8>>) -> io::Result<()> {
    pickle.global("collections", "OrderedDict")?;
    pickle.empty_tuple()?;
    pickle.reduce()
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, SeekFrom};

    use super::*;

    /// A disk with room for some bytes.
    struct Full {
        disk: Cursor<Vec<u8>>,
        room: u64,
        has_failed: bool,
    }

    impl Full {
        fn check(&mut self) -> io::Result<()> {
            assert!(!self.has_failed, "it is used after an error");
            self.has_failed = self.disk.position() >= self.room;
            if self.has_failed { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.check()?;
            let room = (self.room - self.disk.position()) as usize;
            self.disk.write(&bytes[..bytes.len().min(room)])
        }

        fn flush(&mut self) -> io::Result<()> {
            self.check()
        }
    }

    impl Seek for Full {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            assert!(!self.has_failed, "it is used after an error");
            self.disk.seek(to)
        }
    }

    #[test]
    fn nothing_is_done_after_the_first_error() {
        let write = |room| {
            let data = TensorData::F32(&[1.0, 2.0]);
            let entry = TensorEntry { name: "fc_cls.bias", shape: &[2], data };
            write_checkpoint(Full { disk: Cursor::new(vec![]), room, has_failed: false }, "state_dict", [entry], &[])
        };
        let whole = write(1 << 20).ok().unwrap().disk.into_inner().len() as u64;
        for room in 0..=whole {
            assert_eq!(
                write(room).err().unwrap().kind(),
                io::ErrorKind::StorageFull,
                "room for {room} of {whole} bytes"
            );
        }
        assert!(write(whole + 1).is_ok());
    }
}

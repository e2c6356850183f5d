//! A writer for the part of HDF5 that the export needs: one group of contiguous float32 matrices.
//!
//! The file has the oldest structures of the format (superblock 0, a symbol table group, object headers 1), which every
//! reader knows. All numbers are little-endian; offsets and lengths have 8 bytes. The section names in the comments are
//! those of the HDF5 File Format Specification.

use std::io::{self, Seek, SeekFrom, Write};

const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";
const SUPERBLOCK_SIZE: u64 = 96;
/// Marks an address that is not set.
const UNDEFINED: u64 = u64::MAX;
/// A symbol table node holds up to twice this number of datasets. The library's default.
const LEAF_K: usize = 4;
/// A B-tree node has up to twice this number of children. The library's default.
const INTERNAL_K: usize = 16;
/// Marks a local heap without free space.
const NO_FREE_BLOCK: u64 = 1;

/// Writes datasets one after the other. Holds the name and the address of each dataset in memory.
pub struct Writer<W> {
    out: W,
    /// Bytes that are written.
    position: u64,
    /// Name and address of each dataset's object header.
    datasets: Vec<(String, u64)>,
}

/// A node of the B-tree, for the level above.
struct Node {
    address: u64,
    /// Heap offset of the last name below it.
    last_name: u64,
}

impl<W: Write + Seek> Writer<W> {
    /// Begins a file at the start of `out`. The superblock is written by [`Writer::finish`], so an unfinished file is not
    /// taken for a complete one.
    ///
    /// # Errors
    /// When `out` cannot be written to.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&[0; SUPERBLOCK_SIZE as usize])?;
        Ok(Self { out, position: SUPERBLOCK_SIZE, datasets: vec![] })
    }

    /// Writes a matrix, row by row, as the dataset `name`. Names must differ and contain neither `/` nor NUL.
    ///
    /// # Errors
    /// When the numbers do not fill the shape, and when `out` cannot be written to.
    pub fn add(&mut self, name: &str, shape: [usize; 2], values: &[f32]) -> io::Result<()> {
        let [rows, columns] = shape;
        if rows.checked_mul(columns) != Some(values.len()) || name.is_empty() || name.contains(['/', '\0']) {
            let message = format!("{} values and the name {name:?} do not make a dataset of {shape:?}", values.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let size = values.len() as u64 * 4;
        let data = self.align()?;
        let mut block = Vec::with_capacity(1 << 16);
        for chunk in values.chunks(1 << 14) {
            block.clear();
            block.extend(chunk.iter().flat_map(|value| value.to_le_bytes()));
            self.write(&block)?;
        }
        let header = self.align()?;
        self.write(&object_header(&[
            (0x0001, dataspace(shape)),
            (0x0003, float32()),
            (0x0005, fill_value()),
            (0x0008, layout(if size == 0 { UNDEFINED } else { data }, size)),
        ]))?;
        self.datasets.push((name.to_owned(), header));
        Ok(())
    }

    /// Writes the group and the superblock.
    ///
    /// # Errors
    /// When two datasets have the same name, and when `out` cannot be written to.
    pub fn finish(mut self) -> io::Result<()> {
        let mut datasets = std::mem::take(&mut self.datasets);
        datasets.sort_unstable();
        if let Some([(name, _), _]) =
            datasets.windows(2).find_map(|pair| pair.first_chunk().filter(|[a, b]| a.0 == b.0))
        {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("two datasets have the name {name:?}")));
        }
        let (heap, names) = self.heap(&datasets)?;
        let leaves = self.symbol_nodes(&datasets, &names)?;
        let tree = self.tree(leaves)?;
        let root = self.align()?;
        self.write(&object_header(&[(0x0011, [tree.to_le_bytes(), heap.to_le_bytes()].concat())]))?;
        let superblock = superblock(root, tree, heap, self.position);
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&superblock)?;
        self.out.flush()
    }

    /// "Local Heap": the names. Returns its address and the offset of each name.
    fn heap(&mut self, datasets: &[(String, u64)]) -> io::Result<(u64, Vec<u64>)> {
        // Offset 0 is the empty name, which stands before all others.
        let mut segment = vec![0; 8];
        let mut offsets = Vec::with_capacity(datasets.len());
        for (name, _) in datasets {
            offsets.push(segment.len() as u64);
            segment.extend_from_slice(name.as_bytes());
            // At least one NUL ends the name.
            segment.resize((segment.len() + 1).next_multiple_of(8), 0);
        }
        let address = self.align()?;
        let mut heap = b"HEAP\0\0\0\0".to_vec();
        for number in [segment.len() as u64, NO_FREE_BLOCK, address + 32] {
            heap.extend(number.to_le_bytes());
        }
        self.write(&heap)?;
        self.write(&segment)?;
        Ok((address, offsets))
    }

    /// "Symbol Table Nodes": the datasets in the order of their names.
    fn symbol_nodes(&mut self, datasets: &[(String, u64)], names: &[u64]) -> io::Result<Vec<Node>> {
        let mut nodes = vec![];
        for (datasets, names) in datasets.chunks(2 * LEAF_K).zip(names.chunks(2 * LEAF_K)) {
            let mut node = b"SNOD\x01\0".to_vec();
            node.extend((datasets.len() as u16).to_le_bytes());
            for ((_, header), name) in datasets.iter().zip(names) {
                node.extend(symbol(*name, *header, None));
            }
            node.resize(8 + 2 * LEAF_K * 40, 0);
            let address = self.align()?;
            self.write(&node)?;
            nodes.push(Node { address, last_name: names.last().copied().unwrap_or(0) });
        }
        Ok(nodes)
    }

    /// "Version 1 B-trees", level by level. Returns the address of the root.
    fn tree(&mut self, mut children: Vec<Node>) -> io::Result<u64> {
        const SIZE: u64 = 24 + (4 * INTERNAL_K as u64 + 1) * 8;
        let mut level = 0u8;
        loop {
            let first = self.align()?;
            let count = children.len().div_ceil(2 * INTERNAL_K).max(1);
            let mut nodes = vec![];
            let mut key = 0;
            for number in 0..count {
                let below = children.chunks(2 * INTERNAL_K).nth(number).unwrap_or_default();
                let address = first + number as u64 * SIZE;
                let mut node = b"TREE\0".to_vec();
                node.push(level);
                node.extend((below.len() as u16).to_le_bytes());
                let left = if number == 0 { UNDEFINED } else { address - SIZE };
                let right = if number + 1 == count { UNDEFINED } else { address + SIZE };
                // A child holds the names after the key before it, up to the key after it.
                for number in [left, right, key] {
                    node.extend(number.to_le_bytes());
                }
                for child in below {
                    node.extend(child.address.to_le_bytes());
                    node.extend(child.last_name.to_le_bytes());
                    key = child.last_name;
                }
                node.resize(SIZE as usize, 0);
                self.write(&node)?;
                nodes.push(Node { address, last_name: key });
            }
            if count == 1 {
                return Ok(first);
            }
            children = nodes;
            level += 1;
        }
    }

    /// Pads to a multiple of 8 bytes. Returns the position.
    fn align(&mut self) -> io::Result<u64> {
        let padding = self.position.next_multiple_of(8) - self.position;
        self.write([0; 8].get(..padding as usize).unwrap_or_default())?;
        Ok(self.position)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}

/// "Superblock", version 0.
fn superblock(root: u64, tree: u64, heap: u64, end: u64) -> Vec<u8> {
    let mut block = SIGNATURE.to_vec();
    // Versions of the superblock, free space, root group and shared headers, with the sizes of offsets and lengths.
    block.extend([0, 0, 0, 0, 0, 8, 8, 0]);
    block.extend((LEAF_K as u16).to_le_bytes());
    block.extend((INTERNAL_K as u16).to_le_bytes());
    block.extend([0; 4]);
    for address in [0, UNDEFINED, end, UNDEFINED] {
        block.extend(address.to_le_bytes());
    }
    block.extend(symbol(0, root, Some([tree, heap])));
    block
}

/// "Symbol Table Entry". A group's entry also holds the addresses of its tree and its heap.
fn symbol(name: u64, header: u64, group: Option<[u64; 2]>) -> Vec<u8> {
    let mut entry = [name.to_le_bytes(), header.to_le_bytes()].concat();
    entry.extend(u64::from(group.is_some()).to_le_bytes());
    entry.extend(group.unwrap_or_default().iter().flat_map(|address| address.to_le_bytes()));
    entry
}

/// "Object Header", version 1, of messages by their type.
fn object_header(messages: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = vec![];
    for (kind, message) in messages {
        body.extend(kind.to_le_bytes());
        body.extend((message.len() as u16).to_le_bytes());
        body.extend([0; 4]);
        body.extend(message);
    }
    let mut header = vec![1, 0];
    header.extend((messages.len() as u16).to_le_bytes());
    header.extend(1u32.to_le_bytes());
    header.extend((body.len() as u32).to_le_bytes());
    header.extend([0; 4]);
    header.extend(body);
    header
}

/// "Dataspace Message", version 1: the shape, which cannot grow.
fn dataspace(shape: [usize; 2]) -> Vec<u8> {
    let mut message = vec![1, 2, 0, 0, 0, 0, 0, 0];
    message.extend(shape.iter().flat_map(|size| (*size as u64).to_le_bytes()));
    message
}

/// "Datatype Message", version 1: IEEE 754 single precision, little-endian.
fn float32() -> Vec<u8> {
    // Floating point; implied leading bit, sign in bit 31; 4 bytes.
    let mut message = vec![0x11, 0x20, 31, 0, 4, 0, 0, 0];
    // Bits 0 to 31, exponent from bit 23 with 8 bits, mantissa from bit 0 with 23 bits; exponent bias.
    message.extend([0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0]);
    message.resize(24, 0);
    message
}

/// "Fill Value Message", version 2: space is allocated late, and the fill value is the default.
fn fill_value() -> Vec<u8> {
    vec![2, 2, 2, 1, 0, 0, 0, 0]
}

/// "Data Layout Message", version 3: contiguous.
fn layout(address: u64, size: u64) -> Vec<u8> {
    let mut message = vec![3, 1];
    message.extend(address.to_le_bytes());
    message.extend(size.to_le_bytes());
    message.resize(24, 0);
    message
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn written(fill: impl FnOnce(&mut Writer<&mut Cursor<Vec<u8>>>)) -> Vec<u8> {
        let mut file = Cursor::new(vec![]);
        let mut writer = Writer::new(&mut file).unwrap();
        fill(&mut writer);
        writer.finish().unwrap();
        file.into_inner()
    }

    /// h5py, pyfive and h5dump read the recorded file. `scripts/interop.py` reads it with h5py again.
    #[test]
    fn the_file_is_the_recorded_one() {
        let bytes = written(|writer| {
            writer.add("v_é b", [2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, -0.5]).unwrap();
            // More than one symbol table node, added in another order than that of their names.
            for number in (0..20u8).rev() {
                let values = [f32::from(number), f32::NAN, f32::INFINITY];
                writer.add(&format!("v_{number}"), [1, 3], &values).unwrap();
            }
            writer.add("empty", [0, 3], &[]).unwrap();
        });
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write("tests/golden/features.hdf5", &bytes).unwrap();
        }
        assert!(bytes == include_bytes!("../../../tests/golden/features.hdf5"));
    }

    #[test]
    fn an_unfinished_file_has_no_signature() {
        let mut file = Cursor::new(vec![]);
        Writer::new(&mut file).unwrap().add("v", [1, 1], &[1.0]).unwrap();
        assert!(!file.into_inner().starts_with(SIGNATURE));
    }

    #[test]
    fn what_is_not_a_dataset_is_refused() {
        let mut writer = Writer::new(Cursor::new(vec![])).unwrap();
        for (name, shape) in [("v", [2, 2]), ("v", [usize::MAX, 2]), ("a/b", [1, 1]), ("", [1, 1]), ("a\0", [1, 1])] {
            assert!(writer.add(name, shape, &[1.0]).is_err(), "{name:?} {shape:?}");
        }
        writer.add("v", [1, 1], &[1.0]).unwrap();
        writer.add("v", [1, 1], &[2.0]).unwrap();
        assert!(writer.finish().unwrap_err().to_string().contains("the name \"v\""));
    }
}

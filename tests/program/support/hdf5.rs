//! A reader for the HDF5 files that reeldeck writes, independent of the writer. It panics at whatever the specification does
//! not allow.

use std::collections::BTreeMap;

use reeldeck_common::feature::Matrix;

struct File<'a>(&'a [u8]);

impl File<'_> {
    fn at(&self, address: u64, size: usize) -> &[u8] {
        &self.0[address as usize..][..size]
    }

    fn number(&self, address: u64, size: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes[..size].copy_from_slice(self.at(address, size));
        u64::from_le_bytes(bytes)
    }

    /// The messages of an object header: their types and the addresses of their data.
    fn messages(&self, header: u64) -> BTreeMap<u64, u64> {
        assert_eq!(self.at(header, 2), [1, 0], "the header's version");
        let (count, size) = (self.number(header + 2, 2), self.number(header + 8, 4));
        let mut messages = BTreeMap::new();
        let mut place = header + 16;
        for _ in 0..count {
            let length = self.number(place + 2, 2);
            assert_eq!(length % 8, 0, "the length of a message");
            messages.insert(self.number(place, 2), place + 8);
            place += 8 + length;
        }
        assert_eq!(place, header + 16 + size, "the size of the header");
        messages
    }

    fn dataset(&self, header: u64) -> Matrix {
        let messages = self.messages(header);
        let space = messages[&1];
        assert_eq!(self.at(space, 3), [1, 2, 0], "the dataspace");
        let shape = [self.number(space + 8, 8) as usize, self.number(space + 16, 8) as usize];
        let float32 = [0x11, 0x20, 31, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0];
        assert_eq!(self.at(messages[&3], 20), float32, "the datatype");
        let layout = messages[&8];
        assert_eq!(self.at(layout, 2), [3, 1], "the layout");
        let size = self.number(layout + 10, 8) as usize;
        assert_eq!(size, shape[0] * shape[1] * 4);
        let data = if size == 0 { &[] } else { self.at(self.number(layout + 2, 8), size) };
        let data = data.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
        Matrix { shape, data }
    }

    fn name(&self, heap: u64, offset: u64) -> String {
        let segment = self.at(self.number(heap + 24, 8), self.number(heap + 8, 8) as usize);
        let name = segment[offset as usize..].split(|byte| *byte == 0).next().unwrap();
        String::from_utf8(name.to_vec()).unwrap()
    }

    /// Collects the datasets of a symbol table node, whose names stand after `low` and up to `high`.
    fn symbols(&self, node: u64, heap: u64, low: &str, high: &str, found: &mut Vec<(String, Matrix)>) {
        assert_eq!(self.at(node, 6), *b"SNOD\x01\0");
        for number in 0..self.number(node + 6, 2) {
            let entry = node + 8 + number * 40;
            let name = self.name(heap, self.number(entry, 8));
            assert!(*name > *low && *name <= *high, "{name} is not in its place");
            found.push((name, self.dataset(self.number(entry + 8, 8))));
        }
    }

    /// Collects the datasets below a node of the tree.
    fn walk(&self, node: u64, heap: u64, found: &mut Vec<(String, Matrix)>) {
        assert_eq!(self.at(node, 5), *b"TREE\0");
        for number in 0..self.number(node + 6, 2) {
            let key = node + 24 + number * 16;
            let (low, high) = (self.name(heap, self.number(key, 8)), self.name(heap, self.number(key + 16, 8)));
            let (child, before) = (self.number(key + 8, 8), found.len());
            match self.at(node, 6)[5] {
                0 => self.symbols(child, heap, &low, &high, found),
                _ => self.walk(child, heap, found),
            }
            assert!(found[before].0 > low && found.last().unwrap().0 == high, "the keys of a node");
        }
    }
}

/// All datasets of a file, in the order of their names.
pub fn read(bytes: &[u8]) -> Vec<(String, Matrix)> {
    let file = File(bytes);
    assert_eq!(file.at(0, 8), *b"\x89HDF\r\n\x1a\n");
    assert_eq!(file.number(40, 8), bytes.len() as u64, "the end of the file");
    let root = file.messages(file.number(64, 8));
    let group = root[&0x11];
    let (tree, heap) = (file.number(group, 8), file.number(group + 8, 8));
    assert_eq!((file.number(80, 8), file.number(88, 8)), (tree, heap), "the copies in the superblock");
    assert_eq!(file.at(heap, 4), *b"HEAP");
    let mut found = vec![];
    file.walk(tree, heap, &mut found);
    found
}

/// One dataset.
pub fn dataset(bytes: &[u8], name: &str) -> Matrix {
    read(bytes).into_iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("no dataset {name}")).1
}

//! Valid files with a few changes, and random bytes. The crate may accept or refuse them, but must not panic, hang, or use
//! much memory.

use std::io::Cursor;
use std::sync::OnceLock;

use proptest::prelude::*;
use proptest::sample::Index;
use reeldeck_pickle::checkpoint::{CheckpointFile, TensorData, TensorEntry, write_checkpoint};
use reeldeck_pickle::read::{Limits, read};
use reeldeck_pickle::results::{Results, ResultsWriter, Sample};
use reeldeck_pickle::tensor::MAX_EXPANDED_ELEMENTS;

use crate::hostile::allowed;
use crate::memory;
use crate::python::{self, fixture, from_hex};

/// Checks that `work` takes only a constant amount of memory per byte.
fn within<T>(bytes: &[u8], what: &str, work: impl FnOnce() -> T) -> T {
    let (peak, out) = memory::peak(work);
    assert!(peak <= allowed(bytes.len()), "{what}: {} bytes took {peak}", bytes.len());
    out
}

/// Calls everything that reads untrusted bytes.
fn try_everything(bytes: &[u8]) {
    within(bytes, "pickle", || {
        if let Ok((pickle, _)) = read(bytes, &Limits::default()) {
            for id in pickle.ids() {
                let _ = (pickle.entries(id), pickle.bytes(id), pickle.call(id), pickle.sizes(id));
            }
        }
    });
    if let Ok(file) = within(bytes, "checkpoint", || CheckpointFile::from_bytes(bytes.to_vec())) {
        let read = within(bytes, "reading of a checkpoint", || file.read());
        if let Ok(checkpoint) = read {
            within(bytes, "names in a checkpoint", || drop(checkpoint.top_level_keys()));
            let tensors = within(bytes, "state dict", || checkpoint.state_dict());
            for (_, tensor) in tensors.map(|state_dict| state_dict.tensors).unwrap_or_default() {
                // A tensor has at most the stored elements, or the limit for expanded tensors.
                assert!(tensor.len() <= MAX_EXPANDED_ELEMENTS.max(bytes.len()));
                let (peak, numbers) = memory::peak(|| tensor.to_f32());
                assert!(numbers.len() == tensor.len() && peak <= 4 * tensor.len() + 1000, "{peak} for {tensor:?}");
                let (peak, _) = memory::peak(|| tensor.to_i64());
                assert!(peak <= 8 * tensor.len() + 1000, "{peak} for {tensor:?}");
            }
        }
    }
    within(bytes, "results", || {
        if let Ok(results) = Results::parse(bytes) {
            results.samples().for_each(drop);
        }
    });
}

fn valid_files() -> &'static [Vec<u8>] {
    static FILES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let pickles = python::run("values.py", &[]);
        let results = python::run("make_results.py", &[]);
        let mut files: Vec<Vec<u8>> = pickles.lines().skip(1).chain(results.lines()).map(from_hex).collect();
        for name in
            ["full.pth", "zip64.pth", "pipe.pth", "legacy1.pth", "legacy2.pth", "legacy4.pth", "legacy_views.pth"]
        {
            files.push(fixture(name));
        }
        let entries = [
            TensorEntry { name: "a", shape: &[2, 3], data: TensorData::F32(&[0.5; 6]) },
            TensorEntry { name: "b", shape: &[], data: TensorData::I64(&[3]) },
        ];
        files.push(
            write_checkpoint(Cursor::new(Vec::new()), "state_dict", entries, &[("k", "v")]).unwrap().into_inner(),
        );
        let mut writer = ResultsWriter::new(Vec::new()).unwrap();
        for label in 0..3 {
            writer.push(&Sample { scores: &[0.5; 6], clips: 2, classes: 3, label, img_shape: (256, 256) }).unwrap();
        }
        files.push(writer.finish().unwrap());
        files
    })
}

/// A change of a file.
#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Set(Index, u8),
    Cut(Index),
    Remove(Index, usize),
    Repeat(Index, usize, usize),
    Insert(Index, Vec<u8>),
    /// Copies a span over another one of the same length.
    Replace(Index, Index, usize),
    /// Overwrites bytes with random ones.
    Noise(Index, Vec<u8>),
    /// Sets a binary length to the largest unsigned or signed value.
    Longest(Index, usize, u8),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (any::<Index>(), 0u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        4 => (any::<Index>(), prop_oneof![any::<u8>(), opcode()]).prop_map(|(at, byte)| Change::Set(at, byte)),
        1 => any::<Index>().prop_map(Change::Cut),
        1 => (any::<Index>(), 1usize..20).prop_map(|(at, length)| Change::Remove(at, length)),
        1 => (any::<Index>(), 1usize..40, 1usize..50).prop_map(|(at, length, times)| Change::Repeat(at, length, times)),
        2 => (any::<Index>(), prop::collection::vec(opcode(), 1..8)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        2 => (any::<Index>(), any::<Index>(), 1usize..60).prop_map(|(from, to, length)| Change::Replace(from, to, length)),
        1 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..20)).prop_map(|(at, bytes)| Change::Noise(at, bytes)),
        3 => (any::<Index>(), prop::sample::select(vec![1usize, 2, 4, 8]), prop::sample::select(vec![0xffu8, 0x7f]))
            .prop_map(|(at, width, last)| Change::Longest(at, width, last)),
    ]
}

fn apply(file: &mut Vec<u8>, change: &Change) {
    if file.is_empty() {
        return;
    }
    let length = file.len();
    match change {
        Change::Flip(at, bit) => file[at.index(length)] ^= 1 << bit,
        Change::Set(at, byte) => file[at.index(length)] = *byte,
        Change::Cut(at) => file.truncate(at.index(length)),
        Change::Remove(at, count) => {
            let at = at.index(length);
            file.drain(at..length.min(at + count));
        }
        Change::Repeat(at, count, times) => {
            let at = at.index(length);
            let part = file[at..length.min(at + count)].repeat(*times);
            file.splice(at..at, part);
        }
        Change::Insert(at, bytes) => {
            let at = at.index(length);
            file.splice(at..at, bytes.iter().copied());
        }
        Change::Replace(from, to, count) => {
            let from = from.index(length);
            let part = file[from..length.min(from + count)].to_vec();
            overwrite(file, to.index(length), &part);
        }
        Change::Noise(at, bytes) => overwrite(file, at.index(length), bytes),
        Change::Longest(at, width, last) => {
            let mut bytes = vec![0xff; *width];
            bytes[width - 1] = *last;
            overwrite(file, at.index(length), &bytes);
        }
    }
}

fn overwrite(file: &mut [u8], at: usize, bytes: &[u8]) {
    let end = file.len().min(at + bytes.len());
    let count = end - at;
    file[at..end].copy_from_slice(&bytes[..count]);
}

fn opcode() -> impl Strategy<Value = u8> {
    prop::sample::select(b"NIJKMLFGSTUVXBCc)tl]aed}su(012pqrghjRbioPQ.\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\x97".to_vec())
}

/// Opcodes with mostly valid arguments, so that programs run for a while.
fn instruction() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::sample::select(b"N)]}(02\x88\x89\x8f\x94tleauds\x85\x86\x87\x90\x91\x93RbQo\x81\x92.".to_vec())
            .prop_map(|opcode| vec![opcode]),
        2 => (0u8..4).prop_map(|value| vec![b'K', value]),
        2 => (0u8..4).prop_map(|slot| vec![b'h', slot]),
        2 => (0u8..4).prop_map(|slot| vec![b'q', slot]),
        1 => Just(b"\x8c\x07storage".to_vec()),
        1 => Just(b"\x8c\x06latin1".to_vec()),
        1 => Just(b"\x8c\x0astate_dict".to_vec()),
        1 => Just(b"X\x02\0\0\0\xc3\xbf".to_vec()),
        1 => Just(b"c_codecs\nencode\n".to_vec()),
        1 => Just(b"ccollections\nOrderedDict\n".to_vec()),
        1 => Just(b"ctorch._utils\n_rebuild_tensor_v2\n".to_vec()),
        1 => Just(b"ctorch\nFloatStorage\n".to_vec()),
    ]
}

#[test]
fn unchanged_files_are_valid() {
    for file in valid_files() {
        let is_zip = file.starts_with(b"PK");
        assert!(is_zip || read(file, &Limits::default()).is_ok());
        try_everything(file);
    }
}

#[test]
fn truncated_files() {
    for file in valid_files() {
        // All lengths near the start and the end, and some between.
        let step = (file.len() / 300).max(1);
        for length in (0..file.len()).filter(|length| *length < 300 || file.len() - length < 300 || length % step == 0)
        {
            try_everything(&file[..length]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn changed_files(file in any::<Index>(), changes in prop::collection::vec(change(), 1..6)) {
        let mut file = valid_files()[file.index(valid_files().len())].clone();
        for change in &changes {
            apply(&mut file, change);
        }
        try_everything(&file);
    }

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        try_everything(&bytes);
    }

    #[test]
    fn random_opcodes(bytes in prop::collection::vec(opcode(), 0..300)) {
        try_everything(&bytes);
    }

    #[test]
    fn random_programs(instructions in prop::collection::vec(instruction(), 0..200)) {
        try_everything(&instructions.concat());
    }
}

//! Files that try to exhaust time or memory: small files that claim much content, and deeply nested files.

use std::time::{Duration, Instant};

use reeldeck_pickle::checkpoint::{CheckpointError, CheckpointFile};
use reeldeck_pickle::read::{Limits, read};
use reeldeck_pickle::results::{ResultsError, ResultsWriter, Sample, SampleError, read_results};
use reeldeck_pickle::tensor::TensorError;
use reeldeck_pickle::value::Pickle;

use crate::memory;
use crate::python;

/// The memory that a pickle may take: a constant per byte.
pub fn allowed(input_len: usize) -> usize {
    256 * input_len + 100_000
}

fn parse(bytes: &[u8]) -> Pickle<'_> {
    let (peak, result) = memory::peak(|| read(bytes, &Limits::default()));
    assert!(peak <= allowed(bytes.len()), "{} bytes took {peak}", bytes.len());
    result.unwrap().0
}

fn repeated(start: &[u8], repeat: &[u8], times: usize, end: &[u8]) -> Vec<u8> {
    [start, &repeat.repeat(times), end].concat()
}

/// Every opcode with a length, without the bytes that the length announces.
#[test]
fn wrong_lengths_take_no_memory() {
    for (opcode, width) in [
        (b'U', 1),
        (b'C', 1),
        (0x8c, 1),
        (0x8a, 1),
        (b'T', 4),
        (b'B', 4),
        (b'X', 4),
        (0x8b, 4),
        (0x8d, 8),
        (0x8e, 8),
        (0x96, 8),
        (0x95, 8),
        (b'r', 4),
        (b'j', 4),
    ] {
        for last in [0xff, 0x7f, 0x00] {
            let mut length = vec![0xff; width];
            length[width - 1] = last;
            for end in [&b""[..], b".", b"abc."] {
                let bytes = [b"\x80\x05N", &[opcode][..], &length, end].concat();
                let (peak, _) = memory::peak(|| read(&bytes, &Limits::default()).map(drop));
                assert!(peak <= allowed(bytes.len()), "opcode {opcode:#x}: {} bytes took {peak}", bytes.len());
                assert!(read_results(&bytes).is_err());
            }
        }
    }
}

/// A zip archive whose directory announces too much, in each of its numbers.
#[test]
fn wrong_directories_take_no_memory() {
    for name in ["full.pth", "zip64.pth"] {
        let whole = python::fixture(name);
        let end = whole.windows(4).rposition(|window| window == b"PK\x05\x06").unwrap();
        let first = whole.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
        // The end record, in large files the two records before it, and the first entries.
        let places = (end.saturating_sub(76)..end + 22).chain(first..first + 300);
        for at in places {
            for (width, last) in [(2, 0xff), (4, 0xff), (4, 0x7f), (8, 0xff), (8, 0x7f)] {
                let mut bytes = whole.clone();
                let span = at..(at + width).min(bytes.len());
                bytes[span.clone()].fill(0xff);
                bytes[span.end - 1] = last;
                let (peak, _) = memory::peak(|| {
                    let file = CheckpointFile::from_bytes(bytes.clone()).unwrap();
                    file.state_dict().map(drop)
                });
                assert!(peak <= allowed(bytes.len()), "{name}, {width} bytes at {at}: {} took {peak}", bytes.len());
            }
        }
    }
}

/// Thousands of entries that are one part of a file would have to be read thousands of times.
#[test]
fn entries_that_overlap_are_refused() {
    let content = vec![7; 1 << 20];
    let head = |signature: &[u8], name: &str, is_central: bool| {
        let size = (content.len() as u32).to_le_bytes();
        let (version, length) = (if is_central { &[20, 0, 20, 0][..] } else { &[20, 0] }, name.len() as u16);
        let rest = if is_central { &[0; 16][..] } else { &[0; 2] };
        let crc = crc32fast::hash(&content).to_le_bytes();
        [signature, version, &[0; 8], &crc, &size, &size, &length.to_le_bytes(), rest, name.as_bytes()].concat()
    };
    let local = [head(b"PK\x03\x04", "a/data.pkl", false), content.clone()].concat();
    let names = (0..2000).map(|number| format!("a/data/{number}")).chain(["a/data.pkl".to_owned()]);
    let directory: Vec<u8> = names.flat_map(|name| head(b"PK\x01\x02", &name, true)).collect();
    let (size, at) = ((directory.len() as u32).to_le_bytes(), (local.len() as u32).to_le_bytes());
    let count = 2001_u16.to_le_bytes();
    let end = [&b"PK\x05\x06"[..], &[0; 4], &count, &count, &size, &at, &[0; 2]].concat();
    let file = CheckpointFile::from_bytes([local, directory, end].concat()).unwrap();
    let error = file.state_dict().map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("its entries overlap"), "{error}");
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    for bytes in [
        repeated(b"N", b"\x85", 1_000_000, b"."),
        repeated(b"", b"(", 1_000_000, &repeated(b"", b"l", 1_000_000, b".")),
        repeated(b"N", b"Q", 1_000_000, b"."),
        repeated(b"ca\nb\n)", b"R)", 1_000_000, b"R."),
    ] {
        let pickle = parse(&bytes);
        assert!(pickle.len() >= 1_000_000);
        drop(pickle.clone());
    }
    let bytes = python::fixture("deep.pkl");
    assert_eq!(parse(&bytes).len(), 1001);
}

#[test]
fn memory_is_bounded_by_the_length_of_the_input() {
    for repeat in [
        &b"N"[..],
        b"]",
        b")",
        b"(",
        b"2",
        b"\x94",
        b"2\x94",
        b"]2a",
        b"]2\x94a",
        b"))R",
        b"2R2",
        b"2R22sNa",
        b"(l",
        b"(h\0h\0d",
        b"(t",
        b"N2\x86",
        b"K\x01(h\0h\0h\0t",
        b"U\0U\0\x93",
        b"}(h\0h\0u",
        b"ca\nb\n",
        b"X\x01\0\0\0\xff",
        b"V\\u20ac\n",
    ] {
        // A value on the stack, one in the memo, and a mark that limits what the repeated opcodes take.
        let bytes = repeated(b"Nq\0(N", repeat, 200_000 / repeat.len(), b"");
        let (peak, result) = memory::peak(|| read(&bytes, &Limits::default()).map(|_| ()));
        assert_eq!(result.unwrap_err().offset, bytes.len(), "{repeat:?} is not a program");
        assert!(peak <= allowed(bytes.len()), "{repeat:?}: {} bytes took {peak}", bytes.len());
    }
}

#[test]
fn long_decimals_take_little_time() {
    let number = format!("L{}L\n0", "9".repeat(4300));
    let bytes = repeated(b"", number.as_bytes(), 500, b"N.");
    let start = Instant::now();
    parse(&bytes);
    assert!(start.elapsed() < Duration::from_secs(120));
}

#[test]
fn repeated_references_to_a_result_are_refused() {
    let scores = vec![0.5; 7000];
    let mut writer = ResultsWriter::new(Vec::new()).unwrap();
    writer.push(&Sample { scores: &scores, clips: 10, classes: 700, label: 1, img_shape: (256, 256) }).unwrap();
    let one = writer.finish().unwrap();
    // Replace the last opcodes, APPEND and STOP, by opcodes that append the dict many times.
    let dict = one.strip_suffix(b"a.").unwrap();
    let bytes = repeated(&[dict, b"q\x09a"].concat(), b"h\x09a", 100_000, b".");
    let (peak, result) = memory::peak(|| read_results(&bytes));
    assert!(matches!(result, Err(ResultsError::Sample { problem: SampleError::TooMuch, .. })), "{result:?}");
    assert!(peak <= allowed(bytes.len()), "{} bytes took {peak}", bytes.len());

    // Many references to one huge dict.
    let huge = repeated(b"](}q\0(", b"NN", 500_000, b"u");
    let bytes = repeated(&huge, b"h\0", 500_000, b"e.");
    assert!(read_results(&bytes).is_err());
}

#[test]
fn an_expanded_score_tensor_is_refused() {
    let mut writer = ResultsWriter::new(Vec::new()).unwrap();
    writer.push(&Sample { scores: &[0.5; 6], clips: 2, classes: 3, label: 1, img_shape: (256, 256) }).unwrap();
    let bytes = writer.finish().unwrap();
    // Change shape (2, 3) and strides (3, 1) to (2, 200) and (0, 0).
    let from = b"K\0(K\x02K\x03t(K\x03K\x01t";
    let to = b"K\0(K\x02K\xc8t(K\0K\0t";
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    let mut expanded = bytes.clone();
    expanded[at..at + to.len()].copy_from_slice(to);
    let error = read_results(&expanded).unwrap_err();
    assert!(matches!(error, ResultsError::Sample { problem: SampleError::TooMuch, .. }), "{error}");
}

/// A legacy file with the value `pickle` and a storage `0` of one float.
fn legacy(pickle: &[u8]) -> Vec<u8> {
    let head = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.";
    [head, pickle, b"](U\x010e.", &1u64.to_le_bytes(), &[0; 4]].concat()
}

/// A tensor over this storage; `shape` and `strides` are pickled tuples.
fn tensor(shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let head = b"ctorch._utils\n_rebuild_tensor\n((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x01tQK\0";
    [head, shape, strides, b"tR"].concat()
}

#[test]
fn a_hugely_expanded_tensor_is_refused() {
    // A million rows of a million columns, all the same element.
    let million = b"J\x40\x42\x0f\0";
    let bytes = legacy(&[b"}U\x01a", &*tensor(&[million, &b"K\x04\x86"[..]].concat(), b"K\0K\0\x86"), b"s."].concat());
    let file = CheckpointFile::from_bytes(bytes).unwrap();
    assert_eq!(file.state_dict().unwrap()[0].1.len(), 4_000_000);

    let bytes = legacy(&[b"}U\x01a", &*tensor(&[million, &b"K\x05\x86"[..]].concat(), b"K\0K\0\x86"), b"s."].concat());
    let file = CheckpointFile::from_bytes(bytes).unwrap();
    let error = file.state_dict().unwrap_err();
    assert!(matches!(error, CheckpointError::Tensor { problem: TensorError::Expanded { .. }, .. }), "{error}");
}

#[test]
fn repeated_references_to_long_values_are_not_copied() {
    // Many references to a tensor with a million dimensions.
    let long = repeated(b"(", b"K\x01", 1_000_000, b"tq\0");
    let bad = tensor(&long, b"h\0");
    let names: Vec<u8> =
        (0..50_000).flat_map(|name: u32| [&b"K\x01U\x06"[..], format!("{name:06}").as_bytes()].concat()).collect();
    let bytes = legacy(&[b"}(", &*names, b"U\x01a", &*bad, b"u."].concat());
    let file = CheckpointFile::from_bytes(bytes).unwrap();
    assert!(matches!(file.state_dict(), Err(CheckpointError::Damaged { .. })));

    // Many references to a name of a megabyte.
    let name = [&b"X\x40\x42\x0f\0"[..], &[b'a'; 1_000_000], b"q\0"].concat();
    let bytes =
        legacy(&[b"}(", &*name, b"N", &*b"h\0N".repeat(300_000), b"U\x01a", &*tensor(b")", b")"), b"u."].concat());
    let start = Instant::now();
    let file = CheckpointFile::from_bytes(bytes).unwrap();
    assert!(matches!(file.state_dict(), Err(CheckpointError::LongName(1_000_000))));
    assert!(start.elapsed() < Duration::from_secs(120));
}

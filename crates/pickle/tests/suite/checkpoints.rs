//! Tests of checkpoints that PyTorch and reeldeck write, and of files that are not checkpoints.

use std::io::Cursor;
use std::path::Path;

use proptest::prelude::*;
use reeldeck_pickle::checkpoint::{CheckpointError, CheckpointFile, TensorData, TensorEntry, write_checkpoint};
use reeldeck_pickle::tensor::Dtype;
use reeldeck_pickle::value::Pickle;

use crate::python::{self, fixture, fixture_path, to_hex};

fn error_of(name: &str) -> String {
    let error = CheckpointFile::open(&fixture_path(name)).and_then(|file| file.state_dict().map(|_| ()));
    error.unwrap_err().to_string()
}

/// The entries of the dict `meta` whose values are text.
fn meta(pickle: &Pickle<'_>) -> Vec<(String, String)> {
    let entries = pickle.field(pickle.root(), "meta").and_then(|meta| pickle.entries(meta)).unwrap_or_default();
    let text = |id| pickle.as_str(id).map(str::to_owned);
    entries.iter().filter_map(|&(key, value)| Some((text(key)?, text(value)?))).collect()
}

/// Name, type, shape and elements.
fn tensors_of(bytes: Vec<u8>) -> Vec<(String, Dtype, Vec<usize>, Vec<f32>)> {
    let file = CheckpointFile::from_bytes(bytes).unwrap();
    let tensors = file.state_dict().unwrap();
    tensors.into_iter().map(|(name, t)| (name, t.dtype(), t.shape().to_vec(), t.to_f32())).collect()
}

/// The state dict of `fixtures.py`.
fn expected() -> Vec<(String, Dtype, Vec<usize>, Vec<f32>)> {
    let counting: Vec<f32> = (0..12).map(|value| value as f32).collect();
    let transposed = vec![0.0, 4.0, 8.0, 1.0, 5.0, 9.0, 2.0, 6.0, 10.0, 3.0, 7.0, 11.0];
    let tensors: Vec<(&str, Dtype, Vec<usize>, Vec<f32>)> = vec![
        ("whole", Dtype::F32, vec![3, 4], counting),
        ("transposed", Dtype::F32, vec![4, 3], transposed),
        ("part", Dtype::F32, vec![2, 2], vec![5.0, 7.0, 9.0, 11.0]),
        ("expanded", Dtype::F32, vec![2, 3], vec![11.0; 6]),
        ("half", Dtype::F16, vec![3], vec![0.5, -1.0, 65504.0]),
        ("bfloat16", Dtype::Bf16, vec![2], vec![1.0, 3.140625]),
        ("steps", Dtype::I64, vec![], vec![-7.0]),
        ("double", Dtype::F64, vec![2, 1], vec![0.1, f32::INFINITY]),
        ("bool", Dtype::Bool, vec![2], vec![1.0, 0.0]),
        ("parameter", Dtype::F32, vec![2], vec![2.0, 5.0]),
        ("subclass", Dtype::F32, vec![1], vec![1.0]),
        ("old", Dtype::F32, vec![1, 1], vec![3.0]),
        ("empty", Dtype::F32, vec![0, 4], vec![]),
    ];
    tensors.into_iter().map(|(name, dtype, shape, values)| (name.to_owned(), dtype, shape, values)).collect()
}

#[test]
fn every_format_of_torch_save_gives_the_same_tensors() {
    let zips = ["full.pth", "bare.pth", "zip64.pth", "pipe.pth"].map(str::to_owned);
    // PyTorch cannot read protocol 0 either, whose persistent ids are text.
    let legacy = (1..6).map(|protocol| format!("legacy{protocol}.pth"));
    for name in zips.into_iter().chain(legacy) {
        assert_eq!(tensors_of(fixture(&name)), expected(), "{name}");
    }
}

#[test]
fn other_values_in_a_checkpoint_are_skipped() {
    for name in ["full.pth", "legacy2.pth"] {
        let file = CheckpointFile::open(&fixture_path(name)).unwrap();
        assert_eq!(file.bytes(), fixture(name));
        let checkpoint = file.read().unwrap();
        assert_eq!(checkpoint.top_level_keys(), ["meta", "state_dict", "optimizer", "message_hub"]);
        assert_eq!(meta(checkpoint.pickle()), [("cfg".to_owned(), "a = 1\n".to_owned())]);
        let skipped = checkpoint.state_dict().unwrap().skipped;
        assert_eq!(skipped.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["epoch", "sparse"]);
    }
}

#[test]
fn legacy_files_may_have_views_and_unsupported_types() {
    let tensors = tensors_of(fixture("legacy_views.pth"));
    assert_eq!(tensors, [("part".to_owned(), Dtype::F32, vec![3], vec![5.0, 6.0, 7.0])]);
}

#[test]
fn code_in_a_checkpoint_is_not_run() {
    for name in ["attack.pth", "legacy_attack.pth"] {
        let file = CheckpointFile::open(&fixture_path(name)).unwrap();
        let checkpoint = file.read().unwrap();
        let state_dict = checkpoint.state_dict().unwrap();
        assert_eq!(state_dict.tensors.len(), expected().len());
        assert!(state_dict.skipped.iter().any(|(name, _)| name == "attack"));
        let attack = checkpoint.pickle().field(checkpoint.pickle().root(), "attack").unwrap();
        assert_eq!(checkpoint.pickle().call(attack).unwrap().name, "system");
    }
    assert!(fixture_path("would_be_executed").exists());
    assert!(!fixture_path("executed").exists());
}

#[test]
fn errors_describe_the_problem() {
    for (name, words) in [
        ("bigendian.pth", "big-endian"),
        ("legacy_bigendian.pth", "big-endian"),
        ("compressed.pth", "entry \"root/byteorder\" is compressed"),
        ("script.pth", "TorchScript"),
        ("missing.pth", "failed to read tensor \"whole\": its data is not all there"),
        ("short.pth", "failed to read tensor \"whole\": its data is not all there"),
        ("model.pth", "save `model.state_dict()`"),
        ("tensor_past.pth", "failed to read tensor \"past\": shape [3, 4] reaches past the 12 elements"),
        ("tensor_negative.pth", "failed to read tensor \"negative\": it is a damaged tensor"),
        ("tensor_huge.pth", "failed to read tensor \"huge\": shape [1099511627776, 1099511627776] is too large"),
        ("tensor_strides.pth", "failed to read tensor \"strides\": it has 1 dimensions and 2 strides"),
        ("tensor_nowhere.pth", "failed to read tensor \"nowhere\": it is a damaged tensor"),
        ("buffers.pkl", "plain pickle"),
    ] {
        let error = error_of(name);
        assert!(error.contains(words), "{name}: {error}");
    }
}

#[test]
fn a_state_dict_may_be_under_the_key_model() {
    let file = CheckpointFile::open(&fixture_path("keys.pth")).unwrap();
    assert!(!file.state_dict().unwrap().is_empty());
}

#[test]
fn a_truncated_file_is_reported_as_an_unfinished_download() {
    for name in ["full.pth", "legacy2.pth"] {
        let whole = fixture(name);
        for length in [2, 20, 100, whole.len() / 2, whole.len() - 30] {
            let read = CheckpointFile::from_bytes(whole[..length].to_vec());
            let error = read.and_then(|file| file.state_dict().map(|_| ())).unwrap_err().to_string();
            assert!(error.contains("the download did not finish"), "{name}, {length} bytes: {error}");
        }
    }
}

#[test]
fn missing_and_irregular_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let missing = CheckpointFile::open(&folder.path().join("none.pth")).unwrap_err();
    assert!(missing.to_string().contains("none.pth"));
    assert!(matches!(CheckpointFile::open(folder.path()), Err(CheckpointError::Open { .. })));
    std::fs::write(folder.path().join("empty.pth"), b"").unwrap();
    let empty = CheckpointFile::open(&folder.path().join("empty.pth")).unwrap_err();
    assert_eq!(empty.to_string(), "the file is empty; remove it and download it again");
}

fn write(entries: &[TensorEntry<'_>], meta: &[(&str, &str)]) -> Vec<u8> {
    write_checkpoint(Cursor::new(Vec::new()), "state_dict", entries.iter().copied(), meta).unwrap().into_inner()
}

#[test]
fn python_reads_what_is_written() {
    let weight: Vec<f32> = (0..24).map(|value| value as f32 * 0.1).collect();
    let entries = [
        TensorEntry { name: "weight", shape: &[2, 3, 4], data: TensorData::F32(&weight) },
        TensorEntry { name: "steps", shape: &[], data: TensorData::I64(&[i64::MIN]) },
        TensorEntry { name: "nothing", shape: &[0, 3], data: TensorData::F32(&[]) },
    ];
    let bytes = write(&entries, &[("name", "zwölf\n"), ("empty", "")]);
    assert_eq!(bytes, write(&entries, &[("name", "zwölf\n"), ("empty", "")]));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ours.pth");
    std::fs::write(&path, &bytes).unwrap();
    let printed = python::run("load_checkpoint.py", &[path.as_os_str()]);
    let weight_hex = to_hex(&weight.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>());
    let expected = [
        format!("name {}", to_hex("zwölf\n".as_bytes())),
        "empty ".into(),
        "OrderedDict".into(),
        format!("weight FloatStorage 24 (2, 3, 4) (12, 4, 1) {weight_hex}"),
        format!("steps LongStorage 1 () () {}", to_hex(&i64::MIN.to_le_bytes())),
        "nothing FloatStorage 0 (0, 3) (3, 1) ".into(),
    ];
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);

    // Storages have PyTorch's alignment.
    let file = CheckpointFile::open(&path).unwrap();
    for (name, tensor) in file.state_dict().unwrap() {
        let offset = tensor.storage().as_ptr() as usize - file.bytes().as_ptr() as usize;
        assert_eq!(offset % 64, 0, "{name}");
    }
}

/// The numbers of a tensor have no redundancy: only the checksum of the entry shows that a bit has changed.
#[test]
fn a_changed_bit_in_an_entry_is_found() {
    let entries = [
        TensorEntry { name: "a", shape: &[3], data: TensorData::F32(&[0.25, 0.5, 0.75]) },
        TensorEntry { name: "b", shape: &[2], data: TensorData::I64(&[0x1122_3344, 0x5566_7788]) },
    ];
    let whole = write(&entries, &[]);
    let numbers = |bytes: &[u8]| bytes.to_vec();
    for (name, content) in [
        ("archive/data/0", numbers(&0.5f32.to_le_bytes())),
        ("archive/data/1", numbers(&0x5566_7788_i64.to_le_bytes())),
        ("archive/data.pkl", numbers(b"_rebuild_tensor_v2")),
        ("archive/byteorder", numbers(b"little")),
    ] {
        let at = whole.windows(content.len()).position(|window| window == content).unwrap();
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        let read = CheckpointFile::from_bytes(damaged).unwrap().state_dict().map(|_| ());
        let error = read.unwrap_err().to_string();
        assert!(error.contains(&format!("zip entry {name:?} is wrong")), "{name}: {error}");
    }
}

#[test]
fn invalid_tensors_are_not_written() {
    let write = |entries: Vec<TensorEntry<'_>>| write_checkpoint(Cursor::new(Vec::new()), "state_dict", entries, &[]);
    let entry = TensorEntry { name: "a", shape: &[2], data: TensorData::F32(&[1.0, 2.0]) };
    assert!(write(vec![entry]).is_ok());
    assert!(write(vec![entry, entry]).unwrap_err().to_string().contains("twice"));
    let error = write(vec![TensorEntry { shape: &[3], ..entry }]).unwrap_err().to_string();
    assert!(error.contains("shape [3] does not fit its 2 elements"), "{error}");
    assert!(write(vec![TensorEntry { shape: &[usize::MAX, 3], ..entry }]).is_err());
}

#[test]
fn a_large_state_dict_is_read_back_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path: &Path = &folder.path().join("model.pth");
    let values: Vec<Vec<f32>> = (0..300).map(|tensor| vec![tensor as f32 * 0.5; 1 + tensor % 7]).collect();
    let names: Vec<String> = (0..300).map(|tensor| format!("layer.{tensor}.weight")).collect();
    let shapes: Vec<[usize; 2]> = values.iter().map(|values| [values.len(), 1]).collect();
    let entries = (0..300).map(|tensor| TensorEntry {
        name: &names[tensor],
        shape: &shapes[tensor],
        data: TensorData::F32(&values[tensor]),
    });
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    write_checkpoint(&mut file, "state_dict", entries, &[]).unwrap();
    drop(file);

    let file = CheckpointFile::open(path).unwrap();
    let tensors = file.state_dict().unwrap();
    assert_eq!(tensors.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), names);
    for ((_, tensor), values) in tensors.iter().zip(&values) {
        assert_eq!(&tensor.to_f32(), values);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn written_checkpoints_are_read_back(
        tensors in prop::collection::vec((any::<String>(), prop::collection::vec(0usize..5, 0..5), any::<u32>()), 1..10),
        metadata in prop::collection::vec((any::<String>(), any::<String>()), 0..5),
    ) {
        let mut seen = std::collections::HashSet::new();
        let tensors: Vec<_> = tensors.into_iter().filter(|(name, _, _)| seen.insert(name.clone())).collect();
        // All bit patterns, including NaN.
        let value = |seed: u32, index: usize| f32::from_bits(seed.wrapping_mul(index as u32 + 1));
        let count = |shape: &[usize]| shape.iter().product::<usize>();
        let floats: Vec<Vec<f32>> =
            tensors.iter().map(|(_, shape, seed)| (0..count(shape)).map(|index| value(*seed, index)).collect()).collect();
        let ints: Vec<Vec<i64>> =
            floats.iter().map(|values| values.iter().map(|value| i64::from(value.to_bits()) << 20).collect()).collect();
        let entries: Vec<_> = tensors.iter().enumerate().map(|(index, (name, shape, seed))| TensorEntry {
            name,
            shape,
            data: if seed % 2 == 0 { TensorData::F32(&floats[index]) } else { TensorData::I64(&ints[index]) },
        }).collect();
        let entries_of_meta: Vec<_> = metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();

        let file = CheckpointFile::from_bytes(write(&entries, &entries_of_meta)).unwrap();
        let checkpoint = file.read().unwrap();
        let read = checkpoint.state_dict().unwrap();
        prop_assert!(read.skipped.is_empty());
        prop_assert_eq!(read.tensors.len(), entries.len());
        for ((name, tensor), entry) in read.tensors.iter().zip(&entries) {
            prop_assert_eq!(name, entry.name);
            prop_assert_eq!(tensor.shape(), entry.shape);
            match entry.data {
                TensorData::F32(values) => {
                    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                    prop_assert_eq!(bits(&tensor.to_f32()), bits(values));
                }
                TensorData::I64(values) => prop_assert_eq!(tensor.to_i64().unwrap(), values),
            }
        }
        let written: Vec<_> = entries_of_meta.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        prop_assert_eq!(meta(checkpoint.pickle()), written);
    }
}

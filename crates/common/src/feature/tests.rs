//! Tests of the feature file.

use super::*;
use crate::recipe::Model;
use crate::recipe::Precision;
use crate::source::SourceStamp;
use crate::video::VideoName;
use proptest::prelude::*;
use safetensors::tensor::TensorView;

fn sample() -> Feature {
    let recipe = Recipe::find("slowonly-r50-8x8-k700").unwrap();
    let matrix =
        |columns: usize| Matrix { shape: [100, columns], data: (0..100 * columns).map(|i| i as f32 * 0.5).collect() };
    Feature {
        provenance: Provenance {
            format: FORMAT,
            tool: "reeldeck test".into(),
            set: recipe.set_name("d"),
            recipe,
            checkpoint: CheckpointId { name: "a.pth".into(), digest: "d".into(), synthetic_weights: false },
            video: VideoName::new("A/v.mp4").unwrap(),
            source: SourceStamp { size: 1, mtime_ns: -5 },
            frames: FrameCounts { expected: 300, output: 290, concealed: 2 },
            resampled: None,
            fps: [30000, 1001],
            size: [340, 256],
            precision: Precision::Fp32,
            device: "cpu".into(),
            libtorch: "2.11.0".into(),
            convolutions: None,
            nvdec: false,
            expected_from: Some(ExpectedFrom::SampleTable),
        },
        tensors: [("logits".into(), matrix(700)), ("pooled".into(), matrix(2048))].into(),
    }
}

#[test]
fn features_are_read_back_and_have_stable_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x/v.mp4.safetensors");
    let feature = sample();
    feature.write(&path, &Owner::this_process()).unwrap();
    assert!(Feature::read(&path).unwrap() == feature);
    let header = Header::read(&path).unwrap();
    assert_eq!(header, feature.header().unwrap());
    assert!(header.satisfies(&feature.provenance.recipe));
    for _ in 0..20 {
        assert_eq!(feature.to_bytes().unwrap(), std::fs::read(&path).unwrap());
    }
}

/// The file as the safetensors crate writes it, which is the format.
#[test]
fn a_file_has_the_bytes_that_the_safetensors_crate_writes() {
    let feature = sample();
    let numbers: Vec<_> = feature.tensors.iter().map(|(name, m)| (name, m.shape, little_endian(&m.data))).collect();
    let view = |shape: [usize; 2], data| TensorView::new(Dtype::F32, shape.to_vec(), data).unwrap();
    let views = numbers.iter().map(|(name, shape, data)| (name.as_str(), view(*shape, data)));
    let xxh3 = checksum(&feature.provenance, &feature.tensors).unwrap();
    let sealed = serde_json::to_string(&Sealed { provenance: feature.provenance.clone(), xxh3 }).unwrap();
    let expected = safetensors::serialize(views, Some([(KEY.to_owned(), sealed)].into())).unwrap();
    assert!(feature.to_bytes().unwrap() == expected);
}

/// Portions of rows, few and many, in memory and beyond.
#[test]
fn rows_that_come_one_by_one_make_the_same_file() {
    let dir = tempfile::tempdir().unwrap();
    let owner = Owner::this_process();
    for (rows, portion) in [(100, 1), (7, 3), (3000, 64)] {
        let path = dir.path().join(format!("x/{rows}.safetensors"));
        let mut feature = sample();
        let matrix = |columns| Matrix { shape: [rows, columns], data: (0..rows * columns).map(|i| i as f32).collect() };
        feature.tensors = [("logits".into(), matrix(700)), ("pooled".into(), matrix(2048))].into();
        let mut writer = FeatureWriter::new(&path, &feature.provenance.video, &owner);
        let push = |writer: &mut FeatureWriter| {
            for output in [Output::Pooled, Output::Logits] {
                let Matrix { shape, data } = &feature.tensors[output.name()];
                data.chunks(portion * shape[1]).for_each(|rows| writer.push(output, shape[1], rows).unwrap());
            }
        };
        push(&mut writer);
        // A pass that turns out to be inexact starts over.
        writer.clear();
        push(&mut writer);
        assert!(writer.matrices_in_memory().iter().all(|bytes| *bytes < 4 << 20), "{rows} rows");
        writer.finish(&feature.provenance).unwrap();
        assert!(std::fs::read(&path).unwrap() == feature.to_bytes().unwrap(), "{rows} rows");
    }
    assert_eq!(std::fs::read_dir(dir.path().join("x")).unwrap().count(), 3, "nothing else is left");
}

#[test]
fn a_row_that_is_not_complete_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let feature = sample();
    let path = dir.path().join("x/v.safetensors");
    let mut writer = FeatureWriter::new(&path, &feature.provenance.video, &Owner::this_process());
    writer.push(Output::Logits, 700, &[0.0; 701]).unwrap();
    assert!(writer.finish(&feature.provenance).unwrap_err().to_string().contains("not complete"));
    assert!(!path.exists());
}

#[test]
fn extreme_numbers_from_a_file_do_not_overflow() {
    let all = u64::MAX;
    for (expected, output, concealed, damage) in
        [(all, 0, all, 1.0), (0, all, all, 1.0), (all, all, 0, 0.0), (0, 0, 0, 0.0), (0, 0, 2, 2.0), (10, 8, 3, 0.5)]
    {
        let counts = FrameCounts { expected, output, concealed };
        assert_eq!((counts.damage(), counts.is_damaged()), (damage, damage > 0.0), "{counts:?}");
    }
    let mut recipe = sample().provenance.recipe;
    if let Model::Slowonly(model) = &mut recipe.model {
        model.base_channels = usize::MAX;
    }
    assert_eq!(recipe.columns(crate::recipe::Output::Pooled), usize::MAX);
}

#[test]
fn a_missing_output_is_detected() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v");
    let mut feature = sample();
    feature.tensors.remove("pooled");
    feature.write(&path, &Owner::this_process()).unwrap();
    let mut recipe = feature.provenance.recipe.clone();
    assert!(Header::read(&path).unwrap().satisfies(&recipe));
    recipe.outputs.push(crate::recipe::Output::Pooled);
    assert!(!Header::read(&path).unwrap().satisfies(&recipe));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_changed_byte_is_detected(at in 0..1_000_000usize, bit in 0..8u8) {
        let mut bytes = sample().to_bytes().unwrap();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        // A change of the header's padding has no effect. Any other change must be detected.
        if let Ok(read) = Feature::from_bytes(&bytes) {
            prop_assert_eq!(read, sample());
        }
    }

    #[test]
    fn truncated_and_random_files_are_refused(cut in 0..1_000_000usize, noise in proptest::collection::vec(any::<u8>(), 0..400)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v");
        let bytes = sample().to_bytes().unwrap();
        std::fs::write(&path, &bytes[..cut % bytes.len()]).unwrap();
        prop_assert!(Header::read(&path).is_err() && Feature::read(&path).is_err());
        std::fs::write(&path, &noise).unwrap();
        prop_assert!(Header::read(&path).is_err() && Feature::read(&path).is_err());
    }
}

//! Tests of `result.pkl` files that reeldeck and MMAction2 write.

use std::io::{self, Write};

use proptest::prelude::*;
use reeldeck_pickle::results::{ResultSample, Results, ResultsError, ResultsWriter, Sample, SampleError, read_results};

use crate::memory;
use crate::python::{self, from_hex, to_hex};

fn hex_of(values: &[f32]) -> String {
    to_hex(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
}

fn hex_of_ints(values: &[i64]) -> String {
    to_hex(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
}

#[test]
fn python_loads_what_is_written() {
    let first: Vec<f32> = vec![1.5, -2.0, f32::NAN, 0.1, 7.0, 7.0];
    let second: Vec<f32> = (0..200 * 3).map(|value| (value as f32).sin()).collect();
    let best: Vec<i64> =
        second.chunks(3).map(|row| (0..3).max_by(|&a: &usize, &b| row[a].total_cmp(&row[b])).unwrap() as i64).collect();
    let mut writer = ResultsWriter::new(Vec::new()).unwrap();
    writer.push(&Sample { scores: &first, clips: 2, classes: 3, label: -1, img_shape: (256, 256) }).unwrap();
    writer.push(&Sample { scores: &second, clips: 200, classes: 3, label: 1 << 40, img_shape: (224, 340) }).unwrap();
    writer.push(&Sample { scores: &[], clips: 0, classes: 3, label: 0, img_shape: (1, 1) }).unwrap();
    let bytes = writer.finish().unwrap();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result.pkl");
    std::fs::write(&path, &bytes).unwrap();
    let printed = python::run("load_results.py", &[path.as_os_str()]);
    let keys = "['img_shape', 'num_classes', 'pred_score', 'gt_label', 'pred_label', 'pred_scores']";
    let expected = [
        format!("{keys} (256, 256) 2"),
        format!("pred_score FloatStorage 6 (2, 3) (3, 1) {}", hex_of(&first)),
        format!("gt_label LongStorage 1 (1,) (1,) {}", hex_of_ints(&[-1])),
        format!("pred_label LongStorage 2 (2, 1) (1, 1) {}", hex_of_ints(&[2, 1])),
        format!("{keys} (224, 340) 200"),
        format!("pred_score FloatStorage 600 (200, 3) (3, 1) {}", hex_of(&second)),
        format!("gt_label LongStorage 1 (1,) (1,) {}", hex_of_ints(&[1 << 40])),
        format!("pred_label LongStorage 200 (200, 1) (1, 1) {}", hex_of_ints(&best)),
        format!("{keys} (1, 1) 0"),
        "pred_score FloatStorage 0 (0, 3) (3, 1) ".into(),
        format!("gt_label LongStorage 1 (1,) (1,) {}", hex_of_ints(&[0])),
        "pred_label LongStorage 0 (0, 1) (1, 1) ".into(),
    ];
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
    assert_eq!(read_results(&bytes).unwrap()[1].scores, second);
}

#[test]
fn files_of_mmaction2_are_read_in_all_protocols() {
    let expected = [
        ResultSample { scores: vec![0.5, -1.0, 2.0, 3.0, 4.0, 5.0], shape: vec![2, 3], label: Some(42) },
        ResultSample { scores: vec![7.0, 8.0, 9.0], shape: vec![3], label: Some(42) },
        ResultSample { scores: vec![7.0, 8.0, 9.0], shape: vec![3], label: Some(5) },
        ResultSample { scores: vec![7.0, 8.0, 9.0], shape: vec![3], label: None },
    ];
    for (protocol, line) in python::run("make_results.py", &[]).lines().enumerate() {
        assert_eq!(read_results(&from_hex(line)).unwrap(), expected, "protocol {protocol}");
    }
}

#[test]
fn arrays_of_numpy_are_read_in_all_versions_and_protocols() {
    let sample =
        |scores: &[f32], shape: &[usize]| ResultSample { scores: scores.to_vec(), shape: shape.to_vec(), label: None };
    let expected = [
        sample(&[0.5, -1.0, 2.0, 3.0, 4.0, 5.0], &[2, 3]),
        // The same in column-major order.
        sample(&[0.5, -1.0, 2.0, 3.0, 4.0, 5.0], &[2, 3]),
        // float64 and float16.
        sample(&[0.1, -2.0], &[2]),
        sample(&[0.5, 65504.0], &[1, 2]),
        ResultSample { label: Some(7), ..sample(&[7.0, 8.0, 9.0], &[3]) },
    ];
    let printed = python::run("make_arrays.py", &[]);
    for line in printed.lines() {
        let (what, hex) = line.split_once(' ').unwrap();
        let bytes = from_hex(hex);
        let results = Results::parse(&bytes).unwrap();
        let samples: Vec<_> = results.samples().collect::<Result<_, _>>().unwrap();
        assert_eq!(samples, expected, "{what}");
        let names: Vec<_> = (0..5).map(|at| format!("v_{at}")).collect();
        assert_eq!(results.names(), (what == "dict").then_some(names.as_slice()));
    }
    assert_eq!(printed.lines().count(), 2 * 2 * 6);
}

#[test]
fn files_of_torch_save_are_read() {
    for file in ["features.pth", "features-legacy.pth"] {
        let bytes = python::fixture(file);
        let results = Results::parse(&bytes).unwrap();
        assert_eq!(results.names().unwrap(), ["v_a", "v_b"], "{file}");
        let samples: Vec<_> = results.samples().collect::<Result<_, _>>().unwrap();
        assert_eq!((samples[0].shape.as_slice(), samples[0].scores[11]), (&[3, 4][..], 11.0));
        assert_eq!(
            (samples[1].shape.as_slice(), samples[1].scores.as_slice()),
            (&[1, 3][..], &[0.5, -1.0, 65504.0][..])
        );
        assert!(matches!(Results::parse(&bytes[..bytes.len() - 30]), Err(ResultsError::Saved(_))));
    }
}

#[test]
fn an_empty_list_is_valid() {
    let bytes = ResultsWriter::new(Vec::new()).unwrap().finish().unwrap();
    assert!(Results::parse(&bytes).unwrap().is_empty());
    assert_eq!(read_results(&bytes).unwrap(), []);
}

#[test]
fn other_content_is_refused() {
    assert_eq!(read_results(b"K\x01.").unwrap_err(), ResultsError::NotAList);
    assert!(matches!(read_results(b"").unwrap_err(), ResultsError::Pickle(_)));
    let problem = |bytes| match read_results(bytes).unwrap_err() {
        ResultsError::Sample { index: 0, problem } => problem,
        error => panic!("{error}"),
    };
    assert_eq!(problem(b"]K\x01a."), SampleError::NotADict);
    assert_eq!(problem(b"](}l."), SampleError::NoScores);
    assert!(matches!(problem(b"(}(X\x0a\0\0\0pred_scoreK\x01ul."), SampleError::NotATensor(_)));
}

/// Counts the bytes that it receives.
struct Sink(u64);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn memory_does_not_grow_with_the_number_of_videos() {
    let scores = vec![0.25; 10 * 700];
    let write = |videos| {
        let mut writer = ResultsWriter::new(Sink(0)).unwrap();
        for label in 0..videos {
            writer.push(&Sample { scores: &scores, clips: 10, classes: 700, label, img_shape: (256, 256) }).unwrap();
        }
        writer.finish().unwrap().0
    };
    let (peak_of_two, _) = memory::peak(|| write(2));
    let (peak_of_many, written) = memory::peak(|| write(500));
    assert!(written > 500 * 28_000);
    // A longer key may enlarge the buffer of a tensor.
    assert!(peak_of_many < 2 * peak_of_two, "{peak_of_two} {peak_of_many}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn written_results_are_read_back(
        samples in prop::collection::vec((0usize..5, 1usize..20, any::<i64>(), any::<u32>()), 0..8),
    ) {
        let bits = |seed: u32, index: usize| seed.wrapping_mul(index as u32 + 1);
        let scores = |&(clips, classes, _, seed): &(usize, usize, i64, u32)| -> Vec<f32> {
            (0..clips * classes).map(|index| f32::from_bits(bits(seed, index))).collect()
        };
        let mut writer = ResultsWriter::new(Vec::new()).unwrap();
        for sample in &samples {
            let &(clips, classes, label, _) = sample;
            writer.push(&Sample { scores: &scores(sample), clips, classes, label, img_shape: (256, 256) }).unwrap();
        }
        let read = read_results(&writer.finish().unwrap()).unwrap();
        prop_assert_eq!(read.len(), samples.len());
        for (read, sample) in read.iter().zip(&samples) {
            prop_assert_eq!(hex_of(&read.scores), hex_of(&scores(sample)));
            prop_assert_eq!(&read.shape, &[sample.0, sample.1]);
            prop_assert_eq!(read.label, Some(sample.2));
        }
    }
}

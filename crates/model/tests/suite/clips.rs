//! Tests of the clip runner: its results do not depend on how frames arrive, and missing frames are errors.

use reeldeck_common::recipe::Precision;
use reeldeck_model::clips::{ClipRunner, Outputs};
use reeldeck_model::fast::FastModel;
use reeldeck_model::{Algorithm, ModelError};

use crate::support::{Net, clips, frame, needed, relative, run};

const CROP: usize = 64;

fn net() -> Net {
    Net::new(50, [0, 0, 1, 1], CROP, 8)
}

fn bits(outputs: &Outputs) -> Vec<u32> {
    outputs.logits.iter().chain(&outputs.pooled).map(|v| v.to_bits()).collect()
}

#[test]
fn the_same_frames_give_the_same_bits() {
    let net = net();
    for precision in [Precision::Fp32, Precision::Bf16] {
        let model = net.fast(precision);
        for (total, batch) in [(30, 4), (100, 1), (100, 3), (333, 4)] {
            let clips = clips(total, 10, 8);
            let first = bits(&run(&model, &clips, batch, CROP).unwrap());
            for _ in 0..3 {
                assert!(first == bits(&run(&model, &clips, batch, CROP).unwrap()), "{total} frames, batch {batch}");
            }
            let other = net.fast(precision);
            assert!(first == bits(&run(&other, &clips, batch, CROP).unwrap()), "loaded again");
        }
    }
}

#[test]
fn winograd_gives_the_same_bits_again() {
    let (net, clips) = (net(), clips(100, 10, 8));
    let first = bits(&run(&net.using(&[Algorithm::Winograd]), &clips, 3, CROP).unwrap());
    for model in [net.using(&[Algorithm::Winograd]), net.using(&[Algorithm::Winograd])] {
        assert!(first == bits(&run(&model, &clips, 3, CROP).unwrap()));
    }
}

/// Pushes frames of two videos alternately, in bursts of varying length, with pauses.
fn interleaved(model: &FastModel, a: &[Vec<u64>], b: &[Vec<u64>]) -> [Outputs; 2] {
    let mut runners = [ClipRunner::new(model, a.to_vec(), 3), ClipRunner::new(model, b.to_vec(), 3)];
    let mut frames = [needed(a).into_iter(), needed(b).into_iter()];
    for turn in 0_usize.. {
        for (runner, frames) in runners.iter_mut().zip(&mut frames) {
            for index in frames.by_ref().take(1 + turn * 7 % 23) {
                runner.push(index, &frame(index, CROP)).unwrap();
            }
        }
        if turn % 5 == 0 {
            std::thread::sleep(std::time::Duration::from_millis(3));
        }
        if frames.iter().all(|frames| frames.len() == 0) {
            break;
        }
    }
    runners.map(finish)
}

fn finish(runner: ClipRunner<'_>) -> Outputs {
    runner.finish().unwrap().fetch().unwrap()
}

#[test]
fn results_do_not_depend_on_how_frames_arrive() {
    let model = net().fast(Precision::Fp32);
    let (a, b) = (clips(200, 12, 8), clips(75, 6, 8));
    let alone = [run(&model, &a, 3, CROP).unwrap(), run(&model, &b, 3, CROP).unwrap()];
    let interleaved = interleaved(&model, &a, &b);
    for (alone, interleaved) in alone.iter().zip(&interleaved) {
        assert!(bits(alone) == bits(interleaved));
    }
}

#[test]
fn the_batch_size_changes_only_the_last_digits() {
    let model = net().fast(Precision::Fp32);
    let clips = clips(150, 7, 8);
    let single = run(&model, &clips, 1, CROP).unwrap();
    for batch in [0, 2, 3, 5, 7, 100] {
        let other = run(&model, &clips, batch, CROP).unwrap();
        assert_eq!(other.clips, 7);
        assert!(relative(&other.logits, &single.logits) < 1e-6, "batch {batch}");
    }
}

#[test]
fn the_group_size_changes_only_the_last_digits() {
    let model = net().fast(Precision::Fp32);
    let clips = clips(150, 7, 8);
    let usual = run(&model, &clips, 2, CROP).unwrap();
    for group_size in [0, 1, 7, 16, 64, 1000] {
        let mut runner = ClipRunner::with_group_size(&model, clips.clone(), 2, group_size);
        for index in needed(&clips) {
            runner.push(index, &frame(index, CROP)).unwrap();
        }
        let other = finish(runner);
        assert_eq!(other.clips, 7);
        assert!(relative(&other.logits, &usual.logits) < 1e-6, "groups of {group_size} frames");
        assert!(group_size != 16 || bits(&other) == bits(&usual));
    }
}

#[test]
fn push_returns_the_number_of_computed_clips() {
    let model = net().fast(Precision::Fp32);
    let clips = clips(400, 20, 8);
    let mut runner = ClipRunner::new(&model, clips.clone(), 2);
    let mut returned = vec![];
    for index in needed(&clips) {
        let done = runner.push(index, &frame(index, CROP)).unwrap();
        // A clip is not computed before its last frame has arrived.
        assert!(done <= clips.iter().filter(|clip| clip[7] <= index).count());
        returned.push(done);
    }
    assert!(returned.is_sorted() && *returned.last().unwrap() >= 16, "{returned:?}");
    assert_eq!(finish(runner).clips, 20);
}

/// A clip must never be computed from the wrong frames.
#[test]
fn a_missing_frame_is_an_error() {
    let model = net().fast(Precision::Fp32);
    let clips = clips(100, 6, 8);
    let all = needed(&clips);
    for left_out in [0, 1, all.len() / 2, all.len() - 1] {
        let mut runner = ClipRunner::new(&model, clips.clone(), 2);
        for index in all.iter().filter(|index| **index != all[left_out]) {
            runner.push(*index, &frame(*index, CROP)).unwrap();
        }
        let error = runner.finish().err().unwrap();
        assert!(matches!(error, ModelError::Internal(_)), "frame {left_out}: {error}");
    }
    let error = ClipRunner::new(&model, clips, 2).finish().err().unwrap();
    assert!(matches!(error, ModelError::Internal(_)), "{error}");
}

/// A clip of a short video wraps around.
#[test]
fn a_clip_may_contain_a_frame_several_times() {
    let net = net();
    let model = net.fast(Precision::Fp32);
    for total in [1, 2, 8, 20, 56] {
        let clips = clips(total, 10, 8);
        assert_eq!(clips.len(), 1);
        let fast = run(&model, &clips, 4, CROP).unwrap();
        assert!(relative(&fast.logits, &net.plain(&clips).logits) < 1e-5, "{total} frames");
    }
}

#[test]
fn no_clips_give_empty_outputs() {
    let model = net().fast(Precision::Fp32);
    assert_eq!(finish(ClipRunner::new(&model, vec![], 4)), Outputs::default());
}

//! Windows at a stride, resampling and 32-bit frames: both passes give the same, and the frames are those that are expected.

use reeldeck_common::recipe::{Filter, Placement, Resize, Sampling, Short, Transform};
use reeldeck_video::frames::Request;

use crate::media::{Folder, SMALL, Taken, contained, h264, request, small, take_both};

fn windows(stride: usize, length: usize, fps: Option<f64>) -> Sampling {
    Sampling { placement: Placement::Windows { stride, fps, short: Short::Drop }, length, interval: 1 }
}

fn indices(taken: &Taken) -> Vec<Vec<u64>> {
    taken.plan.clone().into_clips().collect()
}

#[test]
fn windows_overlap_or_leave_frames_out_and_each_frame_comes_once() {
    let folder = Folder::new();
    for (name, synth) in [("a.mp4", h264(100)), ("b.mkv", small("ffv1", 100, &[])), ("c.avi", small("mpeg4", 100, &[]))]
    {
        let path = folder.make(name, &synth);
        let overlapping = take_both(&path, &request(windows(4, 16, None))).unwrap();
        assert_eq!((overlapping.plan.rows(), overlapping.frames.len()), (22, 100), "{name}");
        assert_eq!(indices(&overlapping)[21], (84..100).collect::<Vec<u64>>());
        let sparse = take_both(&path, &request(windows(40, 16, None))).unwrap();
        assert_eq!((sparse.plan.rows(), sparse.frames.len()), (3, 48), "{name}");
        assert!(sparse.frames.iter().all(|(index, pixels)| overlapping.frames[index] == *pixels));
    }
}

#[test]
fn a_video_that_is_shorter_than_a_window_says_so() {
    let folder = Folder::new();
    let path = folder.make("a.mp4", &h264(15));
    let error = take_both(&path, &request(windows(4, 16, None))).unwrap_err().to_string();
    assert_eq!(
        error,
        "too short: it has 15 frames, and a clip spans 16; set short = \"repeat-last\" under [sampling] in the recipe to \
         repeat its last frame"
    );
    let mut sampling = windows(4, 16, None);
    sampling.placement = Placement::Windows { stride: 4, fps: None, short: Short::RepeatLast };
    let taken = take_both(&path, &request(sampling)).unwrap();
    assert_eq!(indices(&taken), [[(0..15).collect::<Vec<u64>>(), vec![14]].concat()]);
}

/// When a frame of a made-up video is shown, in steps of its rate.
fn step(uneven: u64, frame: u64) -> u64 {
    frame + frame.checked_div(uneven).unwrap_or(0)
}

/// The frame that is shown in each place at `fps`: the last one whose nearest place is not after it. Times are in units of which
/// a second has `ticks`.
fn plain(frames: u64, uneven: u64, ticks: u64, fps: u64) -> Vec<u64> {
    let rounded = |over: u64, under: u64| (over * 2 + under) / (under * 2);
    let time = |frame: u64| rounded(step(uneven, frame) * ticks, 30);
    // In the middle between two places, the later one is the nearest.
    let place = |time: u64| rounded(time * fps, ticks);
    let end = place(time(frames - 1) + ticks / 30);
    (0..end).map(|at| (0..frames).rev().find(|frame| place(time(*frame)) <= at).unwrap()).collect()
}

#[test]
fn resampling_picks_the_frames_that_are_nearest_in_time() {
    let folder = Folder::new();
    let makes = [
        ("a.mp4", h264(90), 15360),
        ("b.mkv", small("ffv1", 90, &[]), 1000),
        ("c.mov", small("mpeg4", 90, &[("bf", "1")]), 15360),
        ("d.mp4", contained(h264(90), &[("movflags", "+frag_keyframe")]), 15360),
    ];
    for (name, synth, ticks) in makes {
        for uneven in [0, 4, 7] {
            let path = folder.make(name, &reeldeck_video::synth::Synth { uneven, ..synth.clone() });
            for fps in [10_u32, 15, 24, 30, 50] {
                let taken = take_both(&path, &request(windows(1, 1, Some(f64::from(fps))))).unwrap();
                let shown: Vec<u64> = indices(&taken).concat();
                assert_eq!(shown, plain(90, uneven, ticks, fps.into()), "{name} uneven {uneven} at {fps}");
                assert_eq!(taken.facts.resampled, Some(shown.len() as u64));
                assert_eq!(taken.facts.counts.output, 90);
            }
        }
    }
}

#[test]
fn frames_of_32_bits_come_from_both_passes() {
    let folder = Folder::new();
    let resize = Resize::Exact { height: 36, width: 44 };
    let transform = Transform { resize, filter: Filter::TorchF32, crop: None, ..SMALL };
    let path = folder.make("a.mp4", &h264(20));
    let taken = take_both(&path, &Request { transform, ..request(windows(4, 16, None)) }).unwrap();
    for pixels in taken.frames.values() {
        let values: Vec<f32> = pixels.as_chunks::<4>().0.iter().map(|bytes| f32::from_ne_bytes(*bytes)).collect();
        assert_eq!(values.len(), 36 * 44 * 3);
        assert!(
            values.iter().all(|value| (0.0..=255.0).contains(value)) && values.iter().any(|value| value.fract() > 0.1)
        );
    }
}

//! Measures the cost of a frame (`make tui-bench`). It only checks that no more rows are held than needed.

use std::time::Instant;

use super::fixtures::{gpus, many, running};

/// The median and the 99th percentile of the time for a frame in milliseconds, and the number of rows held.
fn measure(videos: usize, width: u16, height: u16) -> (f64, f64, usize) {
    let mut harness = running(width, height, many(videos), gpus(8));
    harness.press("j j j");
    harness.buffer(width, height);
    let mut times: Vec<f64> = (0..500)
        .map(|_| {
            let began = Instant::now();
            std::hint::black_box(harness.buffer(width, height));
            began.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[250], times[495], harness.app.videos.held())
}

#[test]
#[ignore = "it measures, on a machine that does nothing else"]
fn figures() {
    for (width, height) in [(80, 24), (120, 40), (200, 60)] {
        for videos in [50_000, 1_000_000] {
            let (median, worst, held) = measure(videos, width, height);
            crate::out::outln!(
                "frame at {width}x{height} with {videos} videos: median {median:.3} ms, 99 in 100 under {worst:.3} ms, {held} rows held"
            );
            assert!(held <= 5 * usize::from(height));
        }
    }
}

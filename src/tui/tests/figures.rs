//! What a frame costs: `make tui-bench`. Prints, and checks only that the cost does not grow with the dataset.

use std::time::Instant;

use super::desk::{gpus, many, running};

/// Milliseconds for a frame, and rows held.
fn measure(videos: usize, width: u16, height: u16) -> (f64, usize) {
    let mut desk = running(width, height, many(videos), gpus(8));
    desk.press("j j j");
    desk.buffer(width, height);
    let (rounds, began) = (500, Instant::now());
    for _ in 0..rounds {
        std::hint::black_box(desk.buffer(width, height));
    }
    (began.elapsed().as_secs_f64() * 1e3 / f64::from(rounds), desk.app.videos.held())
}

#[test]
#[ignore = "it measures, on a machine that does nothing else"]
fn figures() {
    for (width, height) in [(80, 24), (120, 40), (200, 60)] {
        for videos in [50_000, 1_000_000] {
            let (ms, held) = measure(videos, width, height);
            crate::outln!("frame at {width}x{height} with {videos} videos: {ms:.3} ms, {held} rows held");
            assert!(held <= 5 * usize::from(height));
        }
    }
}

//! Results of earlier checks of videos, without a prober.

use std::path::Path;

use reeldeck::internals::dataset::{Cache, VideoFile};
use reeldeck_common::probe::{Facts, Level, Probed, Verdict};

/// A verdict on a healthy video of 10 s.
pub fn healthy() -> Verdict {
    let facts = Facts {
        duration_s: 10.0,
        frames: 300,
        fps: [30, 1],
        size: [340, 256],
        codec: "h264".into(),
        container: "mov,mp4,m4a,3gp,3g2,mj2".into(),
        expected_from: None,
    };
    Verdict::Healthy { facts }
}

/// Adds the verdict on a video to the cache in the file `cache`.
pub fn store_check(cache: &Path, video: &VideoFile, verdict: Verdict) {
    let mut cache = Cache::open(cache, std::slice::from_ref(video), true).unwrap();
    cache.store(&video.name, &Probed { level: Level::Deep, source: video.stamp, verdict });
    assert!(cache.trouble().is_none(), "{:?}", cache.trouble());
}

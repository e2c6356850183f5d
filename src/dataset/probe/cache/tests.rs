//! The cache of findings.

use proptest::prelude::*;
use reeldeck_common::probe::Facts;

use super::*;

fn video(name: &str, size: u64) -> VideoFile {
    VideoFile { name: VideoName::new(name).unwrap(), stamp: SourceStamp { size, mtime_ns: 5 } }
}

fn videos(count: usize) -> Vec<VideoFile> {
    (0..count).map(|i| video(&format!("Class {}/v_{i:05}.mp4", i / 100 + 1000), i as u64)).collect()
}

fn healthy(video: &VideoFile, level: Level) -> Probed {
    let facts = Facts {
        duration_s: 10.25,
        frames: 300,
        fps: [30000, 1001],
        size: [340, 256],
        codec: "h264".into(),
        container: "mov,mp4,m4a,3gp,3g2,mj2".into(),
        expected_from: None,
    };
    Probed { level, source: video.stamp, verdict: Verdict::Healthy { facts } }
}

fn filled(path: &Path, videos: &[VideoFile], level: Level) {
    let mut cache = Cache::open(path, videos, true).unwrap();
    videos.iter().for_each(|video| cache.store(&video.name, &healthy(video, level)));
    assert!(cache.trouble().is_none(), "{:?}", cache.trouble());
}

fn count(path: &Path, videos: &[VideoFile], level: Level) -> usize {
    let cache = Cache::open(path, videos, false).unwrap();
    videos.iter().filter(|video| cache.known(video, level).is_some()).count()
}

#[test]
fn a_finding_is_known_for_the_same_file_and_level() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out/.reeldeck/probe-cache");
    let all = videos(250);
    assert_eq!(count(&path, &all, Level::Quick), 0);
    assert!(!path.exists());
    filled(&path, &all[..200], Level::Quick);
    assert_eq!((count(&path, &all, Level::Quick), count(&path, &all, Level::Deep)), (200, 0));
    filled(&path, &all[..50], Level::Deep);
    assert_eq!((count(&path, &all, Level::Quick), count(&path, &all, Level::Deep)), (200, 50));
    // A later quick probe does not replace the finding of a deep one.
    filled(&path, &all, Level::Quick);
    assert_eq!((count(&path, &all, Level::Quick), count(&path, &all, Level::Deep)), (250, 50));
    let mut changed = all.clone();
    changed[0].stamp.mtime_ns += 1;
    changed[1].stamp.size += 1;
    assert_eq!(count(&path, &changed, Level::Quick), 248);
    filled(&path, &changed[..1], Level::Quick);
    assert_eq!(count(&path, &changed, Level::Quick), 249);
}

#[test]
fn another_download_with_the_same_content_is_recognised() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("probe-cache");
    let reason_of = |mtime_ns: i64, digest: &str| {
        let video = VideoFile { stamp: SourceStamp { size: 1, mtime_ns }, ..video("A/v.mp4", 1) };
        let verdict = Verdict::Corrupt { reason: "cut; download it again".into() };
        let mut probed = Probed { verdict, ..healthy(&video, Level::Quick) };
        let mut cache = Cache::open(&path, std::slice::from_ref(&video), true).unwrap();
        cache.compare_content(&video.name, &mut probed, digest.into());
        cache.store(&video.name, &probed);
        probed.verdict.reason().unwrap().to_owned()
    };
    let same = "cut; the same content failed before: if this is another download, the source itself is damaged";
    assert_eq!(reason_of(1, "a"), "cut; download it again");
    assert_eq!(reason_of(1, "a"), "cut; download it again", "the same file, checked again");
    assert_eq!(reason_of(2, "a"), same);
    assert_eq!(reason_of(2, "a"), same);
    assert_eq!(reason_of(3, "b"), "cut; download it again");
}

#[test]
fn findings_for_one_run_are_not_stored() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("probe-cache");
    let all = videos(1);
    let verdict = Verdict::OverLimit { reason: "too large".into() };
    let mut cache = Cache::open(&path, &all, true).unwrap();
    cache.store(&all[0].name, &Probed { verdict, ..healthy(&all[0], Level::Deep) });
    assert!(cache.known(&all[0], Level::Quick).is_none() && !path.exists());
    filled(&path, &all, Level::Quick);
    let before = fs::read(&path).unwrap();
    let mut cache = Cache::open(&path, &all, false).unwrap();
    cache.store(&all[0].name, &healthy(&all[0], Level::Deep));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_damaged_line_is_skipped_and_an_unknown_file_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("probe-cache");
    let all = videos(20);
    filled(&path, &all, Level::Deep);
    let whole = fs::read(&path).unwrap();
    // Truncated within a line, as by a kill: later lines must still be found.
    fs::write(&path, &whole[..whole.len() - 30]).unwrap();
    assert_eq!(count(&path, &all, Level::Deep), 19);
    filled(&path, &all[19..], Level::Deep);
    assert_eq!(count(&path, &all, Level::Deep), 20);
    let mut flipped = whole.clone();
    let at = whole.windows(7).position(|w| w == b"healthy").unwrap();
    flipped[at + 1] ^= 2;
    fs::write(&path, &flipped).unwrap();
    assert_eq!(count(&path, &all, Level::Deep), 19);
    for foreign in [&b""[..], b"\n", &[0; 5000], b"reeldeck probe cache 9, checks 1\n", &vec![b'x'; MAX_LINE + 9]] {
        fs::write(&path, foreign).unwrap();
        assert_eq!(count(&path, &all, Level::Quick), 0);
        filled(&path, &all, Level::Deep);
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let mut cache = Cache::open(&path, &all, true).unwrap();
    cache.store(&all[0].name, &healthy(&all[0], Level::Quick));
    assert!(cache.trouble().is_some() && cache.known(&all[0], Level::Quick).is_some());
}

#[test]
fn the_file_does_not_grow_without_bound() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("probe-cache");
    let mut all = videos(300);
    for round in 0..10 {
        all.iter_mut().for_each(|video| video.stamp.mtime_ns += 1);
        filled(&path, &all, Level::Quick);
        assert_eq!(count(&path, &all, Level::Quick), 300, "{round}");
    }
    let lines = fs::read_to_string(&path).unwrap().lines().count();
    assert!((301..=1 + 300 * 3 + MAX_DEAD).contains(&lines), "{lines}");
}

#[test]
fn a_cache_that_cannot_be_read_is_an_error_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("probe-cache");
    // A link to itself: opening it fails, also for root.
    std::os::unix::fs::symlink(&path, &path).unwrap();
    for keep in [false, true] {
        let error = Cache::open(&path, &videos(1), keep).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()) && error.contains("remove it"), "{error}");
    }
    assert!(path.is_symlink());
}

proptest! {
    #[test]
    fn nothing_that_is_not_whole_is_believed(noise in proptest::collection::vec(any::<u8>(), 0..400), at in 0..2000_usize) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("probe-cache");
        let all = videos(6);
        filled(&path, &all, Level::Deep);
        let mut bytes = fs::read(&path).unwrap();
        let at = at.min(bytes.len());
        let end = bytes.len().min(at + noise.len());
        bytes[at..end].copy_from_slice(&noise[..end - at]);
        fs::write(&path, &bytes).unwrap();
        let cache = Cache::open(&path, &all, true).unwrap();
        for video in &all {
            prop_assert!(cache.known(video, Level::Quick).is_none_or(|probed| *probed == healthy(video, Level::Deep)));
        }
    }
}

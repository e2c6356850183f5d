//! Randomly damaged copies of healthy files: no panic, no hang, and the same result from both passes.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use reeldeck_common::probe::{Level, Verdict};
use reeldeck_common::recipe::Damage;
use reeldeck_video::frames::{Pass, Request};
use reeldeck_video::synth::Synth;

use crate::media::{DENSE, Folder, SPARSE, assert_same, contained, h264, probed, request, small, take};

/// A small random number generator, so that each case can be reproduced from its number.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % end.max(1)
    }
}

/// Healthy files of several codecs and containers.
fn originals(folder: &Folder) -> Vec<(&'static str, Vec<u8>)> {
    let fragmented = contained(h264(60), &[("movflags", "frag_keyframe+empty_moov")]);
    let plain = |synth: Synth| contained(synth, &[]);
    let interlaced = [("bf", "2"), ("x264-params", "b-adapt=0:interlaced=1:slices=2")];
    let all: [(&str, Synth); 16] = [
        ("a.mp4", h264(60)),
        ("b.mp4", plain(h264(60))),
        ("c.mp4", fragmented),
        ("d.mkv", plain(h264(60))),
        ("e.ts", plain(h264(60))),
        ("f.flv", plain(h264(60))),
        ("g.avi", plain(h264(60))),
        ("h.h264", plain(h264(60))),
        ("i.mkv", small("libx264", 60, &interlaced)),
        ("j.mp4", small("libx265", 40, &[])),
        ("k.webm", small("libvpx-vp9", 40, &[])),
        ("l.avi", small("mpeg4", 60, &[("bf", "2")])),
        ("m.mov", small("mjpeg", 20, &[])),
        ("n.mkv", small("ffv1", 20, &[])),
        ("o.mp4", Synth { rotate: 90, ..h264(30) }),
        ("p.mpg", small("mpeg2video", 60, &[("bf", "2")])),
    ];
    read(folder, &all)
}

/// Rarer codecs and containers, whose readers in FFmpeg are older and less tested.
fn rarer_originals(folder: &Folder) -> Vec<(&'static str, Vec<u8>)> {
    let quick = [("cpu-used", "8"), ("usage", "realtime")];
    let all: [(&str, Synth); 11] = [
        ("a.asf", small("wmv2", 40, &[])),
        ("b.ogv", small("libtheora", 40, &[])),
        ("c.nut", small("mpeg4", 40, &[("bf", "2")])),
        ("d.ivf", small("libvpx", 40, &[("deadline", "realtime")])),
        ("e.mkv", small("libaom-av1", 20, &quick)),
        ("f.mjpeg", small("mjpeg", 20, &[])),
        ("g.hevc", small("libx265", 40, &[])),
        ("h.mpg", small("mpeg1video", 40, &[("bf", "2")])),
        ("i.flv", small("flv", 40, &[])),
        ("j.m4v", small("mpeg4", 40, &[])),
        ("k.3gp", contained(h264(40), &[])),
    ];
    read(folder, &all)
}

fn read(folder: &Folder, all: &[(&'static str, Synth)]) -> Vec<(&'static str, Vec<u8>)> {
    all.iter().map(|(name, synth)| (*name, std::fs::read(folder.make(name, synth)).unwrap())).collect()
}

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    let size = bytes.len();
    // Half of the time near the start, where headers and indexes are.
    let end = if random.below(2) == 0 { size } else { size.min(2000) };
    let at = random.below(end);
    let length = (random.below(size / 8) + 1).min(size - at);
    match random.below(9) {
        0 | 1 => (0..=random.below(40)).for_each(|_| bytes[random.below(end)] ^= 1 << random.below(8)),
        2 => bytes.truncate(random.below(size)),
        3 => bytes[at..at + length].fill(0),
        4 => bytes[at..at + length].iter_mut().for_each(|byte| *byte = random.below(256) as u8),
        5 => bytes.chunks_mut(length).filter(|chunk| chunk.len() == length).step_by(2).for_each(<[u8]>::reverse),
        6 => drop(bytes.drain(at..at + length)),
        7 => shuffle(bytes, random),
        _ => {
            let block = bytes[at..at + length].to_vec();
            let to = random.below(size - length + 1);
            bytes[to..to + length].copy_from_slice(&block);
        }
    }
}

/// Shuffles blocks as a disk or a transfer might. The first block mostly stays, or the file would not be recognised at all.
fn shuffle(bytes: &mut Vec<u8>, random: &mut Random) {
    let size = [188, 512, 4096][random.below(3)].min(bytes.len() / 3 + 1);
    let mut blocks: Vec<Vec<u8>> = bytes.chunks(size).map(<[u8]>::to_vec).collect();
    let first = usize::from(random.below(4) > 0);
    for _ in 0..=random.below(blocks.len()) {
        let (a, b) = (first + random.below(blocks.len() - first), first + random.below(blocks.len() - first));
        blocks.swap(a, b);
    }
    *bytes = blocks.concat();
}

/// The result for a damaged file.
#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Decoded,
    Refused,
    /// The fast pass skipped a frame that the plain pass found to be lost.
    SkippedLost,
}

/// Decodes one damaged file with each pass.
fn try_everything(case: u64, name: &str, bytes: &[u8]) -> Outcome {
    let folder = Folder::new();
    let path = folder.write(name, bytes);
    let sampling = if case.is_multiple_of(3) { DENSE } else { SPARSE };
    let request = Request { damage: Damage { max_lost: 1.0 }, ..request(sampling) };
    let [plain, best, again] = [Pass::Plain, Pass::Best, Pass::Best].map(|pass| take(&path, &request, pass));
    match (&best, &again) {
        (Ok(best), Ok(again)) => assert!(best == again, "two decodes differ"),
        (Err(best), Err(again)) => assert_eq!(best.to_string(), again.to_string()),
        _ => panic!("it can be decoded only sometimes"),
    }
    // If the built-in recipe refuses a file, or the quick check finds a fault, the deep check does not call it healthy.
    let refused = plain.as_ref().map_or(true, |taken| taken.facts.counts.damage() > 0.05);
    let [quick, deep] = [Level::Quick, Level::Deep].map(|level| probed(&path, level));
    let healthy = |verdict: &Verdict| matches!(verdict, Verdict::Healthy { .. });
    let counts = plain.as_ref().map(|taken| taken.facts.counts).map_err(ToString::to_string);
    assert!(!(healthy(&deep) && (refused || !healthy(&quick))), "{quick:?}, but {deep:?}: {counts:?}");
    if let (Ok(best), Ok(plain)) = (&best, &plain)
        && (1..=best.facts.skipped).contains(&best.facts.counts.output.saturating_sub(plain.facts.counts.output))
    {
        return Outcome::SkippedLost;
    }
    assert_same(&best, &plain, name);
    if best.is_ok() { Outcome::Decoded } else { Outcome::Refused }
}

/// Damages two hundred copies, some of each file, and returns how many were decoded, how many were refused, and in how many a lost
/// frame was skipped. The number of a copy determines its damage.
fn damage_copies(originals: &[(&'static str, Vec<u8>)]) -> (usize, usize, usize) {
    let mut outcomes = vec![];
    for case in 0..200 {
        let mut random = Random(case * 7919 + 1);
        let (name, healthy) = &originals[case as usize % originals.len()];
        let mut bytes = healthy.clone();
        (0..=random.below(2)).for_each(|_| damage(&mut bytes, &mut random));
        let (sender, answer) = mpsc::channel();
        let name = *name;
        std::thread::spawn(move || sender.send(try_everything(case, name, &bytes)));
        match answer.recv_timeout(Duration::from_secs(60)) {
            Ok(outcome) => outcomes.push(outcome),
            Err(RecvTimeoutError::Timeout) => panic!("case {case}, {name}: no end after a minute"),
            Err(RecvTimeoutError::Disconnected) => panic!("case {case}, {name}: panicked, see above"),
        }
    }
    let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count();
    (count(Outcome::Decoded), count(Outcome::Refused), count(Outcome::SkippedLost))
}

#[test]
fn two_hundred_damaged_copies() {
    let (decoded, refused, skipped) = damage_copies(&originals(&Folder::new()));
    assert!(decoded > 50 && refused > 10 && skipped < 4, "{decoded} decoded, {refused} refused, {skipped} skipped");
}

#[test]
fn two_hundred_damaged_copies_of_rarer_files() {
    let (decoded, refused, skipped) = damage_copies(&rarer_originals(&Folder::new()));
    assert!(decoded > 50 && refused > 10 && skipped < 4, "{decoded} decoded, {refused} refused, {skipped} skipped");
}

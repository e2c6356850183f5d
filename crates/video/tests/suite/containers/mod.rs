//! Every container with every kind of damage: the number of expected frames, the number of decoded frames, and the verdict.
//! Quick check, deep check and extraction must agree. `make containers` prints the results; docs/PROBE.md has a summary.

mod cases;

use std::path::Path;

use reeldeck_common::error::ErrorKind;
use reeldeck_common::feature::{ExpectedFrom, FrameCounts};
use reeldeck_common::probe::{Level, Verdict};
use reeldeck_common::recipe::Damage;
use reeldeck_video::frames::{Pass, Request};
use reeldeck_video::synth::Synth;

use crate::media::{Folder, SPARSE, probed, request, small, take};
use cases::{Case, FRAMES, containers};

/// What is expected of a file.
#[derive(Clone, Copy, Debug)]
pub enum Expected {
    /// All of its frames come out, and their number is known from this source.
    Healthy { frames: u64, source: ExpectedFrom },
    /// Frames are lost, of the number that the whole file has; or only the last one is damaged.
    Lost,
    /// Frames are lost, and the container does not say of how many.
    LostSome,
    /// Frames are lost, or the end cannot be verified.
    Cut,
    /// Frames are lost or damaged, of about the number that the whole file has.
    Damaged,
    /// Frames are lost or damaged, and the container does not say of how many.
    DamagedSome,
    /// Nothing shows where the file should end; at most the last frame is known to be damaged.
    Unverified,
    /// No frame can be read.
    Corrupt,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Found {
    counts: FrameCounts,
    source: ExpectedFrom,
}

impl Found {
    /// The verdict in words.
    fn verdict(&self) -> String {
        let FrameCounts { expected, output: _, concealed } = self.counts;
        let unverified = if self.source.is_verified() { "" } else { ", end cannot be verified" };
        match (self.counts.lost(), concealed) {
            (0, 0) => format!("healthy{unverified}"),
            (0, concealed) => format!("{concealed} damaged{unverified}"),
            (lost, 0) => format!("lost {lost} of {expected}{unverified}"),
            (lost, concealed) => format!("lost {lost} of {expected}, {concealed} damaged{unverified}"),
        }
    }
}

/// Checks a file at both levels and extracts it. `None` if it is corrupt. Panics if two of the three contradict each other.
fn look(path: &Path) -> Option<Found> {
    let lenient = Request { damage: Damage { max_lost: 1.0 }, ..request(SPARSE) };
    let [plain, best] = [Pass::Plain, Pass::Best].map(|pass| match take(path, &lenient, pass) {
        Ok(taken) => Some(Found { counts: taken.facts.counts, source: taken.facts.expected_from }),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
            None
        }
    });
    let [quick, deep] = [Level::Quick, Level::Deep].map(|level| probed(path, level));
    let context = format!("{}: {plain:?}\n{best:?}\n{quick:?}\n{deep:?}", path.display());
    let Some(found) = plain else {
        assert!(best.is_none() && matches!(deep, Verdict::Corrupt { .. }), "{context}");
        return None;
    };
    let counts = found.counts;
    // The fast pass does not see damage to frames that it skips.
    let fast = best.map(|best| Found { counts: FrameCounts { concealed: counts.concealed, ..best.counts }, ..best });
    assert!(fast == plain && best.is_some_and(|best| best.counts.concealed <= counts.concealed), "{context}");
    let counts_of = |verdict: &Verdict| match verdict {
        Verdict::Healthy { facts } => (facts.frames, 0, 0, facts.expected_from),
        Verdict::Damaged { facts, lost, concealed, .. } => (facts.frames, *lost, *concealed, facts.expected_from),
        _ => panic!("{context}"),
    };
    let (quick, deep) = (counts_of(&quick), counts_of(&deep));
    assert_eq!(deep, (counts.expected, counts.lost(), counts.concealed, Some(found.source)), "{context}");
    // The quick check decodes nothing, so it may miss damage, but it must not report damage that does not exist.
    assert_eq!((quick.0, quick.3), (deep.0, deep.3), "{context}");
    assert!(quick.1 <= deep.1 && (quick.1 + quick.2 == 0 || deep.1 + deep.2 > 0), "{context}");
    Some(found)
}

/// Why a file is not as expected; `None` if it is.
fn fault(expected: Expected, found: Option<Found>) -> Option<String> {
    let fits = match (expected, found) {
        (Expected::Corrupt, None) => true,
        (Expected::Corrupt, Some(_)) | (_, None) => false,
        (Expected::Healthy { frames, source }, Some(found)) => {
            found == Found { counts: FrameCounts { expected: frames, output: frames, concealed: 0 }, source }
        }
        (Expected::Lost, Some(Found { counts, source })) => {
            counts.is_damaged() && counts.expected.abs_diff(FRAMES) <= 1 && source.is_verified()
        }
        (Expected::LostSome, Some(Found { counts, .. })) => counts.lost() > 0 && counts.expected <= FRAMES + 1,
        (Expected::Cut, Some(Found { counts, source })) => {
            (counts.is_damaged() || !source.is_verified()) && counts.expected <= FRAMES + 1
        }
        (Expected::Damaged, Some(Found { counts, .. })) => {
            counts.is_damaged() && counts.expected.abs_diff(FRAMES) <= FRAMES / 8
        }
        (Expected::DamagedSome, Some(Found { counts, .. })) => counts.is_damaged() && counts.expected <= FRAMES + 1,
        (Expected::Unverified, Some(Found { counts, source })) => {
            counts.lost() + counts.concealed <= 2 && counts.output < FRAMES && !source.is_verified()
        }
    };
    (!fits).then(|| format!("expected {expected:?}, found {found:?}"))
}

/// Every case of every container: its container, its name, and what was found.
fn rows(each: &mut dyn FnMut(&str, &Case, Option<Found>)) {
    let folder = Folder::new();
    for container in containers() {
        for case in container.cases(&folder) {
            let found = look(&folder.write(&case.file, &case.bytes));
            each(container.name, &case, found);
        }
    }
}

#[test]
fn every_container_in_every_case() {
    let mut faults = vec![];
    rows(&mut |container, case, found| {
        faults.extend(fault(case.expected, found).map(|fault| format!("{container}, {}: {fault}", case.name)));
    });
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn a_cut_anywhere_is_counted_alike_by_all() {
    let folder = Folder::new();
    let mut faults = vec![];
    for container in containers() {
        let whole = container.whole(&folder);
        for percent in (10..100).step_by(5) {
            let end = whole.len() * percent / 100;
            let found = look(&folder.write(&container.file("cut"), &whole[..end]));
            let Some(Found { counts, source }) = found else { continue };
            // The number of frames must be nearly right.
            if counts.expected > FRAMES + 1 || source.is_verified() && counts.lost() == 0 && counts.output + 4 < FRAMES
            {
                faults.push(format!("{} cut at {percent} %: {found:?}", container.name));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
#[ignore = "prints all results: make containers"]
fn print_the_table() {
    println!("| container | file | frames expected | output | verdict |\n|---|---|---|---|---|");
    let mut last = String::new();
    rows(&mut |container, case, found| {
        let name = if container == last { "" } else { container };
        container.clone_into(&mut last);
        match found {
            Some(found) => {
                let FrameCounts { expected, output, .. } = found.counts;
                println!("| {name} | {} | {expected} | {output} | {} |", case.name, found.verdict());
            }
            None => println!("| {name} | {} | – | – | corrupt |", case.name),
        }
    });
}

/// A third of a larger file may be a whole number of its parts, and more than FFmpeg skips.
#[test]
fn no_second_disappears_in_the_middle() {
    let folder = Folder::new();
    let mut faults = vec![];
    let large = |encoder, options| Synth { width: 256, height: 192, ..small(encoder, FRAMES, options) };
    for (name, synth) in [
        ("a.ogv", large("libtheora", &[("g", "30"), ("flags", "+qscale"), ("global_quality", "1180")])),
        ("a.mpg", large("mpeg2video", &[("g", "30"), ("b", "1500000")])),
        ("a.ts", large("mpeg2video", &[("g", "30"), ("b", "1500000")])),
    ] {
        let whole = std::fs::read(folder.make(name, &synth)).unwrap();
        let (at, length) = (whole.len() / 3 / 2048 * 2048, whole.len() / 3 / 2048 * 2048);
        assert!(length > 100_000, "{name}: {length}");
        let mut lost = whole.clone();
        lost.drain(at..at + length);
        let mut zeroed = whole.clone();
        zeroed[at..at + length].fill(0);
        for (what, bytes) in [("lost", lost), ("zeroed", zeroed)] {
            // Nothing numbers the packets of an MPEG-PS file: if some are missing, only the last frame before them is damaged.
            if (name, what) == ("a.mpg", "lost") {
                continue;
            }
            let found = look(&folder.write(name, &bytes)).map(|found| found.counts);
            if !found.is_some_and(|counts| counts.lost() > FRAMES / 8 && counts.expected.abs_diff(FRAMES) <= FRAMES / 5)
            {
                faults.push(format!("{name}, {length} bytes {what} at {at}: {found:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// If bytes in the middle of a file are lost or overwritten, no frame disappears unnoticed.
#[test]
fn no_frame_disappears_in_the_middle() {
    let folder = Folder::new();
    let mut faults = vec![];
    for container in containers() {
        // Nothing numbers the frames of raw streams: each is found by its start code.
        if container.name == "raw H.264" {
            continue;
        }
        let whole = container.whole(&folder);
        for place in 0..8 {
            let at = whole.len() * (25 + 6 * place) / 100;
            let mut lost = whole.clone();
            lost.drain(at..at + 500);
            let mut zeroed = whole.clone();
            zeroed[at..at + 500].fill(0);
            for (what, bytes) in [("lost", lost), ("zeroed", zeroed)] {
                let found = look(&folder.write(&container.file("damaged"), &bytes));
                let Some(Found { counts, .. }) = found else { continue };
                if !counts.is_damaged() && counts.output < FRAMES || counts.expected > FRAMES + 5 {
                    faults.push(format!("{}, 500 bytes {what} at {at}: {counts:?}", container.name));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

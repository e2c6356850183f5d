//! Measures how much damage each level of the check finds, and at what cost: generates videos, damages copies of them and prints
//! a Markdown table.
//!
//! `cargo run --release -p reeldeck-probe --example recall`, or `make recall`. The seed is fixed, so only the times vary between runs.
//! `-- TEXT` selects the kinds of damage whose description contains this text.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use reeldeck_common::error::ErrorKind;
use reeldeck_common::limits::Limits;
use reeldeck_common::probe::{Level, Verdict};
use reeldeck_common::recipe::Recipe;
use reeldeck_video::VideoError;
use reeldeck_video::check::check;
use reeldeck_video::frames::{self, Pass, Request, Sink};
use reeldeck_video::sampling::ClipPlan;
use reeldeck_video::synth::{self, Synth};
use rustix::time::{ClockId, clock_gettime};

/// Damaged copies of each kind.
const VARIANTS: usize = 12;

/// A small random number generator, so that each variant can be reproduced from its numbers.
struct Random(u64);

impl Random {
    fn new(kind: usize, variant: usize) -> Self {
        let mut random = Self(kind as u64 * 7919 + variant as u64 * 104_729 + 1);
        random.below(2);
        random
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end.max(1)
    }

    /// `length` bytes at a random position.
    fn stretch<'a>(&mut self, bytes: &'a mut [u8], length: usize) -> &'a mut [u8] {
        let length = length.min(bytes.len() / 2);
        let at = self.below(bytes.len() - length);
        &mut bytes[at..at + length]
    }

    fn noise(&mut self, bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|byte| *byte = self.below(256) as u8);
    }

    /// Truncates the file somewhere in the middle.
    fn cut(&mut self, bytes: &mut Vec<u8>) {
        bytes.truncate(bytes.len() * (20 + self.below(76)) / 100);
    }
}

type Damage = fn(&mut Vec<u8>, &mut Random);

/// The kinds of damage: description, files, function.
const KINDS: [(&str, &str, Damage); 16] = [
    ("MP4, the index (moov) lost with the end", "mp4", |bytes, random| {
        drop_index(bytes);
        random.cut(bytes);
    }),
    ("MP4, cut, the index in front", "mp4", |bytes, random| random.cut(bytes)),
    ("MP4, 64 KB zeroed", "mp4", |bytes, random| random.stretch(bytes, 65_536).fill(0)),
    ("MP4, 4 KB zeroed", "mp4", |bytes, random| random.stretch(bytes, 4096).fill(0)),
    ("MP4, 20 bytes flipped", "mp4", |bytes, random| (0..20).for_each(|_| flip(bytes, random))),
    ("MP4, 1 bit flipped", "mp4", |bytes, random| {
        let at = random.below(bytes.len());
        bytes[at] ^= 1 << random.below(8);
    }),
    ("MP4, 4 KB of noise", "mp4", |bytes, random| {
        let mut noise = vec![0; 4096];
        random.noise(&mut noise);
        let stretch = random.stretch(bytes, 4096);
        stretch.copy_from_slice(&noise[..stretch.len()]);
    }),
    ("MP4, 4 KB left out", "mp4", |bytes, random| {
        let at = random.below(bytes.len() - 4096);
        bytes.drain(at..at + 4096);
    }),
    ("MP4, zeros to the end", "mp4", |bytes, random| {
        let at = bytes.len() * (20 + random.below(76)) / 100;
        bytes[at..].fill(0);
    }),
    ("fragmented MP4, cut", "fragments.mp4", |bytes, random| random.cut(bytes)),
    ("fragmented MP4 with segment index, cut between fragments", "segments.mp4", |bytes, random| {
        let fragments: Vec<usize> =
            bytes.windows(4).enumerate().filter(|(_, w)| w == b"moof").map(|(at, _)| at).collect();
        bytes.truncate(fragments[1 + random.below(fragments.len() - 1)] - 4);
    }),
    ("Matroska, cut", "a.mkv", |bytes, random| random.cut(bytes)),
    ("Matroska, 64 KB zeroed", "a.mkv", |bytes, random| random.stretch(bytes, 65_536).fill(0)),
    ("WebM (VP9), cut", "a.webm", |bytes, random| random.cut(bytes)),
    ("WebM (VP9), 64 KB zeroed", "a.webm", |bytes, random| random.stretch(bytes, 65_536).fill(0)),
    ("AVI, cut", "a.avi", |bytes, random| random.cut(bytes)),
];

/// Removes the index from an MP4 file, as if the index was at the end and the end is missing.
fn drop_index(bytes: &mut Vec<u8>) {
    let at = bytes.windows(4).position(|w| w == b"moov").unwrap_or(4) - 4;
    let length = bytes[at..at + 4].iter().fold(0_usize, |n, byte| n << 8 | usize::from(*byte));
    bytes.drain(at..at + length);
}

fn flip(bytes: &mut [u8], random: &mut Random) {
    let at = random.below(bytes.len());
    bytes[at] ^= 1 + random.below(255) as u8;
}

/// Twelve MP4 files with different encoders and options, and one file of each other container.
fn originals() -> Vec<(&'static str, Synth)> {
    let pairs = |list: &[(&str, &str)]| -> BTreeMap<String, String> {
        list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let x264 = |size: (u32, u32), frames: u64, options: &[(&str, &str)]| {
        let mut options = pairs(options);
        options.entry("preset".into()).or_insert("veryfast".into());
        let container = pairs(&[("movflags", "+faststart")]);
        Synth { width: size.0, height: size.1, frames, options, container, ..Synth::default() }
    };
    let other = |encoder: &str, size, frames, options: &[(&str, &str)]| {
        let container = pairs(&[("movflags", "+faststart")]);
        Synth { encoder: encoder.into(), options: pairs(options), container, ..x264(size, frames, &[]) }
    };
    let contained = |synth: Synth, container: &[(&str, &str)]| Synth { container: pairs(container), ..synth };
    let (small, middle, large) = ((320, 240), (480, 272), (640, 360));
    let x265 = |params: &'static str| [("preset", "ultrafast"), ("x265-params", params)];
    let vp9 = [("deadline", "realtime"), ("cpu-used", "8"), ("g", "120")];
    let mut all = vec![
        ("00.mp4", x264(small, 300, &[("bf", "3")])),
        ("01.mp4", x264(small, 600, &[])),
        ("02.mp4", x264(small, 900, &[("g", "150")])),
        ("03.mp4", x264(small, 900, &[("g", "60"), ("crf", "28")])),
        ("04.mp4", x264(middle, 600, &[("profile", "baseline"), ("g", "120")])),
        ("05.mp4", x264(small, 900, &[("bf", "3"), ("x264-params", "open-gop=1:keyint=60")])),
        ("06.mp4", x264(large, 600, &[("crf", "18")])),
        ("07.mp4", x264(large, 1800, &[("g", "150")])),
        ("08.mp4", x264(middle, 1200, &[("x264-params", "slices=4:keyint=48")])),
        ("09.mp4", other("libx265", small, 600, &x265("log-level=none"))),
        ("10.mp4", other("libx265", middle, 900, &x265("log-level=none:keyint=60"))),
        ("11.mp4", other("mpeg4", small, 900, &[("g", "100"), ("bf", "2")])),
    ];
    all.extend([
        ("fragments.mp4", contained(x264(small, 900, &[("g", "60")]), &[("movflags", "frag_keyframe+empty_moov")])),
        (
            "segments.mp4",
            contained(x264(small, 900, &[("g", "60")]), &[("movflags", "frag_keyframe+dash+global_sidx")]),
        ),
        ("a.mkv", contained(x264(small, 900, &[("g", "150")]), &[])),
        ("a.webm", contained(other("libvpx-vp9", small, 600, &vp9), &[])),
        ("a.avi", contained(other("mpeg4", small, 900, &[("g", "100")]), &[])),
    ]);
    all
}

/// How often damage was found, and the CPU time of the check.
#[derive(Clone, Copy, Default)]
struct Score {
    files: u32,
    caught: u32,
    cpu: Duration,
}

impl Score {
    fn add(&mut self, look: impl FnOnce() -> Result<bool>) -> Result<()> {
        let before = cpu();
        self.caught += u32::from(look()?);
        self.cpu += cpu() - before;
        self.files += 1;
        Ok(())
    }

    fn shown(&self) -> String {
        let ms = self.cpu.as_secs_f64() * 1000.0 / f64::from(self.files);
        format!("{} | {ms:.*}", self.caught, usize::from(ms < 10.0))
    }
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn is_unhealthy(path: &Path, level: Level) -> Result<bool> {
    let probed = check(path, level, &Limits::default(), &mut || Ok(()))?;
    Ok(!matches!(probed.verdict, Verdict::Healthy { .. }))
}

struct Nowhere;

impl Sink for Nowhere {
    fn plan(&mut self, _: ClipPlan) -> Result<(), VideoError> {
        Ok(())
    }

    fn frame(&mut self, _: u64, _: Vec<u8>) -> Result<(), VideoError> {
        Ok(())
    }
}

/// What extraction counts or refuses.
fn is_counted(path: &Path, recipe: &Recipe) -> Result<bool> {
    let limits = Limits::default();
    let request = Request { sampling: recipe.sampling, transform: recipe.transform, damage: recipe.damage, limits };
    match frames::extract(path, &request, Pass::Best, &mut Nowhere) {
        Ok(facts) => Ok(facts.counts.is_damaged()),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn row(what: &str, files: &[PathBuf], recipe: &Recipe) -> Result<()> {
    let [mut quick, mut deep, mut extraction] = [Score::default(); 3];
    for path in files {
        quick.add(|| is_unhealthy(path, Level::Quick))?;
        deep.add(|| is_unhealthy(path, Level::Deep))?;
        extraction.add(|| is_counted(path, recipe))?;
    }
    println!("| {what} | {} | {} | {} | {} |", files.len(), quick.shown(), deep.shown(), extraction.shown());
    Ok(())
}

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let originals = originals();
    let mut healthy = vec![];
    for (name, synth) in &originals {
        let path = folder.path().join(name);
        synth::write(&path, synth)?;
        healthy.push(path);
    }
    let recipe = Recipe::find("slowonly-r50-8x8-k700")?;
    let size: u64 = healthy.iter().map(|path| fs::metadata(path).map_or(0, |m| m.len())).sum();
    let frames: u64 = originals.iter().map(|(_, synth)| synth.frames).sum();
    println!("{} videos, {:.1} MB, {frames} frames\n", originals.len(), size as f64 / 1e6);
    println!(
        "| damage | files | quick: caught | CPU ms a file | deep: caught | CPU ms a file | extraction: caught | CPU ms a file |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let words = std::env::args().nth(1).unwrap_or_default();
    if words.is_empty() {
        row("none", &healthy, &recipe)?;
    }
    for (kind, (what, which, damage)) in KINDS.iter().enumerate().filter(|(_, (what, ..))| what.contains(&words)) {
        let of_kind: Vec<&PathBuf> = healthy
            .iter()
            .zip(&originals)
            .filter(|(_, (name, _))| {
                // An extension alone selects the numbered files.
                name == which || (*which == "mp4" && name.len() == "00.mp4".len())
            })
            .map(|(path, _)| path)
            .collect();
        let mut damaged = vec![];
        for variant in 0..VARIANTS {
            let original = of_kind.get(variant % of_kind.len().max(1)).context("no original of this kind")?;
            let mut bytes = fs::read(original)?;
            damage(&mut bytes, &mut Random::new(kind, variant));
            let extension = original.extension().unwrap_or_default();
            let path = folder.path().join(format!("damaged {variant}")).with_extension(extension);
            fs::write(&path, bytes)?;
            damaged.push(path);
        }
        row(what, &damaged, &recipe)?;
    }
    Ok(())
}

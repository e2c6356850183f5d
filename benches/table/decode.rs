//! The CPU time of extracting frames with one thread, compared with FFmpeg's decoder alone.

use std::fs;
use std::path::{Path, PathBuf};

use reeldeck_common::limits::Limits;
use reeldeck_common::recipe::{Recipe, Sampling};
use reeldeck_video::VideoError;
use reeldeck_video::frames::{self, Extraction, Pass, Request, Sink};
use reeldeck_video::full_decode;
use reeldeck_video::sampling::ClipPlan;
use reeldeck_video::synth::{self, Synth};

use crate::Options;

/// CPU time of this thread in seconds.
fn cpu() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is valid for writing, and the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// The folder of cached files, in the target folder.
pub fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench-media")
}

/// A file that is created once and cached.
pub fn cached(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let path = cache().join(name);
    if !path.exists() {
        eprintln!("generating {name} …");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let unfinished = path.with_file_name(format!("unfinished-{name}"));
        make(&unfinished);
        fs::rename(unfinished, &path).unwrap();
    }
    path
}

/// A video that is created once and cached.
pub fn media(name: &str, synth: &Synth) -> PathBuf {
    cached(name, |path| synth::write(path, synth).unwrap())
}

/// Drops all frames.
#[derive(Default)]
struct NullSink {
    needed: usize,
}

impl Sink for NullSink {
    fn plan(&mut self, plan: ClipPlan) -> Result<(), VideoError> {
        self.needed = plan.frames().count();
        Ok(())
    }

    fn frame(&mut self, _index: u64, _pixels: Vec<u8>) -> Result<(), VideoError> {
        Ok(())
    }
}

fn extract(path: &Path, sampling: Sampling, recipe: &Recipe, pass: Pass) -> (Extraction, usize) {
    let limits = Limits::default();
    let request = Request { sampling, transform: recipe.transform, damage: recipe.damage, limits };
    let mut sink = NullSink::default();
    let extraction = frames::extract(path, &request, pass, &mut sink).unwrap();
    (extraction, sink.needed)
}

/// How many times each of the four measurements runs. They run alternately, so that other load affects all of them.
const ROUNDS: usize = 5;

fn row(label: &str, path: &Path, recipe: &Recipe) {
    // The plain pass decodes everything twice, so many frames and a single one differ only in the conversion.
    let one = Sampling::spread(1, 1, 1);
    let limits = Limits::default();
    let mut least = [f64::MAX; 4];
    let (mut count, mut ours) = (0, None);
    for _ in 0..ROUNDS {
        let mut measure = |which: usize, run: &mut dyn FnMut()| {
            let before = cpu();
            run();
            least[which] = least[which].min(cpu() - before);
        };
        measure(0, &mut || count = full_decode::count_frames(path, &limits).unwrap());
        measure(1, &mut || ours = Some(extract(path, recipe.sampling, recipe, Pass::Best)));
        measure(2, &mut || _ = extract(path, recipe.sampling, recipe, Pass::Plain));
        measure(3, &mut || _ = extract(path, one, recipe, Pass::Plain));
    }
    let ([alone, best, many, single], (extraction, needed)) = (least, ours.unwrap());
    assert!(!extraction.plain_pass && extraction.counts.output == count);
    let frames = (needed - 1) as f64 / 1e3;
    println!(
        "| {label} | {count} | {alone:.3} | {best:.3} ({:.0} %) | {needed} | {} | {:.2} | {:.2} |",
        100.0 * best / alone,
        extraction.skipped,
        (best - alone) / frames,
        (many - single) / frames,
    );
}

/// Prints the table.
pub fn table(options: &Options) {
    let recipe = Recipe::find("slowonly-r50-8x8-k700").unwrap();
    println!("Decoding H.264 with one thread, CPU seconds, minimum of {ROUNDS}; ms are per needed frame:\n");
    println!("| video | frames | FFmpeg alone | ours | needed | skipped | ms over FFmpeg | ms from YUV to crop |");
    println!("|---|---|---|---|---|---|---|---|");
    for (width, height) in [(640, 360), (1280, 720)] {
        for (bf, words) in [("3", "with B-frames"), ("0", "without")] {
            for frames in [300, 900, 3600] {
                // Two minutes, as in the original dataset; only with B-frames, which can be skipped.
                let is_long = frames == 3600;
                if (options.short && frames >= 900 && height == 720) || (is_long && (height == 360 || bf == "0")) {
                    continue;
                }
                let options = [("bf", bf), ("preset", "veryfast"), ("crf", "26"), ("g", "150")];
                let options = options.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
                let synth = Synth { width, height, frames, options, ..Synth::default() };
                let path = media(&format!("{height}p-{bf}-{frames}.mp4"), &synth);
                row(&format!("{height}p {words}"), &path, &recipe);
            }
        }
    }
    println!();
}

//! Creates a dataset of text files named as videos, with generated features, within seconds. For trying out and measuring exports
//! and other commands that need features.
//!
//! usage: made_features DIR COUNT
//!
//! Then: `reeldeck --root DIR/data --out DIR/out export --format csv,npy`. The numbers resemble logits: they are
//! of the same size, and neighbouring clips are similar. Those of the first video are arbitrary floats.

#![allow(clippy::unwrap_used, reason = "a tool for developers")]

use std::fs;
use std::path::PathBuf;

use reeldeck_common::atomic::Owner;
use reeldeck_common::feature::{CheckpointId, Feature, FrameCounts, Matrix, Provenance};
use reeldeck_common::layout::Layout;
use reeldeck_common::recipe::{Output, Recipe};
use reeldeck_common::source::SourceStamp;
use reeldeck_common::versions::SEEDED_WEIGHTS;
use reeldeck_common::video::VideoName;

const CLASSES: [&str; 5] = ["Applying_sunscreen", "Archery", "BMX", "Horseback_riding", "Zumba"];
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A random number generator with a fixed seed (SplitMix64).
struct Lot(u64);

impl Lot {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Roughly normal, with a standard deviation of one.
    fn normal(&mut self) -> f32 {
        (0..3).map(|_| self.next() as f32 / u64::MAX as f32 * 2.0 - 1.0).sum()
    }
}

fn name(lot: &mut Lot, number: u64) -> VideoName {
    let id: String = match number {
        // The original's script replaces `mp4` anywhere in a name.
        1 => "v_a-mp4b_mp4c".into(),
        _ => (0..11).fold("v_".into(), |id, _| id + &char::from(LETTERS[lot.below(64) as usize]).to_string()),
    };
    VideoName::new(&format!("{}/{id}.mp4", CLASSES[number as usize % CLASSES.len()])).unwrap()
}

fn numbers(lot: &mut Lot, number: u64, [clips, classes]: [usize; 2]) -> Vec<f32> {
    if number == 0 {
        let any = |lot: &mut Lot| loop {
            let value = f32::from_bits(lot.next() as u32);
            if value.is_finite() {
                return value;
            }
        };
        return (0..clips * classes).map(|_| any(lot)).collect();
    }
    let mut row: Vec<f32> = (0..classes).map(|_| lot.normal() * 3.0 - 1.0).collect();
    let mut data = vec![];
    for _ in 0..clips {
        row.iter_mut().for_each(|value| *value += lot.normal() * 0.1);
        data.extend_from_slice(&row);
    }
    data
}

fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(dir), Some(count)) = (args.next().map(PathBuf::from), args.next().and_then(|n| n.parse::<u64>().ok()))
    else {
        eprintln!("usage: made_features DIR COUNT");
        std::process::exit(2);
    };
    let recipe = Recipe::find("slowonly-r50-8x8-k700").unwrap();
    let layout = Layout::new(&dir.join("out"), &recipe.set_name(SEEDED_WEIGHTS));
    layout.prepare().unwrap();
    let owner = Owner::this_process();
    let mut lot = Lot(1);
    for number in 0..count {
        let video = name(&mut lot, number);
        let source = video.under(&dir.join("data"));
        fs::create_dir_all(source.parent().unwrap()).unwrap();
        fs::write(&source, format!("not a video, {number}\n")).unwrap();
        let output = 60 + lot.below(4000);
        let shape = [recipe.sampling.usual_rows(), recipe.columns(Output::Logits)];
        let starts = recipe.sampling.starts(output);
        let mut data = numbers(&mut lot, number, shape);
        // Clips of the same frames have the same numbers.
        for clip in 1..shape[0] {
            if starts[clip] == starts[clip - 1] {
                data.copy_within((clip - 1) * shape[1]..clip * shape[1], clip * shape[1]);
            }
        }
        let provenance = Provenance {
            format: Provenance::FORMAT,
            tool: "made up".into(),
            set: layout.set().to_owned(),
            recipe: recipe.clone(),
            checkpoint: CheckpointId::seeded(),
            source: SourceStamp::read(&source).unwrap(),
            frames: FrameCounts { expected: output, output, concealed: 0 },
            resampled: None,
            fps: [[25, 1], [30, 1], [30000, 1001]][number as usize % 3],
            size: [340, 256],
            precision: recipe.precision,
            device: "cpu".into(),
            libtorch: "none".into(),
            convolutions: None,
            nvdec: false,
            expected_from: None,
            video,
        };
        let path = layout.feature(&provenance.video);
        let tensors = [(Output::Logits.name().to_owned(), Matrix { shape, data })].into();
        Feature { provenance, tensors }.write(&path, &owner).unwrap();
    }
    println!("{count} features in {}", layout.features().display());
}

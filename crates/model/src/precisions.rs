//! How fast a precision is on this machine's CPU, compared with fp32. The flags of a processor do not tell: with the bfloat16
//! instructions of AVX-512 but without AMX, bf16 may be slower than fp32.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use reeldeck_common::atomic::{self, Owner};
use reeldeck_common::recipe::{Model, Precision, Recipe, Resize, SlowOnly, Transform, VideoMae};
use tch::{Device, Kind, Tensor};
use tracing::{debug, info};

use crate::algorithms::{Algorithm, Choice, kept, processor};
use crate::backbone::{Backbone, Family, Setup};
use crate::error::ModelError;
use crate::network::Network;
use crate::seeded;
use crate::weights::Weights;

/// The speeds that were measured on each kind of processor.
type Kept = BTreeMap<String, BTreeMap<String, f64>>;

/// How often each precision runs, after a run that counts for nothing.
const RUNS: usize = 3;

/// A precision that takes this many times as long as fp32 in its first run is not run again.
const FAR_SLOWER: u32 = 8;

/// Side of the frames of a ResNet, in pixels.
const SIDE: usize = 128;

/// A network with layers of the usual sizes, but fewer of them.
enum Sample {
    ResNet { network: Network, length: usize },
    Transformer { model: VideoMae, transform: Transform },
}

impl Sample {
    /// The sample for a recipe's model; `None` for a module, whose layers are unknown.
    fn of(recipe: &Recipe) -> Option<Self> {
        let resnet = |base_channels| {
            let model = SlowOnly { depth: 50, base_channels, inflate: [0, 0, 1, 1], classes: 1 };
            let mut network = Network::new(&model);
            network.stages.iter_mut().for_each(|stage| stage.truncate(1));
            Self::ResNet { network, length: 8 }
        };
        match recipe.model {
            Model::Slowonly(model) => Some(resnet(model.base_channels)),
            Model::Slowfast(_) => Some(resnet(64)),
            Model::Videomae(model) => {
                Some(Self::Transformer { model: VideoMae { depth: 1, ..model }, transform: recipe.transform })
            }
            Model::Torchscript(_) => None,
        }
    }

    fn family(&self) -> &dyn Family {
        match self {
            Self::ResNet { network, .. } => network,
            Self::Transformer { model, .. } => model,
        }
    }

    /// Its name in the file.
    fn name(&self) -> String {
        match self {
            Self::ResNet { network, .. } => format!("ResNet, {} channels", network.stem.output),
            Self::Transformer { model, .. } => format!("transformer, width {}", model.width),
        }
    }

    fn build(
        &self,
        weights: &Weights,
        precision: Precision,
        choice: Choice<'_>,
    ) -> Result<Box<dyn Backbone>, ModelError> {
        let (transform, length) = match self {
            Self::ResNet { length, .. } => {
                let resize = Resize::Exact { height: SIDE, width: SIDE };
                let filter = reeldeck_common::recipe::Filter::OpencvU8;
                (&Transform { resize, filter, crop: None, scale: 1.0, mean: [0.0; 3], std: [255.0; 3] }, *length)
            }
            Self::Transformer { model, transform } => (transform, model.frames),
        };
        let setup = Setup { transform, length, precision, device: Device::Cpu, choice };
        self.family().build(weights, &setup)
    }

    fn length(&self) -> i64 {
        match self {
            Self::ResNet { length, .. } => *length as i64,
            Self::Transformer { model, .. } => model.frames as i64,
        }
    }
}

/// How many times as fast as in fp32 a recipe's network is in this precision, on this machine's CPU with the current number of
/// threads. `None` if that cannot be measured, because the network is in a module. A measurement takes about a second and is
/// kept in `file`, if there is one.
///
/// # Errors
/// When memory runs out or libtorch fails.
pub fn speed(recipe: &Recipe, precision: Precision, file: Option<&Path>) -> Result<Option<f64>, ModelError> {
    let Some(sample) = Sample::of(recipe) else { return Ok(None) };
    let (machine, key) =
        (processor(), format!("{} of fp32, {}, {} threads", precision.name(), sample.name(), tch::get_num_threads()));
    let (file, mut known): (_, Kept) = match file.map(kept).transpose() {
        Ok(known) => (file, known.unwrap_or_default()),
        Err(error) => {
            debug!("failed to read {}: {error}", file.unwrap_or(Path::new("")).display());
            (None, Kept::new())
        }
    };
    if let Some(speed) = known.get(&machine).and_then(|speeds| speeds.get(&key)) {
        return Ok(Some(*speed));
    }
    let speed = measure(&sample, precision)?;
    info!(key, speed, "measured a precision");
    known.entry(machine).or_default().insert(key, speed);
    if let Some(file) = file {
        let text = serde_json::to_vec_pretty(&known).map_err(io::Error::other);
        let written = text.and_then(|text| atomic::write(file, &Owner::this_process(), |out| out.write_all(&text)));
        // It is only measured again then.
        if let Err(error) = written {
            debug!("failed to write {}: {error}", file.display());
        }
    }
    Ok(Some(speed))
}

fn measure(sample: &Sample, precision: Precision) -> Result<f64, ModelError> {
    let weights = seeded::weights(sample.family());
    let mut fp32 = [
        Timed::new(sample.build(&weights, Precision::Fp32, Choice::Direct)?),
        Timed::new(sample.build(&weights, Precision::Fp32, Choice::Always(&[Algorithm::Winograd]))?),
    ];
    let mut other = Timed::new(sample.build(&weights, precision, Choice::Direct)?);
    let bytes = sample.length() * fp32[0].model.input().frame_bytes() as i64;
    let pixels = Tensor::f_zeros([bytes], (Kind::Uint8, Device::Cpu))?;
    for run in 0..=RUNS {
        // In turns, so that other processes disturb all of them alike.
        for timed in &mut fp32 {
            timed.run(&pixels, run > 0)?;
        }
        let most = fp32[0].least.saturating_mul(FAR_SLOWER);
        if run < 2 || other.least < most {
            other.run(&pixels, run > 0)?;
        }
    }
    Ok(fp32[0].least.min(fp32[1].least).as_secs_f64() / other.least.as_secs_f64())
}

/// A network and its shortest run.
struct Timed {
    model: Box<dyn Backbone>,
    least: Duration,
}

impl Timed {
    fn new(model: Box<dyn Backbone>) -> Self {
        Self { model, least: Duration::MAX }
    }

    fn run(&mut self, pixels: &Tensor, counts: bool) -> Result<(), ModelError> {
        let started = Instant::now();
        drop(self.model.clips(self.model.frames(pixels)?)?);
        if counts {
            self.least = self.least.min(started.elapsed());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_measured_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("precisions.json");
        let mut recipe = Recipe::find("slowonly-r50-8x8-k700").unwrap();
        let Model::Slowonly(model) = &mut recipe.model else { panic!() };
        model.base_channels = 4;
        let speed = |file| super::speed(&recipe, Precision::Bf16, file).unwrap().unwrap();
        assert!(speed(Some(&file)) > 0.0);
        let mut known: Kept = kept(&file).unwrap();
        for value in known.values_mut().flat_map(BTreeMap::values_mut) {
            *value = 123.0;
        }
        std::fs::write(&file, serde_json::to_vec(&known).unwrap()).unwrap();
        assert_eq!(speed(Some(&file)), 123.0);
        assert!(speed(None) < 123.0);
    }

    #[test]
    fn each_family_but_modules_has_a_sample() {
        for name in ["videomaev2-s-16x4", "slowfast-r50-32x8"] {
            let recipe = Recipe::find(name).unwrap();
            let sample = Sample::of(&recipe).unwrap();
            assert!(!sample.family().entries().is_empty(), "{}", sample.name());
        }
    }
}

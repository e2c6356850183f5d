//! Runs a video's clips through the network while its frames arrive, each distinct frame and clip only once.

use std::collections::{BTreeMap, VecDeque};

use tch::Tensor;

use crate::error::ModelError;
use crate::fast::FastModel;

/// Frames that go through the framewise layers together. One size for all: the grouping must not depend on timing, or two
/// runs would differ in the last digit. At least 16, below which libtorch leaves oneDNN on a single thread.
const FRAMES_TOGETHER: usize = 16;

/// The clips of one video on their way through the network.
pub struct ClipRunner<'m> {
    model: &'m FastModel,
    /// Clips that still lack something, in order.
    waiting: VecDeque<Vec<u64>>,
    batch: usize,
    /// Pixels of frames that wait for their group to be full.
    pixels: Vec<u8>,
    indices: Vec<u64>,
    /// What the framewise layers gave, as long as a clip to come needs it.
    cache: BTreeMap<u64, Tensor>,
    outputs: Outputs,
}

/// What the network gave for the distinct clips, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outputs {
    /// Clips done.
    pub clips: usize,
    /// clips × channels.
    pub pooled: Vec<f32>,
    /// clips × classes.
    pub logits: Vec<f32>,
}

impl<'m> ClipRunner<'m> {
    /// `clips` are the distinct clips, their frame indices in order; `batch` of them are run together.
    pub fn new(model: &'m FastModel, clips: Vec<Vec<u64>>, batch: usize) -> Self {
        Self {
            model,
            waiting: clips.into(),
            batch: batch.max(1),
            pixels: vec![],
            indices: vec![],
            cache: BTreeMap::new(),
            outputs: Outputs::default(),
        }
    }

    /// Takes the next frame, in ascending order of index, and runs what has become complete. Returns the clips done so far.
    ///
    /// # Errors
    /// What libtorch reports.
    pub fn push(&mut self, index: u64, pixels: &[u8]) -> Result<usize, ModelError> {
        self.pixels.extend_from_slice(pixels);
        self.indices.push(index);
        if self.indices.len() == FRAMES_TOGETHER {
            self.run_frames()?;
            while self.waiting.len() >= self.batch && self.is_complete(self.batch) {
                self.run_clips(self.batch)?;
            }
        }
        Ok(self.outputs.clips)
    }

    /// Clips done so far.
    pub fn done(&self) -> usize {
        self.outputs.clips
    }

    /// Runs what is left.
    ///
    /// # Errors
    /// When frames are missing, and what libtorch reports.
    pub fn finish(mut self) -> Result<Outputs, ModelError> {
        self.run_frames()?;
        while !self.waiting.is_empty() {
            let count = self.batch.min(self.waiting.len());
            if !self.is_complete(count) {
                return Err(ModelError::Internal("frames of a clip are missing".into()));
            }
            self.run_clips(count)?;
        }
        if self.outputs.logits.iter().chain(&self.outputs.pooled).any(|v| !v.is_finite()) {
            return Err(ModelError::NotFinite);
        }
        Ok(self.outputs)
    }

    fn is_complete(&self, count: usize) -> bool {
        self.waiting.iter().take(count).flatten().all(|index| self.cache.contains_key(index))
    }

    fn run_frames(&mut self) -> Result<(), ModelError> {
        if self.indices.is_empty() {
            return Ok(());
        }
        let features = self.model.frames(&self.pixels)?;
        for (row, index) in self.indices.drain(..).enumerate() {
            self.cache.insert(index, features.f_narrow(0, row as i64, 1)?);
        }
        self.pixels.clear();
        Ok(())
    }

    fn run_clips(&mut self, count: usize) -> Result<(), ModelError> {
        let clips: Vec<Vec<u64>> = self.waiting.drain(..count).collect();
        let frames: Vec<&Tensor> = clips.iter().flatten().filter_map(|index| self.cache.get(index)).collect();
        let (pooled, logits) = self.model.clips(Tensor::f_cat(&frames, 0)?)?;
        self.outputs.pooled.extend(Vec::<f32>::try_from(pooled.f_flatten(0, -1)?)?);
        self.outputs.logits.extend(Vec::<f32>::try_from(logits.f_flatten(0, -1)?)?);
        self.outputs.clips += count;
        // Clips begin at ascending frames, so what lies before the next one is not needed again. A clip of a video
        // shorter than itself wraps around, but then it is the only one.
        match self.waiting.front().and_then(|clip| clip.iter().min()) {
            Some(first) => self.cache = self.cache.split_off(first),
            None => self.cache.clear(),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reeldeck_contract::recipe::{Family, Model, Precision, Transform};
    use tch::Device;

    use crate::network::Network;
    use crate::seeded;

    /// However long a video is: what is kept spans a batch of clips and a group of frames.
    #[test]
    fn frames_are_forgotten_when_no_clip_to_come_needs_them() {
        let model = Model { family: Family::Slowonly, depth: 50, base_channels: 4, inflate: [0, 0, 1, 1], classes: 3 };
        let transform = Transform { short_side: 32, crop: 32, mean: [100.0; 3], std: [50.0; 3] };
        let network = Network::new(&model);
        let weights = seeded::weights(&network);
        let model = FastModel::new(&network, &weights, &transform, 8, Precision::Fp32, Device::Cpu).unwrap();
        let clips: Vec<Vec<u64>> = (0..50).map(|i| (0..8).map(|k| i * 19 + 8 * k).collect()).collect();
        let mut runner = ClipRunner::new(&model, clips, 2);
        let mut most = 0;
        for index in 0..988 {
            runner.push(index, &[index as u8; 32 * 32 * 3]).unwrap();
            most = most.max(runner.cache.len());
        }
        assert!((57..=57 + 19 + FRAMES_TOGETHER).contains(&most), "{most}");
        assert_eq!(runner.finish().unwrap().clips, 50);
    }
}

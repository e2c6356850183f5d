//! Runs a video's clips through the network while its frames arrive, each distinct frame and clip only once.

use std::collections::{BTreeMap, VecDeque};

use tch::{Device, Tensor};

use crate::error::ModelError;
use crate::fast::FastModel;
use crate::upload::Group;

/// The clips of one video on their way through the network.
pub struct ClipRunner<'m> {
    model: &'m FastModel,
    /// Clips that still lack something, in order.
    waiting: VecDeque<Vec<u64>>,
    batch: usize,
    /// Frames of a group.
    together: usize,
    /// Pixels of frames that wait for their group to be full.
    pixels: Group,
    indices: Vec<u64>,
    /// What the framewise layers gave, as long as a clip to come needs it.
    cache: BTreeMap<u64, Tensor>,
    computed: Computed,
}

/// What the network gives for the distinct clips, in order: on the device, which may not yet have come to it. To fetch it
/// waits for the device, so it is done when nothing else is left to be given to it, or on another thread.
#[derive(Default)]
pub struct Computed {
    clips: usize,
    /// Of each batch: pooled and logits.
    batches: Vec<(Tensor, Tensor)>,
}

impl Computed {
    /// Waits until all is computed, and brings it to the host.
    ///
    /// # Errors
    /// Numbers that are none, and what libtorch reports.
    pub fn fetch(self) -> Result<Outputs, ModelError> {
        let _guard = tch::no_grad_guard();
        let mut outputs = Outputs { clips: self.clips, ..Outputs::default() };
        let numbers = |tensor: &Tensor| -> Result<Vec<f32>, ModelError> {
            Ok(Vec::try_from(tensor.f_to(Device::Cpu)?.f_flatten(0, -1)?)?)
        };
        for (pooled, logits) in &self.batches {
            outputs.pooled.extend(numbers(pooled)?);
            outputs.logits.extend(numbers(logits)?);
        }
        if outputs.logits.iter().chain(&outputs.pooled).any(|v| !v.is_finite()) {
            return Err(ModelError::NotFinite);
        }
        Ok(outputs)
    }
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
        Self::grouped(model, clips, batch, model.frames_together(batch))
    }

    /// The same with another number of frames in a group.
    pub fn grouped(model: &'m FastModel, clips: Vec<Vec<u64>>, batch: usize, together: usize) -> Self {
        Self {
            model,
            together: together.max(1),
            waiting: clips.into(),
            batch: batch.max(1),
            pixels: Group::default(),
            indices: vec![],
            cache: BTreeMap::new(),
            computed: Computed::default(),
        }
    }

    /// Takes the next frame, in ascending order of index, and runs what has become complete. Returns the clips done so
    /// far, or given to a GPU.
    ///
    /// # Errors
    /// What libtorch reports.
    pub fn push(&mut self, index: u64, pixels: &[u8]) -> Result<usize, ModelError> {
        self.pixels.push(&self.model.upload, self.together * self.model.frame_bytes(), pixels)?;
        self.pushed(index)
    }

    /// The same for frames whose pixels are on the device, a row each.
    ///
    /// # Errors
    /// What libtorch reports.
    pub fn push_there(&mut self, indices: &[u64], pixels: &Tensor) -> Result<usize, ModelError> {
        for (row, index) in indices.iter().enumerate() {
            self.pixels.push_there(&self.model.upload, &pixels.f_select(0, row as i64)?)?;
            self.pushed(*index)?;
        }
        Ok(self.computed.clips)
    }

    fn pushed(&mut self, index: u64) -> Result<usize, ModelError> {
        self.indices.push(index);
        if self.indices.len() == self.together {
            self.run_frames()?;
            while self.waiting.len() >= self.batch && self.is_complete(self.batch) {
                self.run_clips(self.batch)?;
            }
        }
        Ok(self.computed.clips)
    }

    /// Clips done so far, or given to a GPU.
    pub fn done(&self) -> usize {
        self.computed.clips
    }

    /// Runs what is left, and waits for it.
    ///
    /// # Errors
    /// When frames are missing, and what libtorch reports.
    pub fn finish(self) -> Result<Outputs, ModelError> {
        self.end()?.fetch()
    }

    /// Runs what is left. A GPU may still be at it afterwards.
    ///
    /// # Errors
    /// As [`ClipRunner::finish`].
    pub fn end(mut self) -> Result<Computed, ModelError> {
        self.run_frames()?;
        while !self.waiting.is_empty() {
            let count = self.batch.min(self.waiting.len());
            if !self.is_complete(count) {
                return Err(ModelError::Internal("frames of a clip are missing".into()));
            }
            self.run_clips(count)?;
        }
        Ok(self.computed)
    }

    fn is_complete(&self, count: usize) -> bool {
        self.waiting.iter().take(count).flatten().all(|index| self.cache.contains_key(index))
    }

    fn run_frames(&mut self) -> Result<(), ModelError> {
        if self.indices.is_empty() {
            return Ok(());
        }
        let pixels = self.pixels.take(&self.model.upload)?;
        let features = self.model.frames(&pixels)?;
        for (row, index) in self.indices.drain(..).enumerate() {
            self.cache.insert(index, features.f_narrow(0, row as i64, 1)?);
        }
        Ok(())
    }

    fn run_clips(&mut self, count: usize) -> Result<(), ModelError> {
        let clips: Vec<Vec<u64>> = self.waiting.drain(..count).collect();
        let frames: Vec<&Tensor> = clips.iter().flatten().filter_map(|index| self.cache.get(index)).collect();
        self.computed.batches.push(self.model.clips(Tensor::f_cat(&frames, 0)?)?);
        self.computed.clips += count;
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
    use reeldeck_common::recipe::{Family, Model, Precision, Transform};
    use tch::Device;

    use crate::network::Network;
    use crate::seeded;

    fn net() -> (FastModel, Vec<Vec<u64>>) {
        let model = Model { family: Family::Slowonly, depth: 50, base_channels: 4, inflate: [0, 0, 1, 1], classes: 3 };
        let transform = Transform { short_side: 32, crop: 32, mean: [100.0; 3], std: [50.0; 3] };
        let network = Network::new(&model);
        let weights = seeded::weights(&network);
        let model = FastModel::new(&network, &weights, &transform, 8, Precision::Fp32, Device::Cpu).unwrap();
        (model, (0..50).map(|i| (0..8).map(|k| i * 19 + 8 * k).collect()).collect())
    }

    /// As to a GPU: groups are put together in a tensor of their own, and sent.
    #[test]
    fn frames_that_are_sent_give_the_same_bits() {
        let (mut model, clips) = net();
        let run = |model: &FastModel, together| {
            let mut runner = ClipRunner::grouped(model, clips.clone(), 20, together);
            for index in 0..988_u64 {
                let pixels: Vec<u8> = (0..32 * 32 * 3).map(|at| (index * 7 + at * at % 251) as u8).collect();
                runner.push(index, &pixels).unwrap();
            }
            runner.finish().unwrap()
        };
        let plain = [16, 64, 1000].map(|together| run(&model, together));
        model.upload = crate::upload::Upload::staged();
        for (together, plain) in [16, 64, 1000].into_iter().zip(plain) {
            assert_eq!(plain.clips, 50);
            assert!(run(&model, together) == plain, "{together} frames together");
        }
    }

    /// Also where some frames come from the host and some are there, and however many come at once.
    #[test]
    fn frames_that_are_there_give_the_same_bits() {
        let (model, clips) = net();
        let pixels = |index: u64| -> Vec<u8> { (0..32 * 32 * 3).map(|at| (index * 7 + at * at % 251) as u8).collect() };
        let mut plain = ClipRunner::grouped(&model, clips.clone(), 20, 64);
        let mut there = ClipRunner::grouped(&model, clips, 20, 64);
        let mut index = 0;
        for count in [16, 16, 16, 16, 5, 1, 16, 3].into_iter().cycle() {
            let indices: Vec<u64> = (index..(index + count).min(988)).collect();
            if indices.is_empty() {
                break;
            }
            index += count;
            for index in &indices {
                plain.push(*index, &pixels(*index)).unwrap();
                if count == 3 {
                    there.push(*index, &pixels(*index)).unwrap();
                }
            }
            if count == 3 {
                continue;
            }
            let all: Vec<u8> = indices.iter().flat_map(|index| pixels(*index)).collect();
            let rows = Tensor::from_slice(&all).view([indices.len() as i64, 32, 32, 3]);
            there.push_there(&indices, &rows).unwrap();
        }
        assert!(there.finish().unwrap() == plain.finish().unwrap());
    }

    /// However long a video is: what is kept spans a batch of clips and a group of frames.
    #[test]
    fn frames_are_forgotten_when_no_clip_to_come_needs_them() {
        let (model, clips) = net();
        let mut runner = ClipRunner::new(&model, clips, 2);
        let mut most = 0;
        for index in 0..988 {
            runner.push(index, &[index as u8; 32 * 32 * 3]).unwrap();
            most = most.max(runner.cache.len());
        }
        assert!((57..=57 + 19 + model.frames_together(2)).contains(&most), "{most}");
        assert_eq!(runner.finish().unwrap().clips, 50);
    }
}

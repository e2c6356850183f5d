//! Runs the clips of a video through the network while its frames arrive. Each distinct frame and clip is computed once.

use std::collections::{BTreeMap, VecDeque};

use tch::{Device, Tensor};

use crate::backbone::Backbone;
use crate::download::Incoming;
use crate::error::ModelError;
use crate::passes::Passes;
use crate::rows::Rows;
use crate::upload::{FrameGroup, Pixels};

/// Computes the clips of a video.
///
/// Push the frames of the clips in ascending order, and take the rows from time to time:
///
/// ```ignore
/// let mut runner = ClipRunner::new(&*backbone, clips, batch);
/// for (index, pixels) in frames {
///     runner.push(index, &pixels)?;
///     let rows = runner.take().fetch()?; // maybe none
/// }
/// let rows = runner.finish()?.fetch()?;
/// ```
///
/// Its memory depends on the length of a clip and on `batch`, not on the number of clips.
pub struct ClipRunner<'m> {
    model: &'m dyn Backbone,
    /// The clips that are neither computed nor waiting, in order.
    clips: Box<dyn Iterator<Item = Vec<u64>> + 'm>,
    /// The next clips to compute, at most `batch` of them.
    waiting: VecDeque<Vec<u64>>,
    batch: usize,
    /// Frames of a group.
    group_size: usize,
    /// Whether incomplete groups and batches are padded to one of a few sizes. On a GPU, cuDNN plans each convolution anew for each
    /// size, which takes longer than to compute the padding.
    pads: bool,
    passes: Passes,
    /// The pixels and indices of the frames of the current group.
    pixels: FrameGroup,
    indices: Vec<u64>,
    /// The results of the framewise layers that waiting clips need, by frame.
    cache: BTreeMap<u64, Tensor>,
    /// The number of all clips that are computed.
    done: usize,
    /// The results that were not taken yet.
    computed: Computed,
}

/// The sizes of passes on a GPU that have at most `full` rows: a quarter, half or all of them.
pub(crate) fn padded_sizes(full: usize) -> [usize; 3] {
    [full / 4, full / 2, full]
}

/// The outputs for some of the distinct clips, in order, on their way to the host. A GPU may still be computing them.
#[derive(Default)]
pub struct Computed {
    clips: usize,
    /// The results of each batch.
    batches: Vec<Incoming>,
}

impl Computed {
    /// Number of clips.
    pub fn clips(&self) -> usize {
        self.clips
    }

    /// Waits until the outputs are on the host. To keep the device busy, first start its next work, or call this on another thread.
    ///
    /// # Errors
    /// When outputs are not finite, or libtorch fails.
    pub fn fetch(self) -> Result<Outputs, ModelError> {
        let _guard = tch::no_grad_guard();
        let mut outputs = Outputs { clips: self.clips, ..Outputs::default() };
        for batch in &self.batches {
            batch.append_to(&mut outputs.pooled, &mut outputs.logits)?;
        }
        if outputs.logits.iter().chain(&outputs.pooled).any(|v| !v.is_finite()) {
            return Err(ModelError::NotFinite);
        }
        Ok(outputs)
    }
}

/// The outputs for some of the distinct clips, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outputs {
    /// Number of clips.
    pub clips: usize,
    /// clips × channels.
    pub pooled: Vec<f32>,
    /// clips × classes; empty if the network has no class scores.
    pub logits: Vec<f32>,
}

impl<'m> ClipRunner<'m> {
    /// `clips` are the distinct clips as lists of frame indices, in order of their first frame. `batch` clips are computed
    /// together.
    pub fn new(model: &'m dyn Backbone, clips: impl IntoIterator<Item = Vec<u64>, IntoIter: 'm>, batch: usize) -> Self {
        Self::with_group_size(model, clips, batch, model.group_size(batch))
    }

    /// The same with `group_size` frames in a group.
    pub fn with_group_size(
        model: &'m dyn Backbone,
        clips: impl IntoIterator<Item = Vec<u64>, IntoIter: 'm>,
        batch: usize,
        group_size: usize,
    ) -> Self {
        let on_gpu = model.input().device() != Device::Cpu;
        let (group_size, batch) = (group_size.max(1), batch.max(1));
        model.announce(group_size, batch);
        let mut runner = Self {
            model,
            group_size,
            pads: on_gpu,
            passes: Passes::new(on_gpu),
            clips: Box::new(clips.into_iter()),
            waiting: VecDeque::new(),
            batch,
            pixels: FrameGroup::default(),
            indices: vec![],
            cache: BTreeMap::new(),
            done: 0,
            computed: Computed::default(),
        };
        runner.refill();
        runner
    }

    fn refill(&mut self) {
        let room = self.batch - self.waiting.len();
        self.waiting.extend(self.clips.by_ref().take(room));
    }

    /// Adds the next frame and runs complete groups and batches. Frames come in ascending order of index. `pixels` are
    /// the bytes of the transformed frame (see [`Input`](crate::input::Input)). Returns the number of clips that are computed or in progress on a GPU.
    ///
    /// # Errors
    /// When memory runs out or libtorch fails.
    pub fn push(&mut self, index: u64, pixels: &[u8]) -> Result<usize, ModelError> {
        self.pixels.push_bytes(pixels);
        self.added(index)
    }

    /// The same for pixels that may be in a slab, where they stay.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_pixels(&mut self, index: u64, pixels: Pixels) -> Result<usize, ModelError> {
        self.pixels.push(pixels);
        self.added(index)
    }

    fn added(&mut self, index: u64) -> Result<usize, ModelError> {
        self.indices.push(index);
        if self.indices.len() == self.group_size {
            self.run_frames()?;
            while self.waiting.len() >= self.batch && self.is_complete(self.batch) {
                self.run_clips(self.batch)?;
            }
        }
        Ok(self.done)
    }

    /// The number of clips that are computed or in progress on a GPU.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Takes the results that were computed since the last call.
    pub fn take(&mut self) -> Computed {
        std::mem::take(&mut self.computed)
    }

    /// Runs the remaining clips. Returns the results that were not taken yet.
    ///
    /// # Errors
    /// When frames are missing, memory runs out, or libtorch fails.
    pub fn finish(mut self) -> Result<Computed, ModelError> {
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

    /// How many rows must be added to `count` of at most `full` for a size that occurs often.
    fn missing(&self, count: usize, full: usize) -> usize {
        let size = padded_sizes(full).into_iter().find(|size| self.pads && *size >= count);
        size.map_or(0, |size| size - count)
    }

    fn run_frames(&mut self) -> Result<(), ModelError> {
        if self.indices.is_empty() {
            return Ok(());
        }
        let input = self.model.input();
        let mut pixels = self.pixels.take(&input.upload)?;
        let missing = self.missing(self.indices.len(), self.group_size);
        let bytes = input.frame_bytes() as i64;
        if missing > 0 {
            pixels = pixels.f_constant_pad_nd([0, missing as i64 * bytes])?;
        }
        let pass = |start: usize, count: usize| {
            self.model.frames(&pixels.f_narrow(0, start as i64 * bytes, count as i64 * bytes)?)
        };
        let features = self.passes.run(self.indices.len() + missing, pass, |a, b| Ok(Tensor::f_cat(&[a, b], 0)?))?;
        for (row, index) in self.indices.drain(..).enumerate() {
            self.cache.insert(index, features.f_narrow(0, row as i64, 1)?);
        }
        Ok(())
    }

    fn run_clips(&mut self, count: usize) -> Result<(), ModelError> {
        let clips: Vec<Vec<u64>> = self.waiting.drain(..count).collect();
        // The last clip again, whose results are dropped.
        let padding = clips.last().into_iter().cycle().take(self.missing(count, self.batch));
        let padded: Vec<&Vec<u64>> = clips.iter().chain(padding).collect();
        let pass = |start: usize, count: usize| {
            let indices = padded.iter().skip(start).take(count).copied().flatten();
            let frames: Vec<&Tensor> = indices.filter_map(|index| self.cache.get(index)).collect();
            self.model.clips(Tensor::f_cat(&frames, 0)?)
        };
        let Rows { pooled, logits } = self.passes.run(padded.len(), pass, Rows::join)?;
        let wanted = |rows: Tensor| rows.f_narrow(0, 0, count as i64);
        let rows = Rows { pooled: wanted(pooled)?, logits: logits.map(wanted).transpose()? };
        self.computed.batches.push(self.model.input().download.start(rows));
        self.computed.clips += count;
        self.done += count;
        self.refill();
        // Clips start at ascending frames, so frames before the next clip are not needed again. A clip that wraps around,
        // because the video is shorter, is the only clip.
        match self.waiting.front().and_then(|clip| clip.iter().min()) {
            Some(first) => self.cache = self.cache.split_off(first),
            None => self.cache.clear(),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::*;
    use crate::fast::FastModel;
    use crate::input::Input;
    use crate::network::Network;
    use crate::seeded;
    use crate::upload::Slabs;
    use reeldeck_common::recipe::{Precision, SlowOnly, Transform};

    fn net() -> (FastModel, Vec<Vec<u64>>) {
        let model = SlowOnly { depth: 50, base_channels: 4, inflate: [0, 0, 1, 1], classes: 3 };
        let transform = Transform::short_side(32, 32, [100.0; 3], [50.0; 3]);
        let network = Network::new(&model);
        let weights = seeded::weights(&network);
        let model = FastModel::new(&network, &weights, &transform, 8, Precision::Fp32, Device::Cpu).unwrap();
        (model, (0..50).map(|i| (0..8).map(|k| i * 19 + 8 * k).collect()).collect())
    }

    #[test]
    fn frames_in_slabs_give_the_same_bits() {
        let (model, clips) = net();
        let run = |group_size, in_slabs: bool| {
            let mut runner = ClipRunner::with_group_size(&model, clips.clone(), 20, group_size);
            let mut places = Slabs::on_host(32 * 32 * 3).places(group_size);
            for index in 0..988_u64 {
                let pixels: Vec<u8> = (0..32 * 32 * 3).map(|at| (index * 7 + at * at % 251) as u8).collect();
                if in_slabs {
                    let mut place = places.next_place().unwrap();
                    place.copy_from_slice(&pixels);
                    runner.push_pixels(index, Pixels::Place(place)).unwrap();
                } else {
                    runner.push(index, &pixels).unwrap();
                }
            }
            runner.finish().unwrap().fetch().unwrap()
        };
        for group_size in [16, 64, 1000] {
            let direct = run(group_size, false);
            assert_eq!(direct.clips, 50);
            assert!(run(group_size, true) == direct, "groups of {group_size} frames");
        }
    }

    /// Passes without padding are of any size, and those with padding of six.
    #[test]
    fn padded_passes_have_few_sizes_and_the_same_results() {
        let (model, clips) = net();
        let sizes = RefCell::new(BTreeSet::new());
        let model = Observed { model, sizes: &sizes };
        let run = |count: usize, pads: bool| {
            let clips = clips[..count].to_vec();
            let last = clips.last().unwrap()[7];
            let mut runner = ClipRunner::with_group_size(&model, clips, 20, 64);
            runner.pads = pads;
            for index in 0..=last {
                let pixels: Vec<u8> = (0..32 * 32 * 3).map(|at| (index * 7 + at * at % 251) as u8).collect();
                runner.push(index, &pixels).unwrap();
            }
            runner.finish().unwrap().fetch().unwrap()
        };
        for count in [1, 2, 5, 6, 11, 21] {
            let (plain, padded) = (run(count, false), run(count, true));
            assert_eq!(padded.clips, count);
            assert_eq!((padded.pooled.len(), padded.logits.len()), (plain.pooled.len(), plain.logits.len()));
            let same = plain.pooled.iter().chain(&plain.logits).zip(padded.pooled.iter().chain(&padded.logits));
            let off = same.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off <= 1e-5, "{count} clips: {off}");
        }
        assert!(sizes.borrow().len() > 6, "without padding there are more: {sizes:?}");
        sizes.borrow_mut().clear();
        [1, 2, 3, 7, 12, 13, 26].into_iter().for_each(|count| drop(run(count, true)));
        let expected = [("clips", 5), ("clips", 10), ("clips", 20), ("frames", 16), ("frames", 32), ("frames", 64)];
        assert_eq!(*sizes.borrow(), expected.into());
        let runner = ClipRunner::new(&model, vec![], 1);
        assert!(!runner.pads && runner.missing(1, 20) == 0, "a CPU computes no padding");
    }

    /// A model that notes the sizes of its passes.
    struct Observed<'a> {
        model: FastModel,
        sizes: &'a RefCell<BTreeSet<(&'static str, usize)>>,
    }

    impl Backbone for Observed<'_> {
        fn input(&self) -> &Input {
            self.model.input()
        }

        fn frames(&self, pixels: &Tensor) -> Result<Tensor, ModelError> {
            self.sizes.borrow_mut().insert(("frames", pixels.numel() / self.input().frame_bytes()));
            self.model.frames(pixels)
        }

        fn clips(&self, frames: Tensor) -> Result<Rows, ModelError> {
            self.sizes.borrow_mut().insert(("clips", frames.size()[0] as usize / 8));
            self.model.clips(frames)
        }
    }

    /// The cache spans a batch of clips and a group of frames, however long the video is.
    #[test]
    fn frames_that_no_clip_needs_are_removed_from_the_cache() {
        let (model, clips) = net();
        let mut runner = ClipRunner::new(&model, clips, 2);
        let mut most = 0;
        for index in 0..988 {
            runner.push(index, &[index as u8; 32 * 32 * 3]).unwrap();
            most = most.max(runner.cache.len());
        }
        assert!((57..=57 + 19 + model.group_size(2)).contains(&most), "{most}");
        assert_eq!(runner.finish().unwrap().clips, 50);
    }

    /// Overlapping windows: clips, frames and outputs in memory stay as many as a batch and a group need.
    #[test]
    fn a_long_video_needs_no_more_memory_than_a_short_one() {
        let (model, _) = net();
        let windows = |total: u64| (0..total.saturating_sub(7)).step_by(2).map(|start| (start..start + 8).collect());
        let run = |total: u64| {
            let (mut frames, mut clips, mut rows) = (0, 0, 0);
            let mut runner = ClipRunner::new(&model, windows(total), 4);
            for index in 0..total {
                let done = runner.push(index, &[index as u8; 32 * 32 * 3]).unwrap();
                rows += runner.take().fetch().unwrap().clips;
                assert_eq!(rows, done);
                (frames, clips) = (frames.max(runner.cache.len()), clips.max(runner.waiting.len()));
            }
            rows += runner.finish().unwrap().fetch().unwrap().clips;
            (frames, clips, rows)
        };
        let (frames, clips, rows) = run(100);
        assert!(frames <= 8 + 4 * 2 + model.group_size(4) && clips <= 4 && rows == 47, "{frames} {clips} {rows}");
        assert_eq!(run(2000), (frames, clips, 997));
    }
}

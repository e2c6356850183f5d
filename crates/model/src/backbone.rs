//! What all families of networks have in common: a [`Family`] says what its checkpoints contain and builds a [`Backbone`],
//! which [`ClipRunner`](crate::clips::ClipRunner) feeds with the frames of a video.

use reeldeck_common::recipe::{Precision, Recipe, Transform};
use tch::{Device, Tensor};

use crate::algorithms::Choice;
use crate::error::ModelError;
use crate::input::Input;
use crate::rows::Rows;
use crate::weights::Weights;

/// A family of networks with the parameters of a recipe.
pub trait Family {
    /// The names and shapes of all weights in a checkpoint.
    fn entries(&self) -> Vec<(String, Vec<usize>)>;

    /// The range of the seeded numbers of a weight.
    fn seeded_range(&self, name: &str, shape: &[usize]) -> (f32, f32);

    /// Whether a checkpoint may contain this key although the network does not use it.
    fn ignores(&self, _name: &str) -> bool {
        false
    }

    /// The key of a checkpoint under which the original code looks for the weights.
    fn state_dict_key(&self) -> &'static str {
        "state_dict"
    }

    /// Builds the network on a device.
    ///
    /// # Errors
    /// When weights are invalid, memory runs out, or libtorch fails.
    fn build(&self, weights: &Weights, setup: &Setup<'_>) -> Result<Box<dyn Backbone>, ModelError>;
}

/// What a network is built for, besides its own parameters.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    /// The frames that it receives.
    pub transform: &'a Transform,
    /// Frames of a clip.
    pub length: usize,
    /// Its arithmetic.
    pub precision: Precision,
    /// Where it runs.
    pub device: Device,
    /// The algorithms of its convolutions on a CPU.
    pub choice: Choice<'a>,
}

impl<'a> Setup<'a> {
    /// What a recipe asks for.
    pub fn of(recipe: &'a Recipe, device: Device, choice: Choice<'a>) -> Self {
        let Recipe { transform, sampling, precision, .. } = recipe;
        Self { transform, length: sampling.length, precision: *precision, device, choice }
    }
}

/// A network on a device.
///
/// Its work is divided so that overlapping clips share what they can: [`Backbone::frames`] runs once for each distinct frame,
/// and its results are cached until no clip needs them; [`Backbone::clips`] runs once for each distinct clip. A network whose
/// first layers see several frames only normalises in `frames`.
pub trait Backbone {
    /// The size and type of its frames, and the way to the device.
    fn input(&self) -> &Input;

    /// The algorithms of its convolutions in words, if they were chosen for this machine.
    fn convolutions(&self) -> Option<&str> {
        None
    }

    /// The number of frames in a group, for which [`Backbone::frames`] runs at once. It must not depend on timing, because
    /// results of different groupings differ in the last digits. On a CPU it is 16: with fewer frames libtorch runs oneDNN on
    /// a single thread, and more frames gain nothing. On a GPU the overhead of a call does not depend on the number of frames.
    /// There a group has 64 frames for the default of 20 clips, and half as many when a lack of memory halves the clips.
    fn group_size(&self, batch: usize) -> usize {
        if self.input().device() == Device::Cpu { 16 } else { gpu_group_size(batch) }
    }

    /// Says how many frames and clips the next passes have at most.
    fn announce(&self, _group_size: usize, _batch: usize) {}

    /// Whether the work of a pass depends only on its size, so that it can be captured once and run again.
    fn has_fixed_work(&self) -> bool {
        true
    }

    /// Runs the layers that see a single frame. `pixels` are the bytes of any number of frames in a row, on the device. The
    /// first dimension of the result is the frame.
    ///
    /// # Errors
    /// When memory runs out or libtorch fails.
    fn frames(&self, pixels: &Tensor) -> Result<Tensor, ModelError>;

    /// Runs the layers that see whole clips. `frames` are results of [`Backbone::frames`] for the frames of whole clips, in
    /// order. A GPU may still be computing when this returns.
    ///
    /// # Errors
    /// When memory runs out or libtorch fails.
    fn clips(&self, frames: Tensor) -> Result<Rows, ModelError>;
}

/// The number of frames in a group on a GPU.
pub fn gpu_group_size(batch: usize) -> usize {
    (batch * 64 / 20).clamp(1, 64)
}

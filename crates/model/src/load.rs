//! Finds the family of a recipe, and loads its network.

use std::path::Path;

use reeldeck_common::recipe::{Model, Recipe};
use tch::Device;

use crate::algorithms::Choice;
use crate::backbone::{Backbone, Family, Setup};
use crate::checkpoint;
use crate::device;
use crate::error::ModelError;
use crate::network::Network;
use crate::seeded;
use crate::torchscript;
use crate::trial;

/// The family of a recipe's model.
///
/// # Errors
/// When its network is in a file of the recipe, so that it has no checkpoint.
pub fn family(model: &Model) -> Result<Box<dyn Family>, ModelError> {
    match model {
        Model::Slowonly(model) => Ok(Box::new(Network::new(model))),
        Model::Slowfast(model) => Ok(Box::new(*model)),
        Model::Videomae(model) => Ok(Box::new(*model)),
        Model::Torchscript(_) => Err(ModelError::NoCheckpoint),
    }
}

/// Loads the network of a recipe onto a device. `checkpoint` is its file with the expected SHA-256, or `None` for seeded
/// weights. On a GPU, it is first compared with the CPU's on one clip. The file of a module is run only if it has the SHA-256 in the
/// recipe. `choice` is about convolutions on a CPU.
///
/// # Errors
/// When the file is unreadable, has changed, or does not fit the network; when the GPU computes something else than the CPU; when
/// memory runs out; when libtorch fails.
pub fn load(
    recipe: &Recipe,
    checkpoint: Option<(&Path, &str)>,
    device: Device,
    choice: Choice<'_>,
) -> Result<Box<dyn Backbone>, ModelError> {
    let setup = Setup::of(recipe, device, choice);
    if let Model::Torchscript(model) = &recipe.model {
        return on_trial(&setup, |setup| torchscript::load(model, checkpoint, setup));
    }
    let family = family(&recipe.model)?;
    let weights = match checkpoint {
        None => seeded::weights(&*family),
        Some((path, digest)) => checkpoint::load(path, digest, &*family, &recipe.transform)?,
    };
    on_trial(&setup, |setup| family.build(&weights, setup))
}

/// Builds a network, and compares it with the CPU's if it is on a GPU.
fn on_trial(
    setup: &Setup<'_>,
    build: impl Fn(&Setup<'_>) -> Result<Box<dyn Backbone>, ModelError>,
) -> Result<Box<dyn Backbone>, ModelError> {
    device::set_arithmetic(setup.precision)?;
    let model = build(setup)?;
    trial::run(&*model, setup, build)?;
    Ok(model)
}

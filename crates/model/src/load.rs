//! Finds the family of a recipe, and loads its network.

use std::path::Path;

use reeldeck_common::recipe::{Model, Recipe};
use tch::Device;

use crate::algorithms::Choice;
use crate::backbone::{Backbone, Family, Setup};
use crate::checkpoint;
use crate::error::ModelError;
use crate::network::Network;
use crate::seeded;
use crate::torchscript;

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
/// weights. The file of a module is run only if it has the SHA-256 in the recipe. `choice` is about convolutions on a CPU.
///
/// # Errors
/// When the file is unreadable, has changed, or does not fit the network; when memory runs out; when libtorch fails.
pub fn load(
    recipe: &Recipe,
    checkpoint: Option<(&Path, &str)>,
    device: Device,
    choice: Choice<'_>,
) -> Result<Box<dyn Backbone>, ModelError> {
    if let Model::Torchscript(model) = &recipe.model {
        return torchscript::load(model, checkpoint, &Setup::of(recipe, device, choice));
    }
    let family = family(&recipe.model)?;
    let weights = match checkpoint {
        None => seeded::weights(&*family),
        Some((path, digest)) => checkpoint::load(path, digest, &*family, &recipe.transform)?,
    };
    family.build(&weights, &Setup::of(recipe, device, choice))
}

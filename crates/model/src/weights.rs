//! The weights of a network.

use std::collections::HashMap;

use tch::{Device, Tensor};

use crate::error::ModelError;

/// The largest valid weight; the weights of trained networks are far smaller. Fused ReLUs turn NaN into zero, so the outputs do
/// not reveal damaged weights, and the weights themselves are checked.
const MAX_WEIGHT: f32 = 1e12;

/// Checks that the numbers of a weight are finite and not far too large.
///
/// # Errors
/// [`ModelError::InvalidWeights`].
pub(crate) fn check(name: &str, numbers: &[f32]) -> Result<(), ModelError> {
    // False for NaN.
    let valid = numbers.iter().all(|number| number.abs() < MAX_WEIGHT);
    if valid { Ok(()) } else { Err(ModelError::InvalidWeights(name.to_owned())) }
}

/// A weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The size of each dimension.
    pub shape: Vec<usize>,
    /// The values in row-major order.
    pub data: Vec<f32>,
}

/// All weights of a network, by their names in a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    arrays: HashMap<String, Array>,
}

impl Weights {
    /// Checks that `arrays` are exactly these weights, apart from counters of training steps.
    ///
    /// # Errors
    /// The first few keys that are missing, unexpected or of another shape.
    pub fn new(entries: &[(String, Vec<usize>)], mut arrays: HashMap<String, Array>) -> Result<Self, String> {
        arrays.retain(|name, _| !name.ends_with(".num_batches_tracked"));
        let mut problems = vec![];
        let missing = entries.iter().filter(|(name, _)| !arrays.contains_key(name)).map(|(name, _)| name.clone());
        problems.extend(list("missing", missing.collect()));
        let known: HashMap<_, _> = entries.iter().map(|(name, shape)| (name.as_str(), shape)).collect();
        let mut unexpected: Vec<String> =
            arrays.keys().filter(|name| !known.contains_key(name.as_str())).cloned().collect();
        unexpected.sort();
        problems.extend(list("unexpected", unexpected));
        let wrong_shape = entries.iter().filter_map(|(name, shape)| {
            let found = &arrays.get(name)?.shape;
            (found != shape).then(|| format!("{name} {found:?} instead of {shape:?}"))
        });
        problems.extend(list("of the wrong shape", wrong_shape.collect()));
        if problems.is_empty() { Ok(Self { arrays }) } else { Err(problems.join("; ")) }
    }

    /// A weight by its name in a checkpoint.
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.arrays.get(name)
    }

    /// The same, where the network has this weight.
    ///
    /// # Errors
    /// When it has not.
    pub(crate) fn array(&self, name: &str) -> Result<&Array, ModelError> {
        self.get(name).ok_or_else(|| ModelError::Internal(format!("no weight {name}")))
    }

    /// A weight as a tensor on a device.
    ///
    /// # Errors
    /// When its numbers are invalid, memory runs out, or libtorch fails.
    pub(crate) fn tensor(&self, name: &str, device: Device) -> Result<Tensor, ModelError> {
        let array = self.array(name)?;
        check(name, &array.data)?;
        let shape: Vec<i64> = array.shape.iter().map(|n| *n as i64).collect();
        Ok(Tensor::f_from_slice(&array.data)?.f_reshape(shape)?.f_to(device)?)
    }
}

fn list(what: &str, keys: Vec<String>) -> Option<String> {
    let shown = keys.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
    match keys.len() {
        0 => None,
        n @ 1..=3 => Some(format!("{n} {what}: {shown}")),
        n => Some(format!("{n} {what}: {shown}, …")),
    }
}

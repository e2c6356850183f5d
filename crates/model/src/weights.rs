//! The weights of a network as plain numbers, whatever they came from.

use std::collections::HashMap;

use crate::network::Network;

/// One weight: its shape and its values in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Extents.
    pub shape: Vec<usize>,
    /// As many values as the product of the extents.
    pub data: Vec<f32>,
}

/// All weights of one network, by their names in a checkpoint. Complete: made only by the modules that check it.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    arrays: HashMap<String, Array>,
}

impl Weights {
    /// Takes exactly the entries of `network`.
    ///
    /// # Errors
    /// Names the first few keys that are missing, surplus or misshapen.
    pub fn new(network: &Network, mut arrays: HashMap<String, Array>) -> Result<Self, String> {
        // Counters of training steps say nothing about the features.
        arrays.retain(|name, _| !name.ends_with(".num_batches_tracked"));
        let entries = network.entries();
        let mut faults = vec![];
        let missing = entries.iter().filter(|(name, _)| !arrays.contains_key(name)).map(|(name, _)| name.clone());
        faults.extend(told("missing", missing.collect()));
        let known: HashMap<_, _> = entries.iter().map(|(name, shape)| (name.as_str(), shape)).collect();
        let mut surplus: Vec<String> =
            arrays.keys().filter(|name| !known.contains_key(name.as_str())).cloned().collect();
        surplus.sort();
        faults.extend(told("surplus", surplus));
        let misshapen = entries.iter().filter_map(|(name, shape)| {
            let found = &arrays.get(name)?.shape;
            (found != shape).then(|| format!("{name} {found:?} instead of {shape:?}"))
        });
        faults.extend(told("misshapen", misshapen.collect()));
        if faults.is_empty() { Ok(Self { arrays }) } else { Err(faults.join("; ")) }
    }

    /// One weight by its name in a checkpoint.
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.arrays.get(name)
    }
}

fn told(what: &str, keys: Vec<String>) -> Option<String> {
    let shown = keys.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
    match keys.len() {
        0 => None,
        n @ 1..=3 => Some(format!("{n} {what}: {shown}")),
        n => Some(format!("{n} {what}: {shown}, …")),
    }
}

//! Loads the weights of a network from a checkpoint. Missing and unexpected entries and wrong shapes are errors.

use std::collections::HashMap;
use std::io::{self, Seek, Write};
use std::path::Path;

use reeldeck_common::digest::sha256;
use reeldeck_common::recipe::Transform;
use reeldeck_pickle::checkpoint::{CheckpointFile, TensorData, TensorEntry, write_checkpoint};
use reeldeck_pickle::tensor::TensorRef;

use crate::backbone::Family;
use crate::error::ModelError;
use crate::weights::{Array, Weights};

/// Reads the weights of a network from a `.pth` file without running the code in it.
///
/// `expected` is the SHA-256 of the file. Some files contain their normalisation, which must match `transform`.
///
/// # Errors
/// When the file is unreadable, has changed, or does not fit the network.
pub fn load(path: &Path, expected: &str, family: &dyn Family, transform: &Transform) -> Result<Weights, ModelError> {
    let failed = |source| ModelError::Checkpoint { path: path.to_owned(), source };
    let misfit = |reason| ModelError::Misfit { path: path.to_owned(), reason };
    let file = CheckpointFile::open(path).map_err(failed)?;
    let found = sha256(file.bytes());
    if found != expected {
        return Err(ModelError::Changed { path: path.to_owned(), found, expected: expected.to_owned() });
    }
    let entries = family.entries();
    let shapes: HashMap<&str, &[usize]> =
        entries.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())).collect();
    let mut arrays = HashMap::new();
    for (name, tensor) in file.state_dict().map_err(failed)? {
        // Files from a distributed training have this prefix.
        let name = name.strip_prefix("module.").unwrap_or(&name).to_owned();
        if let Some(part) = name.strip_prefix("data_preprocessor.") {
            check_normalisation(part, &tensor, transform).map_err(misfit)?;
            continue;
        }
        if family.ignores(&name) {
            continue;
        }
        // Entries that do not fit are refused below by name and shape. Their numbers are not decoded, because a few bytes of
        // a malicious file can stand for millions of numbers.
        let fits = shapes.get(name.as_str()).is_some_and(|shape| *shape == tensor.shape());
        let data = if fits { tensor.to_f32() } else { vec![] };
        arrays.insert(name, Array { shape: tensor.shape().to_vec(), data });
    }
    Weights::new(&entries, arrays).map_err(misfit)
}

fn check_normalisation(part: &str, tensor: &TensorRef<'_>, transform: &Transform) -> Result<(), String> {
    let wanted = match part {
        "mean" => transform.mean,
        "std" => transform.std,
        _ => return Ok(()),
    };
    if tensor.len() != 3 {
        return Err(format!("it was trained with {part} of {} channels instead of 3", tensor.len()));
    }
    let values = tensor.to_f32();
    if values.iter().zip(wanted).all(|(a, b)| (a - b).abs() <= 1e-3) {
        Ok(())
    } else {
        Err(format!("it was trained with {part} {values:?}, and the recipe says {wanted:?}"))
    }
}

/// Writes weights as a `.pth` file that the original code loads.
///
/// # Errors
/// When writing to `out` fails.
pub fn write(out: impl Write + Seek, family: &dyn Family, weights: &Weights) -> io::Result<()> {
    // The original requires a counter of training steps for each normalisation.
    let named = family.entries().into_iter().flat_map(|(name, shape)| {
        let counter = name.strip_suffix(".running_var").map(|bn| (format!("{bn}.num_batches_tracked"), vec![]));
        [Some((name, shape)), counter]
    });
    let named: Vec<(String, Vec<usize>)> = named.flatten().collect();
    let entries = named.iter().map(|(name, shape)| {
        let data = weights.get(name).map_or(TensorData::I64(&[0]), |array| TensorData::F32(&array.data));
        TensorEntry { name, shape, data }
    });
    write_checkpoint(
        out,
        family.state_dict_key(),
        entries,
        &[("made_by", "reeldeck: seeded weights, features are meaningless")],
    )?
    .flush()
}

//! How numpy pickles arrays and scalars, in versions 1 and 2.
//!
//! Protocols 0 to 4 write `_reconstruct(ndarray, (0,), b'b')` with the state `(version, shape, dtype, is_fortran, bytes)`,
//! protocol 5 writes `_frombuffer(bytes, dtype, shape, order)`. A scalar is `scalar(dtype, bytes)`.

use crate::tensor::{Dtype, MAX_DIMENSIONS, row_major_strides};
use crate::torch::NotATensor;
use crate::value::{Node, NodeId, Pickle};

/// A pickled array: a view of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArrayParts {
    pub(crate) dtype: Dtype,
    /// The node with the elements' bytes.
    pub(crate) bytes: NodeId,
    pub(crate) shape: Vec<usize>,
    /// In elements.
    pub(crate) strides: Vec<usize>,
}

impl ArrayParts {
    /// The array or scalar of a node.
    pub(crate) fn of(pickle: &Pickle<'_>, node: NodeId) -> Result<Self, NotATensor> {
        let Node::Object(object) = pickle.get(node) else { return Err(NotATensor::Other) };
        let call = pickle.call(node).ok_or(NotATensor::Other)?;
        let damaged = NotATensor::Damaged;
        let (dtype, bytes, shape, is_fortran) = match (without_package(call.module), call.name, call.args) {
            (Some("multiarray"), "_reconstruct", _) => {
                let state = object.state.and_then(|state| pickle.elements(state)).ok_or(damaged)?;
                // The version may be missing in old files.
                let &[shape, dtype, is_fortran, bytes] = state.get(state.len().saturating_sub(4)..).ok_or(damaged)?
                else {
                    return Err(damaged);
                };
                let is_fortran = pickle.as_bool(is_fortran).or(pickle.as_int(is_fortran).map(|value| value != 0));
                (dtype, bytes, shape, is_fortran.ok_or(damaged)?)
            }
            (Some("numeric"), "_frombuffer", &[bytes, dtype, shape, order]) => {
                (dtype, bytes, shape, pickle.as_str(order) == Some("F"))
            }
            (Some("multiarray"), "scalar", &[dtype, bytes]) => {
                let dtype = dtype_of(pickle, dtype)?;
                return Ok(Self { dtype, bytes, shape: vec![], strides: vec![] });
            }
            _ => return Err(NotATensor::Other),
        };
        let dtype = dtype_of(pickle, dtype)?;
        // Many arrays may refer to one long tuple, so check its length before copying it.
        let few = pickle.elements(shape).is_some_and(|elements| elements.len() <= MAX_DIMENSIONS);
        let shape = few.then(|| pickle.sizes(shape)).flatten().ok_or(damaged)?;
        let strides = if is_fortran {
            let reversed: Vec<usize> = shape.iter().rev().copied().collect();
            row_major_strides(&reversed).into_iter().rev().collect()
        } else {
            row_major_strides(&shape)
        };
        Ok(Self { dtype, bytes, shape, strides })
    }
}

/// The module below `numpy.core`, which is `numpy._core` since version 2.
fn without_package(module: &str) -> Option<&str> {
    module.strip_prefix("numpy.core.").or_else(|| module.strip_prefix("numpy._core."))
}

/// The type of `dtype('f4', …)` with the state `(version, byte order, …)`.
fn dtype_of(pickle: &Pickle<'_>, node: NodeId) -> Result<Dtype, NotATensor> {
    let Node::Object(object) = pickle.get(node) else { return Err(NotATensor::Damaged) };
    let call = pickle.call(node).ok_or(NotATensor::Damaged)?;
    let ("numpy", "dtype" | "dtypes", [name, ..]) = (call.module, call.name, call.args) else {
        return Err(NotATensor::Unsupported);
    };
    let order = object.state.and_then(|state| pickle.as_str(*pickle.elements(state)?.get(1)?));
    let dtype = match pickle.as_str(*name).ok_or(NotATensor::Damaged)? {
        "f4" => Dtype::F32,
        "f8" => Dtype::F64,
        "f2" => Dtype::F16,
        "i8" => Dtype::I64,
        "i4" => Dtype::I32,
        "i2" => Dtype::I16,
        "i1" => Dtype::I8,
        "u1" => Dtype::U8,
        "b1" => Dtype::Bool,
        _ => return Err(NotATensor::Unsupported),
    };
    // Elements of one byte have no order.
    if order == Some(">") && dtype.size() > 1 { Err(NotATensor::Unsupported) } else { Ok(dtype) }
}

//! Python pickles as plain data: PyTorch checkpoints and `result.pkl` files, read and written without ever running them.
//!
//! A pickle is a little program. The reader here ([`read`](read::read)) executes only the part of it that builds values;
//! where the program asks for a class or a function, the name is kept as a node and nothing is looked up, called or
//! imported. Input is untrusted throughout: memory is bounded by the size of the input and nothing recurses.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod checkpoint;
pub mod map;
mod opcode;
pub mod read;
pub mod results;
pub mod tensor;
mod torch;
pub mod value;
pub mod write;

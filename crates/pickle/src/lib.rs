//! Python pickles as plain data: reads and writes PyTorch checkpoints and `result.pkl` files without running them.
//!
//! A pickle is a program for a stack machine. The reader ([`read`](read::read)) executes only the instructions that build
//! values. It keeps the name of a class or function as a node, and never looks it up, imports or calls it. All input is
//! untrusted: memory is bounded by the size of the input, and nothing recurses.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]
#![warn(unreachable_pub)]

pub mod checkpoint;
pub mod map;
mod numpy;
mod opcode;
pub mod read;
pub mod results;
pub mod tensor;
mod torch;
pub mod value;
pub mod write;

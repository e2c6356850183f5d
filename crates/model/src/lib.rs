//! The model: checkpoints, and networks of several families in libtorch that turn pixels into features.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]
#![warn(unreachable_pub)]

pub mod algorithms;
pub mod backbone;
mod blocks;
mod builder;
pub mod checkpoint;
pub mod clips;
mod conv;
mod cpu;
mod cudnn;
pub mod device;
mod download;
pub mod driver;
mod ends;
mod error;
pub mod expansion;
pub mod fast;
pub mod graphs;
pub mod input;
mod load;
mod native;
pub mod network;
pub mod onednn;
mod passes;
pub mod plain;
pub mod precisions;
mod rows;
pub mod seeded;
mod slowfast;
mod streams;
mod torchscript;
mod trial;
pub mod upload;
mod videomae;
pub mod weights;
pub mod winograd;

pub use algorithms::{Algorithm, Choice};
pub use backbone::{Backbone, Family, Setup};
pub use conv::Backend;
pub use error::ModelError;
pub use load::{family, load};
pub use rows::Rows;
pub use tch;

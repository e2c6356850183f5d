//! A video file to exact pixels: open, index, decode, sample, convert, resize, crop.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod boxes;
pub mod check;
mod convert;
mod cuda;
mod decode;
mod decoder;
mod error;
pub mod frames;
pub mod geometry;
pub mod glance;
mod index;
pub mod installed;
mod media;
mod memory;
mod nal;
mod nv12;
pub mod nvdec;
mod picture;
pub mod resize;
mod rotate;
pub mod sampling;
#[cfg(target_arch = "x86_64")]
pub mod simd;
pub mod still;
pub mod surface;
pub mod synth;
pub mod whole;
pub mod yuv;

pub use error::VideoError;
pub use media::init;

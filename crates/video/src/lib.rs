//! A video file to exact pixels: open, index, decode, sample, convert, resize, crop.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod boxes;
pub mod check;
pub mod codec;
pub mod coefficients;
mod convert;
mod cuda;
mod decode;
mod decoder;
mod error;
mod ffi_enums;
pub mod ffmpeg_info;
pub mod frames;
pub mod full_decode;
pub mod geometry;
mod index;
mod media;
mod memory;
mod nal;
mod nv12;
pub mod nvdec;
pub mod peek;
mod picture;
pub mod resize;
mod rotate;
pub mod sampling;
#[cfg(target_arch = "x86_64")]
mod simd;
pub mod still;
pub mod surface;
pub mod synth;
pub mod yuv;

pub use error::VideoError;
pub use media::init;

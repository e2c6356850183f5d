//! Turns a video file into exact pixels: opens, indexes, decodes, samples, converts, resizes and crops.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]
#![warn(unreachable_pub)]

mod accounting;
pub mod check;
pub mod codec;
pub mod coefficients;
mod container;
mod convert;
mod cuda;
mod decode;
mod decoder;
mod error;
mod ffi_enums;
pub mod ffmpeg_info;
mod fields;
pub mod frames;
pub mod full_decode;
pub mod geometry;
mod hidden;
mod index;
mod input;
mod media;
mod memory;
mod mpeg2;
mod mpeg4;
mod nal;
mod nv12;
pub mod nvdec;
mod packet_rules;
pub mod peek;
mod picture;
mod pinned;
mod resample;
pub mod resize;
mod rotate;
pub mod sampling;
#[cfg(target_arch = "x86_64")]
mod simd;
pub mod still;
pub mod synth;
pub mod yuv;

pub use error::VideoError;
pub use ffmpeg_info::init;

//! `reeldeck-probe about`: the version of FFmpeg, and whether it decodes the samples correctly.

use anyhow::Result;
use reeldeck_common::about::{Decoder, Probe, loaded_libraries};
use reeldeck_video::ffmpeg_info;

use crate::samples::SAMPLES;

/// Decoders for which GPUs have hardware.
const ON_GPUS: &[&str] = &["h264", "hevc", "vp8", "vp9", "av1", "mpeg2video", "mpeg4"];

/// Prints the report as JSON.
pub(crate) fn print() -> Result<()> {
    reeldeck_video::init();
    let decoders = SAMPLES.iter().map(|sample| Decoder {
        codec: sample.codec.into(),
        wrong: sample.check().err().map(|error| format!("{error:#}")),
    });
    let nvdec = ON_GPUS.iter().filter(|codec| ffmpeg_info::has_nvdec(codec));
    let about = Probe {
        version: env!("CARGO_PKG_VERSION").into(),
        ffmpeg: ffmpeg_info::version(),
        license: ffmpeg_info::license(),
        decoders: decoders.collect(),
        nvdec: nvdec.map(ToString::to_string).collect(),
        libraries: loaded_libraries(&["libav", "libsw"]),
    };
    println!("{}", serde_json::to_string(&about)?);
    Ok(())
}

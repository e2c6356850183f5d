//! `reeldeck-probe about`: what FFmpeg this is, and whether it decodes what it should.

use anyhow::Result;
use reeldeck_common::about::{Decoder, Probe, loaded_libraries};
use reeldeck_video::ffmpeg_info;

use crate::samples::SAMPLES;

/// Decoders that GPUs can take over.
const ON_GPUS: &[&str] = &["h264", "hevc", "vp8", "vp9", "av1", "mpeg2video", "mpeg4"];

/// Prints it as JSON.
pub fn print() -> Result<()> {
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

//! Generates videos for the demo, the benchmarks and the tests. Before encoding they are identical on every machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ff::ffi;
use ffmpeg_next as ff;
use serde::{Deserialize, Serialize};

use crate::ffmpeg_info;

/// Description of a video to generate. The extension of the file selects the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Synth {
    /// FFmpeg's name of the encoder, such as `libx264`, `mpeg4` or `ffv1`.
    pub encoder: String,
    /// FFmpeg's name of the pixel format; planar, of one to three planes.
    pub pixels: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Number of pictures.
    pub frames: u64,
    /// Pictures per second.
    pub fps: u32,
    /// Varies the pictures.
    pub seed: u32,
    /// Drops this share of the time steps: every n-th picture comes one step late. 0 keeps the rate constant.
    pub uneven: u64,
    /// Degrees by which a player must rotate the picture clockwise: 0, 90, 180 or 270.
    pub rotate: u32,
    /// Tags the stream as BT.709.
    pub bt709: bool,
    /// Options of the encoder by FFmpeg's names, such as `bf`, `g` or `crf`.
    pub options: BTreeMap<String, String>,
    /// Options of the container, such as `movflags`.
    pub container: BTreeMap<String, String>,
}

impl Default for Synth {
    fn default() -> Self {
        Self {
            encoder: "libx264".into(),
            pixels: "yuv420p".into(),
            width: 320,
            height: 240,
            frames: 30,
            fps: 30,
            seed: 0,
            uneven: 0,
            rotate: 0,
            bt709: false,
            options: BTreeMap::new(),
            container: BTreeMap::new(),
        }
    }
}

/// Why a video could not be generated.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action} for {}", path.display())]
pub struct SynthError {
    path: PathBuf,
    action: String,
    #[source]
    source: ff::Error,
}

/// The value of one sample, 0 to 255: moving shapes over a gradient, with a little noise. Integers only.
pub fn sample(seed: u32, plane: usize, x: u32, y: u32, t: u32) -> u8 {
    let noise = |a: u32, b: u32, c: u32| {
        let mut h = a.wrapping_mul(0x9E37_79B1) ^ b.wrapping_mul(0x85EB_CA77) ^ c.wrapping_mul(0xC2B2_AE3D) ^ seed;
        h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
        (h ^ (h >> 12)) >> 24
    };
    let gradient = 40 + (x.wrapping_mul(2 + seed % 3) + y + t * 2) % 176;
    let (cx, cy) = (80 + (t * 3).wrapping_add(seed) % 160, 60 + (t * 2) % 120);
    let distance = x.abs_diff(cx).pow(2) + y.abs_diff(cy).pow(2);
    let value = match plane {
        0 if distance < 40 * 40 => 235 - (distance / 16).min(120),
        0 if (x / 24 + y / 24 + t / 8).is_multiple_of(5) => 20 + noise(x / 3, y / 3, 0) / 4,
        0 => gradient + noise(x, y, t) / 32,
        1 => 64 + (x / 2 + t).wrapping_add(seed.wrapping_mul(7)) % 128,
        _ => 192 - (y / 2 + t / 2).wrapping_add(seed.wrapping_mul(3)) % 128,
    };
    value.min(255) as u8
}

/// Whether this FFmpeg has the video's encoder.
pub fn can_encode(synth: &Synth) -> bool {
    ffmpeg_info::init();
    ff::encoder::find_by_name(&synth.encoder).is_some()
}

/// Generates the video.
///
/// # Errors
/// If FFmpeg lacks the encoder, or the file cannot be written.
pub fn write(path: &Path, synth: &Synth) -> Result<(), SynthError> {
    ffmpeg_info::init();
    let failed = |action: &str| {
        let (path, action) = (path.to_owned(), action.to_owned());
        move |source: ff::Error| SynthError { path, action, source }
    };
    let codec = ff::encoder::find_by_name(&synth.encoder)
        .ok_or(ff::Error::EncoderNotFound)
        .map_err(failed(&format!("find the encoder {}", synth.encoder)))?;
    let mut output = ff::format::output(path).map_err(failed("open the file"))?;
    let step = ff::Rational(1, synth.fps as i32);
    let global_header = output.format().flags().contains(ff::format::Flags::GLOBAL_HEADER);
    let pixels: ff::format::Pixel =
        synth.pixels.parse().map_err(|_| failed("read the pixel format")(ff::Error::InvalidData))?;
    let mut encoder =
        ff::codec::Context::new_with_codec(codec).encoder().video().map_err(failed("set up the encoder"))?;
    encoder.set_width(synth.width);
    encoder.set_height(synth.height);
    encoder.set_format(pixels);
    encoder.set_time_base(step);
    encoder.set_frame_rate((synth.uneven == 0).then_some(ff::Rational(synth.fps as i32, 1)));
    if synth.bt709 {
        encoder.set_colorspace(ff::color::Space::BT709);
    }
    if global_header {
        encoder.set_flags(ff::codec::Flags::GLOBAL_HEADER);
    }
    // One thread: the encoded bytes must not depend on the machine's cores.
    let mut options = ff::Dictionary::from_iter([("threads", "1")]);
    for (key, value) in &synth.options {
        options.set(key, value);
    }
    let mut encoder = encoder.open_as_with(codec, options).map_err(failed("open the encoder"))?;
    let mut stream = output.add_stream(codec).map_err(failed("add a stream"))?;
    stream.set_parameters(&encoder);
    stream.set_time_base(step);
    stream.set_avg_frame_rate(ff::Rational(synth.fps as i32, 1));
    set_rotation(&mut stream, synth.rotate);
    let container = ff::Dictionary::from_iter(synth.container.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    output.write_header_with(container).map(drop).map_err(failed("write the header"))?;
    let mut picture = ff::frame::Video::new(pixels, synth.width, synth.height);
    for t in 0..synth.frames {
        make_writable(&mut picture).map_err(failed("draw"))?;
        draw(&mut picture, synth, t as u32);
        picture.set_pts(Some((t + t.checked_div(synth.uneven).unwrap_or(0)) as i64));
        encoder.send_frame(&picture).map_err(failed("encode"))?;
        write_packets(&mut encoder, &mut output, step).map_err(failed("write"))?;
    }
    encoder.send_eof().map_err(failed("encode"))?;
    write_packets(&mut encoder, &mut output, step).map_err(failed("write"))?;
    output.write_trailer().map_err(failed("finish the file"))
}

fn write_packets(
    encoder: &mut ff::encoder::video::Encoder,
    output: &mut ff::format::context::Output,
    step: ff::Rational,
) -> Result<(), ff::Error> {
    let mut packet = ff::Packet::empty();
    while encoder.receive_packet(&mut packet).is_ok() {
        packet.set_stream(0);
        if packet.duration() == 0 {
            packet.set_duration(1);
        }
        let target = output.stream(0).map_or(step, |stream| stream.time_base());
        packet.rescale_ts(step, target);
        packet.write_interleaved(output)?;
    }
    Ok(())
}

fn make_writable(picture: &mut ff::frame::Video) -> Result<(), ff::Error> {
    // SAFETY: the frame is alive and owns reference-counted buffers; an encoder may still hold references to them.
    match unsafe { ffi::av_frame_make_writable(picture.as_mut_ptr()) } {
        error if error < 0 => Err(ff::Error::from(error)),
        _ => Ok(()),
    }
}

fn draw(picture: &mut ff::frame::Video, synth: &Synth, t: u32) {
    let depth = if synth.pixels.contains("10le") { 10 } else { 8 };
    for plane in 0..picture.planes().min(3) {
        let (width, height) = (picture.plane_width(plane), picture.plane_height(plane));
        // Subsampled planes are drawn at the positions of the pixels they cover.
        let (scale_x, scale_y) = (synth.width.div_ceil(width.max(1)), synth.height.div_ceil(height.max(1)));
        let stride = picture.stride(plane);
        let data = picture.data_mut(plane);
        for y in 0..height {
            let row = &mut data[y as usize * stride..];
            for x in 0..width {
                let value = sample(synth.seed, plane, x * scale_x, y * scale_y, t);
                match depth {
                    8 => row[x as usize] = value,
                    _ => row[x as usize * 2..][..2]
                        .copy_from_slice(&(u16::from(value) << 2 | u16::from(value >> 6)).to_le_bytes()),
                }
            }
        }
    }
}

fn set_rotation(stream: &mut ff::format::stream::StreamMut<'_>, degrees: u32) {
    if degrees == 0 {
        return;
    }
    // SAFETY: the stream is alive; the new side data has room for the nine integers that are written, or is null.
    unsafe {
        let kind = ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX;
        let data = ffi::av_stream_new_side_data(stream.as_mut_ptr(), kind, 36).cast::<i32>();
        if !data.is_null() {
            ffi::av_display_rotation_set(data, f64::from(degrees));
        }
    }
}

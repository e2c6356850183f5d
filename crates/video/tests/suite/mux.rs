//! Files put together from the packets of others: pictures from other files, sound, covers.

use std::path::{Path, PathBuf};

use ffmpeg_next as ff;
use ffmpeg_next::ffi;

/// One stream and its packets, with times in `step`.
pub struct Track {
    parameters: ff::codec::Parameters,
    pub step: ff::Rational,
    pub packets: Vec<ff::Packet>,
    cover: bool,
}

/// The pictures of a file, with times in 1/30 s.
pub fn pictures(path: &Path) -> Track {
    let mut input = ff::format::input(path).unwrap();
    let stream = input.stream(0).unwrap();
    let (parameters, from, step) = (stream.parameters(), stream.time_base(), ff::Rational(1, 30));
    let mut packets = vec![];
    loop {
        let mut packet = ff::Packet::empty();
        if packet.read(&mut input).is_err() {
            break;
        }
        packet.rescale_ts(from, step);
        packets.push(packet);
    }
    Track { parameters, step, packets, cover: false }
}

/// About a second of silence.
pub fn silence() -> Track {
    sound("pcm_s16le", ff::format::sample::Type::Packed, 2)
}

/// The same as MP4 files have it.
pub fn silence_in_aac() -> Track {
    sound("aac", ff::format::sample::Type::Planar, 4)
}

fn sound(encoder: &str, layout: ff::format::sample::Type, bytes: usize) -> Track {
    use ff::format::Sample;
    let codec = ff::encoder::find_by_name(encoder).unwrap();
    let format = if bytes == 2 { Sample::I16(layout) } else { Sample::F32(layout) };
    let mut encoder = ff::codec::Context::new_with_codec(codec).encoder().audio().unwrap();
    encoder.set_rate(8000);
    encoder.set_format(format);
    encoder.set_channel_layout(ff::ChannelLayout::MONO);
    encoder.set_time_base((1, 8000));
    encoder.set_flags(ff::codec::Flags::GLOBAL_HEADER);
    let mut encoder = encoder.open().unwrap();
    let mut packets = vec![];
    for number in 0..8 {
        let mut frame = ff::frame::Audio::new(format, 1024, ff::ChannelLayout::MONO);
        frame.data_mut(0).fill(0);
        frame.set_pts(Some(number * 1024));
        encoder.send_frame(&frame).unwrap();
        let mut packet = ff::Packet::empty();
        while encoder.receive_packet(&mut packet).is_ok() {
            packets.push(packet.clone());
        }
    }
    Track { parameters: ff::codec::Parameters::from(&*encoder), step: ff::Rational(1, 8000), packets, cover: false }
}

impl Track {
    /// The first picture, as the cover of an album.
    pub fn into_cover(mut self) -> Self {
        self.packets.truncate(1);
        Self { cover: true, ..self }
    }

    /// Puts another track of the same step behind this one. Its packets are decoded with these parameters.
    pub fn then(mut self, next: Self) -> Self {
        // Decoding begins some steps before the first picture is shown.
        let shift = self.packets.len() as i64 + 4;
        self.packets.extend(next.packets.into_iter().map(|mut packet| {
            packet.set_pts(packet.pts().map(|time| time + shift));
            packet.set_dts(packet.dts().map(|time| time + shift));
            packet
        }));
        self
    }
}

/// Writes the tracks to a file; they must not be longer than a second where there is sound.
pub fn write(path: PathBuf, tracks: Vec<Track>) -> PathBuf {
    let mut output = ff::format::output(&path).unwrap();
    for track in &tracks {
        let mut stream = output.add_stream(None).unwrap();
        stream.set_parameters(track.parameters.clone());
        stream.set_time_base(track.step);
        // SAFETY: the stream is alive; these are public fields. Each container has its own tag for a codec.
        unsafe {
            let stream = &mut *stream.as_mut_ptr();
            (*stream.codecpar).codec_tag = 0;
            if track.cover {
                stream.disposition = ffi::AV_DISPOSITION_ATTACHED_PIC;
            }
        }
    }
    output.write_header().unwrap();
    for (number, track) in tracks.into_iter().enumerate() {
        let step = output.stream(number).unwrap().time_base();
        for mut packet in track.packets {
            packet.rescale_ts(track.step, step);
            packet.set_stream(number);
            packet.set_position(-1);
            packet.write_interleaved(&mut output).unwrap();
        }
    }
    output.write_trailer().unwrap();
    path
}

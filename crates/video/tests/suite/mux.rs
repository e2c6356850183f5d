//! Files put together from the packets of others: pictures from other files, sound, covers.

use std::path::{Path, PathBuf};

use ffmpeg_next as ff;
use ffmpeg_next::ffi;

/// One stream and its packets, with times in `step`.
pub struct Track {
    parameters: ff::codec::Parameters,
    pub step: ff::Rational,
    rate: ff::Rational,
    pub packets: Vec<ff::Packet>,
    cover: bool,
}

/// The pictures of a file, with times in 1/30 s.
pub fn pictures(path: &Path) -> Track {
    let mut input = ff::format::input(path).unwrap();
    let stream = input.stream(0).unwrap();
    let (parameters, from, step) = (stream.parameters(), stream.time_base(), ff::Rational(1, 30));
    let rate = stream.avg_frame_rate();
    let mut packets = vec![];
    loop {
        let mut packet = ff::Packet::empty();
        if packet.read(&mut input).is_err() {
            break;
        }
        packet.rescale_ts(from, step);
        packets.push(packet);
    }
    Track { parameters, step, rate, packets, cover: false }
}

/// About a second of silence.
pub fn silence() -> Track {
    sound("pcm_s16le", 1.0).unwrap()
}

/// The same as MP4 files have it.
pub fn silence_in_aac() -> Track {
    sound("aac", 1.0).unwrap()
}

/// Silence of at least this many seconds. `None` if FFmpeg lacks the encoder.
pub fn sound(encoder: &str, seconds: f64) -> Option<Track> {
    use ff::format::Sample;
    use ff::format::sample::Type;
    const RATE: i64 = 48_000;
    let codec = ff::encoder::find_by_name(encoder)?;
    let format = if encoder == "aac" { Sample::F32(Type::Planar) } else { Sample::I16(Type::Packed) };
    let mut encoder = ff::codec::Context::new_with_codec(codec).encoder().audio().unwrap();
    encoder.set_rate(RATE as i32);
    encoder.set_format(format);
    encoder.set_channel_layout(ff::ChannelLayout::MONO);
    encoder.set_time_base((1, RATE as i32));
    encoder.set_flags(ff::codec::Flags::GLOBAL_HEADER);
    let mut encoder = encoder.open().unwrap();
    // PCM encoders accept frames of any length.
    let length = if encoder.frame_size() > 0 { encoder.frame_size() as usize } else { 1024 };
    let mut packets = vec![];
    let mut packet = ff::Packet::empty();
    for start in (0..(seconds * RATE as f64) as i64).step_by(length) {
        let mut frame = ff::frame::Audio::new(format, length, ff::ChannelLayout::MONO);
        frame.data_mut(0).fill(0);
        frame.set_pts(Some(start));
        encoder.send_frame(&frame).unwrap();
        while encoder.receive_packet(&mut packet).is_ok() {
            packets.push(packet.clone());
        }
    }
    let parameters = ff::codec::Parameters::from(&*encoder);
    Some(Track { parameters, step: ff::Rational(1, RATE as i32), rate: ff::Rational(0, 1), packets, cover: false })
}

impl Track {
    /// The first picture, as the cover of an album.
    pub fn into_cover(mut self) -> Self {
        self.packets.truncate(1);
        Self { cover: true, ..self }
    }

    /// Moves all times by this many steps.
    pub fn shift(&mut self, steps: i64) {
        for packet in &mut self.packets {
            packet.set_pts(packet.pts().map(|time| time + steps));
            packet.set_dts(packet.dts().map(|time| time + steps));
        }
    }

    /// Gives each frame in the superframes of VP9 a packet of its own. They have the same time.
    pub fn split_superframes(&mut self) {
        let packets = std::mem::take(&mut self.packets);
        self.packets = packets.iter().flat_map(split_superframe).collect();
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

/// Writes the tracks to a file.
pub fn write(path: PathBuf, tracks: Vec<Track>) -> PathBuf {
    write_with(path, tracks, &[])
}

/// Writes the tracks to a file, interleaved by time, with these options of the muxer.
pub fn write_with(path: PathBuf, tracks: Vec<Track>, options: &[(&str, &str)]) -> PathBuf {
    let mut output = ff::format::output(&path).unwrap();
    for track in &tracks {
        let mut stream = output.add_stream(None).unwrap();
        stream.set_parameters(track.parameters.clone());
        stream.set_time_base(track.step);
        stream.set_avg_frame_rate(track.rate);
        // SAFETY: the stream is alive; these are public fields. Each container has its own tag for a codec.
        unsafe {
            let stream = &mut *stream.as_mut_ptr();
            (*stream.codecpar).codec_tag = 0;
            if track.cover {
                stream.disposition = ffi::AV_DISPOSITION_ATTACHED_PIC;
            }
        }
    }
    output.write_header_with(options.iter().copied().collect()).unwrap();
    let mut waiting: Vec<_> =
        tracks.into_iter().map(|track| (track.step, track.packets.into_iter().peekable())).collect();
    loop {
        let times = waiting.iter_mut().enumerate().filter_map(|(number, (step, packets))| {
            let time = packets.peek()?.dts().map_or(f64::MIN, |time| time as f64 * f64::from(*step));
            Some((number, time))
        });
        let Some((number, _)) = times.min_by(|a, b| a.1.total_cmp(&b.1)) else { break };
        let (from, packets) = &mut waiting[number];
        let mut packet = packets.next().unwrap();
        packet.rescale_ts(*from, output.stream(number).unwrap().time_base());
        packet.set_stream(number);
        packet.set_position(-1);
        packet.write_interleaved(&mut output).unwrap();
    }
    output.write_trailer().unwrap();
    path
}

/// The frames in a packet of VP9: if its last byte begins with the bits 110, the lengths of several frames are in front of it.
fn split_superframe(packet: &ff::Packet) -> Vec<ff::Packet> {
    let data = packet.data().unwrap();
    let marker = usize::from(*data.last().unwrap());
    if marker >> 5 != 6 {
        return vec![packet.clone()];
    }
    let (frames, width) = ((marker & 7) + 1, (marker >> 3 & 3) + 1);
    let lengths = &data[data.len() - 1 - frames * width..][..frames * width];
    let mut rest = data;
    let part = |length: &[u8]| {
        let length = length.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte));
        let mut part = ff::Packet::copy(&rest[..length]);
        rest = &rest[length..];
        part.set_pts(packet.pts());
        part.set_dts(packet.dts());
        part.set_duration(packet.duration());
        part.set_flags(packet.flags());
        part
    };
    lengths.chunks(width).map(part).collect()
}

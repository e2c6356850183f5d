//! MPEG-4 Part 2 frames that are not coded: the encoder dropped them, and the previous frame is repeated.

/// Reads the frame headers of a stream, packet by packet.
#[derive(Debug, Default)]
pub(crate) struct FrameHeaders {
    /// Bits of a frame's time, by the header of the stream.
    time_bits: Option<u32>,
    /// A packet held two frames, so that a later frame that is not coded only stands for the second of them.
    holds_frame: bool,
}

impl FrameHeaders {
    /// Reads the stream's header from the codec's extra data.
    pub(crate) fn new(extradata: &[u8]) -> Self {
        let mut headers = Self::default();
        headers.is_repeat(extradata);
        headers
    }

    /// Whether this packet holds a single frame that is not coded, and repeats the previous one.
    pub(crate) fn is_repeat(&mut self, packet: &[u8]) -> bool {
        let (mut frames, mut coded) = (0, true);
        for (kind, body) in units(packet) {
            match kind {
                0x20..=0x2f => self.time_bits = stream_header(body).or(self.time_bits),
                0xb6 => {
                    frames += 1;
                    coded = self.time_bits.and_then(|bits| is_coded(body, bits)).unwrap_or(true);
                }
                _ => {}
            }
        }
        let is_repeat = frames == 1 && !coded && !self.holds_frame;
        if frames > 1 || frames == 1 && !coded {
            self.holds_frame = frames > 1;
        }
        is_repeat
    }
}

/// The parts of a packet of MPEG-2 or MPEG-4 behind their start codes, each with its kind.
pub(crate) fn units(packet: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let starts = packet.windows(3).enumerate().filter(|(_, code)| *code == [0, 0, 1]).map(|(at, _)| at + 3);
    starts.filter_map(|at| packet.get(at..)?.split_first()).map(|(kind, body)| (*kind, body))
}

/// Reads bits, the highest first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        (0..count).try_fold(0, |value, _| {
            let bit = self.bytes.get(self.at / 8)? >> (7 - self.at % 8) & 1;
            self.at += 1;
            Some(value << 1 | u32::from(bit))
        })
    }
}

/// Bits of a frame's time, from the header of a stream.
fn stream_header(bytes: &[u8]) -> Option<u32> {
    let mut bits = Bits { bytes, at: 0 };
    bits.take(1 + 8)?;
    let mut version = 1;
    if bits.take(1)? == 1 {
        version = bits.take(4)?;
        bits.take(3)?;
    }
    if bits.take(4)? == 15 {
        bits.take(16)?; // An aspect ratio of its own.
    }
    if bits.take(1)? == 1 {
        bits.take(3)?;
        if bits.take(1)? == 1 {
            bits.at += 79; // Bit rate and buffer sizes.
        }
    }
    if bits.take(2)? == 3 && version != 1 {
        bits.take(4)?;
    }
    bits.take(1)?;
    let resolution = bits.take(16)?;
    Some(resolution.saturating_sub(1).checked_ilog2().map_or(1, |log| log + 1))
}

/// Whether a frame is coded: its kind, whole seconds, and its time come first.
fn is_coded(bytes: &[u8], time_bits: u32) -> Option<bool> {
    let mut bits = Bits { bytes, at: 0 };
    bits.take(2)?;
    while bits.take(1)? == 1 {}
    bits.take(1 + time_bits as usize + 1)?;
    Some(bits.take(1)? == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The header of a stream with 25 ticks per second, as FFmpeg writes it: five bits of time.
    const STREAM: [u8; 14] = [0, 0, 1, 0x20, 0, 0xc4, 0x8d, 0x88, 0, 0xcd, 0x3c, 0x04, 0x87, 0x14];

    #[test]
    fn frames_that_are_not_coded_are_recognised() {
        let bits = FrameHeaders::new(&STREAM).time_bits.unwrap();
        // The kind of a frame that refers to the one before, no whole second, a marker, the time, a marker, and the flag.
        let frame = |coded: u64| {
            let value = (0b01 << 2 | 0b01) << (bits + 2) | 1 << 1 | coded;
            let value = value << (64 - (4 + bits + 2));
            [&[0, 0, 1, 0xb6][..], &value.to_be_bytes()].concat()
        };
        let mut headers = FrameHeaders::new(&STREAM);
        assert!(!headers.is_repeat(&frame(1)) && headers.is_repeat(&frame(0)) && headers.is_repeat(&frame(0)));
        // Two frames in a packet, and an empty one in the place of the second.
        let both = [frame(1), frame(1)].concat();
        assert!(!headers.is_repeat(&both) && !headers.is_repeat(&frame(0)) && headers.is_repeat(&frame(0)));
        assert!(!FrameHeaders::default().is_repeat(&frame(0)), "without a header nothing is known");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(packets in proptest::collection::vec(proptest::collection::vec(prop_oneof![Just(0), Just(1), any::<u8>()], 0..60), 0..4)) {
            let mut headers = FrameHeaders::new(&STREAM);
            packets.iter().for_each(|packet| { headers.is_repeat(packet); });
        }
    }
}

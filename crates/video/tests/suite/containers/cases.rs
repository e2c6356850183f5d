//! The files of the table: how the files of each container are generated and damaged.

use reeldeck_common::feature::ExpectedFrom::{self, *};
use reeldeck_video::synth::{self, Synth};

use super::Expected;
use crate::media::{Folder, contained, h264, small};
use crate::mux::{self, Track};

/// Frames of each whole file, at 30 per second, with a keyframe every 30 frames.
pub const FRAMES: u64 = 120;

/// A container, and how its files are generated.
pub struct Container {
    pub name: &'static str,
    extension: &'static str,
    synth: Synth,
    /// The encoder of the sound; empty if the container has no sound.
    sound: &'static str,
    /// Where the number of frames comes from in a whole file.
    pub source: ExpectedFrom,
    /// What is expected of a file that is cut.
    cut: Expected,
    /// What is expected of a file whose end is zeros.
    zeros: Expected,
    /// Options of the muxer for files that are put together.
    muxer: &'static [(&'static str, &'static str)],
    /// What the container can have: negative times, uneven times.
    negative: bool,
    uneven: bool,
}

/// A file of the table.
pub struct Case {
    pub name: &'static str,
    pub file: String,
    pub bytes: Vec<u8>,
    pub expected: Expected,
}

const FRONT: &[(&str, &str)] = &[("movflags", "+faststart")];
const FRAGMENTS: &[(&str, &str)] = &[("movflags", "frag_keyframe+empty_moov")];
/// The index lists the frames of the first fragment.
const FIRST_INSIDE: &[(&str, &str)] = &[("movflags", "frag_keyframe")];
const SEGMENTS: &[(&str, &str)] = &[("movflags", "frag_keyframe+dash+global_sidx")];

/// All containers that this FFmpeg can write.
pub fn containers() -> Vec<Container> {
    let of = |name, extension, synth, sound, source, cut| Container {
        name,
        extension,
        synth,
        sound,
        source,
        cut,
        zeros: Expected::Damaged,
        muxer: &[],
        negative: false,
        uneven: true,
    };
    let x264 = || contained(h264(FRAMES), &[]);
    // Large enough that the zeros at the end of a file are no padding.
    let large = |options| Synth { width: 96, height: 72, ..contained(h264(FRAMES), options) };
    let key = [("g", "30")];
    let all = [
        Container {
            muxer: FRONT,
            negative: true,
            ..of("MP4, index first", "mp4", contained(x264(), FRONT), "aac", SampleTable, Expected::Lost)
        },
        Container {
            zeros: Expected::Corrupt,
            negative: true,
            ..of("MP4, index last", "mp4", x264(), "aac", SampleTable, Expected::Corrupt)
        },
        Container {
            muxer: FRAGMENTS,
            ..of("fragmented MP4", "mp4", large(FRAGMENTS), "aac", SampleTable, Expected::LostSome)
        },
        Container {
            muxer: FIRST_INSIDE,
            ..of("fragmented MP4, index of the first", "mp4", large(FIRST_INSIDE), "aac", SampleTable, Expected::Cut)
        },
        Container {
            muxer: SEGMENTS,
            ..of("segmented MP4", "mp4", contained(x264(), SEGMENTS), "aac", SampleTable, Expected::Lost)
        },
        of("Matroska", "mkv", x264(), "aac", PacketCount, Expected::Lost),
        of("WebM", "webm", small("libvpx-vp9", FRAMES, &key), "libopus", PacketCount, Expected::Lost),
        of("AVI", "avi", small("mpeg4", FRAMES, &key), "pcm_s16le", ContainerIndex, Expected::Lost),
        of("FLV", "flv", x264(), "aac", PacketCount, Expected::Lost),
        of("ASF", "wmv", small("wmv2", FRAMES, &key), "pcm_s16le", PacketCount, Expected::Lost),
        of("MPEG-TS", "ts", x264(), "mp2", Nothing, Expected::Unverified),
        of("MPEG-PS", "mpg", small("mpeg2video", FRAMES, &key), "mp2", Nothing, Expected::Unverified),
        Container {
            zeros: Expected::DamagedSome,
            ..of("Ogg", "ogv", small("libtheora", FRAMES, &key), "flac", PacketCount, Expected::LostSome)
        },
        Container {
            uneven: false,
            ..of("MXF", "mxf", small("mpeg2video", FRAMES, &key), "pcm_s16le", PacketCount, Expected::Lost)
        },
        of(
            "IVF",
            "ivf",
            small("libvpx", FRAMES, &[("deadline", "realtime"), ("g", "30")]),
            "",
            PacketCount,
            Expected::Lost,
        ),
        Container { uneven: false, ..of("raw H.264", "h264", large(&[]), "", Nothing, Expected::Unverified) },
    ];
    all.into_iter().filter(|container| synth::can_encode(&container.synth)).collect()
}

impl Container {
    /// The whole file.
    pub fn whole(&self, folder: &Folder) -> Vec<u8> {
        read(&folder.make(&self.file("whole"), &self.synth))
    }

    pub fn file(&self, name: &str) -> String {
        format!("{}.{}", name.replace(' ', "-"), self.extension)
    }

    /// The expected result for a healthy file with this number of frames.
    fn healthy(&self, frames: u64) -> Expected {
        Expected::Healthy { frames, source: self.source }
    }

    fn case(&self, name: &'static str, bytes: Vec<u8>, expected: Expected) -> Case {
        Case { name, file: self.file(name), bytes, expected }
    }

    fn put_together(&self, folder: &Folder, tracks: Vec<Track>, options: &[(&str, &str)]) -> Vec<u8> {
        let options: Vec<_> = self.muxer.iter().chain(options).copied().collect();
        read(&mux::write_with(folder.path(&self.file("together")), tracks, &options))
    }

    /// All kinds of damage for a file of this container.
    pub fn cases(&self, folder: &Folder) -> Vec<Case> {
        let whole = self.whole(folder);
        let pictures = || mux::pictures(&folder.path(&self.file("whole")));
        let mut cases = vec![
            self.case("cut at 50 %", whole[..whole.len() / 2].to_vec(), self.cut),
            self.case("cut at 95 %", whole[..whole.len() * 95 / 100].to_vec(), self.cut),
            self.case("zeros from 70 % on", zeros_from(&whole, 70), self.zeros),
            self.case("whole", whole, self.healthy(FRAMES)),
        ];
        if let Some(sound) = (!self.sound.is_empty()).then(|| mux::sound(self.sound, 6.0)).flatten() {
            let bytes = self.put_together(folder, vec![pictures(), sound], &[]);
            cases.push(self.case("sound outlasts the pictures", bytes, self.healthy(FRAMES)));
        }
        if self.uneven {
            let uneven = Synth { uneven: 4, ..self.synth.clone() };
            let bytes = read(&folder.make(&self.file("uneven"), &uneven));
            // An AVI file has an empty chunk for each step of time without a frame. FFmpeg makes no packet of it.
            let name = if self.name == "AVI" { "dropped frames (empty chunks)" } else { "variable frame rate" };
            cases.push(self.case(name, bytes, self.healthy(FRAMES)));
        }
        if self.negative {
            let mut early = pictures();
            early.shift(-12);
            let bytes = self.put_together(folder, vec![early], &[("avoid_negative_ts", "disabled")]);
            cases.push(self.case("negative start, cut off by an edit list", bytes, self.healthy(FRAMES - 12)));
        }
        cases.extend(self.hidden(folder));
        cases.reverse();
        cases.sort_by_key(|case| case.name != "whole");
        cases
    }

    /// Frames that are only referred to, as packets of their own and together with frames that are shown.
    fn hidden(&self, folder: &Folder) -> Vec<Case> {
        let libvpx = [("auto-alt-ref", "1"), ("lag-in-frames", "16"), ("g", "60"), ("cpu-used", "5")];
        let libaom = [("cpu-used", "8"), ("lag-in-frames", "16"), ("g", "60")];
        let all = [
            ("hidden frames of VP8", small("libvpx", FRAMES, &libvpx)),
            ("hidden frames of VP9", small("libvpx-vp9", FRAMES, &libvpx)),
            ("hidden frames of AV1", small("libaom-av1", FRAMES, &libaom)),
        ];
        let takes = |name: &str| match self.name {
            "Matroska" | "IVF" => true,
            "WebM" => !name.ends_with("AV1"),
            "MP4, index first" => !name.ends_with("VP8"),
            _ => false,
        };
        let mut cases = vec![];
        for (name, synth) in all.into_iter().filter(|(name, synth)| takes(name) && synth::can_encode(synth)) {
            let synth = Synth { container: self.synth.container.clone(), ..synth };
            let path = folder.make(&self.file(name), &synth);
            cases.push(self.case(name, read(&path), self.healthy(FRAMES)));
            if name.ends_with("VP9") && self.name != "MP4, index first" {
                let mut track = mux::pictures(&path);
                track.split_superframes();
                let bytes = self.put_together(folder, vec![track], &[]);
                cases.push(self.case("hidden frames of VP9 in packets of their own", bytes, self.healthy(FRAMES)));
            }
        }
        cases
    }
}

fn read(path: &std::path::Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

fn zeros_from(bytes: &[u8], percent: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let start = bytes.len() * percent / 100;
    bytes[start..].fill(0);
    bytes
}

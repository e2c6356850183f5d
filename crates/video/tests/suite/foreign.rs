//! Files that are not videos, or not what their names say: each gives its own reason, and none makes FFmpeg read another file.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use reeldeck_common::error::ErrorKind;
use reeldeck_video::VideoError;
use reeldeck_video::frames::Pass;

use crate::media::{Folder, SPARSE, contained, h264, request, small, take, take_both};
use crate::mux;

fn error(path: &Path) -> VideoError {
    match take_both(path, &request(SPARSE)) {
        Err(error) => error,
        Ok(taken) => panic!("{} was taken: {:?}", path.display(), taken.facts),
    }
}

/// The error's message. It must describe the file, not FFmpeg.
fn message(path: &Path, kind: ErrorKind) -> String {
    let error = error(path);
    assert_eq!(error.kind(), kind, "{error:?}");
    error.to_string()
}

#[test]
fn what_is_not_there_or_not_a_file() {
    let folder = Folder::new();
    assert_eq!(message(&folder.path("none.mp4"), ErrorKind::Missing), "failed to read the file");
    assert_eq!(message(&folder.path("."), ErrorKind::Corrupt), "not a video file: it is not a regular file");
    let pipe = folder.path("pipe.mp4");
    let name = std::ffi::CString::new(pipe.as_os_str().as_bytes()).unwrap();
    // SAFETY: the name is a string that ends with a zero.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    // Opening a pipe waits for a writer.
    assert_eq!(message(&pipe, ErrorKind::Corrupt), "not a video file: it is not a regular file");
}

#[test]
fn empty_text_and_noise() {
    let folder = Folder::new();
    let empty = folder.write("a.mp4", b"");
    assert_eq!(message(&empty, ErrorKind::Corrupt), "the file is empty (0 bytes); download it again");
    let noise: Vec<u8> = (0..100_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 23) as u8).collect();
    let page = "<!DOCTYPE html><html><body>Video unavailable</body></html>\n".repeat(50);
    for (name, bytes) in [
        ("a.mp4", page.as_bytes()),
        ("b.mp4", b"x"),
        ("c.mkv", b"Not found\n"),
        ("d.avi", &noise),
        ("e.mp4", &[0; 100_000]),
        ("f.mp4", &[0xff; 5000]),
        ("g.h264", &[0, 0, 0, 1]),
    ] {
        let error = error(&folder.write(name, bytes));
        assert!(matches!(error, VideoError::NotAVideo(_)), "{name}: {error:?}");
        assert!(error.to_string().starts_with("not a video file: "), "{error}");
    }
}

#[test]
fn an_mp4_without_its_index() {
    let folder = Folder::new();
    let path = folder.make("a.mp4", &small("libx264", 100, &[]));
    let bytes = std::fs::read(path).unwrap();
    let index = bytes.windows(4).position(|w| w == b"moov").unwrap();
    for cut in [64, bytes.len() / 2, index - 4] {
        let path = folder.write("b.mp4", &bytes[..cut]);
        assert!(matches!(error(&path), VideoError::NoIndex), "{cut}");
        assert!(message(&path, ErrorKind::Corrupt).starts_with("the MP4 index (moov) is missing"));
    }
    let path = folder.make("c.mp4", &h264(100));
    let bytes = std::fs::read(path).unwrap();
    let data = bytes.windows(4).position(|w| w == b"mdat").unwrap();
    let message = message(&folder.write("d.mp4", &bytes[..data + 4]), ErrorKind::Corrupt);
    assert_eq!(message, "not a video file: it ends before its first picture; download it again");
}

#[test]
fn segments_of_a_stream() {
    let folder = Folder::new();
    let fragments = contained(h264(60), &[("movflags", "frag_keyframe+empty_moov")]);
    let bytes = std::fs::read(folder.make("a.mp4", &fragments)).unwrap();
    let first = bytes.windows(4).position(|w| w == b"moof").unwrap() - 4;
    let headers = folder.write("headers.mp4", &bytes[..first]);
    assert!(message(&headers, ErrorKind::Corrupt).starts_with("the file has headers and no frames"));
    let data = folder.write("data.mp4", &bytes[first..]);
    assert!(matches!(error(&data), VideoError::NoIndex), "{:?}", error(&data));
}

#[test]
fn a_description_of_the_frames_that_the_decoder_refuses() {
    let folder = Folder::new();
    let mut bytes = std::fs::read(folder.make("a.mkv", &small("ffv1", 10, &[("level", "3")]))).unwrap();
    // The private data of the codec: an identifier of two bytes, a length of one, a header of 40, and the description.
    let at = bytes.windows(2).position(|w| w == [0x63, 0xa2]).unwrap() + 3;
    bytes[at + 40..at + 44].fill(0xff);
    let message = message(&folder.write("b.mkv", &bytes), ErrorKind::Corrupt);
    assert!(message.starts_with("the header is damaged: the decoder refuses its description"), "{message}");
}

#[test]
fn sound_and_covers_are_no_video() {
    let folder = Folder::new();
    let cover = || mux::pictures(&folder.make("cover.mov", &small("mjpeg", 1, &[]))).into_cover();
    for name in ["a.mov", "a.mkv", "a.avi"] {
        let path = mux::write(folder.path(name), vec![mux::silence()]);
        assert_eq!(message(&path, ErrorKind::Corrupt), "the file has no video stream", "{name}");
    }
    let path = mux::write(folder.path("album.mp4"), vec![mux::silence_in_aac(), cover()]);
    assert_eq!(ffmpeg_next::format::input(&path).unwrap().streams().count(), 2);
    assert_eq!(message(&path, ErrorKind::Corrupt), "the file has no video stream");
    let path = mux::write(folder.path("covered.m4v"), vec![h264_track(&folder), cover()]);
    assert_eq!(take_both(&path, &request(SPARSE)).unwrap().facts.counts.output, 25);
}

fn h264_track(folder: &Folder) -> mux::Track {
    mux::pictures(&folder.make("pictures.mp4", &h264(25)))
}

#[test]
fn sound_changes_nothing() {
    let folder = Folder::new();
    let pictures = folder.make("pictures.mp4", &h264(25));
    let alone = take_both(&pictures, &request(SPARSE)).unwrap();
    for name in ["a.mov", "a.mkv", "a.ts"] {
        for swapped in [false, true] {
            let mut tracks = vec![mux::pictures(&pictures), mux::silence()];
            if swapped {
                tracks.reverse();
            }
            let taken = take_both(&mux::write(folder.path(name), tracks), &request(SPARSE)).unwrap();
            assert_eq!(taken.facts.counts, alone.facts.counts, "{name} {swapped}");
            assert_eq!(taken.plan, alone.plan, "{name} {swapped}");
            let differ = |index: &&u64| taken.frames.get(index) != alone.frames.get(index);
            assert_eq!(alone.frames.keys().filter(differ).collect::<Vec<_>>(), [] as [&u64; 0], "{name} {swapped}");
        }
    }
}

#[test]
fn a_playlist_does_not_make_us_read_other_files() {
    let folder = Folder::new();
    let real = folder.make("real.ts", &h264(60));
    take_both(&real, &request(SPARSE)).unwrap();
    let url = real.display();
    for (name, text) in [
        ("a.mp4", format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\n{url}\n#EXT-X-ENDLIST\n")),
        ("a.m3u8", format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\nfile://{url}\n#EXT-X-ENDLIST\n")),
        ("b.mp4", format!("ffconcat version 1.0\nfile '{url}'\n")),
        ("c.mp4", format!("concat:{url}|{url}")),
        ("d.mp4", format!("<?xml version=\"1.0\"?><MPD><Period><BaseURL>{url}</BaseURL></Period></MPD>")),
        ("e.mp4", format!("v=0\nm=video 0 RTP/AVP 96\na=control:{url}\n")),
    ] {
        let path = folder.write(name, text.as_bytes());
        assert!(matches!(error(&path), VideoError::NotAVideo(_)), "{name}");
    }
}

#[test]
fn an_unknown_codec() {
    let folder = Folder::new();
    let path = folder.make("a.mkv", &h264(10));
    let mut bytes = std::fs::read(path).unwrap();
    let name = b"V_MPEG4/ISO/AVC";
    let at = bytes.windows(name.len()).position(|w| w == name).unwrap();
    bytes[at..at + name.len()].copy_from_slice(b"V_MPEG4/ISO/XYZ");
    let message = message(&folder.write("b.mkv", &bytes), ErrorKind::Corrupt);
    assert!(message.starts_with("no decoder for the codec"), "{message}");
}

#[test]
fn encrypted_frames() {
    let folder = Folder::new();
    let key = [("encryption_scheme", "cenc-aes-ctr"), ("encryption_key", KEY), ("encryption_kid", KEY)];
    let path = folder.make("a.mp4", &contained(small("libx264", 30, &[]), &key));
    let expected = "encrypted (CENC): the key is not in the file";
    assert_eq!(message(&path, ErrorKind::Corrupt), expected);
    // FFmpeg refuses to open a file with more initialisation vectors than it has room for.
    let mut bytes = std::fs::read(&path).unwrap();
    let count = bytes.windows(4).position(|w| w == b"senc").unwrap() + 8;
    bytes[count..count + 4].fill(0x7f);
    let path = folder.write("b.mp4", &bytes);
    assert!(ffmpeg_next::format::input(&path).is_err());
    assert_eq!(message(&path, ErrorKind::Corrupt), expected);
}

const KEY: &str = "00112233445566778899aabbccddeeff";

#[test]
fn files_of_any_name_are_read() {
    let folder = Folder::new();
    let path = folder.make("a.mp4", &h264(20));
    let bytes = std::fs::read(&path).unwrap();
    let expected = take(&path, &request(SPARSE), Pass::Best).unwrap();
    let names: [&[u8]; 8] = [
        b"with space.mp4",
        b"concat:x|y.mp4",
        b"http:x.mp4",
        b"100%d%s.mp4",
        b"line\nbreak.mp4",
        "Übung 跳舞.mp4".as_bytes(),
        b"not utf-8 \xff\xfe.mp4",
        b"no extension",
    ];
    for name in names {
        let path = folder.path("").join(OsStr::from_bytes(name));
        std::fs::write(&path, &bytes).unwrap();
        let taken = take(&path, &request(SPARSE), Pass::Best).unwrap_or_else(|error| panic!("{path:?}: {error:?}"));
        assert!(taken.frames == expected.frames, "{path:?}");
    }
}

//! FFmpeg's NVDEC code and ours with a fake driver in place of NVIDIA's: positions, order, contexts, and the release of resources. The
//! decoding itself is not tested.
//!
//! FFmpeg loads the driver by its name, so each test runs again in a process that finds the fake driver first.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::path::Path;
use std::process::Command;

use ffmpeg_next as ff;
use reeldeck_common::recipe::{Filter, Transform};
use reeldeck_video::VideoError;
use reeldeck_video::codec::CodecId;
use reeldeck_video::coefficients::Coefficients;
use reeldeck_video::frames::{self, Extraction, Pass, Request, Sink};
use reeldeck_video::geometry::Geometry;
use reeldeck_video::nvdec::Nvdec;
use reeldeck_video::resize::Resizer;
use reeldeck_video::sampling::ClipPlan;
use reeldeck_video::synth::Synth;
use reeldeck_video::yuv::Yuv420;

use crate::media::{Folder, SPARSE, request, small, take};
use crate::mux;

/// Runs the test of this name, which is ignored otherwise, with the fake driver.
fn with_driver(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("driver.c");
    std::fs::write(&source, include_str!("nvdec/driver.c")).unwrap();
    for library in ["libcuda.so.1", "libnvcuvid.so.1"] {
        let library = folder.path().join(library);
        let compiled =
            Command::new("cc").args(["-O1", "-w", "-shared", "-fPIC", "-o"]).args([&library, &source]).status();
        assert!(compiled.unwrap().success());
    }
    let mut path = folder.path().as_os_str().to_owned();
    if let Some(others) = std::env::var_os("LD_LIBRARY_PATH") {
        path.push(":");
        path.push(others);
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--ignored", "--nocapture", &format!("nvdec::{name}")]).env("LD_LIBRARY_PATH", path);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The fake driver's library of this name. It stays loaded with its counters when FFmpeg unloads it.
fn driver(library: &str) -> libloading::Library {
    // SAFETY: the library has no initialisers.
    let load = || unsafe { libloading::Library::new(library).unwrap() };
    std::mem::forget(load());
    load()
}

/// Loads it permanently, and asserts that FFmpeg uses it.
fn prepare() {
    reeldeck_video::init();
    let _ = [CUDA, CUVID].map(driver);
    let takes = Nvdec::open(0).unwrap().supports(CodecId::H264);
    assert!(takes, "this FFmpeg was built without NVDEC; these tests need one with NVDEC, as in distributions");
}

/// A counter of the fake driver.
fn number(library: &str, name: &str) -> c_int {
    // SAFETY: the name is that of an int in it.
    unsafe { driver(library).get::<*const c_int>(name.as_bytes()).unwrap().read() }
}

fn address(library: &str, name: &str) -> *const c_void {
    // SAFETY: the name is that of a pointer in it.
    unsafe { driver(library).get::<*const *const c_void>(name.as_bytes()).unwrap().read() }
}

fn refuse(yes: bool) {
    // SAFETY: the name is that of an int in it; no other thread runs here.
    unsafe { driver(CUVID).get::<*mut c_int>(b"refuse").unwrap().write(yes.into()) };
}

const CUDA: &str = "libcuda.so.1";
const CUVID: &str = "libnvcuvid.so.1";

/// Crops by frame.
#[derive(Default)]
struct Collect(BTreeMap<u64, Vec<u8>>);

impl Sink for Collect {
    fn plan(&mut self, _plan: ClipPlan) -> Result<(), VideoError> {
        self.0.clear();
        Ok(())
    }

    fn frame(&mut self, index: u64, pixels: Vec<u8>) -> Result<(), VideoError> {
        self.0.insert(index, pixels);
        Ok(())
    }
}

/// The crop of a picture in NV12.
fn crop((width, height): (usize, usize), planes: &[Vec<u8>; 2], stride: usize) -> Vec<u8> {
    let apart = |which: usize| planes[1].iter().skip(which).step_by(2).copied().collect::<Vec<u8>>();
    let (u, v) = (apart(0), apart(1));
    let mut picture = Yuv420 {
        planes: [&planes[0], &u, &v],
        strides: [stride, stride / 2, stride / 2],
        coefficients: Coefficients::new([104597, 132201, 25675, 53279], false),
    };
    let geometry = Geometry::new(width, height, &TRANSFORM);
    let mut out = vec![0; geometry.values()];
    Resizer::scalar(geometry, Filter::OpencvU8).run(&mut picture, &mut out);
    out
}

const TRANSFORM: Transform = Transform::short_side(40, 32, [0.0; 3], [1.0; 3]);

fn extract(path: &Path, nvdec: &Nvdec) -> (Extraction, BTreeMap<u64, Vec<u8>>) {
    let request = Request { transform: TRANSFORM, ..request(SPARSE) };
    let mut collect = Collect::default();
    let facts = frames::extract_with(path, &request, Pass::Best, Some(nvdec), &mut collect).unwrap();
    assert!(collect.0.len() > 10, "{facts:?}");
    (facts, collect.0)
}

/// What the driver gives for each frame of an H.264 MP4 file.
fn expected(path: &Path, size: (usize, usize), frames: impl Iterator<Item = u64>) -> BTreeMap<u64, Vec<u8>> {
    let mut seeds: Vec<(i64, u64)> = mux::pictures(path).packets.iter().map(|p| (p.pts().unwrap(), seed(p))).collect();
    seeds.sort_unstable();
    let pitch = size.0.next_multiple_of(256);
    let picture = |seed: u64| {
        [0, 1].map(|plane: usize| {
            let byte = |y: usize, x: usize| (seed >> ((x + y * 3 + plane) % 8 * 8)) as u8 ^ (x * 31 + y * 17) as u8;
            (0..size.1 >> plane).flat_map(|y| (0..pitch).map(move |x| byte(y, x))).collect::<Vec<u8>>()
        })
    };
    frames.map(|index| (index, crop(size, &picture(seeds[index as usize].1), pitch))).collect()
}

/// The driver's sum over the slices of a packet, as FFmpeg hands them over: each behind a start code.
fn seed(packet: &ff::Packet) -> u64 {
    let mut rest = packet.data().unwrap();
    let mut seed = 14695981039346656037_u64;
    while let Some((length, body)) = rest.split_first_chunk::<4>() {
        let (unit, next) = body.split_at(u32::from_be_bytes(*length) as usize);
        if [1, 5].contains(&(unit[0] & 31)) {
            let bytes = [0, 0, 1].iter().chain(unit);
            seed = bytes.fold(seed, |seed, byte| (seed ^ u64::from(*byte)).wrapping_mul(1099511628211));
        }
        rest = next;
    }
    seed
}

fn h264(folder: &Folder, name: &str, frames: u64, seed: u32, size: (u32, u32)) -> std::path::PathBuf {
    let options = [("bf", "2"), ("g", "20"), ("x264-params", "b-adapt=0:scenecut=0")];
    let synth = small("libx264", frames, &options);
    folder.make(name, &Synth { width: size.0, height: size.1, seed, ..synth })
}

/// Asserts that all contexts, streams, decoders and memory were released.
fn assert_released() {
    for name in ["primary", "others", "depth", "streams", "pinned"] {
        assert_eq!(number(CUDA, name), 0, "{name}");
    }
    for name in ["alive", "mapped"] {
        assert_eq!(number(CUVID, name), 0, "{name}");
    }
}

#[test]
fn each_frame_comes_from_its_packet_over_the_threads_stream() {
    with_driver("inner_pictures");
}

#[test]
#[ignore = "run by the one above, which brings the driver"]
fn inner_pictures() {
    prepare();
    let folder = Folder::new();
    {
        let nvdec = Nvdec::open(0).unwrap();
        assert_eq!((number(CUDA, "primary"), number(CUDA, "others"), number(CUDA, "streams")), (1, 0, 1));
        for (seed, size) in [(64, 48), (96, 80), (128, 64), (340, 256)].into_iter().enumerate() {
            let path = h264(&folder, &format!("{seed}.mp4"), 70, seed as u32, size);
            let (facts, crops) = extract(&path, &nvdec);
            assert!(facts.nvdec && facts.skipped == 0 && facts.counts.output == 70, "{facts:?}");
            assert_eq!(address(CUVID, "stream_seen"), address(CUDA, "stream_seen"));
            let expected = expected(&path, (size.0 as usize, size.1 as usize), crops.keys().copied());
            assert!(crops == expected, "{size:?}: the picture of another frame or another position");
            assert_eq!(number(CUDA, "pinned"), 1, "one frame is downloaded at a time");
        }
    }
    assert_released();
    assert!(number(CUVID, "most_mapped") <= 2, "a GPU maps few pictures at a time");
    // FFmpeg releases a decoder at the end of a stream, even if the context still exists.
    assert!(number(CUVID, "created") >= 4, "one for each video");
}

#[test]
fn threads_use_one_gpu_at_the_same_time() {
    with_driver("inner_threads");
}

#[test]
#[ignore = "run by the one above, which brings the driver"]
fn inner_threads() {
    prepare();
    let folder = Folder::new();
    let videos: Vec<_> =
        (0..6).map(|seed| h264(&folder, &format!("{seed}.mp4"), 60, seed, (96, 80 + seed % 2 * 16))).collect();
    let alone: Vec<_> = {
        let nvdec = Nvdec::open(0).unwrap();
        videos.iter().map(|path| extract(path, &nvdec).1).collect()
    };
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (videos, alone) = (&videos, &alone);
            scope.spawn(move || {
                let nvdec = Nvdec::open(0).unwrap();
                for at in 0..12 {
                    let at = (at + thread) % videos.len();
                    assert!(extract(&videos[at], &nvdec).1 == alone[at], "thread {thread}, video {at}");
                }
            });
        }
    });
    assert_released();
}

#[test]
fn any_failing_call_leaves_the_video_to_the_cpu() {
    with_driver("inner_failures");
}

#[test]
#[ignore = "run by the one above, which brings the driver"]
fn inner_failures() {
    prepare();
    let folder = Folder::new();
    let path = h264(&folder, "a.mp4", 30, 1, (96, 80));
    let request = Request { transform: TRANSFORM, ..request(SPARSE) };
    let by_cpu = take(&path, &request, Pass::Plain).unwrap().frames;
    let by_gpu = extract(&path, &Nvdec::open(0).unwrap()).1;
    let fail_after = |calls: c_int| {
        for library in [CUDA, CUVID] {
            // SAFETY: the name is that of an int in it; no other thread runs here.
            unsafe { driver(library).get::<*mut c_int>(b"calls_left").unwrap().write(calls) };
        }
    };
    let (mut refused, mut complete) = (0, 0);
    for calls in 0.. {
        fail_after(calls);
        let opened = Nvdec::open(0);
        let Ok(nvdec) = opened else { continue };
        let (facts, crops) = extract(&path, &nvdec);
        let left = [CUDA, CUVID].map(|library| number(library, "calls_left"));
        fail_after(-1);
        // Without pinned memory the download uses other memory.
        assert!(crops == if facts.nvdec { by_gpu.clone() } else { by_cpu.clone() }, "call {calls}: {facts:?}");
        if facts.nvdec {
            complete += 1
        } else {
            refused += 1
        };
        if left.iter().all(|left| *left >= 0) {
            break;
        }
    }
    assert!(refused >= 30 && complete >= 1, "{refused} {complete}");
    assert_released();
}

#[test]
fn what_the_gpu_refuses_goes_to_the_cpu() {
    with_driver("inner_refused");
}

#[test]
#[ignore = "run by the one above, which brings the driver"]
fn inner_refused() {
    prepare();
    let folder = Folder::new();
    let request = Request { transform: TRANSFORM, ..request(SPARSE) };
    let nvdec = Nvdec::open(0).unwrap();
    let fine = h264(&folder, "a.mp4", 60, 1, (96, 80));
    let plain = take(&fine, &request, Pass::Plain).unwrap();
    assert!(extract(&fine, &nvdec).1 != plain.frames, "the fake driver's pictures differ from decoded ones");
    refuse(true);
    let (facts, crops) = extract(&fine, &nvdec);
    assert!(!facts.nvdec && !facts.plain_pass && crops == plain.frames, "{facts:?}");
    refuse(false);
    assert!(extract(&fine, &nvdec).0.nvdec, "later videos are accepted after a refusal");
    for (name, synth) in [
        ("b.mp4", Synth { pixels: "yuv444p".into(), ..small("libx264", 60, &[]) }),
        ("c.avi", small("mpeg4", 60, &[])),
        ("d.mkv", Synth { pixels: "yuv420p10le".into(), ..small("libx265", 60, &[]) }),
        // FFmpeg would copy one chroma row or column too few.
        ("odd.webm", Synth { width: 341, height: 241, ..small("libvpx-vp9", 60, &[]) }),
        ("tall.webm", Synth { width: 96, height: 81, ..small("libvpx", 60, &[("deadline", "realtime")]) }),
    ] {
        let path = folder.make(name, &synth);
        let plain = take(&path, &request, Pass::Plain).unwrap();
        let (facts, crops) = extract(&path, &nvdec);
        assert!(!facts.nvdec && crops == plain.frames, "{name}: {facts:?}");
    }
    for (name, synth) in [
        ("e.mkv", small("libx265", 60, &[])),
        ("f.webm", small("libvpx-vp9", 60, &[])),
        ("g.webm", small("libvpx", 60, &[("deadline", "realtime")])),
    ] {
        let path = folder.make(name, &synth);
        let (facts, crops) = extract(&path, &nvdec);
        assert!(facts.nvdec && facts.counts.output == 60 && !crops.is_empty(), "{name}: {facts:?}");
    }
}

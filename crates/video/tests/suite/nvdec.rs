//! FFmpeg's own NVDEC code and ours around it, with a made-up driver in the place of NVIDIA's: what lies where, in which order,
//! in whose context, what is kept and what is given back. Not what a GPU makes of a video.
//!
//! FFmpeg asks for the driver by its name, so each test runs once more in a process that finds the made-up one first.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::path::Path;
use std::process::Command;

use ffmpeg_next as ff;
use reeldeck_common::recipe::Transform;
use reeldeck_video::VideoError;
use reeldeck_video::codec::CodecId;
use reeldeck_video::frames::{self, Extraction, Pass, Request, Sink};
use reeldeck_video::nvdec::Nvdec;
use reeldeck_video::resize::Resizer;
use reeldeck_video::sampling::ClipPlan;
use reeldeck_video::surface::{Formula, Surface};
use reeldeck_video::synth::Synth;
use reeldeck_video::yuv::Yuv420;

use crate::media::{Folder, SPARSE, request, small, take};
use crate::mux;

/// Runs the test of this name, which is ignored otherwise, with the made-up driver.
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

/// The made-up driver's library of this name. It stays loaded, and its numbers with it, when FFmpeg lets it go.
fn driver(library: &str) -> libloading::Library {
    // SAFETY: nothing happens when it is loaded.
    let load = || unsafe { libloading::Library::new(library).unwrap() };
    std::mem::forget(load());
    load()
}

/// Loads it for good, and makes sure that FFmpeg asks for it.
fn prepare() {
    reeldeck_video::init();
    let _ = [CUDA, CUVID].map(driver);
    let takes = Nvdec::open(0).unwrap().supports(CodecId::H264);
    assert!(takes, "this FFmpeg was built without NVDEC; these tests want one with it, as distributions have");
}

/// A number that the made-up driver keeps.
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

/// Crops by frame, and how many were made of pictures where they lay.
#[derive(Default)]
struct Collect {
    crops: BTreeMap<u64, Vec<u8>>,
    stay: bool,
    stayed: usize,
}

impl Sink for Collect {
    fn plan(&mut self, _plan: ClipPlan) -> Result<(), VideoError> {
        self.crops.clear();
        Ok(())
    }

    fn frame(&mut self, index: u64, pixels: Vec<u8>) -> Result<(), VideoError> {
        self.crops.insert(index, pixels);
        Ok(())
    }

    fn surface(&mut self, index: u64, surface: &Surface) -> Result<bool, VideoError> {
        if self.stay {
            // SAFETY: the made-up GPU's memory is the host's, and the planes have as many rows as the picture.
            let planes = [0, 1].map(|plane| unsafe {
                let rows = surface.formula.geometry.source.1 >> plane;
                std::slice::from_raw_parts(surface.planes[plane], surface.strides[plane] * rows).to_vec()
            });
            self.crops.insert(index, crop(&surface.formula, &planes, surface.strides));
            self.stayed += 1;
        }
        Ok(self.stay)
    }
}

fn crop(formula: &Formula, planes: &[Vec<u8>; 2], strides: [usize; 2]) -> Vec<u8> {
    let apart = |which: usize| planes[1].iter().skip(which).step_by(2).copied().collect::<Vec<u8>>();
    let (u, v) = (apart(0), apart(1));
    let mut picture = Yuv420 {
        planes: [&planes[0], &u, &v],
        strides: [strides[0], strides[1] / 2, strides[1] / 2],
        coefficients: formula.coefficients,
    };
    let mut out = vec![0; formula.geometry.crop.pow(2) * 3];
    Resizer::scalar(formula.geometry).run(&mut picture, &mut out);
    out
}

const TRANSFORM: Transform = Transform { short_side: 40, crop: 32, mean: [0.0; 3], std: [1.0; 3] };

fn extract(path: &Path, nvdec: &Nvdec, stay: bool) -> (Extraction, Collect) {
    let request = Request { transform: TRANSFORM, ..request(SPARSE) };
    let mut collect = Collect { stay, ..Collect::default() };
    let facts = frames::extract_with(path, &request, Pass::Best, Some(nvdec), &mut collect).unwrap();
    assert!(collect.crops.len() > 10, "{facts:?}");
    (facts, collect)
}

/// What the driver makes of each frame of an MP4 file of H.264.
fn expected(path: &Path, formula: &Formula, frames: impl Iterator<Item = u64>) -> BTreeMap<u64, Vec<u8>> {
    let mut seeds: Vec<(i64, u64)> = mux::pictures(path).packets.iter().map(|p| (p.pts().unwrap(), seed(p))).collect();
    seeds.sort_unstable();
    let (width, height) = formula.geometry.source;
    let pitch = width.next_multiple_of(256);
    let picture = |seed: u64| {
        [0, 1].map(|plane: usize| {
            let byte = |y: usize, x: usize| (seed >> ((x + y * 3 + plane) % 8 * 8)) as u8 ^ (x * 31 + y * 17) as u8;
            (0..height >> plane).flat_map(|y| (0..pitch).map(move |x| byte(y, x))).collect::<Vec<u8>>()
        })
    };
    frames.map(|index| (index, crop(formula, &picture(seeds[index as usize].1), [pitch, pitch]))).collect()
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

#[test]
fn pictures_come_from_where_they_lie() {
    with_driver("inner_pictures");
}

#[test]
#[ignore = "run by the one above, which brings the driver"]
fn inner_pictures() {
    prepare();
    let folder = Folder::new();
    let stream = 0x5157_0000 as *mut c_void;
    {
        let down = Nvdec::open(0).unwrap();
        // SAFETY: the made-up driver only looks at the stream's address.
        let stay = unsafe { Nvdec::open_on_stream(0, stream) }.unwrap();
        assert_eq!((stay.memory(), down.memory()), (Some(1 << 34), None));
        assert_eq!((number(CUDA, "primary"), number(CUDA, "others")), (1, 1));
        for (number, size) in [(64, 48), (96, 80), (128, 64), (340, 256)].into_iter().enumerate() {
            let path = h264(&folder, &format!("{number}.mp4"), 70, number as u32, size);
            let (facts, came_down) = extract(&path, &down, true);
            assert!(facts.nvdec && facts.skipped == 0 && facts.counts.output == 70, "{facts:?}");
            assert_eq!(came_down.stayed, 0);
            let (by_stay, stayed) = extract(&path, &stay, true);
            assert_eq!((by_stay, stayed.stayed), (facts, stayed.crops.len()));
            assert!(stayed.crops == came_down.crops, "{size:?}: where the picture lies makes a difference");
            assert_eq!(address(CUVID, "stream_seen"), stream.cast_const(), "pictures are made on the thread's stream");
            // Where nobody takes it, it comes down, in that context and on that stream.
            let (_, refused) = extract(&path, &stay, false);
            assert!(refused.crops == stayed.crops);
            assert_eq!(address(CUDA, "stream_seen"), stream.cast_const());
            let geometry = reeldeck_video::geometry::Geometry::new(size.0 as usize, size.1 as usize, &TRANSFORM);
            let coefficients = reeldeck_video::coefficients::Coefficients::new([104597, 132201, 25675, 53279], false);
            let expected = expected(&path, &Formula { geometry, coefficients }, stayed.crops.keys().copied());
            assert!(stayed.crops == expected, "{size:?}: another frame's picture, or another place's");
        }
    }
    assert_eq!((number(CUDA, "primary"), number(CUDA, "others"), number(CUDA, "depth")), (0, 0, 0));
    assert_eq!((number(CUVID, "alive"), number(CUVID, "mapped")), (0, 0), "everything was given back");
    assert!(number(CUVID, "most_mapped") <= 2, "a GPU has few places for pictures that are looked at");
    // FFmpeg lets go of a decoder at the end of a stream, whatever becomes of the one that asked for it.
    assert!(number(CUVID, "created") >= 4 * 3, "one for each time that a video was decoded");
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
    let down = Nvdec::open(0).unwrap();
    let alone: Vec<_> = videos.iter().map(|path| extract(path, &down, false).1.crops).collect();
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (videos, alone, down) = (&videos, &alone, &down);
            scope.spawn(move || {
                // SAFETY: the made-up driver only looks at the stream's address.
                let stay = unsafe { Nvdec::open_on_stream(0, (0x1000 * (thread + 1)) as *mut c_void) }.unwrap();
                let nvdec = if thread % 2 == 0 { &stay } else { down };
                for at in 0..12 {
                    let at = (at + thread) % videos.len();
                    assert!(extract(&videos[at], nvdec, true).1.crops == alone[at], "thread {thread}, video {at}");
                }
            });
        }
    });
    drop(down);
    assert_eq!((number(CUDA, "primary"), number(CUDA, "others"), number(CUDA, "depth")), (0, 0, 0));
    assert_eq!((number(CUVID, "alive"), number(CUVID, "mapped")), (0, 0));
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
    assert!(extract(&fine, &nvdec, false).1.crops != plain.frames, "the made-up pictures are no decoded ones");
    refuse(true);
    let (facts, collect) = extract(&fine, &nvdec, false);
    assert!(!facts.nvdec && !facts.plain_pass && collect.crops == plain.frames, "{facts:?}");
    refuse(false);
    assert!(extract(&fine, &nvdec, false).0.nvdec, "one refusal is not for ever");
    for (name, synth) in [
        ("b.mp4", Synth { pixels: "yuv444p".into(), ..small("libx264", 60, &[]) }),
        ("c.avi", small("mpeg4", 60, &[])),
        ("d.mkv", Synth { pixels: "yuv420p10le".into(), ..small("libx265", 60, &[]) }),
    ] {
        let path = folder.make(name, &synth);
        let plain = take(&path, &request, Pass::Plain).unwrap();
        let (facts, collect) = extract(&path, &nvdec, false);
        assert!(!facts.nvdec && collect.crops == plain.frames, "{name}: {facts:?}");
    }
    for (name, synth) in [
        ("e.mkv", small("libx265", 60, &[])),
        ("f.webm", small("libvpx-vp9", 60, &[])),
        ("g.webm", small("libvpx", 60, &[("deadline", "realtime")])),
    ] {
        let path = folder.make(name, &synth);
        let (facts, collect) = extract(&path, &nvdec, false);
        assert!(facts.nvdec && facts.counts.output == 60 && !collect.crops.is_empty(), "{name}: {facts:?}");
    }
}

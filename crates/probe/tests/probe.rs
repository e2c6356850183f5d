//! The program as people run it: its files, its output, its errors, and the libraries that it links.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use md5::{Digest, Md5};
use serde_json::{Value, json};
use tempfile::TempDir;

const PROBE: &str = env!("CARGO_BIN_EXE_reeldeck-probe");

fn probe(args: &[&str]) -> Output {
    Command::new(PROBE).args(args).stdin(Stdio::null()).output().unwrap()
}

fn synth(folder: &Path, jobs: &str) -> Output {
    let mut command = Command::new(PROBE);
    command.arg("synth").current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(jobs.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Generates one video in the folder.
fn make(folder: &Path, name: &str, video: &Value) -> PathBuf {
    let output = synth(folder, &json!([{"file": name, "video": video}]).to_string());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder.join(name)
}

/// The output of `frames`. The program must print nothing else.
fn frames(path: &Path, args: &[&str]) -> Value {
    let output = probe(&[&["frames", path.to_str().unwrap()], args].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Requires that the program fails and prints only one line with the reason.
fn error(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    said.trim_end().strip_prefix("error: ").expect("it begins like an error").to_owned()
}

fn small(frames: u64) -> Value {
    let options = json!({"bf": "2", "g": "30", "x264-params": "b-adapt=0"});
    json!({"width": 64, "height": 48, "frames": frames, "options": options})
}

fn hex(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn videos_are_made_with_their_folders_and_always_the_same() {
    let folder = TempDir::new().unwrap();
    let jobs = json!([
        {"file": "a/b/one.mp4", "video": small(30)},
        {"file": "a/b/again.mp4", "video": small(30)},
        {"file": "two.mkv", "video": {"encoder": "ffv1", "width": 32, "height": 32, "frames": 3}},
        {"file": folder.path().join("with a space.avi"), "video": {"encoder": "mpeg4", "frames": 2}},
        {"file": "usual.mp4"},
    ]);
    let output = synth(folder.path(), &jobs.to_string());
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert!(read("a/b/one.mp4") == read("a/b/again.mp4"));
    for (name, expected, size) in
        [("two.mkv", 3, [32, 32]), ("with a space.avi", 2, [320, 240]), ("usual.mp4", 30, [320, 240])]
    {
        let report = frames(&folder.path().join(name), &[]);
        assert_eq!((&report["frames"]["output"], &report["size"]), (&json!(expected), &json!(size)), "{name}");
    }
}

#[test]
fn what_cannot_be_made_is_said() {
    let folder = TempDir::new().unwrap();
    for (jobs, says) in [
        ("", "invalid list of videos: EOF"),
        ("{}", "invalid list of videos: invalid type"),
        (r#"[{"file": "a.mp4", "video": {"widht": 3}}]"#, "unknown field `widht`, expected one of `encoder`"),
        (r#"[{"file": "a.mp4", "vide": {}}]"#, "unknown field `vide`"),
        (r#"[{"file": "a.mp4", "video": {"encoder": "x264"}}]"#, "failed to find the encoder x264 for a.mp4: "),
        (r#"[{"file": "a.mp4", "video": {"pixels": "rot13"}}]"#, "failed to read the pixel format for a.mp4: "),
        (r#"[{"file": "a.mp4", "video": {"width": 0}}]"#, "failed to open the encoder for a.mp4: "),
        (r#"[{"file": "a.xyz"}]"#, "failed to open the file for a.xyz: "),
        (r#"[{"file": "/dev/null/a.mp4"}]"#, "failed to create /dev/null: "),
    ] {
        let said = error(&synth(folder.path(), jobs));
        assert!(said.contains(says), "{jobs}: {said}");
    }
}

#[test]
fn the_report_says_what_was_taken() {
    let folder = TempDir::new().unwrap();
    let path = make(folder.path(), "a.mp4", &small(300));
    let report = frames(&path, &["--pictures"]);
    assert_eq!(report["file"], json!(path));
    assert_eq!(report["frames"], json!({"expected": 300, "output": 300, "concealed": 0}));
    assert_eq!((&report["size"], &report["fps"]), (&json!([64, 48]), &json!([30, 1])));
    assert_eq!((&report["pass"], report["skipped"].as_u64().unwrap() > 0), (&json!("fast"), true));
    let lengths = ["indices", "clip_md5", "picture_md5"].map(|list| report[list].as_array().unwrap().len());
    assert_eq!(lengths, [800, 100, 300]);
    assert_eq!(report["indices"].as_array().unwrap()[792..], [243, 251, 259, 267, 275, 283, 291, 299]);
    let plain = frames(&path, &["--plain"]);
    assert_eq!((&plain["pass"], &plain["skipped"], &plain["picture_md5"]), (&json!("plain"), &json!(0), &json!([])));
    for same in ["frames", "size", "fps", "indices", "clip_md5"] {
        assert_eq!(plain[same], report[same], "{same}");
    }
    assert_eq!(frames(&path, &["--pictures"]), report);
}

#[test]
fn clips_are_written_as_their_checksums_say() {
    let folder = TempDir::new().unwrap();
    let path = make(folder.path(), "a.mkv", &small(100));
    let raw = folder.path().join("clips.raw");
    let report = frames(&path, &["--raw", raw.to_str().unwrap(), "--clips", "0,99,41"]);
    let bytes = std::fs::read(&raw).unwrap();
    let clip = 3 * 8 * 256 * 256;
    assert_eq!(bytes.len(), 3 * clip);
    for (bytes, number) in bytes.chunks(clip).zip([0, 99, 41]) {
        assert_eq!(hex(bytes), report["clip_md5"][number]);
    }
    let output = probe(&["frames", path.to_str().unwrap(), "--raw", raw.to_str().unwrap(), "--clips", "0,100"]);
    assert_eq!(error(&output), "no clip 100: the last one is 99");
    for args in [&["--clips", "0"][..], &["--raw", "x"]] {
        let output = probe(&[&["frames", path.to_str().unwrap()], args].concat());
        assert_eq!(output.status.code(), Some(2), "each option requires the other");
    }
}

#[test]
fn a_recipe_of_ones_own() {
    let folder = TempDir::new().unwrap();
    let path = make(folder.path(), "a.mp4", &small(50));
    let built_in = include_str!("../../../assets/recipes/slowonly-r50-8x8-k700.toml");
    let text =
        built_in.replace("clips = 100", "clips = 3").replace("length = 8", "length = 2").replace("= 256", "= 40");
    let recipe = folder.path().join("own.toml");
    std::fs::write(&recipe, text).unwrap();
    let raw = folder.path().join("raw");
    let recipe = recipe.to_str().unwrap();
    let report = frames(&path, &["--recipe", recipe, "--raw", raw.to_str().unwrap(), "--clips", "1"]);
    assert_eq!(report["indices"], json!([0, 8, 20, 28, 41, 49]));
    assert_eq!(std::fs::metadata(&raw).unwrap().len(), 3 * 2 * 40 * 40);
}

#[test]
fn what_cannot_be_read_is_said() {
    let folder = TempDir::new().unwrap();
    let path = make(folder.path(), "a.mp4", &small(20));
    let bytes = std::fs::read(&path).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    for (path, says) in [
        (folder.path().join("none.mp4"), "failed to read the file: No such file or directory (os error 2)"),
        (folder.path().to_owned(), "not a video file: it is not a regular file"),
        (write("empty.mp4", b""), "the file is empty (0 bytes); download it again"),
        (write("text.mp4", b"<html>404</html>\n"), "not a video file: no known container"),
        (write("cut.mp4", &bytes[..bytes.len() / 2]), "the MP4 index (moov) is missing"),
    ] {
        let said = error(&probe(&["frames", path.to_str().unwrap()]));
        let start = format!("failed to take frames from {}: {says}", path.display());
        assert!(said.starts_with(&start), "{said}");
    }
    let said = error(&probe(&["frames", path.to_str().unwrap(), "--recipe", "slowonly-r50-8x8-k70"]));
    assert!(said.contains("did you mean slowonly-r50-8x8-k700?"), "{said}");
    for args in [&[][..], &["frames"], &["frames", "a", "b"], &["look"]] {
        assert_eq!(probe(args).status.code(), Some(2), "{args:?}");
    }
    assert!(probe(&["--version"]).status.success() && probe(&["frames", "--help"]).status.success());
}

#[test]
fn names_that_look_like_protocols_or_options_are_files() {
    let folder = TempDir::new().unwrap();
    make(folder.path(), "a.ts", &small(60));
    for name in ["concat:a.ts|a.ts", "file:a.ts", "http:a.ts", "subfile,,start,0,end,0,,:a.ts", "-plain", "a%03d.ts"] {
        let frames = || Command::new(PROBE).args(["frames", "--", name]).current_dir(folder.path()).output().unwrap();
        let said = error(&frames());
        assert!(said.contains("No such file or directory"), "{said}");
        std::fs::copy(folder.path().join("a.ts"), folder.path().join(name)).unwrap();
        let report: Value = serde_json::from_slice(&frames().stdout).unwrap();
        assert_eq!((&report["file"], &report["frames"]["output"]), (&json!(name), &json!(60)));
    }
}

#[test]
fn a_long_large_video_needs_little_memory() {
    let folder = TempDir::new().unwrap();
    let options = json!({"preset": "ultrafast", "bf": "2"});
    let video = json!({"width": 1920, "height": 1080, "frames": 300, "options": options});
    let path = make(folder.path(), "a.mp4", &video);
    for pass in ["", " --plain"] {
        // Libraries take half of this; 300 pictures at once would not fit into the rest.
        let script = format!("ulimit -v 1000000 && exec \"$0\" frames \"$1\"{pass}");
        let output = Command::new("sh").arg("-c").arg(script).arg(PROBE).arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["frames"]["output"], 300);
    }
}

/// A line of a file under /proc of a running process, without its name.
fn of_process(process: u32, file: &str, name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{process}/{file}")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Starts the program and returns once the kernel reports this value, so the program has reached that point.
fn start_until(args: &[&str], file: &str, name: &str, value: &str) -> Child {
    let mut command = Command::new(PROBE);
    let mut child =
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while of_process(child.id(), file, name) != value {
        assert!(child.try_wait().unwrap().is_none(), "it ended before {name} {value}");
        std::thread::sleep(Duration::from_millis(2));
    }
    child
}

#[test]
fn the_program_gives_up_what_it_does_not_need() {
    // Without files, the program waits for orders and can be inspected.
    let mut child = start_until(&["check"], "limits", "Max address space", "4294967296 4294967296 bytes");
    assert_eq!(of_process(child.id(), "status", "NoNewPrivs:"), "1");
    assert_eq!(of_process(child.id(), "limits", "Max core file size"), "0 0 bytes");
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    // Generating videos reads no files, and encoders need unpredictable amounts of memory.
    let mut child = start_until(&["synth"], "limits", "Max core file size", "0 0 bytes");
    assert_eq!(of_process(child.id(), "status", "NoNewPrivs:"), "1");
    assert_eq!(of_process(child.id(), "limits", "Max address space"), "unlimited unlimited bytes");
    child.stdin.take().unwrap().write_all(b"[]").unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
}

#[test]
fn lack_of_memory_is_told_from_damage() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, video: Value| make(folder.path(), name, &video);
    let jpeg = |rotate: u32, pixels: &str| json!({"encoder": "mjpeg", "pixels": pixels, "width": 4096, "height": 4096, "frames": 1, "rotate": rotate});
    let many = |encoder: &str, options: Value| json!({"encoder": encoder, "width": 2048, "height": 2048, "frames": 8, "options": options});
    let files = [
        file("convert.mp4", jpeg(0, "yuvj444p")),
        file("turn.mp4", jpeg(90, "yuvj420p")),
        file("many.mp4", many("libx264", json!({"preset": "ultrafast", "bf": "3"}))),
        // Its decoder does not report failed allocations.
        file("many.mov", many("libx265", json!({"preset": "ultrafast", "x265-params": "log-level=none"}))),
    ];
    // The memory of the idle program.
    let mut child = start_until(&["synth"], "limits", "Max core file size", "0 0 bytes");
    let idle = of_process(child.id(), "status", "VmSize:");
    let idle: u64 = idle.strip_suffix(" kB").unwrap().parse().unwrap();
    child.stdin.take().unwrap().write_all(b"[]").unwrap();
    assert!(child.wait_with_output().unwrap().status.success());

    let (mut lacked, mut done) = (0, 0);
    for path in &files {
        for kilobytes in (idle + 20_000..idle + 180_000).step_by(40_000) {
            let script = format!("ulimit -v {kilobytes} && exec \"$0\" frames \"$1\"");
            let output = Command::new("sh").arg("-c").arg(script).arg(PROBE).arg(path).output().unwrap();
            if output.status.success() {
                done += 1;
                continue;
            }
            let said = error(&output);
            assert!(said.contains("emory"), "{} with {kilobytes} kB: {said}", path.display());
            lacked += 1;
        }
    }
    assert!(lacked > 3 && done > 3, "{lacked} times too little memory, {done} times enough");
}

#[test]
fn the_program_needs_ffmpeg_but_not_libtorch() {
    let output = Command::new("readelf").args(["-d", PROBE]).output().expect("readelf, which comes with the linker");
    let text = String::from_utf8(output.stdout).unwrap();
    let needed: Vec<&str> = text.lines().filter(|line| line.contains("(NEEDED)")).collect();
    let needs = |library: &str| needed.iter().any(|line| line.contains(&format!("[{library}")));
    // A private FFmpeg is linked statically.
    let is_inside = option_env!("FFMPEG_DIR").is_some();
    for library in ["libavcodec.so", "libavformat.so", "libavutil.so", "libswscale.so"] {
        assert_eq!(needs(library), !is_inside, "{library}: {needed:#?}");
    }
    for library in ["libtorch", "libc10", "libcud", "libgomp", "libavdevice", "libavfilter"] {
        assert!(!needs(library), "{library}: {needed:#?}");
    }
    // It also starts without variables that help to find libraries.
    let output = Command::new(PROBE).arg("--version").env_clear().output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

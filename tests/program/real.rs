//! The whole program with the real worker on small real videos; its output is compared byte by byte.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::real::Real;
use crate::support::{RECIPE, Ran, programs};
use reeldeck_common::feature::Feature;
use reeldeck_pickle::results::read_results;
use serde_json::json;

/// Six healthy videos of different codec and length in three classes, one cut short, one empty.
fn dataset() -> Real {
    let x264 = |frames: u64, seed: u64| json!({"frames": frames, "seed": seed, "width": 96, "height": 80, "options": {"bf": "2"}});
    let dataset = Real::new(&[
        ("Archery/v_-a.mp4", x264(70, 1)),
        ("Archery/v_b c.mp4", x264(8, 2)),
        ("Belly dance/v_d.mkv", json!({"encoder": "ffv1", "frames": 60, "width": 81, "height": 66})),
        ("Belly dance/v_e.avi", json!({"encoder": "mpeg4", "frames": 58, "width": 64, "height": 64})),
        (
            "Zumba/v_f.webm",
            json!({"encoder": "libvpx-vp9", "frames": 57, "width": 100, "height": 70, "options": {"cpu-used": "8"}}),
        ),
        ("Zumba/v_g.mp4", json!({"frames": 90, "width": 70, "height": 128, "rotate": 90})),
        ("Zumba/v_cut.mp4", x264(60, 3)),
    ]);
    let cut = fs::OpenOptions::new().write(true).open(dataset.video("Zumba/v_cut.mp4")).unwrap();
    cut.set_len(cut.metadata().unwrap().len() / 2).unwrap();
    fs::write(dataset.video("Archery/v_empty.mp4"), "").unwrap();
    dataset
}

#[test]
fn from_a_folder_to_the_export_the_same_to_the_byte_every_time() {
    let dataset = dataset();
    let ran = Ran::to_the_end(&mut dataset.command("one", &[]));
    assert_eq!(ran.code, 3, "{ran:?}");
    let features = dataset.files("one", "features");
    assert_eq!(features.len(), 6, "{ran:?}");
    let failures = dataset.files("one", "failures");
    let reason = |name: &str| {
        let (_, bytes) = failures.iter().find(|(path, _)| path.ends_with(name)).unwrap();
        String::from_utf8(bytes.clone()).unwrap()
    };
    assert_eq!(failures.len(), 2);
    assert!(reason("Archery/v_empty.mp4.json").contains("the file is empty"));
    assert!(reason("Zumba/v_cut.mp4.json").contains("moov"));

    // The export contains the values of the features.
    let exports = dataset.files("one", "exports");
    let export = |name: &str| exports.iter().find(|(path, _)| path.ends_with(name)).unwrap().1;
    let list = String::from_utf8(export("hacs_data.txt").clone()).unwrap();
    let results = read_results(export("result.pkl")).unwrap();
    assert_eq!(list.lines().count(), 6);
    for (line, result) in list.lines().zip(&results) {
        let name = line.rsplit_once(' ').unwrap().0;
        let path = features.keys().find(|path| path.ends_with(format!("{name}.safetensors"))).unwrap();
        let feature = Feature::read(&dataset.path("one/features").join(path)).unwrap();
        assert_eq!(feature.tensors["logits"].data, result.scores);
        assert!(feature.provenance.checkpoint.synthetic_weights);
        assert_eq!(feature.provenance.video.as_str(), name);
    }

    // Other buffers and more decoders give the same bytes.
    fs::write(dataset.dir.path().join("config.toml"), "[worker]\nprefetch_frames = 1\ndecoders = 3\n").unwrap();
    let ran = Ran::to_the_end(&mut dataset.command("two", &[]));
    assert_eq!((ran.code, dataset.files("two", "features") == features), (3, true), "{ran:?}");
    // With fewer threads in each worker, libtorch chooses other kernels, and the last digits may differ.
    let ran = Ran::to_the_end(&mut dataset.command("workers", &["--devices", "cpu*2"]));
    assert_eq!(ran.code, 3, "{ran:?}");
    for path in features.keys() {
        let read = |out: &str| Feature::read(&dataset.dir.path().join(out).join("features").join(path)).unwrap();
        let (a, b) = (read("one"), read("workers"));
        assert_eq!(a.provenance, b.provenance);
        let pairs = a.tensors["logits"].data.iter().zip(&b.tensors["logits"].data);
        let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-4, "{}: {worst}", path.display());
    }
}

#[test]
fn other_outputs_are_added_and_other_recipes_have_their_own_set() {
    let dataset = dataset();
    let only = ["--limit", "1"];
    assert_eq!(Ran::to_the_end(&mut dataset.command("out", &only)).code, 0);
    let recipe = |text: &str| fs::write(dataset.dir.path().join("tiny.toml"), text).unwrap();
    // In the same set, a file that lacks an output is extracted again, with both outputs.
    recipe(&RECIPE.replace("[\"logits\"]", "[\"logits\", \"pooled\"]"));
    let ran = Ran::to_the_end(&mut dataset.command("out", &only));
    assert!(ran.stderr.contains("1 queued"), "{ran:?}");
    let root = dataset.dir.path().join("out/features");
    let sets = || fs::read_dir(&root).unwrap().count();
    assert_eq!(sets(), 1);
    let (path, _) = dataset.files("out", "features").into_iter().next().unwrap();
    let feature = Feature::read(&root.join(path)).unwrap();
    assert_eq!(feature.tensors["pooled"].shape, [4, 128]);
    assert_eq!(feature.tensors["logits"].shape, [4, 5]);
    // Another precision gives another set.
    recipe(&RECIPE.replace("fp32", "bf16"));
    assert_eq!(Ran::to_the_end(&mut dataset.command("out", &only)).code, 0);
    assert_eq!(sets(), 2);
}

#[test]
fn features_extracted_anew_for_a_verification_are_the_same_to_the_bit() {
    let dataset = dataset();
    let root = dataset.dir.path();
    assert_eq!(Ran::to_the_end(&mut dataset.command("out", &["-q"])).code, 3);
    let before = dataset.files("out", "features");
    let verify = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reeldeck"));
        command.current_dir(root).env("REELDECK_WORKER", programs().join("reeldeck-worker")).stdin(Stdio::null());
        Ran::to_the_end(command.args(["--recipe", "./tiny.toml", "--checkpoint", "seeded", "verify"]).args(more))
    };
    // Two videos of the dataset are broken and have no feature; nothing else is missing.
    let ran = verify(&["--sample", "9", "--against", "out/exports"]);
    assert!(ran.code == 2 && ran.stderr.contains("nothing was compared"), "{ran:?}");
    let ran = verify(&["--sample", "9"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stdout.contains("6 features with a new extraction: 6 within 2.0e-4, 6 bit-identical"), "{ran:?}");
    assert!(ran.stdout.contains("2 videos of the dataset have no feature"), "{ran:?}");
    assert!(ran.stdout.contains("checked 6 features") && ran.stdout.contains(": 0 wrong"), "{ran:?}");
    assert_eq!(dataset.files("out", "features"), before);
}

/// The libraries that a program is linked to, as `readelf` lists them.
fn needed(program: &Path) -> Vec<String> {
    let output = Command::new("readelf").arg("-d").arg(program).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().filter(|line| line.contains("(NEEDED)"));
    names.map(|line| line.split(['[', ']']).nth(1).unwrap().to_owned()).collect()
}

#[test]
fn each_program_is_linked_to_what_it_needs_and_to_nothing_else() {
    let has = |names: &[String], part: &str| names.iter().any(|name| name.contains(part));
    let own = needed(Path::new(env!("CARGO_BIN_EXE_reeldeck")));
    assert!(has(&own, "libc.so"), "{own:?}");
    for native in ["libav", "libsw", "torch", "c10", "stdc++"] {
        assert!(!has(&own, native), "reeldeck starts without native libraries: {own:?}");
    }
    let probe = needed(&programs().join("reeldeck-probe"));
    // A private FFmpeg is linked statically.
    assert_eq!(has(&probe, "libavcodec"), std::env::var_os("FFMPEG_DIR").is_none(), "{probe:?}");
    assert!(!has(&probe, "torch") && !has(&probe, "c10"), "{probe:?}");
    let worker = needed(&programs().join("reeldeck-worker"));
    assert!(has(&worker, "libtorch_cpu") && !has(&worker, "cuda"), "{worker:?}");
}

#[test]
fn seeded_weights_are_written_and_give_the_same_features_as_a_checkpoint() {
    let dataset = dataset();
    let mut write = Command::new(env!("CARGO_BIN_EXE_reeldeck"));
    write.current_dir(dataset.dir.path()).args(["seeded-checkpoint", "weights.pth", "--recipe", "./tiny.toml"]);
    let ran = Ran::to_the_end(&mut write);
    assert_eq!(ran.code, 0, "{ran:?}");
    // An existing file of weights must not be overwritten.
    let written = fs::read(dataset.path("weights.pth")).unwrap();
    let again = Ran::to_the_end(&mut write);
    assert!(again.code == 2 && again.stderr.contains("exists and is not replaced"), "{again:?}");
    assert_eq!(fs::read(dataset.path("weights.pth")).unwrap(), written);
    assert_eq!(Ran::to_the_end(&mut dataset.command("seeded", &["--limit", "1"])).code, 0);
    let from_file = Ran::to_the_end(&mut dataset.command("file", &["--limit", "1", "--checkpoint", "weights.pth"]));
    assert_eq!(from_file.code, 2, "an option given twice is refused: {from_file:?}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_reeldeck"));
    command.current_dir(dataset.dir.path());
    command.args([
        "--batch",
        "--recipe",
        "./tiny.toml",
        "--checkpoint",
        "weights.pth",
        "--out",
        "file",
        "--limit",
        "1",
    ]);
    let ran = Ran::to_the_end(&mut command);
    assert!(ran.code == 0 && !ran.stderr.contains("seeded weights"), "{ran:?}");
    let first = |out: &str| {
        let (path, _) = dataset.files(out, "features").into_iter().next().unwrap();
        Feature::read(&dataset.dir.path().join(out).join("features").join(path)).unwrap()
    };
    assert_eq!(first("seeded").tensors, first("file").tensors);
    assert_ne!(first("seeded").provenance.set, first("file").provenance.set);
}

/// The measurement is stored, and a run that uses it gives the same features.
#[test]
fn measurements_of_tune_are_stored() {
    let dataset = Real::new(&[("Archery/v_a.mp4", json!({"frames": 60, "width": 96, "height": 80}))]);
    let cache = dataset.path("cache");
    let ran = Ran::to_the_end(dataset.command("one", &["tune", "--seconds", "1"]).env("XDG_CACHE_HOME", &cache));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("1 worker of ") && ran.stdout.contains("fastest: --devices 'cpu"), "{ran:?}");
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(cache.join("reeldeck/tune.json")).unwrap()).unwrap();
    let (_, ways) = kept.as_object().unwrap().iter().next().unwrap();
    assert!(ways.as_array().unwrap().len() >= 3, "{kept}");
    assert!(ways.as_array().unwrap().iter().all(|way| way["clips_per_s"].as_f64().unwrap() > 0.0), "{kept}");
    let ran = Ran::to_the_end(dataset.command("one", &[]).env("XDG_CACHE_HOME", &cache));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(dataset.files("one", "features").len(), 1);
}

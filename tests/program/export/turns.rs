//! Exports that are killed, exports during a run, and two exports at a time.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use reeldeck::internals::export::Incremental;
use reeldeck::internals::export::npy;
use reeldeck::internals::format::Format;
use reeldeck_common::video::VideoName;
use reeldeck_pickle::results::read_results;

use super::{VIDEOS, bits};
use crate::support::hold::Hold;
use crate::support::made::Set;
use crate::support::wait_for;

#[test]
fn after_every_kill_the_next_run_ends_with_the_same_bytes() {
    let names: Vec<String> = (0..40).map(|i| format!("A/v_{i:02}.mp4")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let whole = Set::of(&names);
    whole.run(&["export", "--format", "csv,npy"]).expect(0, &[]);
    let set = Set::of(&names);
    let done = || set.names("csv").iter().filter(|name| name.ends_with(".csv")).count();
    for signal in ["-9", "-9", "-INT", "-TERM"] {
        let at_least = done() + 1;
        let mut child = set
            .command(&["export", "--format", "csv,npy"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while done() < at_least.min(names.len()) && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let sent =
            std::process::Command::new("kill").args([signal, &child.id().to_string()]).stderr(Stdio::null()).status();
        let status = child.wait().unwrap();
        // The export may end before the signal arrives, or the signal may arrive before the program has started.
        let early = at_least > names.len();
        let expected: &[Option<i32>] =
            if signal == "-9" || early { &[None, Some(0), Some(130)] } else { &[Some(130), Some(0)] };
        assert!(expected.contains(&status.code()), "{signal}: {status:?} {sent:?}");
        assert!(status.code() == Some(0) || !set.exported("npy/dataset.json").exists());
    }
    set.run(&["export", "--format", "csv,npy"]).expect(0, &["exported 40 videos"]);
    for folder in ["csv", "npy"] {
        let files = |set: &Set| set.names(folder);
        assert_eq!(files(&set), files(&whole));
        for name in files(&set).iter().filter(|name| name.starts_with("v_")) {
            let path = format!("{folder}/{name}");
            assert_eq!(set.bytes(&path), whole.bytes(&path), "{path}");
        }
    }
}

/// Readers match the list and the pickle by position only.
#[test]
fn after_a_kill_list_and_pickle_belong_together() {
    let names: Vec<String> = (0..30).map(|i| format!("A/v_{i:02}.mp4")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let set = Set::of(&names);
    set.run(&["export"]).expect(0, &[]);
    let last = set.layout.features().join(format!("{}.safetensors", names[29]));
    let aside = last.with_extension("aside");
    let pair = || {
        let list = String::from_utf8(fs::read(set.exported("hacs_data.txt")).ok()?).unwrap();
        Some((list.lines().count(), read_results(&set.bytes("result.pkl")).unwrap().len()))
    };
    for round in 0..8 {
        // Each export has one video more or less than the previous one.
        if last.exists() { fs::rename(&last, &aside) } else { fs::rename(&aside, &last) }.unwrap();
        let before = pair();
        let temporary = || -> std::collections::BTreeSet<_> {
            let names = fs::read_dir(set.layout.exports()).unwrap().map(|entry| entry.unwrap().file_name());
            names.filter(|name| reeldeck_common::atomic::is_temporary(name.to_str().unwrap())).collect()
        };
        let left_behind = temporary();
        let mut child = set.command(&["export"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while temporary() == left_behind && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        // Half of the kills come while the pickle is written, half when the old list is replaced.
        while round % 2 == 1 && pair() == before && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let _ = child.kill();
        child.wait().unwrap();
        if let Some((list, pickle)) = pair() {
            assert_eq!(list, pickle, "round {round}");
        } else {
            assert!(!set.exported("dataset.json").exists(), "round {round}: only one file of the pair exists");
        }
    }
}

#[test]
fn live_exports_are_those_that_an_export_keeps() {
    let set = Set::of(&VIDEOS);
    let path = |video: &str| set.layout.features().join(format!("{video}.safetensors"));
    let mut live = Incremental::new(&set.layout, &set.recipe, &[Format::Npy, Format::Csv], &set.owner).unwrap();
    for video in VIDEOS {
        live.write(&path(video)).unwrap();
    }
    let written = set.bytes("npy/v 3.npy");
    set.run(&["export", "--format", "npy,csv"]).expect(0, &["/npy (0 written", "/csv (0 written"]);
    assert_eq!((set.bytes("npy/v 3.npy"), set.exported("npy/dataset.json").exists()), (written, true));

    // A video that is extracted again replaces its file; the files that describe the folder are missing until the next export.
    let again = set.feature(VIDEOS[0], |feature| feature.tensors.get_mut("logits").unwrap().data[0] = 7.0);
    live.write(&again).unwrap();
    assert_eq!(npy::read(&set.bytes("npy/v_-1.npy")).unwrap().data[0], 7.0);
    assert!(!set.exported("npy/dataset.json").exists());
    set.run(&["export", "--format", "npy,csv"]).expect(0, &["/npy (0 written"]);
}

#[test]
fn of_videos_with_one_file_name_the_first_is_exported_live_and_the_others_are_named() {
    let videos = ["A/v_1.avi", "A/v_2.mp4", "B/v_1.mp4"];
    let set = Set::of(&videos);
    let mut live = Incremental::new(&set.layout, &set.recipe, &[Format::Npy], &set.owner).unwrap();
    let names = videos.map(|video| VideoName::new(video).unwrap());
    live.name_videos(names.iter());
    let mut write = |video: &str| live.write(&set.layout.features().join(format!("{video}.safetensors")));
    let error = write("B/v_1.mp4").unwrap_err().to_string();
    assert!(error.contains("B/v_1.mp4") && error.contains("A/v_1.avi has the same name"), "{error}");
    write("A/v_1.avi").unwrap();
    write("A/v_2.mp4").unwrap();
    let written = set.bytes("npy/v_1.npy");
    set.run(&["export", "--format", "npy"]).expect(3, &["B/v_1.mp4"]);
    assert_eq!(set.bytes("npy/v_1.npy"), written);
}

#[test]
fn an_export_keeps_what_a_run_exports_meanwhile() {
    let set = Set::of(&VIDEOS);
    let mut live = Incremental::new(&set.layout, &set.recipe, &[Format::Npy], &set.owner).unwrap();
    let write = |live: &mut Incremental, video: &str| {
        live.write(&set.layout.features().join(format!("{video}.safetensors"))).unwrap();
    };
    VIDEOS.into_iter().for_each(|video| write(&mut live, video));
    set.video("A/v_new.mp4");
    let hold = Hold::in_folder(set.at("held"));
    hold.hold("export.lock");
    let mut export = set.command(&["export", "--format", "npy"]);
    let export = hold.prepare(&mut export).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It has looked at the features, and the new one is not there yet.
    wait_for("the export takes its lock", || hold.is_waited_for("export.lock"));
    set.feature("A/v_new.mp4", |_| {});
    write(&mut live, "A/v_new.mp4");
    hold.release();
    let output = export.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(set.exported("npy/v_new.npy").exists());
    // What the run writes next is known to the next export too.
    set.video("A/v_newer.mp4");
    set.feature("A/v_newer.mp4", |_| {});
    write(&mut live, "A/v_newer.mp4");
    assert!(!set.exported("npy/dataset.json").exists());
    set.run(&["export", "--format", "npy"]).expect(0, &["exported 6 videos", "(0 written"]);
}

/// Two exports at once could leave a list beside the wrong pickle.
#[test]
fn an_export_waits_for_another_one_to_end() {
    let set = Set::of(&VIDEOS);
    let lock = reeldeck::internals::export::export_lock::path(&set.layout);
    fs::create_dir_all(lock.parent().unwrap()).unwrap();
    let other = fs::File::create(&lock).unwrap();
    other.lock().unwrap();
    let mut export = set.command(&["export"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(export.stderr.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains("another export writes to"), "{first}");
    assert!(!set.exported("result.pkl").exists());
    // A feature that was damaged while the export waited is checked again.
    fs::write(set.layout.features().join("A/v_-1.mp4.safetensors"), "").unwrap();
    other.unlock().unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(export.wait().unwrap().code(), Some(3), "{rest:?}");
    assert_eq!(String::from_utf8(set.bytes("hacs_data.txt")).unwrap().lines().count(), VIDEOS.len() - 1);
    assert_eq!(read_results(&set.bytes("result.pkl")).unwrap().len(), VIDEOS.len() - 1);
}

#[test]
fn live_exports_take_no_damaged_feature_and_no_second_video_of_a_name() {
    let set = Set::of(&["A/v_1.mp4", "B/v_1.mp4"]);
    let mut live = Incremental::new(&set.layout, &set.recipe, &[Format::Npy], &set.owner).unwrap();
    // Without the names of the dataset, the first to be written has the file.
    live.write(&set.layout.features().join("B/v_1.mp4.safetensors")).unwrap();
    live.write(&set.layout.features().join("A/v_1.mp4.safetensors")).unwrap_err();
    assert_eq!(bits(&npy::read(&set.bytes("npy/v_1.npy")).unwrap()), bits(&set.logits("B/v_1.mp4")));
    // The export follows the order of the dataset, not of completion.
    set.run(&["export", "--format", "npy"]).expect(3, &["B/v_1.mp4: A/v_1.mp4 has the same file name"]);
    assert_eq!(bits(&npy::read(&set.bytes("npy/v_1.npy")).unwrap()), bits(&set.logits("A/v_1.mp4")));

    let path = set.feature("A/v_1.mp4", |_| {});
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert!(live.write(&path).unwrap_err().to_string().contains(" is damaged: "));
    for format in [Format::Pkl, Format::H5] {
        let error = Incremental::new(&set.layout, &set.recipe, &[format], &set.owner).unwrap_err().to_string();
        assert!(error.contains("one file for all videos"), "{error}");
    }
    let mut none = Incremental::new(&set.layout, &set.recipe, &[], &set.owner).unwrap();
    none.write(std::path::Path::new("/no/such/file")).unwrap();
}

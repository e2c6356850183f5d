//! Each field, checked against folders and files of every kind.

use std::os::unix::fs::symlink;

use reeldeck_pickle::checkpoint::{TensorData, TensorEntry, write_checkpoint};
use tempfile::TempDir;

use super::*;

/// A folder with everything that the tests need.
fn fixture() -> TempDir {
    let folder = TempDir::new().unwrap();
    let make = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    for name in [
        "data/Archery/v_1.mp4",
        "data/Archery/v_2.MKV",
        "data/Archery/notes.txt",
        "data/Rowing/v_3.webm",
        "data/.x/v.mp4",
    ] {
        make(name, b"");
    }
    make("flat/v_1.mp4", b"");
    make("deep/er/Archery/v_1.mp4", b"");
    for name in ["mixed/v_1.mp4", "mixed/A/v_2.mp4", "mixed/A/v_3.mp4"] {
        make(name, b"");
    }
    make("page.pth", b"<html>");
    make("own.pth", &weights("cls_head.fc_cls.weight", 700));
    make("slowonly_20221013-15b93b10.pth", &weights("module.cls_head.fc_cls.weight", 700));
    make("few.pth", &weights("cls_head.fc_cls.weight", 400));
    make("other.pth", &weights("fc.weight", 1000));
    make("cut.pth", &weights("cls_head.fc_cls.weight", 700)[..900]);
    make("result.pkl", b"\x80\x04}\x94.");
    make("empty.pth", b"");
    make("list.txt", b"Archery/v_1.mp4\nRowing/v_9.mp4\n");
    make("bad.json", b"{");
    make("done/.reeldeck/log", b"");
    fs::create_dir(folder.path().join("nothing")).unwrap();
    symlink("data", folder.path().join("link")).unwrap();
    folder
}

/// A checkpoint with one tensor.
fn weights(name: &str, classes: usize) -> Vec<u8> {
    let values = vec![0.5; classes * 2];
    let entry = TensorEntry { name, shape: &[classes, 2], data: TensorData::F32(&values) };
    write_checkpoint(std::io::Cursor::new(vec![]), "state_dict", [entry], &[]).unwrap().into_inner()
}

fn check(folder: &TempDir, field: Field, typed: &str) -> Verdict {
    let mut values = Values { root: "data".into(), out: "out".into(), devices: "cpu".into(), ..Values::default() };
    *match field {
        Field::Root => &mut values.root,
        Field::Out => &mut values.out,
        Field::Checkpoint => &mut values.checkpoint,
        Field::Manifest => &mut values.manifest,
        Field::Devices => &mut values.devices,
        Field::Layout => &mut values.layout,
    } = typed.into();
    let home = Some(folder.path().to_owned());
    super::check(&CheckRequest { field, folder: folder.path().into(), home, values }).verdict
}

#[derive(Debug, PartialEq)]
enum Is {
    Fine,
    Warn,
    Unclear,
    Wrong,
}

fn says(verdict: Verdict, is: Is, part: &str) {
    let (found, text) = match &verdict {
        Verdict::Fine(text) => (Is::Fine, text),
        Verdict::Warn(text) => (Is::Warn, text),
        Verdict::Unclear(text) => (Is::Unclear, text),
        Verdict::Wrong(text) => (Is::Wrong, text),
    };
    assert!(found == is && text.contains(part), "{verdict:?} is not {is:?} with {part:?}");
}

#[test]
fn dataset_folder_verdicts() {
    let folder = fixture();
    let check = |typed| check(&folder, Field::Root, typed);
    for typed in ["data", "data/", "link", "~/data", "./data"] {
        says(check(typed), Is::Fine, "2 class folders, 3 videos");
    }
    says(check("flat"), Is::Fine, "1 video directly in the folder");
    says(check("mixed"), Is::Warn, "1 class folder, 2 videos; 1 video elsewhere not used");
    says(check("deep"), Is::Unclear, "1 video, but it is unclear which folders are classes");
    says(check("nothing"), Is::Warn, "no videos yet");
    says(check("nowhere"), Is::Wrong, "no such file or folder");
    says(check("list.txt"), Is::Wrong, "a file");
    says(check(""), Is::Wrong, "name the folder");
}

#[test]
fn counting_stops_at_the_limit() {
    let folder = fixture();
    let root = folder.path().join("data");
    let whole = summarize(&root, 100).unwrap();
    assert_eq!((whole.folders, whole.videos.len(), whole.truncated), (2, 3, false));
    for most in 0..6 {
        let seen = summarize(&root, most).unwrap();
        assert!(seen.truncated && seen.folders + seen.videos.len() <= most.max(1), "{most}: {seen:?}");
    }
}

#[test]
fn output_folder_verdicts() {
    let folder = fixture();
    let check = |typed| check(&folder, Field::Out, typed);
    says(check("out"), Is::Fine, "will be created");
    says(check("a/b/c"), Is::Fine, "will be created");
    says(check("nothing"), Is::Fine, "exists");
    says(check("done"), Is::Fine, "finished features are kept");
    says(check("data/out"), Is::Wrong, "inside the dataset folder");
    says(check("link/out"), Is::Wrong, "inside the dataset folder");
    says(check("data"), Is::Wrong, "inside the dataset folder");
    says(check("list.txt"), Is::Wrong, "a file");
    says(check(""), Is::Wrong, "name a folder");
    says(check("/proc/x"), Is::Wrong, "cannot be created in /proc");
    let values = Values { root: "o/features/x".into(), out: "o".into(), ..Values::default() };
    fs::create_dir_all(folder.path().join("o/features/x")).unwrap();
    let asked = CheckRequest { field: Field::Out, folder: folder.path().into(), home: None, values };
    says(super::check(&asked).verdict, Is::Wrong, "where reeldeck writes");
    says(super::out(Some(&folder.path().join("nowhere")), &folder.path().join("out")), Is::Fine, "created");
    let values = Values { out: "out".into(), ..Values::default() };
    let unnamed = CheckRequest { field: Field::Out, folder: folder.path().into(), home: None, values };
    says(super::check(&unnamed).verdict, Is::Fine, "created");
    assert_eq!(room(1), 280_000);
}

#[test]
fn checkpoint_verdicts() {
    let folder = fixture();
    let check = |typed| check(&folder, Field::Checkpoint, typed);
    says(check(""), Is::Warn, "scans and checks work");
    says(check("seeded"), Is::Warn, "the features are meaningless");
    says(check("published"), Is::Warn, "will be downloaded from ");
    says(check("https://me:secret@example.org/x.pth"), Is::Warn, "from example.org");
    says(check("https://example.org/"), Is::Wrong, "not the address of a file");
    says(check("ftp://example.org/x.pth"), Is::Wrong, "neither https:// nor http://");
    says(check("slowonly_20221013-15b93b10.pth"), Is::Fine, "published");
    says(check("own.pth"), Is::Warn, "15b93b10");
    says(check("few.pth"), Is::Wrong, "has 400 classes, but the recipe slowonly-r50-8x8-k700 needs 700");
    says(check("other.pth"), Is::Wrong, "no tensor cls_head.fc_cls.weight");
    says(check("cut.pth"), Is::Wrong, "did not finish");
    says(check("result.pkl"), Is::Wrong, "such as result.pkl");
    says(check("page.pth"), Is::Wrong, "web page");
    says(check("empty.pth"), Is::Wrong, "empty");
    says(check("no.pth"), Is::Wrong, "type published");
    says(check("data"), Is::Wrong, "not a file");
}

#[test]
fn the_manifest_next_to_the_dataset_is_found() {
    let folder = fixture();
    let manifest = r#"{"database": {"aa": {"subset": "training", "duration": 9.0, "annotations": []}}}"#;
    fs::create_dir_all(folder.path().join("far/videos/Archery")).unwrap();
    fs::write(folder.path().join("far/HACS_segments_v1.1.1.json"), manifest).unwrap();
    let found = |field, root: &str| {
        let values = Values { root: root.into(), out: "out".into(), ..Values::default() };
        let request = CheckRequest { field, folder: folder.path().into(), home: Some(folder.path().into()), values };
        super::check(&request).manifest
    };
    assert_eq!(found(Field::Root, "far/videos").as_deref(), Some("far/HACS_segments_v1.1.1.json"));
    let home = folder.path().join("far/HACS_segments_v1.1.1.json");
    assert_eq!(found(Field::Root, "~/far/videos").as_deref(), home.to_str());
    assert_eq!((found(Field::Root, "data"), found(Field::Out, "far/videos")), (None, None));
}

#[test]
fn manifest_verdicts() {
    let folder = fixture();
    let check = |typed| check(&folder, Field::Manifest, typed);
    says(check(""), Is::Fine, "none");
    says(check("list.txt"), Is::Fine, "lists 2 videos");
    says(check("bad.json"), Is::Wrong, "bad.json");
    says(check("no.json"), Is::Wrong, "no such file or folder");
    says(check("data"), Is::Wrong, "not a file");
}

#[test]
fn device_verdicts() {
    says(devices("cpu", &Ok(0)), Is::Fine, "1 worker on the CPU");
    says(devices("cpu*2", &Ok(0)), Is::Fine, "2 workers on the CPU");
    says(devices("all", &Ok(0)), Is::Fine, "no NVIDIA GPU");
    says(devices("all", &Ok(8)), Is::Fine, "8 NVIDIA GPUs, one worker each");
    says(devices("cuda:0,cuda:1", &Ok(2)), Is::Fine, "2 workers; this machine has 2 NVIDIA GPUs");
    says(devices("cuda:2", &Ok(2)), Is::Warn, "cuda:2 not found");
    says(devices("cuda:0", &Ok(0)), Is::Warn, "no NVIDIA GPU here: use cpu");
    says(devices("cpu", &Ok(1)), Is::Warn, "has 1 NVIDIA GPU");
    says(devices("gpu", &Ok(1)), Is::Wrong, "did you mean");
    let broken = Err("no PyTorch".into());
    says(devices("all", &broken), Is::Warn, "no PyTorch");
    says(devices("cpu", &broken), Is::Fine, "1 worker on the CPU");
}

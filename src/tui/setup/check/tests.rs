//! Each field, checked against folders and files of every kind.

use std::os::unix::fs::symlink;

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
    make("own.pth", b"PK\x03\x04");
    make("slowonly_20221013-15b93b10.pth", b"PK\x03\x04");
    make("empty.pth", b"");
    make("list.txt", b"Archery/v_1.mp4\nRowing/v_9.mp4\n");
    make("bad.json", b"{");
    make("done/.reeldeck/log", b"");
    fs::create_dir(folder.path().join("nothing")).unwrap();
    symlink("data", folder.path().join("link")).unwrap();
    folder
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
    says(check("mixed"), Is::Warn, "1 class folder, 2 videos; 1 video elsewhere");
    says(check("deep"), Is::Unclear, "1 video, and it is not clear which folders are classes");
    says(check("nothing"), Is::Warn, "no videos yet");
    says(check("nowhere"), Is::Wrong, "nothing of this name");
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
    says(check("out"), Is::Fine, "made when needed");
    says(check("a/b/c"), Is::Fine, "made when needed");
    says(check("nothing"), Is::Fine, "there");
    says(check("done"), Is::Fine, "what is done is kept");
    says(check("data/out"), Is::Wrong, "in the dataset folder");
    says(check("link/out"), Is::Wrong, "in the dataset folder");
    says(check("data"), Is::Wrong, "in the dataset folder");
    says(check("list.txt"), Is::Wrong, "a file");
    says(check(""), Is::Wrong, "name a folder");
    let values = Values { root: "o/features/x".into(), out: "o".into(), ..Values::default() };
    fs::create_dir_all(folder.path().join("o/features/x")).unwrap();
    let asked = CheckRequest { field: Field::Out, folder: folder.path().into(), home: None, values };
    says(super::check(&asked).verdict, Is::Wrong, "where reeldeck writes");
    says(super::out(&folder.path().join("nowhere"), &folder.path().join("out")), Is::Fine, "made");
    assert_eq!(room(1), 280_000);
}

#[test]
fn checkpoint_verdicts() {
    let folder = fixture();
    let check = |typed| check(&folder, Field::Checkpoint, typed);
    says(check(""), Is::Warn, "none yet");
    says(check("seeded"), Is::Warn, "mean nothing");
    says(check("slowonly_20221013-15b93b10.pth"), Is::Fine, "published");
    says(check("own.pth"), Is::Warn, "15b93b10");
    says(check("page.pth"), Is::Wrong, "a page");
    says(check("empty.pth"), Is::Wrong, "empty");
    says(check("no.pth"), Is::Wrong, "wget https://");
    says(check("data"), Is::Wrong, "no file");
    says(check("https://example.org/x.pth"), Is::Wrong, "fetch it");
    says(check("https://example.org/own.pth"), Is::Wrong, "the file of its name is here: own.pth");
}

#[test]
fn manifest_verdicts() {
    let folder = fixture();
    let check = |typed| check(&folder, Field::Manifest, typed);
    says(check(""), Is::Fine, "none");
    says(check("list.txt"), Is::Fine, "lists 2 videos");
    says(check("bad.json"), Is::Wrong, "bad.json");
    says(check("no.json"), Is::Wrong, "nothing of this name");
    says(check("data"), Is::Wrong, "no file");
}

#[test]
fn device_verdicts() {
    says(devices("cpu", &Ok(0)), Is::Fine, "1 worker on the CPU");
    says(devices("cpu*2", &Ok(0)), Is::Fine, "2 workers on the CPU");
    says(devices("all", &Ok(0)), Is::Fine, "no NVIDIA GPU here");
    says(devices("all", &Ok(8)), Is::Fine, "8 NVIDIA GPUs here");
    says(devices("cuda:0,cuda:1", &Ok(2)), Is::Fine, "2 workers; this machine has 2 NVIDIA GPUs");
    says(devices("cuda:2", &Ok(2)), Is::Warn, "cuda:2 is not seen here");
    says(devices("cpu", &Ok(1)), Is::Warn, "has 1 NVIDIA GPU");
    says(devices("gpu", &Ok(1)), Is::Wrong, "did you mean");
    let broken = Err("no PyTorch".into());
    says(devices("all", &broken), Is::Warn, "no PyTorch");
    says(devices("cpu", &broken), Is::Fine, "1 worker on the CPU");
}

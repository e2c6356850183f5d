//! `reeldeck list` on usual and unusual folders.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A working folder that contains a dataset folder. Programs run in it.
struct Bench(TempDir);

struct Ran {
    code: Option<i32>,
    out: Vec<u8>,
    err: String,
}

impl Bench {
    fn new(files: &[&str]) -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        fs::create_dir(bench.at("data")).unwrap();
        for file in files {
            bench.put(file);
        }
        bench
    }

    fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(path)
    }

    fn put(&self, file: impl AsRef<Path>) {
        let path = self.at("data").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"x").unwrap();
    }

    fn list(&self) -> String {
        fs::read_to_string(self.at("out/hacs_data.txt")).unwrap()
    }

    fn run<A: AsRef<OsStr>>(&self, args: &[A]) -> Ran {
        finish(Command::new(env!("CARGO_BIN_EXE_reeldeck")).args(args).current_dir(self.0.path()))
    }

    /// Runs as a user without root, because permissions do not apply to root: as `nobody` if the tests run as root.
    fn run_bound(&self, args: &[&str]) -> Ran {
        let program = self.at("reeldeck");
        // Copied by another process: a child of another test may inherit the file while this process writes it, and then
        // the file cannot be executed.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_reeldeck")).arg(&program).status().unwrap();
        assert!(copied.success());
        fs::set_permissions(self.0.path(), Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new(program);
        if rustix::process::geteuid().is_root() {
            command.uid(65534).gid(65534);
        }
        finish(command.args(args).current_dir(self.0.path()))
    }
}

fn finish(command: &mut Command) -> Ran {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let err = String::from_utf8(output.stderr).expect("standard error is text");
    assert!(
        !err.contains(|c: char| c.is_control() && c != '\n'),
        "standard error contains control characters: {err:?}"
    );
    Ran { code: output.status.code(), out: output.stdout, err }
}

impl Ran {
    #[track_caller]
    fn expect(self, code: i32, says: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.err);
        for text in says {
            assert!(self.err.contains(text), "{text:?} is missing in:\n{}", self.err);
        }
        self
    }
}

#[test]
fn the_list_equals_the_originals_and_is_reproducible() {
    let bench = Bench::new(&["Sailing/v_b.mp4", "Sailing/v_a.mp4", "Archery/v_c.mkv", "Archery/notes.txt"]);
    bench.run(&["list"]).expect(0, &["3 videos in 2 classes; 0 refused, 1 ignored", "wrote ", "out/hacs_data.txt"]);
    let list = bench.list();
    assert_eq!(list, "Archery/v_c.mkv -1\nSailing/v_a.mp4 -1\nSailing/v_b.mp4 -1\n");
    bench.run(&["list"]).expect(0, &[]);
    assert_eq!(bench.list(), list);
    let left: Vec<_> = fs::read_dir(bench.at("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["hacs_data.txt"]);
}

#[test]
fn label_style_output_and_dry_run_follow_the_options() {
    let bench = Bench::new(&["B/v.mp4", "A/v.mp4"]);
    let ran = bench.run(&["list", "--stdout", "--label-style", "index"]).expect(0, &["2 videos in 2 classes"]);
    assert_eq!(ran.out, b"A/v.mp4 0\nB/v.mp4 1\n");
    bench.run(&["list", "--dry-run"]).expect(0, &["would write"]);
    assert!(!bench.at("out").exists());
    let ran = bench.run(&["-q", "list", "--out", "elsewhere/deep"]).expect(0, &[]);
    assert_eq!((ran.err.as_str(), ran.out.as_slice()), ("", &b""[..]));
    assert_eq!(fs::read(bench.at("elsewhere/deep/hacs_data.txt")).unwrap(), b"A/v.mp4 -1\nB/v.mp4 -1\n");
    fs::write(bench.at("config.toml"), "[list]\nlabel_style = \"index\"\n").unwrap();
    assert_eq!(bench.run(&["list", "--stdout"]).out, b"A/v.mp4 0\nB/v.mp4 1\n");
    assert_eq!(bench.run(&["list", "--stdout", "--label-style", "minus-one"]).out, b"A/v.mp4 -1\nB/v.mp4 -1\n");
}

#[test]
fn names_with_spaces_and_quotes_are_listed_and_spaces_are_reported() {
    let bench = Bench::new(&["Horseback riding/it's \"v\" 1.mp4", "A/v.mp4"]);
    bench.run(&["list"]).expect(0, &["note: 1 name with a space", "MMAction2"]);
    assert_eq!(bench.list(), "A/v.mp4 -1\nHorseback riding/it's \"v\" 1.mp4 -1\n");
}

#[test]
fn a_video_in_two_classes_is_reported() {
    let bench = Bench::new(&["A/v_1.mp4", "B/v_1.mp4", "B/v_2.mp4"]);
    bench.run(&["list"]).expect(0, &["note: 1 name is shared", "\"v_1\" (A/v_1.mp4, B/v_1.mp4)"]);
    assert_eq!(bench.list().lines().count(), 3);
}

#[test]
fn unlistable_entries_are_named_and_the_rest_is_listed() {
    let bench = Bench::new(&["A/good.mp4", "A/two\nlines.mp4", "A/\u{1b}]0;x\u{7}.mp4", "top.mp4", "A/sub/deep.mp4"]);
    bench.put(Path::new("A").join(OsString::from_vec(b"v_\xfe.mp4".to_vec())));
    symlink("nowhere", bench.at("data/A/gone.mp4")).unwrap();
    symlink("..", bench.at("data/A/up")).unwrap();
    let pipe = bench.at("data/A/pipe.mp4");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let expected = [
        "refused A/two\\nlines.mp4: the name contains a newline",
        "refused A/\\u{1b}]0;x\\u{7}.mp4: ",
        "refused A/v_\\xfe.mp4: the name is not UTF-8 text; rename the file",
        "refused top.mp4: not in a class folder",
        "refused A/sub/deep.mp4: deeper than Class/file",
        "refused A/gone.mp4: a link to something that does not exist",
        "refused A/up: a link to a folder that contains it",
        "refused A/pipe.mp4: a named pipe, not a file",
        "1 video in 1 class; 8 refused, 0 ignored",
    ];
    bench.run(&["list"]).expect(3, &expected);
    assert_eq!(bench.list(), "A/good.mp4 -1\n");
    bench.run(&["list", "-q"]).expect(3, &expected[..8]);
}

#[test]
fn symbolic_links_to_the_dataset_classes_and_videos_are_followed() {
    let bench = Bench::new(&[]);
    fs::create_dir_all(bench.at("store/hacs/A")).unwrap();
    fs::create_dir_all(bench.at("store/B")).unwrap();
    for file in ["store/hacs/A/v_1.mp4", "store/B/v_2.mp4", "store/v_3.mp4"] {
        fs::write(bench.at(file), b"x").unwrap();
    }
    symlink("../B", bench.at("store/hacs/B")).unwrap();
    symlink("../../v_3.mp4", bench.at("store/hacs/A/v_3.mp4")).unwrap();
    symlink("store/hacs", bench.at("linked")).unwrap();
    bench.run(&["list", "--root", "linked"]).expect(0, &["3 videos in 2 classes"]);
    assert_eq!(bench.list(), "A/v_1.mp4 -1\nA/v_3.mp4 -1\nB/v_2.mp4 -1\n");
}

#[test]
fn paths_that_are_not_text_work() {
    let bench = Bench::new(&[]);
    let odd = OsStr::from_bytes(b"d\xffta");
    fs::create_dir_all(bench.at(odd).join("A")).unwrap();
    fs::write(bench.at(odd).join("A/v.mp4"), b"x").unwrap();
    bench
        .run(&[OsStr::new("list"), OsStr::new("--root"), odd, OsStr::new("--out"), OsStr::from_bytes(b"\xfe")])
        .expect(0, &[]);
    assert_eq!(fs::read(bench.at(OsStr::from_bytes(b"\xfe")).join("hacs_data.txt")).unwrap(), b"A/v.mp4 -1\n");
    // Workers and probers are told paths as text.
    for arguments in [&["--batch", "--checkpoint", "seeded"][..], &["scan", "--quick"]] {
        let mut typed: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        typed.extend([OsStr::new("--root"), odd]);
        bench.run(&typed).expect(2, &["--root: the path", "is not UTF-8 text"]);
    }
}

#[test]
fn an_empty_dataset_exits_with_4_and_writes_nothing() {
    let bench = Bench::new(&["A/notes.txt"]);
    let root = bench.at("data").display().to_string();
    bench.run(&["list"]).expect(4, &["no video found", &root, ".mp4, .mkv", "1 other file ignored", "check --root"]);
    assert!(!bench.at("out").exists());
    bench.put("deeper/A/v.mp4");
    bench.run(&["list"]).expect(4, &["refused deeper/A/v.mp4", "name their parent folder", "data/deeper"]);
    let typed = ["--batch", "--checkpoint", "seeded"];
    bench.run(&typed).expect(4, &["name their parent folder", "data/deeper\""]);
    let scanned = bench.run(&["scan"]).expect(4, &[]);
    assert!(String::from_utf8(scanned.out).unwrap().contains("name their parent folder"));
    // With a layout of class folders, a class folder is not a dataset folder.
    fs::write(bench.at("config.toml"), "[scan]\nlayout = \"classes\"\n").unwrap();
    bench.run(&["list", "--root", "data/deeper/A"]).expect(4, &["name its parent folder", "data/deeper\""]);
    fs::remove_file(bench.at("config.toml")).unwrap();
    assert!(!bench.at("out").exists());
    // An earlier list is kept.
    bench.run(&["list", "--root", "data/deeper"]).expect(0, &[]);
    bench.run(&["list"]).expect(4, &[]);
    assert_eq!(bench.list(), "A/v.mp4 -1\n");
}

#[test]
fn unusable_folders_exit_with_2() {
    let bench = Bench::new(&["A/v.mp4"]);
    fs::write(bench.at("file"), b"").unwrap();
    symlink("data/A", bench.at("inside")).unwrap();
    symlink("nowhere", bench.at("dangling")).unwrap();
    let never = "which is never written to";
    for (args, says) in [
        (["--root", "none"], "failed to open the dataset folder"),
        (["--root", "file"], "is not a folder"),
        (["--out", "data"], never),
        (["--out", "data/A/new"], never),
        (["--out", "inside/new"], never),
        (["--out", "missing/../data/new"], never),
        (["--out", "inside/../new"], never),
        (["--out", "file"], "is not a folder"),
        (["--out", "file/new"], "failed to resolve the output folder"),
        (["--out", "dangling"], "failed to resolve the output folder"),
        (["--config", "none.toml"], "failed to read the configuration"),
        (["--recipe", "slowonly-r50-8x8-k70"], "did you mean slowonly-r50-8x8-k700?"),
        (["--devices", "cuda"], "--devices: unknown device `cuda`"),
    ] {
        bench.run(&["extract", args[0], args[1]]).expect(2, &["error: ", says]);
    }
    fs::create_dir_all(bench.at("o/features/A")).unwrap();
    bench.run(&["list", "--root", "o/features", "--out", "o"]).expect(2, &["where reeldeck writes"]);
    assert_eq!(fs::read_dir(bench.at("data/A")).unwrap().count(), 1);
    assert!(!bench.at("out").exists() && !bench.at("missing").exists());
    // A folder beside the dataset, or around it, is allowed.
    bench.run(&["list", "--out", "data-out"]).expect(0, &[]);
    bench.run(&["list", "--out", "."]).expect(0, &[]);
    assert!(bench.at("hacs_data.txt").exists());
}

#[test]
fn an_old_list_survives_a_write_that_fails() {
    let bench = Bench::new(&["A/v.mp4"]);
    bench.run(&["list"]).expect(0, &[]);
    bench.put("B/v.mp4");
    fs::set_permissions(bench.at("out"), Permissions::from_mode(0o555)).unwrap();
    bench
        .run_bound(&["list"])
        .expect(1, &["2 videos", "failed to write", "out/hacs_data.txt", "--out", "caused by: Permission"]);
    assert_eq!(bench.list(), "A/v.mp4 -1\n");
    fs::set_permissions(bench.at("out"), Permissions::from_mode(0o755)).unwrap();
    bench.run(&["list"]).expect(0, &[]);
    assert_eq!(bench.list(), "A/v.mp4 -1\nB/v.mp4 -1\n");
}

#[test]
fn unreadable_folders_are_refused_by_name() {
    let bench = Bench::new(&["A/v.mp4", "Closed/v.mp4", "Listed/v.mp4", "Listed/notes.txt"]);
    fs::set_permissions(bench.at("data/Closed"), Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(bench.at("data/Listed"), Permissions::from_mode(0o744)).unwrap();
    if !rustix::process::geteuid().is_root() {
        fs::set_permissions(bench.at("data/Listed"), Permissions::from_mode(0o444)).unwrap();
    }
    // A video that cannot be opened is listed; the error is reported when a run reads it.
    fs::set_permissions(bench.at("data/A/v.mp4"), Permissions::from_mode(0o000)).unwrap();
    let closed = "refused Closed: cannot be read (Permission denied";
    let listed = "refused Listed/v.mp4: cannot be read (Permission denied";
    let ran =
        bench.run_bound(&["list", "--stdout"]).expect(3, &[closed, listed, "1 video in 1 class; 2 refused, 1 ignored"]);
    assert_eq!(ran.out, b"A/v.mp4 -1\n");
    fs::set_permissions(bench.at("data"), Permissions::from_mode(0o000)).unwrap();
    bench.run_bound(&["list"]).expect(1, &["failed to read the dataset folder", "caused by: Permission denied"]);
    for folder in ["data", "data/Closed", "data/Listed"] {
        fs::set_permissions(bench.at(folder), Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let bench = Bench::new(&[]);
    for i in 0..3000 {
        bench.put(format!("A/a_rather_long_name_so_that_the_pipe_is_full_{i}.mp4"));
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_reeldeck"))
        .args(["list", "--stdout"])
        .current_dir(bench.0.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn arguments_are_escaped_in_error_messages() {
    let bench = Bench::new(&["A/v.mp4"]);
    for argument in ["--\u{9b}2J", "a\u{202e}b", "--label-style=x\u{202e}y"] {
        let ran = bench.run(&["list", argument]);
        assert_eq!(ran.code, Some(2));
        assert!(!ran.err.contains(|c: char| c != '\n' && c.is_control() || c == '\u{202e}'), "{:?}", ran.err);
        assert!(ran.err.contains("\\u{") && ran.err.contains("\n"), "{:?}", ran.err);
    }
}

//! Tests of output folders that are missing, read-only or full. The failure is not the video's, and no file is left behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reeldeck_common::error::ErrorKind;
use reeldeck_common::feature::Feature;
use reeldeck_common::protocol::ToWorker;

use crate::harness::{PROGRAM, Worker, complete_files, init, job, tiny_recipe, video};

/// Checks that a job failed because of its output, with the path in the message.
fn expect_refused(worker: &mut Worker, number: u64, kind: ErrorKind, feature: &Path, says: &str) {
    let failure = worker.expect_failed(number);
    assert_eq!(failure.kind, kind, "{failure:?}");
    let line = failure.line();
    assert!(line.starts_with(&format!("failed to write {}", feature.display())) && line.contains(says), "{line}");
}

/// If a disk is unmounted, the set's folder is missing at its mount point.
#[test]
fn a_missing_folder_of_the_set_is_not_created() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("v.mp4"), folder.path().join("out"));
    video(&path, 30, 1);
    let (class, set) = (out.join("features/set/Class"), out.join("features/set"));
    fs::create_dir_all(&set).unwrap();
    let mut worker = Worker::start(&init(tiny_recipe()));
    let feature = |number: u64| class.join(number.to_string());
    let send = |worker: &mut Worker, number| worker.send(&job(number, &path, &feature(number)));

    send(&mut worker, 0);
    worker.expect_done(0);
    // Only the class folder is created.
    fs::remove_dir_all(&class).unwrap();
    send(&mut worker, 1);
    worker.expect_done(1);
    for (number, gone) in [(2, set.as_path()), (3, &out)] {
        fs::remove_dir_all(gone).unwrap();
        send(&mut worker, number);
        expect_refused(&mut worker, number, ErrorKind::Output, &feature(number), "No such file");
        assert!(!gone.exists());
    }
    // A file has the name of the set's folder.
    fs::create_dir_all(out.join("features")).unwrap();
    fs::write(&set, "in the way").unwrap();
    send(&mut worker, 4);
    expect_refused(&mut worker, 4, ErrorKind::Output, &feature(4), "Not a directory");
    assert_eq!(complete_files(&out), std::slice::from_ref(&set));
    // The disk is mounted again.
    fs::remove_file(&set).unwrap();
    fs::create_dir(&set).unwrap();
    send(&mut worker, 5);
    worker.expect_done(5);
    worker.finish();
    assert_eq!(complete_files(&out), [feature(5)]);
}

/// The command with which a test may mount a file system for a process on this machine.
fn unshare() -> &'static [&'static str] {
    let works = |arguments: &&&[&str]| {
        let mut command = Command::new("unshare");
        command.args(**arguments).args(["mount", "-t", "tmpfs", "tmpfs", "/proc"]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let found = [&["-rm"][..], &["-m"]].into_iter().find(|arguments| works(&arguments));
    found.expect(
        "this test mounts a small file system of its own, for which it needs `unshare` and `mount` of util-linux and either \
         user namespaces (sysctl kernel.unprivileged_userns_clone=1) or root with CAP_SYS_ADMIN (a container: --privileged)",
    )
}

/// A worker that sees a file system of 256 KiB in a folder, prepared by a script whose `$1` is the folder.
struct Mounted {
    worker: Worker,
    folder: PathBuf,
}

impl Mounted {
    fn start(folder: &Path, script: &str) -> Self {
        let mut command = Command::new("unshare");
        let script = format!("set -e; mount -t tmpfs -o size=256k tmpfs \"$1\"; {script}; exec \"$0\"");
        command.args(unshare()).args(["sh", "-c", &script, PROGRAM]).arg(folder);
        let mut worker = Worker::over(&mut command);
        worker.send(&ToWorker::Init(Box::new(init(tiny_recipe()))));
        worker.expect_ready();
        Self { worker, folder: folder.to_owned() }
    }

    /// The path through which the test sees a file in the worker's file system.
    fn seen(&self, path: &str) -> PathBuf {
        let folder = self.folder.strip_prefix("/").unwrap();
        Path::new("/proc").join(self.worker.id().to_string()).join("root").join(folder).join(path)
    }

    fn send(&mut self, number: u64, video: &Path) -> PathBuf {
        let feature = self.folder.join("set/Class").join(number.to_string());
        self.worker.send(&job(number, video, &feature));
        feature
    }
}

#[test]
fn a_full_disk_is_not_a_failure_of_the_video() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("v.mp4"), folder.path().join("out"));
    video(&path, 30, 1);
    fs::create_dir(&out).unwrap();
    // `dd` fills the disk and then fails.
    let script = "mkdir \"$1\"/set; dd if=/dev/zero of=\"$1\"/filler bs=4k 2>/dev/null || true";
    let mut mounted = Mounted::start(&out, script);
    assert!(fs::metadata(mounted.seen("filler")).unwrap().len() > 200_000);
    for number in [0, 1] {
        let feature = mounted.send(number, &path);
        expect_refused(&mut mounted.worker, number, ErrorKind::DiskFull, &feature, "No space left");
        assert_eq!(complete_files(&mounted.seen("set")), [] as [PathBuf; 0]);
    }
    // Free some space.
    fs::remove_file(mounted.seen("filler")).unwrap();
    mounted.send(2, &path);
    mounted.worker.expect_done(2);
    let feature = mounted.seen("set/Class/2");
    assert_eq!(complete_files(&mounted.seen("set")), std::slice::from_ref(&feature));
    Feature::read(&feature).unwrap();
    mounted.worker.finish();
    assert_eq!(complete_files(&out), [] as [PathBuf; 0], "the file system was the worker's own");
}

#[test]
fn a_read_only_disk_is_not_a_failure_of_the_video() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("v.mp4"), folder.path().join("out"));
    video(&path, 30, 1);
    fs::create_dir(&out).unwrap();
    // With and without the class folder.
    for made in ["set/Class", "set"] {
        let script = format!("mkdir -p \"$1\"/{made}; mount -o remount,bind,ro \"$1\"");
        let mut mounted = Mounted::start(&out, &script);
        let feature = mounted.send(0, &path);
        expect_refused(&mut mounted.worker, 0, ErrorKind::Output, &feature, "Read-only file system");
        assert_eq!(complete_files(&mounted.seen("set")), [] as [PathBuf; 0]);
        mounted.worker.finish();
    }
}

//! Tests of the watch on a temporary folder, by events and by polling. They wait for changes instead of asserting times, and
//! detect an unexpected change because it would arrive first.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use reeldeck_common::source::SourceStamp;
use tempfile::TempDir;

use super::source::Events;
use super::*;
use crate::dataset::scan::{FolderLayout, scan};

mod absent;

const BOTH: [Backend; 2] = [Backend::Events, Backend::Polling];

struct Bench {
    dir: TempDir,
    options: WatchOptions,
}

impl Bench {
    fn new(backend: Backend, videos: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("data");
        fs::create_dir(&root).unwrap();
        let options = WatchOptions {
            settle: Duration::from_millis(40),
            poll: Duration::from_millis(40),
            backend,
            ..WatchOptions::new(
                root,
                ScanRules { extensions: vec!["mp4".into(), "mkv".into()], layout: FolderLayout::Auto },
            )
        };
        let bench = Self { dir, options };
        videos.iter().for_each(|video| bench.put(video, "x"));
        bench
    }

    fn root(&self) -> &Path {
        &self.options.root
    }

    fn put(&self, path: &str, content: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Written in one call: the machine may pause between creating a file and writing it.
        let hidden = path.with_file_name(".put");
        fs::write(&hidden, content).unwrap();
        fs::rename(hidden, path).unwrap();
    }

    fn known(&self) -> Vec<VideoFile> {
        scan(self.root(), &self.options.rules).unwrap().videos
    }

    fn start(&self) -> Waiting {
        Waiting::new(Watch::start(self.options.clone(), &self.known()).unwrap(), self.options.backend)
    }

    fn settled(&self, name: &str) -> Change {
        let stamp = SourceStamp::read(&self.root().join(name)).unwrap();
        Change::Settled(VideoFile { name: VideoName::new(name).unwrap(), stamp })
    }
}

fn gone(name: &str) -> Change {
    Change::Gone(VideoName::new(name).unwrap())
}

/// A watch whose changes are awaited with a time limit.
struct Waiting {
    watch: Watch,
    runtime: tokio::runtime::Runtime,
}

impl Waiting {
    fn new(watch: Watch, backend: Backend) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut waiting = Self { watch, runtime };
        if backend == Backend::Polling {
            assert!(matches!(waiting.next(), Change::Polling(_)));
        }
        waiting
    }

    #[track_caller]
    fn next(&mut self) -> Change {
        let next = async { tokio::time::timeout(Duration::from_secs(300), self.watch.next()).await };
        self.runtime.block_on(next).expect("a change is due").expect("the watch continues")
    }

    #[track_caller]
    fn expect(&mut self, changes: &[Change]) {
        for change in changes {
            assert_eq!(self.next(), *change);
        }
    }

    /// The same, in any order.
    #[track_caller]
    fn expect_all(&mut self, changes: &[Change]) {
        let mut left = changes.to_vec();
        while !left.is_empty() {
            let next = self.next();
            let at = left.iter().position(|change| *change == next);
            left.remove(at.unwrap_or_else(|| panic!("{next:?} is none of {left:?}")));
        }
    }
}

#[test]
fn videos_are_added_changed_and_removed() {
    for backend in BOTH {
        let bench = Bench::new(backend, &["A/v_1.mp4"]);
        let mut watch = bench.start();
        bench.put("A/v_2.mp4", "new");
        watch.expect(&[bench.settled("A/v_2.mp4")]);
        bench.put("A/v_1.mp4", "longer");
        watch.expect(&[bench.settled("A/v_1.mp4")]);
        fs::remove_file(bench.root().join("A/v_2.mp4")).unwrap();
        watch.expect(&[gone("A/v_2.mp4")]);
        fs::rename(bench.root().join("A/v_1.mp4"), bench.root().join("A/v_3.mkv")).unwrap();
        watch.expect(&[gone("A/v_1.mp4"), bench.settled("A/v_3.mkv")]);
        // Written in place, like a download without a temporary name. The content counts when the writer pauses.
        let mut file = fs::File::create(bench.root().join("A/v_4.mp4")).unwrap();
        for _ in 0..20 {
            file.write_all(b"part").unwrap();
            thread::sleep(Duration::from_millis(5));
        }
        drop(file);
        let whole = bench.settled("A/v_4.mp4");
        while watch.next() != whole {}
        watch.watch.stop();
    }
}

#[test]
fn videos_of_every_layout_are_watched() {
    for backend in BOTH {
        for (known, new, ignored) in [
            ("v_1.mp4", "v_2.mp4", "A/v_9.mp4"),
            ("train/A/v_1.mp4", "train/A/v_2.mp4", "v_9.mp4"),
            ("train/A/v_1.mp4", "test/v_2.mp4", "v_9.mp4"),
            ("train/A/v_1.mp4", "val/B/v_2.mp4", "val/B/deep/v_9.mp4"),
        ] {
            let bench = Bench::new(backend, &[known]);
            let mut watch = bench.start();
            bench.put(ignored, "x");
            bench.put(new, "x");
            let is_of_a_video = |change: &Change| matches!(change, Change::Settled(_) | Change::Gone(_));
            let mut next = || std::iter::repeat_with(|| watch.next()).find(is_of_a_video);
            assert_eq!(next(), Some(bench.settled(new)));
            fs::remove_file(bench.root().join(known)).unwrap();
            assert_eq!(next(), Some(gone(known)));
        }
    }
}

#[test]
fn an_empty_dataset_is_watched_at_any_depth() {
    for backend in BOTH {
        let bench = Bench::new(backend, &[]);
        let mut watch = bench.start();
        bench.put("v_1.mp4", "x");
        watch.expect(&[bench.settled("v_1.mp4")]);
        bench.put("a/b/c/v_2.mp4", "x");
        while watch.next() != bench.settled("a/b/c/v_2.mp4") {}
    }
}

#[test]
fn a_download_counts_when_its_control_file_is_gone() {
    for backend in BOTH {
        let bench = Bench::new(backend, &["A/v_1.mp4"]);
        bench.put("A/v_2.mp4.aria2", "x");
        bench.put("A/v_2.mp4", "x");
        bench.put("A/v_3.f137.mp4", "x");
        let mut watch = bench.start();
        bench.put("A/v_4.mp4", "x");
        watch.expect(&[bench.settled("A/v_4.mp4")]);
        fs::remove_file(bench.root().join("A/v_2.mp4.aria2")).unwrap();
        watch.expect(&[bench.settled("A/v_2.mp4")]);
    }
}

#[test]
fn incomplete_files_and_other_files_are_not_reported() {
    for backend in BOTH {
        let bench = Bench::new(backend, &["A/v_1.mp4"]);
        let mut watch = bench.start();
        for name in
            ["A/v_2.mp4.part", "A/v_5.mp4.ytdl", "A/v_2.tmp", "A/.v_2.mp4", "A/notes.txt", "v_2.mp4", "A/deep/v_2.mp4"]
        {
            bench.put(name, "x");
        }
        fs::create_dir(bench.root().join("A/folder.mp4")).unwrap();
        fs::rename(bench.root().join("A/v_2.mp4.part"), bench.root().join("A/v_2.mp4")).unwrap();
        watch.expect(&[bench.settled("A/v_2.mp4")]);
        bench.put("A/v_9.mp4", "x");
        watch.expect(&[bench.settled("A/v_9.mp4")]);
    }
}

#[test]
fn classes_are_added_and_removed_with_their_videos() {
    for backend in BOTH {
        let bench = Bench::new(backend, &["A/v_1.mp4", "B/v_2.mp4"]);
        let mut watch = bench.start();
        // As a download does: the folder first.
        fs::create_dir(bench.root().join("C")).unwrap();
        watch.expect(&[Change::FolderAppeared("C".into())]);
        bench.put("C/v_3.mp4", "x");
        watch.expect(&[bench.settled("C/v_3.mp4")]);
        // All at once.
        fs::rename(bench.root().join("B"), bench.root().join("D")).unwrap();
        let appeared = Change::FolderAppeared("D".into());
        watch.expect(&[gone("B/v_2.mp4"), Change::FolderGone("B".into()), appeared, bench.settled("D/v_2.mp4")]);
        bench.put("D/v_4.mp4", "x");
        watch.expect(&[bench.settled("D/v_4.mp4")]);
        fs::rename(bench.root().join("A"), bench.dir.path().join("elsewhere")).unwrap();
        watch.expect(&[gone("A/v_1.mp4"), Change::FolderGone("A".into())]);
        // A hidden folder is not a class.
        bench.put(".trash/v_5.mp4", "x");
        bench.put("C/v_6.mp4", "x");
        watch.expect(&[bench.settled("C/v_6.mp4")]);
    }
}

#[test]
fn links_are_followed() {
    for backend in BOTH {
        let bench = Bench::new(backend, &[]);
        let store = bench.dir.path().join("store");
        fs::create_dir(&store).unwrap();
        symlink(&store, bench.root().join("A")).unwrap();
        symlink(&store, bench.root().join("B")).unwrap();
        let by_link = bench.dir.path().join("link");
        symlink(bench.root(), &by_link).unwrap();
        let options = WatchOptions { root: by_link, ..bench.options.clone() };
        let mut watch = Waiting::new(Watch::start(options, &[]).unwrap(), backend);
        bench.put("A/v_1.mp4", "x");
        watch.expect_all(&[bench.settled("A/v_1.mp4"), bench.settled("B/v_1.mp4")]);
        // One of two names of a folder is removed; the other is still watched.
        fs::remove_file(bench.root().join("B")).unwrap();
        watch.expect(&[gone("B/v_1.mp4"), Change::FolderGone("B".into())]);
        bench.put("A/v_2.mp4", "x");
        watch.expect(&[bench.settled("A/v_2.mp4")]);
        // A link that is changed to another folder.
        let other = bench.dir.path().join("other");
        fs::create_dir(&other).unwrap();
        symlink(&other, bench.dir.path().join("new")).unwrap();
        fs::rename(bench.dir.path().join("new"), bench.root().join("A")).unwrap();
        watch.expect(&[gone("A/v_1.mp4"), gone("A/v_2.mp4")]);
        bench.put("A/v_3.mp4", "x");
        watch.expect(&[bench.settled("A/v_3.mp4")]);
    }
}

#[test]
fn differences_from_the_scan_are_reported_first() {
    for backend in BOTH {
        let bench = Bench::new(backend, &["A/v_1.mp4", "A/v_2.mp4", "B/v_3.mp4"]);
        let known = bench.known();
        fs::remove_dir_all(bench.root().join("B")).unwrap();
        fs::remove_file(bench.root().join("A/v_1.mp4")).unwrap();
        bench.put("A/v_4.mp4", "x");
        let mut watch = Waiting::new(Watch::start(bench.options.clone(), &known).unwrap(), backend);
        watch.expect(&[
            gone("B/v_3.mp4"),
            Change::FolderGone("B".into()),
            gone("A/v_1.mp4"),
            bench.settled("A/v_4.mp4"),
        ]);
    }
}

#[test]
fn a_rescan_looks_at_everything() {
    let mut bench = Bench::new(Backend::Polling, &["A/v_1.mp4"]);
    bench.options.poll = Duration::from_secs(100_000);
    let mut watch = bench.start();
    // The first rescan may miss it; the second does not.
    bench.put("A/v_2.mp4", "x");
    watch.watch.rescan().now();
    watch.expect(&[bench.settled("A/v_2.mp4")]);
    bench.put("B/v_3.mp4", "x");
    watch.watch.rescan().now();
    watch.expect(&[Change::FolderAppeared("B".into()), bench.settled("B/v_3.mp4")]);
}

#[test]
fn no_change_is_lost_with_a_slow_reader() {
    for backend in BOTH {
        let bench = Bench::new(backend, &["A/v.mp4"]);
        let mut watch = bench.start();
        let count = 3 * CHANNEL;
        (0..count).for_each(|n| bench.put(&format!("A/v_{n}.mp4"), "x"));
        let mut names: Vec<_> = (0..count)
            .map(|_| match watch.next() {
                Change::Settled(file) => file.name,
                other => panic!("{other:?}"),
            })
            .collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "each is told once");
    }
}

/// Fails a test that would hang.
fn within_reason(what: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let thread = thread::spawn(move || {
        what();
        let _ = done.send(());
    });
    wait.recv_timeout(Duration::from_secs(300)).expect("it ends");
    thread.join().unwrap();
}

#[test]
fn a_watch_ends_on_request_even_without_a_reader() {
    for backend in BOTH {
        let bench = Bench::new(backend, &["A/v.mp4"]);
        let watch = bench.start();
        within_reason(move || watch.watch.stop());

        let mut watch = bench.start();
        (0..2 * CHANNEL).for_each(|n| bench.put(&format!("A/v_{n}.mp4"), "x"));
        // The channel is filling up, and nothing reads it.
        assert!(matches!(watch.next(), Change::Settled(_)));
        within_reason(move || watch.watch.stop());
    }
}

#[test]
fn a_missing_folder_cannot_be_watched() {
    let bench = Bench::new(Backend::Auto, &[]);
    let options = WatchOptions { root: bench.root().join("nowhere"), ..bench.options.clone() };
    assert!(Watch::start(options, &[]).is_err());
}

/// A system with a limited number of watches and without events.
struct Exhausted(usize);

impl Events for Exhausted {
    fn watch(&mut self, folder: &Path) -> notify::Result<()> {
        let error = || notify::Error::new(notify::ErrorKind::MaxFilesWatch).add_path(folder.to_owned());
        self.0 = self.0.checked_sub(1).ok_or_else(error)?;
        Ok(())
    }

    fn unwatch(&mut self, _: &Path) {}
}

#[test]
fn polling_takes_over_when_watches_run_out() {
    for watches in 0..3 {
        let bench = Bench::new(Backend::Events, &["A/v_1.mp4", "B/v_2.mp4"]);
        let make: MakeEvents = Box::new(move |_, _| Ok(Box::new(Exhausted(watches))));
        let watch = Watch::start_with(bench.options.clone(), &bench.known(), make).unwrap();
        let mut watch = Waiting::new(watch, Backend::Events);
        assert!(matches!(watch.next(), Change::Polling(why) if why.contains("max_user_watches")));
        bench.put("B/v_3.mp4", "x");
        watch.expect(&[bench.settled("B/v_3.mp4")]);
    }
}

#[test]
fn everything_is_rescanned_occasionally_even_with_events() {
    // A source that accepts every watch and reports nothing, like a network file system.
    let bench = Bench::new(Backend::Events, &["A/v_1.mp4"]);
    let make: MakeEvents = Box::new(|_, _| Ok(Box::new(Exhausted(usize::MAX))));
    let watch = Watch::start_with(bench.options.clone(), &bench.known(), make).unwrap();
    let mut watch = Waiting::new(watch, Backend::Events);
    bench.put("A/v_2.mp4", "x");
    watch.expect(&[bench.settled("A/v_2.mp4")]);
}

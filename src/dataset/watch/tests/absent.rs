//! Watches of a dataset folder that disappears for a time.

use super::*;

#[test]
fn videos_of_an_absent_dataset_folder_are_not_removed() {
    for backend in BOTH {
        let bench = Bench::new(backend, &["A/v_1.mp4", "B/v_2.mp4"]);
        let mut watch = bench.start();
        let away = bench.dir.path().join("away");
        fs::rename(bench.root(), &away).unwrap();
        assert!(matches!(watch.next(), Change::Away(_)));
        // As after an unmount: an empty folder is in its place.
        fs::create_dir(bench.root()).unwrap();
        fs::write(away.join("A/v_3.mp4"), "x").unwrap();
        fs::remove_dir(bench.root()).unwrap();
        fs::rename(&away, bench.root()).unwrap();
        watch.expect(&[Change::Back, bench.settled("A/v_3.mp4")]);
        bench.put("B/v_4.mp4", "x");
        watch.expect(&[bench.settled("B/v_4.mp4")]);
    }
}

#[test]
fn an_empty_folder_in_place_of_the_dataset_is_an_absent_disk() {
    for backend in BOTH {
        let bench = Bench::new(backend, &["A/v_1.mp4"]);
        let mut watch = bench.start();
        let other = bench.dir.path().join("other");
        fs::create_dir(&other).unwrap();
        swap(bench.root(), &other);
        assert!(matches!(watch.next(), Change::Away(why) if why.contains("another folder")));
        swap(bench.root(), &other);
        watch.expect(&[Change::Back]);
        // A copy of the folder is accepted.
        fs::create_dir(other.join("A")).unwrap();
        fs::write(other.join("A/v_1.mp4"), "copied").unwrap();
        fs::write(other.join("A/v_2.mp4"), "x").unwrap();
        swap(bench.root(), &other);
        watch.expect_all(&[bench.settled("A/v_1.mp4"), bench.settled("A/v_2.mp4")]);
        bench.put("A/v_3.mp4", "x");
        watch.expect(&[bench.settled("A/v_3.mp4")]);
    }
}

/// Exchanges two folders atomically.
fn swap(a: &Path, b: &Path) {
    let here = rustix::fs::CWD;
    rustix::fs::renameat_with(here, a, here, b, rustix::fs::RenameFlags::EXCHANGE).unwrap();
}

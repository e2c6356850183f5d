//! Named pipes, sockets and devices in place of files: they are refused by name, and nothing waits for them.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::support::{Bench, Ran};
use rustix::fs::{CWD, FileType, mknodat};

const REASON: &str = "is not a regular file";

/// Puts a named pipe in place of a file. A program that opens it as a file waits.
fn pipe(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let _ = fs::remove_file(path);
    mknodat(CWD, path, FileType::Fifo, 0o600.into(), 0).unwrap();
}

#[track_caller]
fn assert_refused(ran: &Ran, code: i32, says: &str) {
    assert!(ran.code == code && ran.stderr.contains(says) && ran.stderr.contains(REASON), "{says}: {ran:?}");
}

#[test]
fn a_pipe_in_place_of_a_feature_or_failure_file_is_unreadable_and_no_failed_attempt() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok"), ("A/v_2.mp4", "fail corrupt")]);
    assert_eq!(bench.run(&["--batch"]).code, 3);
    pipe(&bench.files_of("A/v_1.mp4"));
    let ran = bench.run(&["--batch"]);
    assert_refused(&ran, 3, "A/v_1.mp4.safetensors");
    assert!(ran.stderr.contains("1 video cannot be judged") && ran.stderr.contains("1 failed (0 now)"), "{ran:?}");
    assert!(ran.stdout.contains("0 done (0 now, 0 before), 1 failed, 1 unreadable"), "{ran:?}");
    assert_refused(&bench.run(&["export"]), 4, "A/v_1.mp4.safetensors");
    assert_refused(&bench.run(&["verify"]), 3, "A/v_1.mp4.safetensors");
    // A request extracts it again.
    bench.video("A/v_2.mp4", "ok");
    let ran = bench.run(&["--batch", "--retry-failed"]);
    assert!(ran.code == 0 && ran.stdout.contains("2 done (2 now, 0 before)"), "{ran:?}");

    let set = fs::read_dir(bench.path("out/failures")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(bench.files_of("A/v_2.mp4")).unwrap();
    pipe(&set.join("A/v_2.mp4.json"));
    let ran = bench.run(&["--batch"]);
    assert_refused(&ran, 3, "A/v_2.mp4.json");
    assert!(!ran.stderr.contains("every attempt"), "{ran:?}");
}

#[test]
fn pipes_in_place_of_what_a_user_names_are_refused() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok")]);
    assert_eq!(bench.run(&["--batch"]).code, 0);
    pipe(&bench.path("pipe"));
    assert_refused(&bench.run(&["--config", "pipe", "list"]), 2, "pipe");
    assert_refused(&bench.run(&["--recipe", "./pipe", "--batch"]), 2, "pipe");
    assert_refused(&bench.run(&["retry", "--list", "pipe"]), 2, "pipe");
    let ran = bench.run(&["--manifest", "pipe", "scan"]);
    assert!(ran.code == 2 && ran.stderr.contains("is not a file"), "{ran:?}");
    let ran = bench.run(&["--checkpoint", "pipe", "--batch"]);
    assert!(ran.code == 2 && ran.stderr.contains("it is not a file"), "{ran:?}");
}

#[test]
fn pipes_and_sockets_among_the_files_of_the_output_folder_are_refused() {
    for (name, code) in [
        ("out/.reeldeck/excluded", 1),
        ("out/.reeldeck/damaged", 1),
        ("out/.reeldeck/export.lock", 1),
        ("out/hacs_data.txt", 1),
    ] {
        let bench = Bench::new(&[("A/v_1.mp4", "ok")]);
        assert_eq!(bench.run(&["--batch"]).code, 0);
        // A list beside a pickle is compared instead of replaced.
        fs::write(bench.path("out/result.pkl"), "").unwrap();
        pipe(&bench.path(name));
        assert_refused(&bench.run(&["--batch"]), code, "");
        fs::remove_file(bench.path(name)).unwrap();
        let _listening = UnixListener::bind(bench.path(name)).unwrap();
        assert_refused(&bench.run(&["--batch"]), code, "");
    }
}

/// An engine without its claims gets no video, and would wait for ever.
#[test]
fn a_file_or_a_locked_folder_in_place_of_the_claims_is_refused() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok")]);
    let claims = bench.path("out/.reeldeck/claims");
    fs::create_dir_all(claims.parent().unwrap()).unwrap();
    fs::write(&claims, "").unwrap();
    let ran = bench.run(&["--batch"]);
    assert!(ran.code == 1 && ran.stderr.contains("claims: not a directory"), "{ran:?}");
    fs::remove_file(&claims).unwrap();
    pipe(&claims);
    let ran = bench.run(&["--batch"]);
    assert!(ran.code == 1 && ran.stderr.contains("claims: not a directory"), "{ran:?}");
    fs::remove_file(&claims).unwrap();
    assert_eq!(bench.run(&["--batch"]).code, 0);
}

#[test]
fn an_error_names_what_stands_in_place_of_a_folder_or_of_an_export() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok")]);
    assert_eq!(bench.run(&["--batch"]).code, 0);
    for name in ["out/features", "out/failures", "out/.reeldeck/runs", "out/.reeldeck/engines"] {
        fs::rename(bench.path(name), bench.path("aside")).unwrap();
        pipe(&bench.path(name));
        let ran = bench.run(&["--batch"]);
        assert!(ran.code == 1 && ran.stderr.contains(name), "{name}: {ran:?}");
        fs::remove_file(bench.path(name)).unwrap();
        fs::rename(bench.path("aside"), bench.path(name)).unwrap();
    }
    let set = fs::read_dir(bench.path("out/features")).unwrap().next().unwrap().unwrap().file_name();
    let file = Path::new("out/exports").join(set).join("npy/v_1.npy");
    fs::create_dir_all(bench.path(file.to_str().unwrap())).unwrap();
    let ran = bench.run(&["export", "--format", "npy"]);
    assert!(ran.code == 1 && ran.stderr.contains("npy/v_1.npy; check"), "{ran:?}");
}

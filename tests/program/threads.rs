//! The system refuses to start a thread: each command does its work with fewer threads, or fails with an error that says what
//! to do. None panics.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Bench, Ran, fake_worker};

/// Fails the calls of `pthread_create` from the one on whose number `FAIL_FROM` names.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

static int calls;

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*work)(void *), void *argument) {
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = dlsym(RTLD_NEXT, "pthread_create");
    const char *from = getenv("FAIL_FROM");
    if (from && __sync_add_and_fetch(&calls, 1) >= atoi(from))
        return EAGAIN;
    return real(thread, attributes, work, argument);
}
"#;

fn shim(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("shim.c"), folder.join("shim.so"));
    std::fs::write(&source, SHIM).unwrap();
    let built =
        Command::new("cc").args(["-w", "-shared", "-fPIC", "-o"]).args([&library, &source]).arg("-ldl").status();
    assert!(built.unwrap().success());
    library
}

#[test]
fn a_refused_thread_is_an_error_with_a_next_step_and_never_a_panic() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok"), ("A/v_2.mp4", "ok")]);
    let shim = shim(bench.dir.path());
    let run = |arguments: &[&str], from: u32| {
        let mut command = bench.command(arguments);
        Ran::to_the_end(command.env("LD_PRELOAD", &shim).env("FAIL_FROM", from.to_string()))
    };
    for (arguments, most) in
        [(&["--batch"][..], 20), (&["export", "--format", "csv"], 4), (&["verify"], 4), (&["status"], 2)]
    {
        let mut refused = 0;
        for from in 1..=most {
            let ran = run(arguments, from);
            assert!(ran.code != 101 && !ran.stderr.contains("panicked"), "{arguments:?}, thread {from}: {ran:?}");
            if ran.stderr.contains("failed to start the thread") {
                refused += 1;
                assert!(ran.stderr.contains("ulimit -u"), "{arguments:?}, thread {from}: {ran:?}");
            }
        }
        assert!(refused > 0, "{arguments:?}");
    }
    let ran = bench.run(&["--batch"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(bench.files("features").len(), 2);
}

#[test]
fn too_few_open_files_are_an_error_with_the_limit_and_never_a_panic() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok")]);
    let command = bench.command(&["--batch"]);
    let mut refused = 0;
    for most in (5..=20).chain([30, 40]) {
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -n {most}; exec \"$0\" \"$@\"")]).arg(command.get_program());
        limited.args(command.get_args()).stdin(std::process::Stdio::null());
        limited.current_dir(bench.dir.path()).env("REELDECK_WORKER", fake_worker());
        let ran = Ran::to_the_end(&mut limited);
        assert!(ran.code != 101 && !ran.stderr.contains("panicked"), "{most}: {ran:?}");
        assert!(ran.code == 0 || ran.stderr.contains("oo many open files"), "{most}: {ran:?}");
        refused += usize::from(ran.stderr.contains("ulimit -n"));
    }
    assert!(refused > 0);
}

use super::*;

#[test]
fn engines_register_beside_each_other_and_leave_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let first = Registration::new(dir.path()).unwrap();
    assert!(first.is_alone(dir.path()).unwrap());
    let second = Registration::new(dir.path()).unwrap();
    first.tell_socket(Path::new("/run/x.sock")).unwrap();
    let seen = holders(dir.path()).unwrap();
    assert!(seen.len() == 2 && seen.iter().all(|seen| seen.held), "{seen:?}");
    assert_eq!(seen[0].holder.as_ref().unwrap().socket.as_deref(), Some(Path::new("/run/x.sock")));
    assert!(!first.is_alone(dir.path()).unwrap());
    first.end();
    let mut reporter = ReportObserver::new(second.clone(), "s");
    reporter.snapshot(&Snapshot { clips_done: 7, ..Snapshot::default() });
    second.beat().unwrap();
    second.beat().unwrap();
    let seen = holders(dir.path()).unwrap().remove(0).holder.unwrap();
    assert_eq!((seen.counter, seen.report.map(|report| report.clips_done)), (2, Some(7)));
    second.end();
    second.beat().unwrap();
    assert_eq!(fs::read_dir(dir.path().join("engines")).unwrap().count(), 0);
}

#[test]
fn any_content_of_an_engine_file_is_tolerated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("engines/x.json");
    fs::create_dir(dir.path().join("engines")).unwrap();
    for text in [&b""[..], b"host a, process 7\n", b"{\"host\":1}", &[0xff; 5000], b"[[[[[[[[[[[["] {
        fs::write(&path, text).unwrap();
        assert_eq!(read_holder(&path), None);
        assert_eq!(holders(dir.path()).unwrap().len(), 1);
        Registration::new(dir.path()).unwrap().end();
        assert!(!path.exists(), "its engine has ended");
    }
}

#[test]
fn the_file_of_an_engine_whose_clock_is_slow_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = holder::file(dir.path(), "a");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    for (seconds, stays) in [(200, true), (2000, false)] {
        let heartbeat = clock::now() - jiff::SignedDuration::from_secs(seconds);
        let holder = Holder { host: "another".into(), heartbeat, ..holder::tests::holder("a") };
        fs::write(&path, holder.file_text().unwrap()).unwrap();
        let engine = Registration::new(dir.path()).unwrap();
        assert_eq!((path.exists(), engine.is_alone(dir.path()).unwrap()), (stays, !stays), "{seconds}");
        engine.end();
    }
}

/// The lock belongs to the open file: to open and lock the same file again would wait for ever.
#[test]
fn a_file_that_cannot_be_examined_is_not_taken_for_a_removed_one() {
    let dir = tempfile::tempdir().unwrap();
    let [real, away, link] = ["real", "away", "link"].map(|name| dir.path().join(name));
    fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let engine = Registration::new(&link).unwrap();
    fs::remove_file(&link).unwrap();
    // A link to itself: an error other than a missing file.
    std::os::unix::fs::symlink(&link, &link).unwrap();
    for _ in 0..4 {
        engine.beat().unwrap();
    }
    assert!(engine.look().is_err());
    fs::remove_file(&link).unwrap();
    fs::rename(&real, &away).unwrap();
    std::os::unix::fs::symlink(&away, &link).unwrap();
    assert_eq!(engine.look().unwrap(), EngineFile::Same);
    engine.renew().unwrap();
    assert_eq!(read_holder(&holder::file(&link, &engine.id())).unwrap().counter, 4);
    assert!(holders(&link).unwrap().remove(0).held);
}

#[test]
fn a_lock_that_another_process_keeps_is_an_error_with_the_name_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Registration::new(dir.path()).unwrap();
    let path = holder::file(dir.path(), &engine.id());
    fs::remove_file(&path).unwrap();
    let other = open_in_place(&path).unwrap();
    other.lock().unwrap();
    let error = engine.renew().unwrap_err();
    assert!(error.kind() == io::ErrorKind::TimedOut && error.to_string().contains("engines"), "{error}");
    drop(other);
    engine.renew().unwrap();
    assert_eq!(engine.look().unwrap(), EngineFile::Same);
}

#[test]
fn a_removed_file_is_noticed_and_recreated() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Registration::new(dir.path()).unwrap();
    assert_eq!(engine.look().unwrap(), EngineFile::Same);
    let path = holder::file(dir.path(), &engine.id());
    let text = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(engine.look().unwrap(), EngineFile::Gone);
    fs::write(&path, text).unwrap();
    assert_eq!(engine.look().unwrap(), EngineFile::Remounted);
    fs::write(&path, "someone else").unwrap();
    assert_eq!(engine.look().unwrap(), EngineFile::Gone);
    engine.renew().unwrap();
    assert_eq!(engine.look().unwrap(), EngineFile::Same);
}

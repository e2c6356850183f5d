//! Tests of the lock.

use super::*;

/// Children inherit all locks of this process, also those of other tests.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn shard(text: &str) -> Shard {
    text.parse().unwrap()
}

#[test]
fn a_second_engine_is_told_who_holds_the_lock() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let first = Lock::take(dir.path(), Shard::WHOLE).unwrap();
    let error = Lock::take(dir.path(), Shard::WHOLE).unwrap_err().to_string();
    assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    first.tell_socket(Path::new("/run/x.sock")).unwrap();
    let seen = holders(dir.path()).unwrap();
    assert!(seen[0].held && seen[0].holder.as_ref().unwrap().socket.as_deref() == Some(Path::new("/run/x.sock")));
    drop(first);
    assert!(!holders(dir.path()).unwrap()[0].held);
    Lock::take(dir.path(), Shard::WHOLE).unwrap();
}

#[test]
fn shards_of_one_split_run_together_and_others_are_refused() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let first = Lock::take(dir.path(), shard("0/2")).unwrap();
    let second = Lock::take(dir.path(), shard("1/2")).unwrap();
    let same = Lock::take(dir.path(), shard("1/2")).unwrap_err();
    assert!(matches!(same, LockError::Held { .. }), "{same}");
    for other in ["0/1", "0/3"] {
        let error = Lock::take(dir.path(), shard(other)).unwrap_err();
        assert!(matches!(error, LockError::Overlap { .. }), "{error}");
        assert!(error.to_string().contains("must be split in the same way"), "{error}");
    }
    drop((first, second));
    Lock::take(dir.path(), Shard::WHOLE).unwrap();
}

#[test]
fn any_content_of_a_lock_file_is_tolerated() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("locks")).unwrap();
    let path = dir.path().join("locks/0-of-1");
    for text in [&b""[..], b"host a, process 7\n", b"{\"host\":1}", &[0xff; 5000], b"[[[[[[[[[[[["] {
        fs::write(&path, text).unwrap();
        fs::write(dir.path().join("locks/notes.txt"), text).unwrap();
        assert_eq!(read_holder(&path), None);
        assert_eq!(holders(dir.path()).unwrap().len(), 1);
        drop(Lock::take(dir.path(), Shard::WHOLE).unwrap());
        assert!(read_holder(&path).is_some(), "what was there before is gone");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_child_that_lives_on_keeps_the_lock() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let lock = Lock::take(dir.path(), Shard::WHOLE).unwrap();
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    drop(lock);
    assert!(holders(dir.path()).unwrap()[0].held, "it may still write");
    child.kill().unwrap();
    child.wait().unwrap();
    Lock::take(dir.path(), Shard::WHOLE).unwrap();
}

#[test]
fn a_removed_lock_file_is_noticed_and_recreated() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let lock = Lock::take(dir.path(), Shard::WHOLE).unwrap();
    assert_eq!(lock.look().unwrap(), LockFile::Same);
    let path = dir.path().join("locks/0-of-1");
    let text = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(lock.look().unwrap(), LockFile::Gone);
    fs::write(&path, text).unwrap();
    assert_eq!(lock.look().unwrap(), LockFile::Remounted);
    fs::write(&path, "someone else").unwrap();
    assert_eq!(lock.look().unwrap(), LockFile::Gone);
    lock.take_again().unwrap();
    assert_eq!(lock.look().unwrap(), LockFile::Same);
    assert!(holders(dir.path()).unwrap()[0].held);
}

//! Which temporary files an engine may remove at its start: those whose writers are known to write no more.

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::{SUFFIX, host};

/// Judges temporary files for an engine that holds the lock of shard `i` of `n`. Ask before the engine's first own write:
/// what bears its own shard is taken for a predecessor's.
#[derive(Clone, Debug)]
pub struct Sweeper {
    shard: u32,
    of: u32,
    host: String,
}

/// What a temporary file's name says of its writer.
#[derive(Debug, PartialEq, Eq)]
struct Writer<'a> {
    /// The engine's shard, as `(i, n)`; none for commands, and for engines from before shards were named.
    shard: Option<(u32, u32)>,
    host: &'a str,
    /// The owner, and the process that wrote for it.
    processes: [u32; 2],
}

impl<'a> Writer<'a> {
    /// `.[i-of-n.]host-owner-writer-count-digest` and the suffix. A host's name may hold `-`, so numbers are taken from the
    /// end.
    fn of(name: &'a str) -> Option<Self> {
        let name = name.strip_prefix('.')?.strip_suffix(SUFFIX)?;
        let (shard, rest) = match name.split_once('.') {
            Some((shard, rest)) => {
                let (i, n) = shard.split_once("-of-")?;
                (Some((number(i)?, number(n)?)), rest)
            }
            None => (None, name),
        };
        let mut parts = rest.rsplitn(5, '-');
        let (digest, count, writer, owner) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let host = parts.next()?;
        let is_digest = digest.len() == 16 && digest.bytes().all(|b| b.is_ascii_hexdigit());
        let is_count = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
        let processes = [number(owner)?, number(writer)?];
        (is_digest && is_count).then_some(Self { shard, host, processes })
    }
}

/// Digits alone: `parse` also takes a sign.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl Sweeper {
    /// For the engine that holds the lock of this shard, numbered as in [`super::Owner::engine`].
    pub fn new(shard: u32, of: u32) -> Self {
        Self { shard, of, host: host() }
    }

    /// Whether the file of this name is a temporary file that nobody writes any more:
    /// an earlier engine's of the same shard; an engine's of another number of shards, whose lock excludes ours; or that
    /// of a command on this host whose process is gone. Not another shard's of the same number, which may be at work; not
    /// another host's command, of which nothing is known; not a name that is not quite one of ours. Containers that bear
    /// the same host name but do not see each other's processes are taken for one host.
    pub fn may_remove(&self, file_name: &str) -> bool {
        let Some(writer) = Writer::of(file_name) else { return false };
        match writer.shard {
            Some((shard, of)) => of != self.of || shard == self.shard,
            None => writer.host == self.host && writer.processes.into_iter().all(is_gone),
        }
    }
}

/// Whether no process has this id. One that may not be signalled is there, and so is a zombie; what cannot be an id tells
/// nothing.
fn is_gone(process: u32) -> bool {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    process.is_some_and(|process| test_kill_process(process) == Err(Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atomic::Owner;
    use proptest::prelude::*;
    use std::path::Path;

    /// As a writer of this owner would name a file, with process 1 (which is always there) as the writer.
    fn name(owner: &str, writer: u32) -> String {
        format!(".{owner}-{writer}-7-0123456789abcdef{SUFFIX}")
    }

    /// A process that has ended.
    fn dead() -> u32 {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        child.id()
    }

    #[test]
    fn engines_are_judged_by_their_shard() {
        let sweeper = Sweeper::new(2, 4);
        for (owner, may) in [
            // Whatever host and process: the lock is the same for all.
            ("2-of-4.here-1", true),
            ("2-of-4.else-where-1", true),
            ("0-of-1.here-1", true),
            ("2-of-5.here-1", true),
            ("1-of-4.here-1", false),
            ("3-of-4.else-where-999999", false),
        ] {
            assert_eq!(sweeper.may_remove(&name(owner, 1)), may, "{owner}");
        }
    }

    #[test]
    fn commands_are_judged_by_whether_they_run() {
        let sweeper = Sweeper::new(0, 1);
        let (host, dead, alive) = (host(), dead(), std::process::id());
        assert!(sweeper.may_remove(&name(&format!("{host}-{dead}"), dead)));
        assert!(!sweeper.may_remove(&name(&format!("{host}-{alive}"), alive)));
        // An engine from before shards were named is gone and its worker is not, or the other way round.
        assert!(!sweeper.may_remove(&name(&format!("{host}-{dead}"), 1)));
        assert!(!sweeper.may_remove(&name(&format!("{host}-1"), dead)));
        for nobody in [0, u32::MAX] {
            assert!(!sweeper.may_remove(&name(&format!("{host}-{nobody}"), dead)));
        }
        for other in [format!("x{host}"), format!("{host}-x"), format!("{host}-{dead}"), String::new()] {
            assert!(!sweeper.may_remove(&name(&format!("{other}-{dead}"), dead)), "{other}");
        }
    }

    #[test]
    fn names_that_are_written_are_understood() {
        let of = |owner: &Owner| owner.temporary(Path::new("/x/v"), 0).unwrap().file_name().unwrap().to_owned();
        let (command, engine) = (of(&Owner::this_process()), of(&Owner::engine(5, 8)));
        let (command, engine) = (command.to_str().unwrap(), engine.to_str().unwrap());
        let this = std::process::id();
        let expected = Writer { shard: None, host: &host(), processes: [this, this] };
        assert_eq!(Writer::of(command), Some(expected));
        assert_eq!(Writer::of(engine).unwrap().shard, Some((5, 8)));
        assert!(Sweeper::new(5, 8).may_remove(engine) && Sweeper::new(5, 9).may_remove(engine));
        assert!(!Sweeper::new(4, 8).may_remove(engine) && !Sweeper::new(5, 8).may_remove(command));
    }

    #[test]
    fn what_is_not_quite_a_temporary_name_stays() {
        let whole = name("0-of-1.here-1", 1);
        let sweeper = Sweeper::new(0, 1);
        assert!(sweeper.may_remove(&whole));
        for wrong in [
            whole.trim_start_matches('.').to_owned(),
            whole.trim_end_matches("tmp").to_owned(),
            whole.replace("-of-", "-on-"),
            whole.replace("0-of", "+0-of"),
            whole.replace("0-of", "-of"),
            whole.replace("of-1", "of-99999999999"),
            whole.replace("abcdef", "abcdeg"),
            whole.replace("abcdef", "abcde"),
            whole.replace("-7-", "-x-"),
            whole.replace("-7-", "--"),
            whole.replace("here-1-1", "here-1"),
            "v.mp4.safetensors".into(),
            String::new(),
        ] {
            assert!(!sweeper.may_remove(&wrong), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn another_shard_of_the_same_number_is_never_touched(
            (of, i, j) in (2..50_u32).prop_flat_map(|of| (Just(of), 0..of, 0..of)),
            host in "[a-zA-Z0-9-]{0,20}",
            process: u32,
            writer: u32,
        ) {
            let name = name(&format!("{j}-of-{of}.{host}-{process}"), writer);
            prop_assert_eq!(Sweeper::new(i, of).may_remove(&name), i == j);
        }

        #[test]
        fn no_name_panics(name in "\\PC*", middle in "[0-9a-z.-]{0,60}") {
            Sweeper::new(0, 1).may_remove(&name);
            Sweeper::new(0, 1).may_remove(&format!(".{middle}{SUFFIX}"));
        }
    }
}

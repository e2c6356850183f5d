//! Which temporary files a process may remove before it writes: those whose writers have ended.

use std::fs;
use std::io;
use std::path::Path;

use super::{SUFFIX, host};
use crate::error::is_absent;
use crate::pid::is_gone;

/// Decides which temporary files a command, or an engine that holds the lock of a shard, may remove. Use it before the engine
/// writes: all files of its own shard count as left behind.
#[derive(Clone, Debug)]
pub struct Sweeper {
    /// The engine's shard and the number of shards; `None` for a command.
    shard: Option<(u32, u32)>,
    host: String,
}

/// Removes the temporary files and folders in a folder that a sweeper may remove. The folder need not exist.
///
/// # Errors
/// When the folder cannot be listed.
pub fn sweep_folder(folder: &Path, sweeper: &Sweeper) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if is_absent(&error) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| sweeper.may_remove(name)) {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let remove = if is_folder { fs::remove_dir_all } else { fs::remove_file };
            // A temporary file that cannot be removed only takes space.
            let _ = remove(entry.path());
        }
    }
    Ok(())
}

/// The writer of a temporary file, parsed from its name.
#[derive(Debug, PartialEq, Eq)]
struct Writer<'a> {
    /// The engine's shard and the number of shards; `None` for a command.
    shard: Option<(u32, u32)>,
    host: &'a str,
    /// The process ids of the owner and of the writer.
    processes: [u32; 2],
}

impl<'a> Writer<'a> {
    /// Parses `.[i-of-n.]host-owner-writer-count-digest` and the suffix. It starts at the end, because a host's name may
    /// contain `-`.
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

/// A number of digits only: `parse` accepts a sign too.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl Sweeper {
    /// A sweeper for the engine that holds the lock of this shard, with numbers as in [`super::Owner::engine`].
    pub fn new(shard: u32, of: u32) -> Self {
        Self { shard: Some((shard, of)), host: host() }
    }

    /// A sweeper for a command. It removes files of commands only: an engine may be running.
    pub fn of_command() -> Self {
        Self { shard: None, host: host() }
    }

    /// Whether a file with this name is a temporary file whose writer has ended. It may be removed if it belongs to
    ///
    /// - an earlier engine of the same shard, if this process is an engine,
    /// - an engine with another number of shards, whose lock excludes this engine's, or
    /// - a command on this host whose process has ended.
    ///
    /// Files of other shards of the same number and of commands on other hosts stay: their writers may be running.
    /// Containers with the same host name count as one host.
    pub fn may_remove(&self, file_name: &str) -> bool {
        let Some(writer) = Writer::of(file_name) else { return false };
        match writer.shard {
            Some((shard, of)) => self.shard.is_some_and(|(own, own_of)| of != own_of || shard == own),
            None => writer.host == self.host && writer.processes.into_iter().all(|pid| is_valid(pid) && is_gone(pid)),
        }
    }
}

/// Whether a number can be the id of a process. If not, the name was not written by reeldeck.
fn is_valid(pid: u32) -> bool {
    i32::try_from(pid).is_ok_and(|pid| pid > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atomic::Owner;
    use proptest::prelude::*;
    use std::path::Path;

    /// The name of a temporary file of this owner and writer.
    fn name(owner: &str, writer: u32) -> String {
        format!(".{owner}-{writer}-7-0123456789abcdef{SUFFIX}")
    }

    /// The id of a process that has ended.
    fn dead() -> u32 {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        child.id()
    }

    #[test]
    fn files_of_engines_are_judged_by_shard() {
        let sweeper = Sweeper::new(2, 4);
        for (owner, may) in [
            // The lock excludes other engines on all hosts.
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
    fn files_of_commands_are_judged_by_process() {
        let sweeper = Sweeper::new(0, 1);
        let (host, dead, alive) = (host(), dead(), std::process::id());
        assert!(sweeper.may_remove(&name(&format!("{host}-{dead}"), dead)));
        assert!(!sweeper.may_remove(&name(&format!("{host}-{alive}"), alive)));
        // One of the two processes still runs.
        assert!(!sweeper.may_remove(&name(&format!("{host}-{dead}"), 1)));
        assert!(!sweeper.may_remove(&name(&format!("{host}-1"), dead)));
        assert!(Sweeper::of_command().may_remove(&name(&format!("{host}-{dead}"), dead)));
        assert!(!Sweeper::of_command().may_remove(&name("0-of-1.here-1", dead)));
        for nobody in [0, u32::MAX] {
            assert!(!sweeper.may_remove(&name(&format!("{host}-{nobody}"), dead)));
        }
        for other in [format!("x{host}"), format!("{host}-x"), format!("{host}-{dead}"), String::new()] {
            assert!(!sweeper.may_remove(&name(&format!("{other}-{dead}"), dead)), "{other}");
        }
    }

    #[test]
    fn written_names_are_parsed() {
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
    fn similar_names_are_kept() {
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
        fn files_of_other_shards_are_kept(
            (of, i, j) in (2..50_u32).prop_flat_map(|of| (Just(of), 0..of, 0..of)),
            host in "[a-zA-Z0-9-]{0,20}",
            process: u32,
            writer: u32,
        ) {
            let name = name(&format!("{j}-of-{of}.{host}-{process}"), writer);
            prop_assert_eq!(Sweeper::new(i, of).may_remove(&name), i == j);
        }

        #[test]
        fn arbitrary_names_do_not_panic(name in "\\PC*", middle in "[0-9a-z.-]{0,60}") {
            Sweeper::new(0, 1).may_remove(&name);
            Sweeper::new(0, 1).may_remove(&format!(".{middle}{SUFFIX}"));
        }
    }
}

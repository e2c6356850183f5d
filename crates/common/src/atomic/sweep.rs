//! Which temporary files a process may remove before it writes: those whose writers have ended.

use std::fs;
use std::io;
use std::path::Path;

use super::{SUFFIX, host};
use crate::error::is_absent;
use crate::pid::is_gone;

/// Decides which temporary files a command, or an engine at its start, may remove.
#[derive(Clone, Debug)]
pub struct Sweeper {
    /// An engine sweeps; true: no other engine uses the output folder.
    engine: Option<bool>,
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
    is_engine: bool,
    host: &'a str,
    /// The process ids of the owner and of the writer.
    processes: [u32; 2],
}

impl<'a> Writer<'a> {
    /// Parses `.[engine.]host-owner-writer-count-digest` and the suffix. It starts at the end, because a host's name may
    /// contain `-`. Engines of version 0.1.0 wrote `i-of-n` instead of `engine`.
    fn of(name: &'a str) -> Option<Self> {
        let name = name.strip_prefix('.')?.strip_suffix(SUFFIX)?;
        let (is_engine, rest) = match name.split_once('.') {
            Some(("engine", rest)) => (true, rest),
            Some((shard, rest)) => {
                let (i, n) = shard.split_once("-of-")?;
                (number(i).and(number(n)).map(|_| true)?, rest)
            }
            None => (false, name),
        };
        let mut parts = rest.rsplitn(5, '-');
        let (digest, count, writer, owner) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let host = parts.next()?;
        let is_digest = digest.len() == 16 && digest.bytes().all(|b| b.is_ascii_hexdigit());
        let is_count = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
        let processes = [number(owner)?, number(writer)?];
        (is_digest && is_count).then_some(Self { is_engine, host, processes })
    }
}

/// A number of digits only: `parse` accepts a sign too.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl Sweeper {
    /// A sweeper for an engine that starts. `is_alone`: no other engine uses the output folder.
    pub fn of_engine(is_alone: bool) -> Self {
        Self { engine: Some(is_alone), host: host() }
    }

    /// A sweeper for a command. It removes files of commands only: an engine may be running.
    pub fn of_command() -> Self {
        Self { engine: None, host: host() }
    }

    /// Whether a file with this name is a temporary file whose writer has ended: one of a process on this host that has ended,
    /// or one of an engine, if no other engine uses the output folder. Files of commands on other hosts stay: they may be
    /// running. Containers with the same host name count as one host.
    pub fn may_remove(&self, file_name: &str) -> bool {
        let Some(writer) = Writer::of(file_name) else { return false };
        let has_ended =
            || writer.host == self.host && writer.processes.into_iter().all(|pid| is_valid(pid) && is_gone(pid));
        match (writer.is_engine, self.engine) {
            (true, None) => false,
            (true, Some(true)) => true,
            _ => has_ended(),
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
    fn files_of_engines_stay_while_another_engine_may_write_them() {
        let (host, dead, alive) = (host(), dead(), std::process::id());
        for (owner, writer, alone, shared) in [
            (format!("engine.{host}-{dead}"), dead, true, true),
            (format!("engine.{host}-{alive}"), alive, true, false),
            (format!("engine.{host}-{dead}"), alive, true, false),
            ("engine.else-where-1".into(), 1, true, false),
            ("2-of-4.else-where-1".into(), 1, true, false),
        ] {
            let name = name(&owner, writer);
            assert_eq!(Sweeper::of_engine(true).may_remove(&name), alone, "{owner}");
            assert_eq!(Sweeper::of_engine(false).may_remove(&name), shared, "{owner}");
            assert!(!Sweeper::of_command().may_remove(&name), "{owner}");
        }
    }

    #[test]
    fn files_of_commands_are_judged_by_process() {
        let sweeper = Sweeper::of_engine(false);
        let (host, dead, alive) = (host(), dead(), std::process::id());
        assert!(sweeper.may_remove(&name(&format!("{host}-{dead}"), dead)));
        assert!(!sweeper.may_remove(&name(&format!("{host}-{alive}"), alive)));
        // One of the two processes still runs.
        assert!(!sweeper.may_remove(&name(&format!("{host}-{dead}"), 1)));
        assert!(!sweeper.may_remove(&name(&format!("{host}-1"), dead)));
        assert!(Sweeper::of_command().may_remove(&name(&format!("{host}-{dead}"), dead)));
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
        let (command, engine) = (of(&Owner::this_process()), of(&Owner::engine()));
        let (command, engine) = (command.to_str().unwrap(), engine.to_str().unwrap());
        let this = std::process::id();
        let expected = Writer { is_engine: false, host: &host(), processes: [this, this] };
        assert_eq!(Writer::of(command), Some(expected));
        assert!(Writer::of(engine).unwrap().is_engine);
    }

    #[test]
    fn similar_names_are_kept() {
        let whole = name("0-of-1.here-1", 1);
        let sweeper = Sweeper::of_engine(true);
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
        fn arbitrary_names_do_not_panic(name in "\\PC*", middle in "[0-9a-z.-]{0,60}") {
            Sweeper::of_engine(true).may_remove(&name);
            Sweeper::of_engine(true).may_remove(&format!(".{middle}{SUFFIX}"));
        }
    }
}

//! Changes of the list of excluded videos.

use std::io::{self, Write};
use std::path::Path;

use reeldeck_common::atomic::{self, Owner};
use reeldeck_common::excluded::lines;
pub(crate) use reeldeck_common::excluded::{path, read};
use reeldeck_common::video::VideoName;

use crate::dataset::shown;
use crate::out::count;

use super::orders::{self, Order};

/// What to tell users if the list has lines that exclude nothing. `None` if all of them name videos.
///
/// # Errors
/// As [`read`].
pub(crate) fn unknown(private: &Path, is_known: impl Fn(&VideoName) -> bool) -> io::Result<Option<String>> {
    let mut unknown = lines(private)?;
    unknown.retain(|line| !VideoName::new(line).is_ok_and(|name| is_known(&name)));
    Ok(unknown.first().map(|first| {
        let (list, lines) = (shown(&path(private)), count(unknown.len(), "line", "lines"));
        format!("{lines} in {list} that name no video, such as {}; write CLASS/FILE", shown(Path::new(first)))
    }))
}

/// Adds names to the list, or removes them. Changes by other engines are kept. Gives the order to all engines but `engine`,
/// which carries it out already.
///
/// # Errors
/// When the list cannot be read or written; it is unchanged then.
pub(crate) fn change(private: &Path, owner: &Owner, names: &[VideoName], undo: bool, engine: String) -> io::Result<()> {
    // Other engines may change the list at the same time.
    let _held = atomic::lock_folder(private)?;
    let mut list = read(private)?;
    for name in names {
        if undo {
            list.remove(name);
        } else {
            list.insert(name.clone());
        }
    }
    atomic::write(&path(private), owner, |writer| list.iter().try_for_each(|name| writeln!(writer, "{name}")))?;
    // While the folder is locked, so that the orders of engines have the order of their changes.
    let order = Order::Exclude { videos: names.to_vec(), undo };
    if let Err(error) = orders::give(private, order, Some(engine)) {
        tracing::warn!("failed to pass an order on to other engines: {error}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn changes_at_the_same_time_are_all_kept() {
        let dir = tempfile::tempdir().unwrap();
        let owner = Owner::this_process();
        let names: Vec<VideoName> = (0..40).map(|i| VideoName::new(&format!("A/{i}")).unwrap()).collect();
        std::thread::scope(|scope| {
            for part in names.chunks(10) {
                scope.spawn(|| {
                    part.chunks(1).for_each(|name| change(dir.path(), &owner, name, false, "a".into()).unwrap())
                });
            }
        });
        assert_eq!(read(dir.path()).unwrap(), names.into_iter().collect());
    }

    #[test]
    fn names_are_added_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let owner = Owner::this_process();
        let names: Vec<VideoName> = ["A/2", "A/1", "B c/v é.mp4"].iter().map(|n| VideoName::new(n).unwrap()).collect();
        assert_eq!(read(dir.path()).unwrap(), BTreeSet::new());
        let mut other = orders::Orders::new(dir.path(), "c");
        change(dir.path(), &owner, &names, false, "a".into()).unwrap();
        change(dir.path(), &owner, &names[..1], true, "b".into()).unwrap();
        let videos = |names: &[VideoName], undo| Order::Exclude { videos: names.to_vec(), undo };
        assert_eq!(other.look().unwrap(), [videos(&names[1..], false), videos(&names[..1], true)]);
        assert_eq!(read(dir.path()).unwrap(), names[1..].iter().cloned().collect());
        assert_eq!(std::fs::read_to_string(path(dir.path())).unwrap(), "A/1\nB c/v é.mp4\n");
        std::fs::write(path(dir.path()), "\u{feff}A/1\n\n../x\n/nonsense\n").unwrap();
        assert_eq!(read(dir.path()).unwrap().len(), 1);
        std::fs::write(path(dir.path()), "A/1 \t\r\n./A/2\nA/3 x\n../x\n").unwrap();
        assert_eq!(read(dir.path()).unwrap(), ["A/1", "A/2", "A/3 x"].map(|n| VideoName::new(n).unwrap()).into());
        let note = unknown(dir.path(), |name| name.as_str() < "A/3").unwrap().unwrap();
        assert!(note.starts_with("2 lines in ") && note.contains("such as A/3 x"), "{note}");
        std::fs::write(path(dir.path()), "A/1\n").unwrap();
        assert_eq!(unknown(dir.path(), |_| true).unwrap(), None);
        std::fs::remove_file(path(dir.path())).unwrap();
        std::fs::create_dir(path(dir.path())).unwrap();
        assert!(read(dir.path()).is_err());
    }
}

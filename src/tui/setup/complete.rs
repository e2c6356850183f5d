//! Completion of paths: what begins so on disk, and how far all of it is the same.

use std::fs;
use std::path::PathBuf;

use super::{Field, place};

/// Entries of a folder that are looked at; a class folder may hold any number of files.
const MAX_ENTRIES: usize = 20_000;

/// Names that are told.
const MAX_NAMES: usize = 200;

/// What is to be completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletionRequest {
    /// For which field.
    pub field: Field,
    /// What has been typed before the cursor.
    pub typed: String,
    /// What relative paths are relative to.
    pub folder: PathBuf,
    /// The user's own folder, which `~` stands for.
    pub home: Option<PathBuf>,
}

/// What begins so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completions {
    /// For which field.
    pub field: Field,
    /// What had been typed.
    pub typed: String,
    /// The part of it that stays before all names: the folder.
    pub head: String,
    /// Names in it, sorted; folders end in `/`.
    pub names: Vec<String>,
}

/// Looks on disk. To be called where waiting does no harm.
pub fn complete(request: &CompletionRequest) -> Completions {
    let cut = request.typed.rfind('/').map_or(0, |at| at + 1);
    let (head, begin) = request.typed.split_at(cut);
    let folder = place(if head.is_empty() { "." } else { head }, &request.folder, request.home.as_deref());
    let mut names = vec![];
    for entry in fs::read_dir(folder).into_iter().flatten().take(MAX_ENTRIES).flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !name.starts_with(begin)
            || (name.starts_with('.') && !begin.starts_with('.'))
            || name.contains(char::is_control)
        {
            continue;
        }
        // Follows links: a dataset folder is often one.
        let is_folder = match entry.file_type() {
            Ok(kind) if !kind.is_symlink() => kind.is_dir(),
            _ => fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_dir()),
        };
        match is_folder {
            true => names.push(name + "/"),
            false if request.field.takes_file(&name) => names.push(name),
            false => {}
        }
    }
    if request.field == Field::Checkpoint && head.is_empty() && "seeded".starts_with(begin) {
        names.push("seeded".into());
    }
    names.sort_unstable();
    names.truncate(MAX_NAMES);
    Completions { field: request.field, typed: request.typed.clone(), head: head.to_owned(), names }
}

impl Completions {
    /// What all names begin with, with the folder before it: what the typed text can be replaced by.
    pub fn common(&self) -> Option<String> {
        let first = self.names.first()?;
        let mut end = first.len();
        for name in &self.names {
            let same = first.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
            end = end.min(same);
        }
        while !first.is_char_boundary(end) {
            end -= 1;
        }
        Some(format!("{}{}", self.head, first.get(..end)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(folder: &std::path::Path, field: Field, typed: &str) -> (Vec<String>, Option<String>) {
        let request =
            CompletionRequest { field, typed: typed.into(), folder: folder.into(), home: Some(folder.join("home")) };
        let found = complete(&request);
        (found.names.clone(), found.common())
    }

    #[test]
    fn only_what_fits_the_field_is_offered() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["data/hacs/Archery", "data/hacs_old", "data/.hidden", "home/videos", "dätä", "dätö"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        for name in ["a.pth", "data.json", "data/list.txt", "bad\u{1b}name"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        std::os::unix::fs::symlink("data", folder.path().join("data_link")).unwrap();
        let at = |field, typed| found(folder.path(), field, typed);
        let some =
            |names: &[&str], common: &str| (names.iter().map(ToString::to_string).collect(), Some(common.to_owned()));
        assert_eq!(at(Field::Root, "da"), some(&["data/", "data_link/"], "data"));
        assert_eq!(at(Field::Root, "data/"), some(&["hacs/", "hacs_old/"], "data/hacs"));
        assert_eq!(at(Field::Root, "data/hacs/"), some(&["Archery/"], "data/hacs/Archery/"));
        assert_eq!(at(Field::Root, "data/."), some(&[".hidden/"], "data/.hidden/"));
        assert_eq!(at(Field::Root, "~/"), some(&["videos/"], "~/videos/"));
        assert_eq!(at(Field::Root, "dä"), some(&["dätä/", "dätö/"], "dät"));
        assert_eq!(at(Field::Manifest, "data"), some(&["data.json", "data/", "data_link/"], "data"));
        assert_eq!(at(Field::Checkpoint, "a"), some(&["a.pth"], "a.pth"));
        assert_eq!(at(Field::Checkpoint, "se"), some(&["seeded"], "seeded"));
        assert_eq!(at(Field::Root, "nothing"), (vec![], None));
        assert_eq!(at(Field::Root, "no/such/folder/"), (vec![], None));
        assert_eq!(at(Field::Root, "bad"), (vec![], None));
    }
}

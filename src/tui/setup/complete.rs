//! Path completion.

use std::fs;
use std::path::PathBuf;

use super::{Field, place};

/// The number of directory entries read: a class folder can hold any number of files.
const MAX_ENTRIES: usize = 20_000;

/// The number of names returned.
const MAX_NAMES: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CompletionRequest {
    pub field: Field,
    /// The text before the cursor.
    pub typed: String,
    /// The base of relative paths.
    pub folder: PathBuf,
    /// The home folder, which `~` stands for.
    pub home: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Completions {
    pub field: Field,
    /// The text that was completed.
    pub typed: String,
    /// The part of it up to the last slash.
    pub head: String,
    /// The names that match, sorted. Folders end in `/`.
    pub names: Vec<String>,
}

/// Reads the disk, so it can block. Where nothing can be completed, the names are all that could stand in place of the last
/// one.
pub(crate) fn complete(request: &CompletionRequest) -> Completions {
    let typed = request.typed.as_str();
    let found = matching(request, typed);
    if found.common().is_some_and(|common| common != typed) || found.names.len() > 1 {
        return found;
    }
    let parent = |text: &str| text.rfind('/').map_or(0, |at| at + 1);
    let others = matching(request, typed.get(..parent(typed.trim_end_matches('/'))).unwrap_or_default());
    let is_one = |name: &String| format!("{}{name}", others.head) == typed;
    if others.names.iter().any(is_one) { Completions { typed: found.typed, ..others } } else { found }
}

/// The names that begin with a text.
fn matching(request: &CompletionRequest, typed: &str) -> Completions {
    let cut = typed.rfind('/').map_or(0, |at| at + 1);
    let (head, begin) = typed.split_at(cut);
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
        // Follow symbolic links: a dataset folder is often one.
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
    if request.field == Field::Checkpoint && head.is_empty() {
        names.extend(["published", "seeded"].into_iter().filter(|name| name.starts_with(begin)).map(str::to_owned));
    }
    names.sort_unstable();
    names.truncate(MAX_NAMES);
    Completions { field: request.field, typed: request.typed.clone(), head: head.to_owned(), names }
}

impl Completions {
    /// The longest common prefix of all matches, which can replace the typed text.
    pub(crate) fn common(&self) -> Option<String> {
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
    fn completion_offers_only_names_that_fit_the_field() {
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
        assert_eq!(at(Field::Checkpoint, "pu"), some(&["published"], "published"));
        // A complete value: what could stand in its place.
        assert_eq!(at(Field::Root, "data/hacs/Archery/").0, ["Archery/"]);
        assert_eq!(at(Field::Root, "data/hacs_old/").0, ["hacs/", "hacs_old/"]);
        assert_eq!(
            at(Field::Checkpoint, "seeded").0,
            ["a.pth", "data/", "data_link/", "dätä/", "dätö/", "home/", "published", "seeded"]
        );
        assert_eq!(at(Field::Root, "nothing"), (vec![], None));
        assert_eq!(at(Field::Root, "no/such/folder/"), (vec![], None));
        assert_eq!(at(Field::Root, "bad"), (vec![], None));
    }
}

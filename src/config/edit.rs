//! Changes settings in the text of a configuration file. Comments, the order, and all other settings stay as they are.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use reeldeck_common::atomic::{self, Owner};
use toml_edit::{DocumentMut, Item, Table, TomlError, value};

use crate::fetch;

/// The mode of a file that only its owner can read.
const OWNER_ONLY: u32 = 0o600;

/// A setting with its new value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The name of the section; empty for the top of the file.
    pub section: &'static str,
    /// The name of the setting.
    pub key: &'static str,
    /// The value, a string.
    pub value: String,
}

/// Whether a text has the user name, password or query of the checkpoint's address.
fn has_secrets(text: &str) -> bool {
    let Ok(document) = text.parse::<DocumentMut>() else { return false };
    document.get("checkpoint").and_then(Item::as_str).is_some_and(is_secret)
}

/// Whether a value of `checkpoint` is an address with a user name, password or query.
pub(crate) fn is_secret(checkpoint: &str) -> bool {
    fetch::is_address(checkpoint) && fetch::has_secrets(checkpoint)
}

/// Writes a new configuration file. Only its owner can read one with secrets. This can block.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when there is one, which stays, and others of the file system.
pub(crate) fn create(path: &Path, text: &str) -> io::Result<()> {
    atomic::write_new(path, &Owner::this_process(), |writer| {
        if has_secrets(text) {
            writer.get_ref().set_permissions(Permissions::from_mode(OWNER_ONLY))?;
        }
        writer.write_all(text.as_bytes())
    })
}

/// Writes the changes into an existing file. This can block.
///
/// # Errors
/// A message that names the file and the cause.
pub(crate) fn edit(path: &Path, changes: &[Change]) -> Result<(), String> {
    let failed = |why: String| format!("{} stays as it is: {}", path.display(), why.trim_end());
    // A link stays a link.
    let file = &fs::canonicalize(path).map_err(|error| failed(error.to_string()))?;
    let old = fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    let text = edited(&old, changes).map_err(failed)?;
    let written = fs::metadata(file).and_then(|before| {
        atomic::write(file, &Owner::this_process(), |writer| {
            // The file may have a password in an address, and may belong to another user.
            let mut permissions = before.permissions();
            if has_secrets(&text) && !has_secrets(&old) {
                permissions.set_mode(permissions.mode() & OWNER_ONLY);
            }
            writer.get_ref().set_permissions(permissions)?;
            let _ = fchown(writer.get_ref(), Some(before.uid()), Some(before.gid()));
            writer.write_all(text.as_bytes())
        })
    });
    written.map_err(|error| failed(error.to_string()))
}

/// The text with the changes.
///
/// # Errors
/// When the text is not TOML, or one of the sections is not a section.
pub(crate) fn edited(text: &str, changes: &[Change]) -> Result<String, String> {
    let mut document: DocumentMut = text.parse().map_err(|error: TomlError| error.to_string())?;
    for Change { section, key, value: new } in changes {
        let table = match *section {
            "" => document.as_item_mut(),
            section => document.entry(section).or_insert(Item::Table(Table::new())),
        };
        let table = table.as_table_like_mut().ok_or_else(|| format!("`{section}` is not a section"))?;
        let mut new = value(new.as_str());
        match table.get_mut(key) {
            None => drop(table.insert(key, new)),
            Some(old) => {
                // A comment behind the value stays.
                if let (Some(old), Some(new)) = (old.as_value(), new.as_value_mut()) {
                    *new.decor_mut() = old.decor().clone();
                }
                *old = new;
            }
        }
    }
    let after = document.to_string();
    // The parser reads both kinds of line ends and writes one.
    Ok(if text.contains("\r\n") { after.replace("\r\n", "\n").replace('\n', "\r\n") } else { after })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn theme() -> [Change; 1] {
        [Change { section: "tui", key: "theme", value: "night".into() }]
    }

    #[test]
    fn only_the_changed_line_changes() {
        for (before, after) in [
            ("", "[tui]\ntheme = \"night\"\n"),
            ("root = \"a\" # mine\n", "root = \"a\" # mine\n\n[tui]\ntheme = \"night\"\n"),
            ("[tui] # look\nbell = true\n\n[scan]\n", "[tui] # look\nbell = true\ntheme = \"night\"\n\n[scan]\n"),
            (
                "[tui]\n# theme = \"x\"\ntheme = 'paper'  # daylight\n[tui.keys]\ntheme = \"t\"\n",
                "[tui]\n# theme = \"x\"\ntheme = \"night\"  # daylight\n[tui.keys]\ntheme = \"t\"\n",
            ),
            ("tui = { bell = true }\n", "tui = { bell = true , theme = \"night\" }\n"),
            ("a = 1\r\n[tui]\r\n", "a = 1\r\n[tui]\r\ntheme = \"night\"\r\n"),
            ("tui.theme = \"paper\" # mine\n", "tui.theme = \"night\" # mine\n"),
            ("a = '''\n[tui]\n'''\n", "a = '''\n[tui]\n'''\n\n[tui]\ntheme = \"night\"\n"),
        ] {
            assert_eq!(edited(before, &theme()).as_deref(), Ok(after), "{before}");
        }
        let keys = edited("[tui.keys]\nretry = \"f2\"\n", &theme()).unwrap();
        let table: toml::Table = keys.parse().unwrap();
        assert_eq!(
            (table["tui"]["theme"].as_str(), table["tui"]["keys"]["retry"].as_str()),
            (Some("night"), Some("f2"))
        );
    }

    #[test]
    fn settings_of_several_sections_change_together() {
        let before = "# mine\nroot = \"data\"   # the videos\n\n[manifest] # HACS\nprefix = \"v_\"\n";
        let change = |section, key, value: &str| Change { section, key, value: value.into() };
        let changes = [
            change("", "root", "/mnt/\"a\""),
            change("", "checkpoint", "seeded"),
            change("manifest", "path", "m.json"),
        ];
        let after = "# mine\nroot = '/mnt/\"a\"'   # the videos\ncheckpoint = \"seeded\"\n\n[manifest] # HACS\nprefix = \"v_\"\npath = \"m.json\"\n";
        assert_eq!(edited(before, &changes).as_deref(), Ok(after));
    }

    #[test]
    fn the_rights_of_the_file_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, "").unwrap();
        for mode in [0o600, 0o664] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            edit(&path, &theme()).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode);
        }
    }

    #[test]
    fn only_the_owner_can_read_a_file_with_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        let (plain, secret) = ("https://a.org/w.pth", "https://me:password@a.org/w.pth");
        let path = folder.path().join("secret.toml");
        create(&path, &format!("checkpoint = \"{secret}\"\n")).unwrap();
        assert_eq!(mode(&path), 0o600);
        let path = folder.path().join("config.toml");
        create(&path, &format!("checkpoint = \"{plain}\"\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o664)).unwrap();
        let set = |value: &str| {
            edit(&path, &[Change { section: "", key: "checkpoint", value: value.into() }]).unwrap();
            mode(&path)
        };
        assert_eq!((set("https://b.org/w.pth"), set(secret)), (0o664, 0o600));
        // Its owner may have chosen to share it.
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        edit(&path, &theme()).unwrap();
        assert_eq!(mode(&path), 0o640);
        assert_eq!(create(&path, "").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_file_that_cannot_be_edited_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        for (text, why) in [("tui = 3\n", "`tui` is not a section"), ("not toml\n", "config.toml stays as it is: TOML")]
        {
            fs::write(&path, text).unwrap();
            let error = edit(&path, &theme()).unwrap_err();
            assert!(error.contains(why), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::write(&path, "root = \"a\"\n").unwrap();
        let link = folder.path().join("link.toml");
        std::os::unix::fs::symlink("config.toml", &link).unwrap();
        edit(&link, &theme()).unwrap();
        assert!(link.is_symlink() && fs::read_to_string(&path).unwrap().starts_with("root = \"a\"\n\n[tui]"));
    }
}

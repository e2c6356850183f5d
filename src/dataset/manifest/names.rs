//! Checks ids and labels of a manifest: they must be safe in file names, lists and terminals.

/// Maximum length of an id, in bytes. A file name also contains the prefix, the extension and `.safetensors`.
const MAX_ID_LEN: usize = 200;
/// Maximum length of a label, in bytes. It is the name of a folder.
const MAX_LABEL_LEN: usize = 200;

/// Why a name is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {name:?} cannot be used: {why}")]
pub(super) struct BadName {
    what: &'static str,
    name: String,
    why: &'static str,
}

/// Checks an id, which is part of a file name and a line in lists.
pub(super) fn check_id(id: &str) -> Result<(), BadName> {
    let why = if id.len() > MAX_ID_LEN {
        "it is longer than 200 bytes"
    } else if id.contains(',') {
        "it has a comma, and lists of ids and classes are separated by commas"
    } else {
        check(id, "the id")?;
        if id.trim() == id {
            return Ok(());
        }
        "it begins or ends with white space"
    };
    Err(bad("the id", id, why))
}

/// Checks a label, which is the name of a folder and the end of a line in lists.
pub(super) fn check_label(label: &str) -> Result<(), BadName> {
    if label.len() > MAX_LABEL_LEN {
        return Err(bad("the label", label, "it is longer than 200 bytes"));
    }
    check(label, "the label")
}

fn check(name: &str, what: &'static str) -> Result<(), BadName> {
    let why = if name.is_empty() {
        "it is empty"
    } else if name.contains(char::is_control) {
        "it has a newline or another control character"
    } else if name.contains(['/', '\\']) {
        "it has a slash, and names must not lead out of their folder"
    } else if name == "." || name == ".." {
        "it names a folder"
    } else {
        return Ok(());
    };
    Err(bad(what, name, why))
}

fn bad(what: &'static str, name: &str, why: &'static str) -> BadName {
    BadName { what, name: name.chars().take(100).collect(), why }
}

/// Whether a class folder belongs to a label. Downloads use underscores for spaces.
pub(crate) fn same_class(folder: &str, label: &str) -> bool {
    let underscored = |byte: u8| if byte == b' ' { b'_' } else { byte };
    folder.len() == label.len() && folder.bytes().map(underscored).eq(label.bytes().map(underscored))
}

/// A label as the name of a class folder.
pub(super) fn underscored(label: &str) -> String {
    label.replace(' ', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn youtube_ids_are_accepted() {
        for id in ["--0edUL8zmA", "_a-B3xYz012", "-", "v_a", "video test 1", "日本", "a.b"] {
            assert_eq!(check_id(id), Ok(()), "{id}");
        }
    }

    #[test]
    fn unsafe_names_are_refused_with_a_reason() {
        for (id, says) in [
            ("", "empty"),
            ("../../x", "slash"),
            ("/etc/passwd", "slash"),
            ("a\\b", "slash"),
            ("..", "names a folder"),
            (".", "names a folder"),
            ("a\nb", "control"),
            ("a\u{1b}[2J", "control"),
            ("a\u{0}", "control"),
            ("a,b", "comma"),
            (" a", "white space"),
            ("a\u{a0}", "white space"),
        ] {
            let error = check_id(id).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains(char::is_control), "{error}");
            // Labels may contain commas and spaces.
            let may_be_label = id.contains(',') || says == "white space";
            assert_eq!(check_label(id).is_ok(), may_be_label, "{id}");
        }
        let long = check_id(&"x".repeat(5000)).unwrap_err().to_string();
        assert!(long.contains("longer than 200 bytes") && long.len() < 300, "{long}");
        assert!(check_label(&"x".repeat(201)).is_err());
        assert_eq!(check_label("Rock, paper and scissors"), Ok(()));
    }

    #[test]
    fn spaces_and_underscores_name_the_same_class() {
        assert!(same_class("Horseback_riding", "Horseback riding"));
        assert!(same_class("Horseback riding", "Horseback_riding"));
        assert!(same_class("A_b c", "A b_c"));
        assert!(!same_class("Horseback-riding", "Horseback riding"));
        assert!(!same_class("horseback_riding", "Horseback riding"));
        assert!(!same_class("A", "A_"));
    }
}

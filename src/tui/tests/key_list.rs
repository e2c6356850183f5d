//! The list of keys in docs/KEYS.md matches the key bindings.

use std::fs;
use std::path::Path;

use crate::tui::keymap::{Binding, Context, Keymap};
use crate::tui::keys::Keys;

const FROM: &str = "<!-- keys: `REELDECK_WRITE_KEYS=1 cargo test key_list` writes this list -->\n";
const TO: &str = "<!-- end of keys -->";

#[test]
fn the_document_lists_the_bindings() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/KEYS.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(FROM).expect("where the list of keys begins");
    let (list, after) = rest.split_once(TO).expect("where the list of keys ends");
    let wanted = format!("\n{}", markdown(&Keymap::default()));
    if std::env::var_os("REELDECK_WRITE_KEYS").is_some() {
        fs::write(&path, format!("{before}{FROM}{wanted}{TO}{after}")).unwrap();
        return;
    }
    assert!(list == wanted, "docs/KEYS.md does not list the bindings of the program; {FROM}");
}

/// One table per context.
fn markdown(keymap: &Keymap) -> String {
    let mut text = String::new();
    for context in Context::ALL {
        let bindings: Vec<(&Binding, &[Keys])> =
            keymap.bindings().filter(|(binding, _)| binding.context == context).collect();
        if bindings.is_empty() {
            continue;
        }
        text.push_str(&format!("| {} | |\n|---|---|\n", context.title()));
        for (binding, keys) in bindings {
            let keys: Vec<String> = keys.iter().map(|keys| format!("`{keys}`")).collect();
            text.push_str(&format!("| {} | {} |\n", keys.join(" "), binding.long));
        }
        text.push('\n');
    }
    text
}

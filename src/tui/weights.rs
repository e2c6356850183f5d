//! An engine without weights: why it has none, and what the user can do about it.

use super::action::Action;
use super::keymap::Keymap;
use super::modal::{Menu, MenuAction, MenuItem};
use super::text;
use super::window_words::{NEEDS, in_window};

/// Why there are none, in a line.
pub(super) fn in_a_line(keymap: &Keymap, needs: &str) -> String {
    format!("{NEEDS}{}", cause(keymap, needs))
}

/// The choice that the user has.
pub(super) fn menu(keymap: &Keymap, needs: &str) -> Menu {
    let cause = cause(keymap, needs);
    let settings = keymap.key_text(Action::Settings);
    let key = if settings.chars().count() == 1 { settings.chars().next() } else { None };
    let mut items = vec![];
    let address = address(needs);
    if cause == NONE && address.is_some() {
        let label = "download the published weights";
        items.push(MenuItem::new('d', label, MenuAction::UseWeights("published")));
    } else if cause != NONE {
        items.push(MenuItem::new('r', "try again, with config.toml as it is now", MenuAction::ReadConfigAgain));
    }
    items.push(MenuItem::new(key.unwrap_or('f'), "name a file or a URL in the settings", MenuAction::Settings));
    if !needs.contains("no seeded weights") {
        let label = "use random (seeded) weights for a trial: the features mean nothing";
        items.push(MenuItem::new('t', label, MenuAction::UseWeights("seeded")));
    }
    if let Some(address) = address {
        let label = "show how to download them on another machine";
        items.push(MenuItem::new('h', label, MenuAction::Show { title: "Weights", text: by_hand(needs, address) }));
    }
    items.push(MenuItem::new('c', "cancel", MenuAction::Close));
    Menu::new("No weights", format!("Extraction needs weights: {cause}. Everything else works without them."), items)
}

/// The cause where no weights were chosen.
const NONE: &str = "no checkpoint is chosen";

/// The cause alone, with a short address.
fn cause(keymap: &Keymap, needs: &str) -> String {
    let first = needs.strip_prefix(NEEDS).unwrap_or(needs).lines().next().unwrap_or_default();
    if first.starts_with("no checkpoint chosen;") {
        return NONE.into();
    }
    // The menu says what to do.
    let first = match first.split_once("; name an existing").or_else(|| first.split_once("; name a whole")) {
        Some((what, advice)) => match advice.split_once(": ") {
            Some((_, why)) => format!("{what}: {why}"),
            None => what.to_owned(),
        },
        None => first.replacen("no checkpoint chosen", NONE, 1).replace(", then name it:", ""),
    };
    let words = first.split(' ').map(text::short_address).collect::<Vec<_>>().join(" ");
    in_window(keymap, &words).trim_end_matches(['.', ' ']).to_owned()
}

/// The whole address of the weights.
fn address(needs: &str) -> Option<&str> {
    let command = needs.lines().find_map(|line| line.trim().strip_prefix("wget "))?;
    command.split_whitespace().find(|word| word.contains("://"))
}

/// How to get the file without a network on this machine.
fn by_hand(needs: &str, address: &str) -> String {
    let place = needs.lines().skip_while(|line| !line.ends_with("copy it to:")).nth(1).map(str::trim);
    let then = match place {
        Some(place) => format!("Copy it to:\n{place}"),
        None => "Copy it to this machine, and name it in the settings.".to_owned(),
    };
    format!("Download the file on another machine:\n{address}\n\n{then}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const URL: &str = "https://download.openmmlab.com/mmaction/v1.0/recognition/slowonly/slowonly_r50.pth";

    fn of(needs: &str) -> (String, String) {
        let menu = menu(&Keymap::new(&BTreeMap::new()).unwrap(), &format!("{NEEDS}{needs}"));
        (menu.text, menu.items.iter().map(|item| item.key).collect())
    }

    #[test]
    fn the_choice_follows_from_the_cause() {
        let none = format!(
            "no checkpoint chosen; let reeldeck download the published one:\n  --checkpoint published\nor download it \
             yourself and name it:\n  wget {URL}\n  --checkpoint slowonly_r50.pth\nor try everything out with random \
             weights:\n  --checkpoint seeded"
        );
        let (text, keys) = of(&none);
        let rest = "Everything else works without them.";
        assert_eq!(text, format!("Extraction needs weights: no checkpoint is chosen. {rest}"));
        assert_eq!(keys, "d,thc");
        let network = format!(
            "failed to download {URL}: no route to host\nif this machine has no network, download the file on another \
             one:\n  wget -c {URL}\nand copy it to:\n  /home/me/.cache/slowonly_r50.pth\nor use another file: \
             --checkpoint FILE"
        );
        let (text, keys) = of(&network);
        let cause = "failed to download download.openmmlab.com/…/slowonly_r50.pth: no route to host";
        assert_eq!((text, keys.as_str()), (format!("Extraction needs weights: {cause}. {rest}"), "r,thc"));
        let (text, keys) =
            of("failed to read the checkpoint w.pth; name an existing .pth file with --checkpoint: no such file");
        let cause = "failed to read the checkpoint w.pth: no such file";
        assert_eq!((text, keys.as_str()), (format!("Extraction needs weights: {cause}. {rest}"), "r,tc"));
        let (text, keys) =
            of("no checkpoint chosen, and the recipe mine has no address to download it from; get the file as \
             https://example.org/a says, then name it:\n  --checkpoint FILE\nor try");
        assert!(text.contains("the recipe mine has no address") && !text.contains("then name it"), "{text}");
        assert_eq!(keys, "r,tc");
        let (_, keys) =
            of("the network of the recipe m is in a module, which has no seeded weights; omit --checkpoint");
        assert_eq!(keys, "r,c");
        let text = by_hand(&network, URL);
        assert!(text.contains(&format!("\n{URL}\n")) && text.ends_with("\n/home/me/.cache/slowonly_r50.pth"), "{text}");
    }
}

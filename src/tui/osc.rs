//! Escape sequences that crossterm does not provide.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::config::Notification;

/// Begins a frame that the terminal shows as a whole (DEC private mode 2026). Terminals that do not know it ignore it.
pub(super) const BEGIN_FRAME: &[u8] = b"\x1b[?2026h";

/// Ends the frame.
pub(super) const END_FRAME: &[u8] = b"\x1b[?2026l";

/// Terminals refuse longer texts.
const MAX_CLIPBOARD_BYTES: usize = 70_000;

/// Copies a text to the clipboard of the terminal, over SSH too (OSC 52).
pub(super) fn copy(text: &str) -> Vec<u8> {
    let text = text.get(..MAX_CLIPBOARD_BYTES).unwrap_or(text);
    format!("\x1b]52;c;{}\x07", BASE64_STANDARD.encode(text)).into_bytes()
}

/// Shows a notification of the desktop (OSC 777 with a title, or OSC 9), unless it is turned off.
pub(super) fn notification(how: Notification, title: &str, text: &str) -> Vec<u8> {
    // A semicolon separates the parts of OSC 777.
    let plain = |text: &str| text.chars().map(|c| if c.is_control() || c == ';' { ',' } else { c }).collect::<String>();
    let (title, text) = (plain(title), plain(text));
    match how {
        Notification::Osc9 => format!("\x1b]9;{title}: {text}\x07").into_bytes(),
        Notification::Osc777 => format!("\x1b]777;notify;{title};{text}\x07").into_bytes(),
        Notification::Auto | Notification::Off => vec![],
    }
}

/// The notification that a terminal with these variables understands.
pub(super) fn notification_of(chosen: Notification, variable: impl Fn(&str) -> Option<String>) -> Notification {
    let is = |name: &str, part: &str| variable(name).is_some_and(|value| value.contains(part));
    match chosen {
        Notification::Auto if ["linux", "dumb"].iter().any(|term| is("TERM", term)) => Notification::Off,
        Notification::Auto if variable("VTE_VERSION").is_some() || is("TERM", "rxvt") || is("TERM", "foot") => {
            Notification::Osc777
        }
        Notification::Auto => Notification::Osc9,
        chosen => chosen,
    }
}

/// Whether a terminal with these variables shows OSC 9;4 as progress. Some others show it as a notification.
pub(super) fn shows_progress(chosen: Option<bool>, variable: impl Fn(&str) -> Option<String>) -> bool {
    let detected = || {
        let program = variable("TERM_PROGRAM").unwrap_or_default();
        variable("WT_SESSION").is_some()
            || variable("ConEmuANSI").is_some_and(|value| value == "ON")
            || matches!(program.as_str(), "ghostty" | "WezTerm")
            || variable("VTE_VERSION")
                .and_then(|version| version.parse().ok())
                .is_some_and(|version: u32| version >= 7_900)
    };
    chosen.unwrap_or_else(detected)
}

/// Shows the progress in the taskbar or tab of the terminal (OSC 9;4). `None` removes it.
pub(super) fn progress(percent: Option<u8>) -> Vec<u8> {
    match percent {
        Some(percent) => format!("\x1b]9;4;1;{percent}\x07").into_bytes(),
        None => b"\x1b]9;4;0\x07".to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
        move |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn notifications_suit_the_terminal() {
        let of = |pairs| notification_of(Notification::Auto, env(pairs));
        assert_eq!(of(&[("TERM", "linux")]), Notification::Off);
        assert_eq!(of(&[("TERM", "foot")]), Notification::Osc777);
        assert_eq!(of(&[("TERM", "xterm-256color"), ("VTE_VERSION", "7600")]), Notification::Osc777);
        assert_eq!(of(&[("TERM", "xterm-kitty")]), Notification::Osc9);
        assert_eq!(notification_of(Notification::Off, env(&[])), Notification::Off);
        let text = "finished; 1\x1b failed";
        assert_eq!(notification(Notification::Osc9, "reeldeck", text), b"\x1b]9;reeldeck: finished, 1, failed\x07");
        assert_eq!(notification(Notification::Osc777, "r", text), b"\x1b]777;notify;r;finished, 1, failed\x07");
        assert!(notification(Notification::Off, "r", text).is_empty());
    }

    #[test]
    fn progress_is_sent_only_to_terminals_that_show_it() {
        let of = |pairs| shows_progress(None, env(pairs));
        assert!(of(&[("WT_SESSION", "1")]) && of(&[("TERM_PROGRAM", "ghostty")]) && of(&[("VTE_VERSION", "7900")]));
        assert!(!of(&[("TERM_PROGRAM", "iTerm.app")]) && !of(&[("VTE_VERSION", "6800")]));
        assert!(shows_progress(Some(true), env(&[])) && !shows_progress(Some(false), env(&[("WT_SESSION", "1")])));
        assert_eq!((progress(Some(37)), progress(None)), (b"\x1b]9;4;1;37\x07".to_vec(), b"\x1b]9;4;0\x07".to_vec()));
    }

    #[test]
    fn copied_text_is_encoded() {
        assert_eq!(copy("A/v é.mp4"), b"\x1b]52;c;QS92IMOpLm1wNA==\x07");
        let bytes = copy("\x1b[2J\x07");
        assert_eq!(bytes.iter().filter(|byte| byte.is_ascii_control()).count(), 2);
    }
}

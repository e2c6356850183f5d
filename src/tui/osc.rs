//! Escape sequences that crossterm does not provide.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copied_text_is_encoded() {
        assert_eq!(copy("A/v é.mp4"), b"\x1b]52;c;QS92IMOpLm1wNA==\x07");
        let bytes = copy("\x1b[2J\x07");
        assert_eq!(bytes.iter().filter(|byte| byte.is_ascii_control()).count(), 2);
    }
}

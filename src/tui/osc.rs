//! Escape sequences that no library at hand writes: the clipboard of whoever looks at the terminal, and a frame that is shown
//! as a whole.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// What follows is one frame (DEC private mode 2026); terminals that do not know it ignore it.
pub const BEGIN_FRAME: &[u8] = b"\x1b[?2026h";

/// The frame is whole.
pub const END_FRAME: &[u8] = b"\x1b[?2026l";

/// Terminals refuse longer texts.
const MAX_CLIPBOARD_BYTES: usize = 70_000;

/// Puts a text into the clipboard of the terminal, wherever that is (OSC 52).
pub fn copy(text: &str) -> Vec<u8> {
    let text = text.get(..MAX_CLIPBOARD_BYTES).unwrap_or(text);
    format!("\x1b]52;c;{}\x07", BASE64_STANDARD.encode(text)).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_text_can_be_read_and_does_nothing_else() {
        assert_eq!(copy("A/v é.mp4"), b"\x1b]52;c;QS92IMOpLm1wNA==\x07");
        let bytes = copy("\x1b[2J\x07");
        assert_eq!(bytes.iter().filter(|byte| byte.is_ascii_control()).count(), 2);
    }
}

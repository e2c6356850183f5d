//! JSON for programs, which people may also see on a terminal: it has escapes for the characters that [`printable`] escapes, and
//! so means the same to a program.
//!
//! [`printable`]: crate::video::printable

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::video::is_unprintable;

struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_unprintable) {
            let (clean, tail) = rest.split_at(at);
            writer.write_all(clean.as_bytes())?;
            let mut tail = tail.chars();
            let mut units = [0; 2];
            for unit in tail.next().unwrap_or_default().encode_utf16(&mut units) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = tail.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Writes a value on one line, without a line break.
///
/// # Errors
/// When writing fails, or the value has no JSON form.
pub fn to_writer(writer: impl Write, value: &impl Serialize) -> serde_json::Result<()> {
    value.serialize(&mut Serializer::with_formatter(writer, Escaping))
}

/// A value on one line, without a line break.
///
/// # Errors
/// When the value has no JSON form.
pub fn to_string(value: &impl Serialize) -> serde_json::Result<String> {
    let mut text = vec![];
    to_writer(&mut text, value)?;
    String::from_utf8(text).map_err(serde::ser::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_not_reach_a_terminal_is_escaped_and_means_the_same() {
        let name = "a\u{9b}2J\u{202e}b\u{e0041}\u{7f}é\u{200b}\n\"";
        let text = to_string(&[name]).unwrap();
        assert_eq!(text, r#"["a\u009b2J\u202eb\udb40\udc41\u007fé\u200b\n\""]"#);
        assert_eq!(serde_json::from_str::<Vec<String>>(&text).unwrap(), [name]);
    }
}

//! The reader below the JSON parser. It tracks the position and bounds the memory that the parser needs.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, BufRead, Read};

/// Maximum length of a string, number or word, in bytes.
pub(super) const MAX_TOKEN_LEN: u64 = 64 << 10;
/// Maximum nesting of lists and objects.
const DEEPEST: u32 = 64;
/// Maximum length of the text of one video, in bytes. Real ones have a few kilobytes.
const MAX_VIDEO_LEN: u64 = 4 << 20;

/// A position in a text. Lines and columns count from 1, and columns count characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column. It saturates in very long lines.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// State that the guard shares with the code above the parser, which cannot access the reader.
#[derive(Debug, Default)]
pub(super) struct ParserState {
    /// The line, counted from 0.
    place: Cell<Place>,
    after_line: Cell<bool>,
    /// The position of the first error. The parser still reads to the end of the enclosing value.
    held: Cell<Option<Place>>,
    /// Remaining bytes of the current video; `None` between videos.
    left: Cell<Option<u64>>,
    stopped: RefCell<Option<Stopped>>,
}

/// Why the guard stopped the parser.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The file could not be read.
    Io(io::Error),
    /// The content exceeds a limit.
    Bound(String),
}

impl ParserState {
    /// The position of the first error, else of the last byte.
    pub(super) fn place(&self) -> Place {
        if let Some(held) = self.held.get() {
            return held;
        }
        let Place { line, column } = self.place.get();
        Place { line: line.saturating_add(1), column: column.max(1) }
    }

    /// Records an error here. Further reading does not change its position.
    pub(super) fn hold(&self) {
        self.held.set(Some(self.place()));
    }

    /// The text of a video begins.
    pub(super) fn video_begins(&self) {
        self.left.set(Some(MAX_VIDEO_LEN));
    }

    /// The text of a video ends.
    pub(super) fn video_ends(&self) {
        self.left.set(None);
    }

    pub(super) fn stopped(&self) -> Option<Stopped> {
        self.stopped.borrow_mut().take()
    }

    fn step(&self, byte: u8) -> Result<(), String> {
        let mut place = self.place.get();
        if self.after_line.replace(byte == b'\n') {
            place = Place { line: place.line.saturating_add(1), column: 1 };
        } else if byte & 0xc0 != 0x80 {
            // Continuation bytes of UTF-8 are not characters.
            place.column = place.column.saturating_add(1);
        }
        self.place.set(place);
        match self.left.get() {
            None => Ok(()),
            Some(0) => Err(format!("one video has more than {} MiB of text", MAX_VIDEO_LEN >> 20)),
            Some(left) => {
                self.left.set(Some(left - 1));
                Ok(())
            }
        }
    }
}

/// Passes on one byte at a time, so that the position is that of the parser.
pub(super) struct Guard<'w, R> {
    inner: R,
    watched: &'w ParserState,
    lexed: Lexed,
}

/// The part of JSON's grammar that distinguishes strings from structure.
#[derive(Debug, Default)]
struct Lexed {
    in_string: bool,
    escaped: bool,
    token: u64,
    depth: u32,
}

impl Lexed {
    fn step(&mut self, byte: u8) -> Result<(), String> {
        if self.in_string {
            self.token += 1;
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
        } else {
            match byte {
                b'"' => {
                    self.in_string = true;
                    self.token = 0;
                }
                b'[' | b'{' => {
                    self.token = 0;
                    self.depth += 1;
                }
                b']' | b'}' => {
                    self.token = 0;
                    self.depth = self.depth.saturating_sub(1);
                }
                b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' => self.token = 0,
                _ => self.token += 1,
            }
        }
        if self.token > MAX_TOKEN_LEN {
            return Err(format!("a string or number of more than {} KiB", MAX_TOKEN_LEN >> 10));
        }
        if self.depth > DEEPEST {
            return Err(format!("lists and objects nested more than {DEEPEST} deep"));
        }
        Ok(())
    }
}

impl<'w, R> Guard<'w, R> {
    pub(super) fn new(inner: R, watched: &'w ParserState) -> Self {
        Self { inner, watched, lexed: Lexed::default() }
    }

    fn stop(&self, why: Stopped) -> io::Error {
        // The parser's message for this error is not used.
        self.watched.stopped.replace(Some(why));
        io::Error::other("stopped")
    }
}

impl<R: BufRead> Read for Guard<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(first) = buffer.first_mut() else { return Ok(0) };
        let byte = loop {
            match self.inner.fill_buf() {
                Ok(bytes) => match bytes.first() {
                    Some(byte) => break *byte,
                    None => return Ok(0),
                },
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.stop(Stopped::Io(error))),
            }
        };
        self.inner.consume(1);
        let checked = self.watched.step(byte).and_then(|()| self.lexed.step(byte));
        checked.map_err(|why| self.stop(Stopped::Bound(why)))?;
        *first = byte;
        Ok(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &[u8]) -> (ParserState, io::Result<usize>) {
        let watched = ParserState::default();
        let read = io::copy(&mut Guard::new(text, &watched), &mut io::sink()).map(|n| n as usize);
        (watched, read)
    }

    #[test]
    fn the_position_is_that_of_the_last_character() {
        for (text, line, column) in [
            ("", 1, 1),
            ("a", 1, 1),
            ("ab\n", 1, 3),
            ("ab\nc", 2, 1),
            ("\n\n", 2, 1),
            ("äöü", 1, 3),
            ("日\n本\r", 2, 2),
        ] {
            let (watched, read) = run(text.as_bytes());
            assert_eq!((watched.place(), read.unwrap()), (Place { line, column }, text.len()), "{text:?}");
        }
    }

    fn says(text: &[u8]) -> String {
        let (watched, read) = run(text);
        assert!(read.is_err());
        match watched.stopped() {
            Some(Stopped::Bound(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn long_tokens_and_deep_nesting_are_refused_and_long_texts_are_not() {
        let long = vec![b'1'; MAX_TOKEN_LEN as usize + 1];
        assert!(says(&long).contains("64 KiB"));
        assert!(says(&[b"\"", long.as_slice()].concat()).contains("64 KiB"));
        assert!(says(&[b"\"\\\"", long.as_slice()].concat()).contains("64 KiB"));
        assert!(says(&[b'['; 65]).contains("64 deep"));
        // Brackets in a string are not nesting, and many short tokens are not a long one.
        run(&[b"\"", [b'['; 1000].as_slice(), b"\""].concat()).1.unwrap();
        run(&b"[1,2]\n".repeat(100_000)).1.unwrap();
    }

    #[test]
    fn the_text_of_one_video_is_bounded() {
        let watched = ParserState::default();
        watched.video_begins();
        let mut guard = Guard::new(io::repeat(b' ').take(MAX_VIDEO_LEN + 1).chain(io::empty()), &watched);
        // `repeat` does not implement `BufRead`.
        let mut guard = Guard::new(io::BufReader::new(&mut guard.inner), &watched);
        assert!(io::copy(&mut guard, &mut io::sink()).is_err());
        assert!(matches!(watched.stopped(), Some(Stopped::Bound(why)) if why.contains("4 MiB")));
    }
}

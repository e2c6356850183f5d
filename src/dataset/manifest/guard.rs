//! The reader under the JSON parser: knows where it is, and stops what would cost memory without bound.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, BufRead, Read};

/// Longest string, number or word, in bytes.
pub(super) const MAX_TOKEN_LEN: u64 = 64 << 10;
/// Deepest nesting of lists and objects.
const DEEPEST: u32 = 64;
/// Longest text of one video, in bytes. The longest real ones have a few kilobytes.
const MAX_VIDEO_LEN: u64 = 4 << 20;

/// A place in a text, both counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column; the last one that fits for lines of more characters than that.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// What the guard tells the code above the parser, which cannot reach the reader itself.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// The line counted from 0.
    place: Cell<Place>,
    after_line: Cell<bool>,
    /// Where the first error was: on its way up the parser still reads to the end of what it is in.
    held: Cell<Option<Place>>,
    /// Bytes that the video in hand may still have; `None` between videos.
    left: Cell<Option<u64>>,
    stopped: RefCell<Option<Stopped>>,
}

/// Why the guard ended the reading.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The file could not be read.
    Io(io::Error),
    /// It asks for more than anybody needs.
    Bound(String),
}

impl Watched {
    /// The place of the byte that was read last, or that of the first error.
    pub(super) fn place(&self) -> Place {
        if let Some(held) = self.held.get() {
            return held;
        }
        let Place { line, column } = self.place.get();
        Place { line: line.saturating_add(1), column: column.max(1) }
    }

    /// There is an error here; what is read from now on does not move the place.
    pub(super) fn hold(&self) {
        self.held.set(Some(self.place()));
    }

    /// From here on the text of one video is read.
    pub(super) fn video_begins(&self) {
        self.left.set(Some(MAX_VIDEO_LEN));
    }

    /// It has been read.
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
            // The bytes that continue a character in UTF-8 are no characters of their own.
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

/// Gives the parser byte by byte, so that the place is always that of what it has in hand.
pub(super) struct Guard<'w, R> {
    inner: R,
    watched: &'w Watched,
    lexed: Lexed,
}

/// As much of JSON's grammar as tells strings from structure.
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
            return Err(format!("a text or number of more than {} KiB", MAX_TOKEN_LEN >> 10));
        }
        if self.depth > DEEPEST {
            return Err(format!("lists and objects more than {DEEPEST} deep in one another"));
        }
        Ok(())
    }
}

impl<'w, R> Guard<'w, R> {
    pub(super) fn new(inner: R, watched: &'w Watched) -> Self {
        Self { inner, watched, lexed: Lexed::default() }
    }

    fn stop(&self, why: Stopped) -> io::Error {
        // What the parser makes of this error is not looked at.
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

    fn run(text: &[u8]) -> (Watched, io::Result<usize>) {
        let watched = Watched::default();
        let read = io::copy(&mut Guard::new(text, &watched), &mut io::sink()).map(|n| n as usize);
        (watched, read)
    }

    #[test]
    fn the_place_is_that_of_the_last_character() {
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
    fn long_tokens_and_deep_nesting_are_stopped_and_long_texts_are_not() {
        let long = vec![b'1'; MAX_TOKEN_LEN as usize + 1];
        assert!(says(&long).contains("64 KiB"));
        assert!(says(&[b"\"", long.as_slice()].concat()).contains("64 KiB"));
        assert!(says(&[b"\"\\\"", long.as_slice()].concat()).contains("64 KiB"));
        assert!(says(&[b'['; 65]).contains("64 deep"));
        // Many brackets in a string are no nesting, and many short tokens are no long one.
        run(&[b"\"", [b'['; 1000].as_slice(), b"\""].concat()).1.unwrap();
        run(&b"[1,2]\n".repeat(100_000)).1.unwrap();
    }

    #[test]
    fn one_video_may_not_have_text_without_end() {
        let watched = Watched::default();
        watched.video_begins();
        let mut guard = Guard::new(io::repeat(b' ').take(MAX_VIDEO_LEN + 1).chain(io::empty()), &watched);
        // `repeat` is no `BufRead`.
        let mut guard = Guard::new(io::BufReader::new(&mut guard.inner), &watched);
        assert!(io::copy(&mut guard, &mut io::sink()).is_err());
        assert!(matches!(watched.stopped(), Some(Stopped::Bound(why)) if why.contains("4 MiB")));
    }
}

//! The pickle writer: one method for each opcode of protocol 2, which all current versions of Python read.

use std::io::{self, Write};

use crate::opcode as op;

/// Writes a pickle, opcode by opcode. Methods for values push them onto a stack, and methods for containers and calls take
/// their arguments from it. The caller is responsible for a valid sequence.
#[derive(Debug)]
#[must_use = "a pickle is complete only after `finish`"]
pub struct PickleWriter<W: Write> {
    out: W,
}

impl<W: Write> PickleWriter<W> {
    /// Begins a pickle.
    ///
    /// # Errors
    /// When writing to `out` fails. The same applies to all methods.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&[op::PROTO, 2])?;
        Ok(Self { out })
    }

    /// Ends the pickle, whose value is the top of the stack. Does not flush.
    ///
    /// # Errors
    /// See [`new`](Self::new).
    pub fn finish(mut self) -> io::Result<W> {
        self.opcode(op::STOP)?;
        Ok(self.out)
    }

    fn opcode(&mut self, opcode: u8) -> io::Result<()> {
        self.out.write_all(&[opcode])
    }

    fn opcode_with<const N: usize>(&mut self, opcode: u8, argument: [u8; N]) -> io::Result<()> {
        self.opcode(opcode)?;
        self.out.write_all(&argument)
    }

    /// `None`.
    ///
    /// # Errors
    /// See [`new`](Self::new).
    pub fn none(&mut self) -> io::Result<()> {
        self.opcode(op::NONE)
    }

    /// `True` or `False`.
    ///
    /// # Errors
    /// See [`new`](Self::new).
    pub fn bool(&mut self, value: bool) -> io::Result<()> {
        self.opcode(if value { op::NEWTRUE } else { op::NEWFALSE })
    }

    /// An integer, in the shortest encoding.
    ///
    /// # Errors
    /// See [`new`](Self::new).
    pub fn int(&mut self, value: i64) -> io::Result<()> {
        if let Ok(value) = u8::try_from(value) {
            self.opcode_with(op::BININT1, value.to_le_bytes())
        } else if let Ok(value) = u16::try_from(value) {
            self.opcode_with(op::BININT2, value.to_le_bytes())
        } else if let Ok(value) = i32::try_from(value) {
            self.opcode_with(op::BININT, value.to_le_bytes())
        } else {
            self.opcode_with(op::LONG1, [8])?;
            self.out.write_all(&value.to_le_bytes())
        }
    }

    /// A size.
    ///
    /// # Errors
    /// See [`new`](Self::new); also when it does not fit 63 bits.
    pub fn usize(&mut self, value: usize) -> io::Result<()> {
        self.int(i64::try_from(value).map_err(|_| invalid("failed to write a size that does not fit 63 bits"))?)
    }

    /// A float.
    ///
    /// # Errors
    /// See [`new`](Self::new).
    pub fn float(&mut self, value: f64) -> io::Result<()> {
        self.opcode_with(op::BINFLOAT, value.to_be_bytes())
    }

    /// Text.
    ///
    /// # Errors
    /// See [`new`](Self::new); also when it has 4 GiB or more, for which protocol 2 has no opcode.
    pub fn str(&mut self, text: &str) -> io::Result<()> {
        self.str_header(text.len())?;
        self.out.write_all(text.as_bytes())
    }

    fn str_header(&mut self, length: usize) -> io::Result<()> {
        let length = u32::try_from(length).map_err(|_| invalid("failed to write text of 4 GiB or more"))?;
        self.opcode_with(op::BINUNICODE, length.to_le_bytes())
    }

    /// Bytes, as the call `_codecs.encode(text, 'latin1')`: protocol 2 has no opcode for them. Python does the same.
    ///
    /// # Errors
    /// See [`str`](Self::str).
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.global("_codecs", "encode")?;
        // In UTF-8 a character from U+0080 to U+00FF takes two bytes.
        let wide = bytes.iter().filter(|byte| !byte.is_ascii()).count();
        self.str_header(bytes.len() + wide)?;
        let mut encoded = Vec::with_capacity(8192);
        for chunk in bytes.chunks(4096) {
            encoded.clear();
            for &byte in chunk {
                if byte.is_ascii() {
                    encoded.push(byte);
                } else {
                    encoded.extend([0xc0 | byte >> 6, 0x80 | byte & 0x3f]);
                }
            }
            self.out.write_all(&encoded)?;
        }
        self.str("latin1")?;
        self.tuple2()?;
        self.reduce()
    }

    /// A class or function by name. Python imports it when it loads the pickle.
    ///
    /// # Errors
    /// See [`new`](Self::new); also when a name contains a line break.
    pub fn global(&mut self, module: &str, name: &str) -> io::Result<()> {
        if module.contains('\n') || name.contains('\n') {
            return Err(invalid("failed to write the name of a class with a line break in it"));
        }
        self.opcode(op::GLOBAL)?;
        self.out.write_all(format!("{module}\n{name}\n").as_bytes())
    }

    /// Replaces a callable and the tuple of arguments above it by the result of the call.
    ///
    /// # Errors
    /// See [`new`](Self::new).
    pub fn reduce(&mut self) -> io::Result<()> {
        self.opcode(op::REDUCE)
    }

    /// Replaces a value by the object that it refers to as a persistent id.
    ///
    /// # Errors
    /// See [`new`](Self::new).
    pub fn persistent_id(&mut self) -> io::Result<()> {
        self.opcode(op::BINPERSID)
    }

    /// Marks the start of the elements of a tuple, or of the entries to add to a dict.
    ///
    /// # Errors
    /// See [`new`](Self::new).
    pub fn mark(&mut self) -> io::Result<()> {
        self.opcode(op::MARK)
    }

    /// `()`.
    ///
    /// # Errors
    /// See [`new`](Self::new).
    pub fn empty_tuple(&mut self) -> io::Result<()> {
        self.opcode(op::EMPTY_TUPLE)
    }

    /// Replaces all values above the mark by a tuple.
    ///
    /// # Errors
    /// See [`new`](Self::new).
    pub fn tuple(&mut self) -> io::Result<()> {
        self.opcode(op::TUPLE)
    }

    /// Replaces the last value by a tuple of it.
    ///
    /// # Errors
    /// See [`new`](Self::new).
    pub fn tuple1(&mut self) -> io::Result<()> {
        self.opcode(op::TUPLE1)
    }

    /// Replaces the last two values by a tuple.
    ///
    /// # Errors
    /// See [`new`](Self::new).
    pub fn tuple2(&mut self) -> io::Result<()> {
        self.opcode(op::TUPLE2)
    }

    /// A tuple of sizes.
    ///
    /// # Errors
    /// See [`usize`](Self::usize).
    pub fn sizes(&mut self, sizes: &[usize]) -> io::Result<()> {
        self.mark()?;
        for &size in sizes {
            self.usize(size)?;
        }
        self.tuple()
    }

    /// `[]`.
    ///
    /// # Errors
    /// See [`new`](Self::new).
    pub fn empty_list(&mut self) -> io::Result<()> {
        self.opcode(op::EMPTY_LIST)
    }

    /// Appends the last value to the list below it.
    ///
    /// # Errors
    /// See [`new`](Self::new).
    pub fn append(&mut self) -> io::Result<()> {
        self.opcode(op::APPEND)
    }

    /// `{}`.
    ///
    /// # Errors
    /// See [`new`](Self::new).
    pub fn empty_dict(&mut self) -> io::Result<()> {
        self.opcode(op::EMPTY_DICT)
    }

    /// Adds the keys and values above the mark to the dict below it.
    ///
    /// # Errors
    /// See [`new`](Self::new).
    pub fn set_items(&mut self) -> io::Result<()> {
        self.opcode(op::SETITEMS)
    }

    /// Stores the last value in a memo entry.
    ///
    /// # Errors
    /// See [`new`](Self::new).
    pub fn put(&mut self, number: u8) -> io::Result<()> {
        self.opcode_with(op::BINPUT, [number])
    }

    /// The value of a memo entry: the same object, not a copy.
    ///
    /// # Errors
    /// See [`new`](Self::new).
    pub fn get(&mut self, number: u8) -> io::Result<()> {
        self.opcode_with(op::BINGET, [number])
    }
}

/// The error for a value that cannot be written.
pub(crate) fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message.into())
}

/// Writes floats in little-endian order.
pub(crate) fn write_f32s(out: &mut impl Write, values: &[f32]) -> io::Result<()> {
    write_all(out, values, |value| value.to_le_bytes())
}

/// Writes integers in little-endian order.
pub(crate) fn write_i64s(out: &mut impl Write, values: &[i64]) -> io::Result<()> {
    write_all(out, values, |value| value.to_le_bytes())
}

fn write_all<T: Copy, const N: usize>(
    out: &mut impl Write,
    values: &[T],
    encode: impl Fn(T) -> [u8; N],
) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(8192 * N);
    for chunk in values.chunks(8192) {
        buffer.clear();
        buffer.extend(chunk.iter().flat_map(|&value| encode(value)));
        out.write_all(&buffer)?;
    }
    Ok(())
}

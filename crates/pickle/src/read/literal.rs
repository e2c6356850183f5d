//! Opcodes that push a value from the bytes after them.

use std::borrow::Cow;

use super::Problem;
use super::input::Input;
use super::text;
use crate::opcode as op;
use crate::value::Node;

/// The value of an opcode that takes nothing from the stack.
pub(super) fn read<'a>(opcode: u8, input: &mut Input<'a>) -> Result<Node<'a>, Problem> {
    Ok(match opcode {
        op::NONE => Node::None,
        op::NEWTRUE => Node::Bool(true),
        op::NEWFALSE => Node::Bool(false),
        op::BININT => Node::Int(i64::from(i32::from_le_bytes(input.array()?))),
        op::BININT1 => Node::Int(i64::from(input.u8()?)),
        op::BININT2 => Node::Int(i64::from(u16::from_le_bytes(input.array()?))),
        op::LONG1 => integer(Cow::Borrowed(input.counted::<1>()?)),
        op::LONG4 => integer(Cow::Borrowed(input.counted::<4>()?)),
        op::INT => match input.line()? {
            // Protocol 0 writes bools like this.
            b"00" => Node::Bool(false),
            b"01" => Node::Bool(true),
            line => integer(Cow::Owned(text::decimal(line)?)),
        },
        op::LONG => integer(Cow::Owned(text::decimal(input.line()?)?)),
        op::FLOAT => Node::Float(text::float(input.line()?)?),
        op::BINFLOAT => Node::Float(f64::from_be_bytes(input.array()?)),
        op::STRING => python2_string(Cow::Owned(text::quoted(input.line()?)?)),
        op::BINSTRING => python2_string(Cow::Borrowed(input.counted::<4>()?)),
        op::SHORT_BINSTRING => python2_string(Cow::Borrowed(input.counted::<1>()?)),
        op::UNICODE => Node::Str(Cow::Owned(text::raw_unicode_escape(input.line()?)?)),
        op::SHORT_BINUNICODE => Node::Str(String::from_utf8_lossy(input.counted::<1>()?)),
        op::BINUNICODE => Node::Str(String::from_utf8_lossy(input.counted::<4>()?)),
        op::BINUNICODE8 => Node::Str(String::from_utf8_lossy(input.counted::<8>()?)),
        op::SHORT_BINBYTES => Node::Bytes(Cow::Borrowed(input.counted::<1>()?)),
        op::BINBYTES => Node::Bytes(Cow::Borrowed(input.counted::<4>()?)),
        op::BINBYTES8 | op::BYTEARRAY8 => Node::Bytes(Cow::Borrowed(input.counted::<8>()?)),
        op::EMPTY_TUPLE => Node::Tuple(Vec::new()),
        op::EMPTY_LIST => Node::List(Vec::new()),
        op::EMPTY_DICT => Node::Dict(Vec::new()),
        op::EMPTY_SET => Node::Set(Vec::new()),
        op::GLOBAL => global(input)?,
        _ => return Err(Problem::UnknownOpcode(opcode)),
    })
}

/// A class or function, from one line for the module and one for the name.
pub(super) fn global<'a>(input: &mut Input<'a>) -> Result<Node<'a>, Problem> {
    let mut name = || std::str::from_utf8(input.line()?).map_err(|_| Problem::Invalid("the name of a class"));
    Ok(Node::Global { module: name()?, name: name()? })
}

/// An integer in little-endian two's complement of any length. No bytes mean 0.
fn integer(bytes: Cow<'_, [u8]>) -> Node<'_> {
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let sign = if negative { 0xff } else { 0 };
    let mut low = [sign; 8];
    let (head, tail) = bytes.split_at(bytes.len().min(8));
    for (to, from) in low.iter_mut().zip(head) {
        *to = *from;
    }
    let value = i64::from_le_bytes(low);
    if tail.iter().all(|&byte| byte == sign) && (value < 0) == negative {
        Node::Int(value)
    } else {
        Node::BigInt(bytes)
    }
}

/// A `str` of Python 2: text if it is UTF-8, because the keys of old checkpoints are such strings, and bytes otherwise.
fn python2_string(bytes: Cow<'_, [u8]>) -> Node<'_> {
    match bytes {
        Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Node::Str(Cow::Borrowed(text)),
            Err(_) => Node::Bytes(Cow::Borrowed(bytes)),
        },
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Node::Str(Cow::Owned(text)),
            Err(error) => Node::Bytes(Cow::Owned(error.into_bytes())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Node<'_> {
        integer(Cow::Borrowed(bytes))
    }

    #[test]
    fn integers_of_any_length_are_read() {
        assert_eq!(of(b""), Node::Int(0));
        assert_eq!(of(b"\xff"), Node::Int(-1));
        assert_eq!(of(b"\xff\x00"), Node::Int(255));
        assert_eq!(of(b"\x00\x00\x00\x00\x00\x00\x00\x80"), Node::Int(i64::MIN));
        // Redundant bytes.
        assert_eq!(of(b"\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00"), Node::Int(7));
        // 2^63 and -2^63 - 1 do not fit 64 bits.
        assert!(matches!(of(b"\x00\x00\x00\x00\x00\x00\x00\x80\x00"), Node::BigInt(_)));
        assert!(matches!(of(b"\xff\xff\xff\xff\xff\xff\xff\x7f\xff"), Node::BigInt(_)));
    }
}

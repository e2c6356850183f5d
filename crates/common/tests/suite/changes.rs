//! Ways to damage a file.

use proptest::prelude::*;
use proptest::sample::Index;

/// One change of a file.
#[derive(Clone, Debug)]
pub enum Change {
    Flip(Index, u8),
    Set(Index, u8),
    Cut(Index),
    Remove(Index, usize),
    /// Copies a span over another one of the same length.
    Replace(Index, Index, usize),
    Repeat(Index, usize, usize),
    Insert(Index, Vec<u8>),
    /// Overwrites bytes with 0xff: a binary length becomes the largest possible.
    Longest(Index, usize),
    /// Replaces a number in the text.
    Number(Index, &'static str),
}

/// Numbers that are too large or too small, and values that are no numbers.
const NUMBERS: [&str; 11] = [
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775808",
    "9223372036854775807",
    "4294967296",
    "-1",
    "1e308",
    "1e999",
    "0.00000000000000000000000000000000000001",
    "null",
    "\"\"",
];

/// Characters of JSON and TOML, and some that are invalid there.
const TOKENS: &[u8] = b"{}[]\",:.='#\\/\n\t -+0123456789eEtruefalsnu_\x00\x7f\xc3\xff";

pub fn change() -> impl Strategy<Value = Change> {
    let token = || prop::sample::select(TOKENS);
    prop_oneof![
        4 => (any::<Index>(), 0u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        4 => (any::<Index>(), prop_oneof![any::<u8>(), token()]).prop_map(|(at, byte)| Change::Set(at, byte)),
        1 => any::<Index>().prop_map(Change::Cut),
        2 => (any::<Index>(), 1usize..60).prop_map(|(at, length)| Change::Remove(at, length)),
        2 => (any::<Index>(), any::<Index>(), 1usize..60).prop_map(|(from, to, length)| Change::Replace(from, to, length)),
        1 => (any::<Index>(), 1usize..60, 1usize..200).prop_map(|(at, length, times)| Change::Repeat(at, length, times)),
        2 => (any::<Index>(), prop::collection::vec(token(), 1..12)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        1 => (any::<Index>(), 1usize..=8).prop_map(|(at, width)| Change::Longest(at, width)),
        4 => (any::<Index>(), prop::sample::select(NUMBERS.as_slice())).prop_map(|(at, number)| Change::Number(at, number)),
    ]
}

pub fn apply(file: &mut Vec<u8>, change: &Change) {
    let length = file.len();
    if length == 0 {
        return;
    }
    let span = |at: &Index, count: usize| at.index(length)..length.min(at.index(length) + count);
    match change {
        Change::Flip(at, bit) => file[at.index(length)] ^= 1 << bit,
        Change::Set(at, byte) => file[at.index(length)] = *byte,
        Change::Cut(at) => file.truncate(at.index(length)),
        Change::Remove(at, count) => drop(file.drain(span(at, *count))),
        Change::Replace(from, to, count) => {
            let from = file[span(from, *count)].to_vec();
            let to = span(to, from.len());
            let count = to.len();
            file[to].copy_from_slice(&from[..count]);
        }
        Change::Repeat(at, count, times) => {
            let part = file[span(at, *count)].repeat(*times);
            file.splice(at.index(length)..at.index(length), part);
        }
        Change::Insert(at, bytes) => drop(file.splice(at.index(length)..at.index(length), bytes.iter().copied())),
        Change::Longest(at, width) => file[span(at, *width)].fill(0xff),
        Change::Number(at, number) => {
            // The next number from there on.
            let Some(start) = (at.index(length)..length).find(|at| file[*at].is_ascii_digit()) else { return };
            let digits = file[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            file.splice(start..start + digits, number.bytes());
        }
    }
}

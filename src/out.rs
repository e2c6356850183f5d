//! Text for people and programs on the standard streams. Where a stream is closed there is nobody left to tell, and a run
//! must not end for it, as it would with the standard library's own macros.

use std::fmt::Arguments;
use std::io::Write;

/// Writes to standard output.
pub fn stdout(text: Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_fmt(text).and_then(|()| out.flush());
}

/// Writes to standard error.
pub fn stderr(text: Arguments<'_>) {
    let _ = std::io::stderr().lock().write_fmt(text);
}

/// A line on standard output.
#[macro_export]
macro_rules! outln {
    ($($text:tt)*) => { $crate::out::stdout(format_args!("{}\n", format_args!($($text)*))) };
}

/// A line on standard error.
#[macro_export]
macro_rules! errln {
    ($($text:tt)*) => { $crate::out::stderr(format_args!("{}\n", format_args!($($text)*))) };
}

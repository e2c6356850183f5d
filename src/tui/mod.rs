//! The terminal front end.

pub mod details;
#[cfg(test)]
mod drawn;
pub mod gauge;
pub mod picture;
pub mod setup;
pub mod still;
pub mod text;
pub mod theme;

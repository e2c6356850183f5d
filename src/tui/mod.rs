//! The terminal front end.

pub mod gauge;
pub mod text;
pub mod theme;

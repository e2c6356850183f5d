//! What engine and workers agree on: the recipe, the messages, and the files that hold features and failures.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod about;
pub mod atomic;
pub mod bounded;
pub mod digest;
pub mod error;
pub mod failure;
pub mod feature;
pub mod layout;
pub mod limits;
pub mod pinned;
pub mod probe;
pub mod protocol;
pub mod recipe;
pub mod source;
pub mod standing;
pub mod strict;
pub mod video;

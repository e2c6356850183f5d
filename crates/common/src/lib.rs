//! The data that reeldeck's programs share: recipes, messages, feature files and failure files.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]
#![warn(unreachable_pub)]

pub mod about;
pub mod atomic;
pub mod bounded;
pub mod clock;
pub mod damaged;
pub mod digest;
pub mod error;
pub mod excluded;
pub mod failure;
pub mod feature;
pub mod feature_status;
pub mod json;
pub mod layout;
pub mod limits;
pub mod machine;
pub mod open;
pub mod pid;
pub mod probe;
pub mod protocol;
pub mod recipe;
pub mod source;
pub mod strict;
pub mod thread;
pub mod versions;
pub mod video;

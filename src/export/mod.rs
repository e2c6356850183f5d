//! What trainers read, made from the feature files.

pub mod pickle;

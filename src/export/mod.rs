//! What trainers read, made from the feature files.

pub mod annotations;
pub mod missing;
pub mod pickle;

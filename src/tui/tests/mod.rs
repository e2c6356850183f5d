//! The screen as a whole, without a terminal and without an engine.

mod desk;
mod figures;
pub(super) mod made;
mod orders;
mod readme;
mod screens;
mod steps;

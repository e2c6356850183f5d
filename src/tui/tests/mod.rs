//! The screen as a whole, without a terminal and without an engine.

mod desk;
mod figures;
mod made;
mod orders;
mod readme;
mod screens;
mod steps;

//! The engine: decides which worker extracts which video when, and keeps going whatever happens to either.

pub mod assess;
pub mod checkpoint;
pub mod lock;
pub mod run;
pub mod state;
pub mod torch;
pub mod update;
pub mod worker;

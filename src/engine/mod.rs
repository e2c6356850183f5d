//! The engine: decides which worker extracts which video when, and keeps going whatever happens to either.

pub mod assess;
pub mod checkpoint;
pub mod control;
pub mod errands;
pub mod event;
pub mod excluded;
pub mod files;
pub mod listing;
pub mod lock;
pub mod log;
pub mod output;
pub mod plan;
pub mod protocol;
pub mod publish;
pub mod rate;
pub mod run;
pub mod scribe;
pub mod server;
pub mod signals;
pub mod state;
pub mod survey;
pub mod torch;
pub mod unclean;
pub mod update;
pub mod worker;

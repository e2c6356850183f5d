//! The engine: decides which worker extracts which video when, and keeps going whatever happens to either.

pub mod assess;
pub mod background_tasks;
pub mod checkpoint;
pub mod control;
pub mod crash_recovery;
pub mod event;
pub mod excluded;
pub mod files;
pub mod ids;
pub mod inspector;
pub mod journal_writer;
pub mod listing;
pub mod lock;
pub mod log;
pub mod output;
pub mod plan;
pub mod publish;
pub mod rate;
pub mod run;
pub mod server;
pub mod state;
pub mod update;
pub mod worker;

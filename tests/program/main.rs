//! The programs as users run them. Each module tests one command or one situation.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

mod attack;
mod batch;
mod clients;
mod config;
mod damaged;
mod devices;
mod disk;
mod doctor;
mod documents;
mod events;
mod export;
mod fetch;
mod gpu_check;
mod last_run;
mod layouts;
mod life;
mod limits;
mod list;
mod lost_dataset;
mod manifest;
mod mutated;
mod probe_pool;
mod real;
mod scale;
mod shards;
mod signals;
mod slurm;
mod soak;
mod special_files;
mod threads;
mod tui;
mod verify;
mod waiting;
mod watch;

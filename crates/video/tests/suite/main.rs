//! Tests of the public interface: the fast pass against the plain one, pixels against arithmetic, damage of every kind.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod arithmetic;
mod containers;
mod damage;
mod fields;
mod foreign;
mod index_mutants;
mod limits;
mod media;
mod mutated;
mod mux;
mod nvdec;
mod order;
mod passes;
mod probe;
mod tables;
mod windows;

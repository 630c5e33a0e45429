//! osdiag: answers where the time of a guest's file I/O goes.

mod exit;
mod kernel;

fn main() {}

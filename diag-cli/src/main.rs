//! osdiag: answers where the time of a guest's file I/O goes.

fn main() {}

//! Builds, runs and tests osdiag.
fn main() {}

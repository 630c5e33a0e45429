//! The tools, one module each.

pub(crate) mod iolat;

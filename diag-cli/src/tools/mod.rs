//! The tools, one module each.

pub(crate) mod delays;
pub(crate) mod diagnose;
pub(crate) mod hung;
pub(crate) mod iolat;
pub(crate) mod lock;
pub(crate) mod runq;
pub(crate) mod vmexit;

//! `osdiag delays`: where the wall-clock time of threads goes.

pub mod cells;
pub mod context;
pub mod culprits;
pub mod disks;
pub mod explain;
pub mod group;
pub mod holder;
pub mod iterators;
pub mod longest;
pub mod pieces;
pub mod place;
pub mod programs;
pub mod sleep;

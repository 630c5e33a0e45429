//! What is to be known of the running kernel: its types, the places of its fields, its symbols, its mounts,
//! its threads, its CPUs.

pub(crate) mod access;
pub(crate) mod btf;
pub(crate) mod cpus;
pub(crate) mod fields;
pub(crate) mod files;
pub(crate) mod hypervisor;
pub(crate) mod mountinfo;
pub(crate) mod mounts;
pub(crate) mod procfs;
pub(crate) mod swaps;
pub(crate) mod symbols;
pub(crate) mod waits;

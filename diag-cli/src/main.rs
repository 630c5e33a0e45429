//! osdiag: answers where the time of a guest's file I/O goes.

mod arch;
mod cli;
mod ebpf;
mod exit;
mod kernel;
mod output;
mod session;
mod target;
mod tools;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}

//! The kernel side's own log, which `-vv` shows.

use anyhow::{Context, Result};
use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};

use super::object::Value;
use crate::output::streams;

/// Everything but traces; see `aya_log_ebpf::Level`.
const DEBUG: u8 = 4;

/// The global that lets the kernel side speak, or keeps the code for it out.
pub(crate) fn level(wanted: bool) -> (&'static str, Value) {
    ("AYA_LOG_LEVEL", Value::U8(if wanted { DEBUG } else { 0 }))
}

/// Reads the log.
pub(crate) struct KernelLog(EbpfLogger<Printer>);

impl KernelLog {
    /// The log of a loaded object.
    pub(crate) fn of(ebpf: &mut Ebpf) -> Result<KernelLog> {
        EbpfLogger::init_with_logger(ebpf, Printer)
            .map(KernelLog)
            .context("cannot read the kernel side's log")
    }

    /// Prints what was said since the last call.
    pub(crate) fn print(&mut self) {
        self.0.flush();
    }
}

struct Printer;

impl Log for Printer {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        streams::note(format_args!("kernel side: {}", record.args()));
    }

    fn flush(&self) {}
}

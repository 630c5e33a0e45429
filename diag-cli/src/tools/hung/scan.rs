//! Running the task iterator.

use std::{
    collections::{BTreeSet, HashMap},
    io::Read as _,
};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{HashMap as BpfHashMap, MapData},
};
use diag_common::hung::{MAX_WANTED, Sleeper};

use super::attach::{ITERATOR, OPEN_FILES};
use crate::{
    ebpf::{maps::take, object::Object},
    kernel::{procfs::Reader, symbols::Functions},
    output::{cost::cpu_ns, record::Unavailable},
};

/// What the iterator can tell at this moment, by thread.
pub(super) type Sleepers = HashMap<u32, Sleeper>;

/// Runs the iterator, and names functions.
pub(super) struct Scanner {
    wanted: BpfHashMap<MapData, u32, u8>,
    complaints: BpfHashMap<MapData, u32, u8>,
    bytes: Vec<u8>,
    functions: Functions,
    /// What reading the kernel's symbols took, which is done once, and whether it has been.
    symbols_ns: Option<u64>,
    /// For what procfs adds to it.
    pub(super) reader: Reader,
}

impl Scanner {
    /// Takes the maps out of an object.
    pub(super) fn of(ebpf: &mut Ebpf) -> Result<Scanner> {
        Ok(Scanner {
            wanted: take(ebpf, "WANTED")?,
            complaints: take(ebpf, "COMPLAINTS")?,
            bytes: Vec::new(),
            functions: Functions::default(),
            symbols_ns: None,
            reader: Reader::default(),
        })
    }

    /// All tasks that sleep uninterruptibly.
    pub(super) fn scan(&mut self, object: &mut Object) -> Result<Sleepers> {
        self.bytes.clear();
        object
            .iterate(ITERATOR)?
            .read_to_end(&mut self.bytes)
            .context("cannot read what the task iterator says")?;
        let (records, _) = self.bytes.as_chunks();
        Ok(records.iter().map(Sleeper::from_bytes).map(|sleeper| (sleeper.pid, sleeper)).collect())
    }

    /// The threads that khungtaskd has complained of since the last call.
    pub(super) fn complaints(&mut self) -> Vec<u32> {
        let tids: Vec<u32> = self.complaints.keys().filter_map(Result::ok).collect();
        for tid in &tids {
            self.complaints.remove(tid).ok();
        }
        tids
    }

    /// The functions of a stack, innermost first.
    pub(super) fn functions(&mut self, sleeper: &Sleeper) -> Vec<String> {
        let began = self.symbols_ns.is_none().then(cpu_ns);
        let functions = self.functions.of(&sleeper.stack);
        if let Some(began) = began {
            self.symbols_ns = Some(cpu_ns() - began);
        }
        functions
    }

    /// The CPU time that reading the kernel's symbols has taken so far: none, or once.
    pub(super) fn symbols_ns(&self) -> u64 {
        self.symbols_ns.unwrap_or(0)
    }

    /// What the records lack where functions have no names, or threads cannot be asked.
    pub(super) fn unavailable(&self) -> impl Iterator<Item = Unavailable> {
        let effect = "stacks have no names, and what a task waits for is told for locks alone";
        let unread = self.reader.unavailable("of some tasks the file that they wait for is not known");
        let denied = self.reader.denied.then(|| Unavailable {
            name: OPEN_FILES.to_owned(),
            why: "reading /proc/PID/syscall and /proc/PID/fd of others' processes needs CAP_SYS_PTRACE".to_owned(),
            effect: "file, device, filesystem and mount of some tasks are not known, nor which process serves a FUSE file system"
                .to_owned(),
        });
        self.functions.unavailable(effect).into_iter().chain(unread).chain(denied)
    }
}

/// Tells of tasks, whatever they do.
pub(super) trait Source {
    /// Those of these threads that are still there. One pass over all tasks, however many are asked for, up to
    /// [`MAX_WANTED`]; then another.
    fn ask(&mut self, tids: &BTreeSet<u32>) -> Sleepers;

    /// The functions of a stack, innermost first.
    fn functions(&mut self, sleeper: &Sleeper) -> Vec<String>;

    /// Reads what procfs adds to it.
    fn reader(&mut self) -> &mut Reader;
}

/// The running kernel.
pub(super) struct Machine<'a> {
    pub(super) object: &'a mut Object,
    pub(super) scanner: &'a mut Scanner,
}

impl Source for Machine<'_> {
    fn ask(&mut self, tids: &BTreeSet<u32>) -> Sleepers {
        let tids: Vec<u32> = tids.iter().copied().collect();
        let mut found = Sleepers::new();
        for part in tids.chunks(MAX_WANTED as usize) {
            for tid in part {
                self.scanner.wanted.insert(tid, 1, 0).ok();
            }
            if let Ok(mut told) = self.scanner.scan(self.object) {
                told.retain(|tid, _| tids.binary_search(tid).is_ok());
                found.extend(told);
            }
            for tid in part {
                self.scanner.wanted.remove(tid).ok();
            }
        }
        found
    }

    fn functions(&mut self, sleeper: &Sleeper) -> Vec<String> {
        self.scanner.functions(sleeper)
    }

    fn reader(&mut self) -> &mut Reader {
        &mut self.scanner.reader
    }
}

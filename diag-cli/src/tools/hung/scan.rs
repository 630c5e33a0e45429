//! Running the task iterator.

use std::{collections::HashMap, io::Read as _, time::Duration};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{HashMap as BpfHashMap, MapData},
};
use diag_common::hung::Sleeper;

use super::attach::ITERATOR;
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
            reader: Reader::default(),
        })
    }

    /// All tasks that sleep uninterruptibly, and the CPU time that asking took.
    pub(super) fn scan(&mut self, object: &mut Object) -> Result<(Sleepers, Duration)> {
        let began = cpu_ns();
        self.bytes.clear();
        object
            .iterate(ITERATOR)?
            .read_to_end(&mut self.bytes)
            .context("cannot read what the task iterator says")?;
        let (records, _) = self.bytes.as_chunks();
        let sleepers =
            records.iter().map(Sleeper::from_bytes).map(|sleeper| (sleeper.pid, sleeper)).collect();
        Ok((sleepers, Duration::from_nanos(cpu_ns() - began)))
    }

    /// One task, whatever it does; none where it is gone.
    pub(super) fn ask(&mut self, object: &mut Object, tid: u32) -> Option<Sleeper> {
        self.wanted.insert(tid, 1, 0).ok()?;
        let scanned = self.scan(object);
        self.wanted.remove(&tid).ok();
        scanned.ok()?.0.get(&tid).copied()
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
        self.functions.of(&sleeper.stack)
    }

    /// What the records lack where functions have no names, or threads cannot be asked.
    pub(super) fn unavailable(&self) -> impl Iterator<Item = Unavailable> {
        let effect = "stacks have no names, and what a task waits for is told for locks alone";
        let unread = self.reader.unavailable("of some tasks the file that they wait for is not known");
        self.functions.unavailable(effect).into_iter().chain(unread)
    }
}

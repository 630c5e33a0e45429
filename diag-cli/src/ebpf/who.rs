//! Processes and threads that the kernel side counts by number.

use std::collections::HashMap;

use anyhow::Result;
use aya::{
    Ebpf,
    maps::{HashMap as BpfHashMap, MapData},
};
use diag_common::who::Who;

use super::maps::take;

/// The numbers of an object; each is read once.
pub(crate) struct People {
    map: BpfHashMap<MapData, u32, Who>,
    known: HashMap<u32, Who>,
}

impl People {
    /// Takes the map out of an object.
    pub(crate) fn of(ebpf: &mut Ebpf) -> Result<People> {
        Ok(People { map: take(ebpf, "TASKS_BY_NUMBER")?, known: HashMap::new() })
    }

    /// Who a number stands for; nobody for 0.
    pub(crate) fn get(&mut self, number: u32) -> Option<Who> {
        if number == 0 {
            return None;
        }
        if let Some(&who) = self.known.get(&number) {
            return Some(who);
        }
        let who = self.map.get(&number, 0).ok()?;
        self.known.insert(number, who);
        Some(who)
    }
}

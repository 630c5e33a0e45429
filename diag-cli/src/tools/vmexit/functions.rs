//! The names of kernel functions.

use std::collections::HashMap;

use diag_common::vmexit::WAKE_UP;

use super::words;
use crate::{
    kernel::symbols::{Symbols, source_name},
    output::record::Unavailable,
};

/// Names by address; each is looked up once.
#[derive(Default)]
pub(super) struct Functions {
    /// Read when the first function is to be named.
    symbols: Option<Result<Symbols, String>>,
    known: HashMap<u64, String>,
}

impl Functions {
    /// The function that begins at an address; none for 0, the address itself where it has no name.
    pub(super) fn name(&mut self, address: u64) -> Option<String> {
        match address {
            0 => return None,
            WAKE_UP => return Some(words::WAKE_UPS.to_owned()),
            _ => {}
        }
        if let Some(known) = self.known.get(&address) {
            return Some(known.clone());
        }
        let symbols =
            self.symbols.get_or_insert_with(|| Symbols::load().map_err(|error| format!("{error:#}")));
        let name = symbols.as_ref().ok().and_then(|symbols| symbols.name(address));
        let name = name.map_or_else(|| format!("{address:#x}"), |(name, _)| source_name(name).to_owned());
        self.known.insert(address, name.clone());
        Some(name)
    }

    /// What the records lack where functions have no names.
    pub(super) fn unavailable(&self) -> Option<Unavailable> {
        let why = self.symbols.as_ref()?.as_ref().err()?;
        Some(Unavailable {
            name: "kernel symbols".to_owned(),
            why: why.clone(),
            effect: "timers and IPIs are shown by the addresses of their functions, and TLB shootdowns as ipi-call"
                .to_owned(),
        })
    }

    /// Names that a test knows.
    #[cfg(test)]
    pub(super) fn known(names: &[(u64, &str)]) -> Functions {
        let known = names.iter().map(|&(address, name)| (address, name.to_owned())).collect();
        Functions { symbols: None, known }
    }
}

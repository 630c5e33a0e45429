//! Whether types that were given are those of the running kernel, told from its symbols where it shows no types.

use std::{
    collections::{BTreeSet, HashMap},
    io::BufRead,
};

use super::{Btf, Kind, Result, query::SECTION};

/// Each tracepoint has a function of this name (`__DEFINE_TRACE_EXT`, include/linux/tracepoint.h, 6.18).
const TRACEPOINT: &str = "__traceiter_";
/// Where the kernel's own copy of the per-CPU variables begins (include/asm-generic/vmlinux.lds.h, 6.18).
const PER_CPU_START: &str = "__per_cpu_start";

/// What the symbols say of types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sameness {
    /// Each per-CPU variable is where the types have it, which no two builds agree on by chance.
    Same,
    /// They are of another kernel, and why.
    Other(String),
    /// Nothing contradicts them, and nothing proves them.
    Untold(&'static str),
}

impl Btf {
    /// Compares the types with the running kernel's symbols, in the format of `/proc/kallsyms`.
    pub(crate) fn compare_with_symbols(&self, symbols: impl BufRead) -> anyhow::Result<Sameness> {
        let variables = self.per_cpu_variables()?;
        let (mut tracepoints, mut start, mut places) = (BTreeSet::new(), None, HashMap::<_, Vec<u64>>::new());
        for line in symbols.lines() {
            let line = line?;
            // Symbols of modules have a fourth word.
            let mut words = line.split_whitespace();
            let (Some(address), Some(_), Some(name), None) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                continue;
            };
            let address = u64::from_str_radix(address, 16).unwrap_or(0);
            if name.starts_with(TRACEPOINT) {
                tracepoints.insert(name.to_owned());
            } else if name == PER_CPU_START {
                start = Some(address);
            } else if variables.contains_key(name) {
                places.entry(name.to_owned()).or_default().push(address);
            }
        }
        if tracepoints.is_empty() {
            return Ok(Sameness::Untold(
                "the running kernel shows neither types nor symbols to compare with",
            ));
        }
        let known = self.functions_named(TRACEPOINT);
        if let Some(event) = known.symmetric_difference(&tracepoints).next() {
            let (has, lacks) = if known.contains(event) {
                ("the file has", "the running kernel has not")
            } else {
                ("the running kernel has", "the file has not")
            };
            let event = event.strip_prefix(TRACEPOINT).unwrap_or(event);
            return Ok(Sameness::Other(format!("{has} a tracepoint {event}, which {lacks}")));
        }
        let hidden = places.values().flatten().all(|&address| address == 0);
        let Some(start) = start.filter(|_| !hidden) else {
            return Ok(Sameness::Untold(
                "the running kernel shows no types and no per-CPU variables to compare with; its tracepoints are those of the file",
            ));
        };
        for (name, addresses) in &places {
            let wanted = &variables[name];
            let offsets = addresses.iter().map(|address| address.wrapping_sub(start));
            if !offsets.clone().any(|offset| wanted.iter().any(|&wanted| u64::from(wanted) == offset)) {
                return Ok(Sameness::Other(format!(
                    "the per-CPU variable {name} is elsewhere in the running kernel"
                )));
            }
        }
        Ok(Sameness::Same)
    }

    /// Where the types say that per-CPU variables are; static ones of several files may have one name.
    fn per_cpu_variables(&self) -> Result<HashMap<String, Vec<u32>>> {
        let mut variables = HashMap::<String, Vec<u32>>::new();
        let Some(section) = self.named(SECTION).find(|t| t.kind == Kind::Section) else {
            return Ok(variables);
        };
        for index in 0..section.elements as usize {
            let (id, offset) = (self.body(&section, index * 3)?, self.body(&section, index * 3 + 1)?);
            if let Some(variable) = self.get(id)? {
                let name = String::from_utf8_lossy(self.name(variable.name)).into_owned();
                variables.entry(name).or_default().push(offset);
            }
        }
        Ok(variables)
    }

    /// The functions whose name begins like this.
    fn functions_named(&self, prefix: &str) -> BTreeSet<String> {
        let functions = self.types.iter().filter_map(|&at| self.read(at)).filter(|t| t.kind == Kind::Func);
        let names = functions.map(|t| self.name(t.name)).filter(|name| name.starts_with(prefix.as_bytes()));
        names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }
}

//! The kernel's functions, and its variables, by address, from `/proc/kallsyms`.

use std::fs::File;
use std::io::{BufRead, BufReader};

use anyhow::{Context, Result, bail};
use diag_common::stack::Stack;

use crate::output::record::Unavailable;

/// Where the running kernel shows its symbols.
pub(crate) const KALLSYMS: &str = "/proc/kallsyms";
const READ_BYTES: usize = 64 << 10;
/// Why addresses have no names where the kernel shows zeros in their place (`kallsyms_show_value`, kernel/kallsyms.c, 6.18).
const HIDDEN: &str = "the kernel hides the addresses in /proc/kallsyms: this needs CAP_SYSLOG, and kernel.kptr_restrict at most 1";

/// Beyond this, an address belongs to no function: it lies in a gap of the text.
const LARGEST_FUNCTION: u64 = 1 << 17;

/// Where each function begins, in one sorted list and one string: 5 MB for 120 000 functions.
pub(crate) struct Symbols {
    starts: Vec<(u64, u32)>,
    /// The names, each ended by a line feed.
    names: String,
}

impl Symbols {
    /// Reads the symbols of the running kernel and its modules, which takes some 60 ms.
    ///
    /// The error is a sentence that says why addresses stay without a name: mostly that the kernel hides them.
    pub(crate) fn load() -> Result<Symbols> {
        Symbols::read(source()?, is_function)
    }

    /// The same of variables. A kernel without CONFIG_KALLSYMS_ALL lists next to none.
    pub(crate) fn load_variables() -> Result<Symbols> {
        Symbols::read(source()?, is_variable)
    }

    fn read(mut source: impl BufRead, wanted: fn(&str) -> bool) -> Result<Symbols> {
        let mut symbols = Symbols { starts: Vec::new(), names: String::new() };
        let mut line = Vec::new();
        let mut hidden = false;
        while source.read_until(b'\n', &mut line).with_context(|| format!("cannot read {KALLSYMS}"))? != 0 {
            let entry = std::str::from_utf8(&line).ok().and_then(|line| symbol(line, wanted));
            if let Some((start, name)) = entry {
                hidden |= start == 0;
                if start != 0 {
                    symbols.starts.push((start, u32::try_from(symbols.names.len())?));
                    symbols.names.push_str(name);
                    symbols.names.push('\n');
                }
            }
            line.clear();
        }
        if symbols.starts.is_empty() && hidden {
            bail!("{HIDDEN}");
        }
        if symbols.starts.is_empty() {
            bail!("{KALLSYMS} is empty: the kernel has no CONFIG_KALLSYMS");
        }
        // Of several names for an address the first counts, as in get_symbol_pos() (kernel/kallsyms.c, 6.18).
        symbols.starts.sort_by_key(|&(start, _)| start);
        symbols.starts.dedup_by_key(|&mut (start, _)| start);
        symbols.starts.shrink_to_fit();
        symbols.names.shrink_to_fit();
        Ok(symbols)
    }

    /// The variable that begins at an address, or that an address is in: where variables stand close to each other, since
    /// nothing tells how long one is.
    pub(crate) fn variable(&self, address: u64) -> Option<String> {
        const ALL_ARE_THERE: usize = 1000;
        match self.name(address)? {
            (name, 0) => Some(name.to_owned()),
            (name, offset) if self.starts.len() >= ALL_ARE_THERE => Some(format!("{name}+{offset:#x}")),
            _ => None,
        }
    }

    /// The function that an address is in, and how many bytes it is into it.
    pub(crate) fn name(&self, address: u64) -> Option<(&str, u64)> {
        let index = self.starts.partition_point(|&(start, _)| start <= address).checked_sub(1)?;
        let (start, name) = self.starts[index];
        let offset = address - start;
        let name = self.names[name as usize..].lines().next()?;
        (offset < LARGEST_FUNCTION).then_some((name, offset))
    }

    /// The function that an address is in, by its name in the source; the address where it has no name.
    fn function(&self, address: u64) -> String {
        self.name(address).map_or_else(|| format!("{address:#x}"), |(name, _)| source_name(name).to_owned())
    }

    /// Where a function begins. Of several of that name the first counts.
    pub(crate) fn address(&self, name: &str) -> Option<u64> {
        let is_it = |&&(_, at): &&(u64, u32)| {
            self.names[at as usize..].strip_prefix(name).is_some_and(|rest| rest.starts_with('\n'))
        };
        self.starts.iter().find(is_it).map(|&(start, _)| start)
    }
}

/// The names of functions.
#[derive(Default)]
pub(crate) struct Functions {
    /// Read when the first function is to be named: it takes 60 ms and 5 MB.
    symbols: Option<Result<Symbols, String>>,
}

impl Functions {
    /// The functions of a stack, up to its first zero, innermost first; an address where one has no name. None where
    /// the symbols cannot be had, or where the stack is empty.
    pub(crate) fn of(&mut self, stack: &Stack) -> Vec<String> {
        let frames = || stack.iter().take_while(|&&frame| frame != 0);
        if frames().next().is_none() {
            return Vec::new();
        }
        let Some(symbols) = self.symbols() else { return Vec::new() };
        frames().map(|&frame| symbols.function(frame)).collect()
    }

    /// The function that an address is in; the address where it has no name.
    pub(crate) fn at(&mut self, address: u64) -> String {
        self.symbols().map_or_else(|| format!("{address:#x}"), |symbols| symbols.function(address))
    }

    fn symbols(&mut self) -> Option<&Symbols> {
        let load = || Symbols::load().map_err(|error| format!("{error:#}"));
        self.symbols.get_or_insert_with(load).as_ref().ok()
    }

    /// Functions that a test knows, of which each ends where the next one begins.
    #[cfg(test)]
    pub(crate) fn known(functions: &[(u64, &str)]) -> Functions {
        let lines: String = functions.iter().map(|(at, name)| format!("{at:x} t {name}\n")).collect();
        let symbols = Symbols::read(lines.as_bytes(), is_function).map_err(|error| error.to_string());
        Functions { symbols: Some(symbols) }
    }

    /// What the records lack where functions have no names, whether or not one was asked for.
    pub(crate) fn unavailable(&self, effect: &str) -> Option<Unavailable> {
        let why = match &self.symbols {
            Some(symbols) => symbols.as_ref().err()?.clone(),
            None => why_unreadable(source().ok()?)?,
        };
        Some(Unavailable { name: "kernel-symbols".to_owned(), why, effect: effect.to_owned() })
    }
}

/// Why no address would get a name, by the first function alone; none where they would.
fn why_unreadable(source: impl BufRead) -> Option<String> {
    let addresses =
        source.lines().map_while(Result::ok).filter_map(|line| Some(symbol(&line, is_function)?.0));
    match addresses.take(1).next() {
        Some(0) => Some(HIDDEN.to_owned()),
        _ => None,
    }
}

fn source() -> Result<impl BufRead> {
    let file = File::open(KALLSYMS).with_context(|| format!("cannot read {KALLSYMS}"))?;
    Ok(BufReader::with_capacity(READ_BYTES, file))
}

/// The address and name in a line `ffffffff81000000 T _stext`, if it is of a kind that is wanted.
fn symbol(line: &str, wanted: fn(&str) -> bool) -> Option<(u64, &str)> {
    let mut words = line.split_ascii_whitespace();
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    wanted(words.next()?).then_some(())?;
    Some((address, words.next()?))
}

fn is_function(kind: &str) -> bool {
    matches!(kind, "t" | "T" | "w" | "W")
}

fn is_variable(kind: &str) -> bool {
    matches!(kind, "d" | "D" | "b" | "B" | "r" | "R")
}

/// Whether a function is meant: `*` at either end of the pattern stands for anything. The compiler's suffixes (`.isra.0`,
/// `.cold`) are not part of a name.
pub(crate) fn is_meant(pattern: &str, name: &str) -> bool {
    let name = name.split('.').next().unwrap_or(name);
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(rest), Some(_)) => name.contains(rest.trim_end_matches('*')),
        (Some(end), None) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => name == pattern,
    }
}

/// A function's name in the source, without what compilers append to parts and clones of it (`.constprop.0`, `.cold`).
fn source_name(name: &str) -> &str {
    match name.find('.') {
        Some(0) | None => name,
        Some(dot) => &name[..dot],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_symbols_are_known_by_the_first_function() {
        let shown = "0000000000000000 A fixed_percpu_data\nffffffff81000000 T _stext\n";
        assert_eq!(why_unreadable(shown.as_bytes()), None);
        let hidden = "0000000000000000 A fixed_percpu_data\n0000000000000000 T _stext\n";
        assert!(why_unreadable(hidden.as_bytes()).unwrap().contains("CAP_SYSLOG"));
    }

    const SAMPLE: &str = "\
0000000000000000 A fixed_percpu_data
ffffffff81000000 T _stext
ffffffff81000000 T first_alias
ffffffff81000400 t second.isra.0
ffffffff82000000 D data
ffffffffc0000100 t in_module\t[ext4]
ffffffff81000200 W weak
";

    #[test]
    fn an_address_is_named_by_the_function_that_it_is_in() {
        let symbols = Symbols::read(SAMPLE.as_bytes(), is_function).unwrap();
        assert_eq!(symbols.name(0xffff_ffff_8100_0000), Some(("_stext", 0)));
        assert_eq!(symbols.name(0xffff_ffff_8100_01ff), Some(("_stext", 0x1ff)));
        assert_eq!(symbols.name(0xffff_ffff_8100_0210), Some(("weak", 0x10)));
        assert_eq!(symbols.name(0xffff_ffff_c000_0123), Some(("in_module", 0x23)));
        assert_eq!(symbols.name(0xffff_ffff_8200_0000), None);
        assert_eq!(symbols.name(0x40_0000), None);
    }

    #[test]
    fn a_variable_has_its_name_where_it_begins() {
        let symbols = Symbols::read(SAMPLE.as_bytes(), is_variable).unwrap();
        assert_eq!(symbols.variable(0xffff_ffff_8200_0000).as_deref(), Some("data"));
        assert_eq!(symbols.variable(0xffff_ffff_8200_0010), None);
        assert_eq!(symbols.variable(0xffff_ffff_8100_0000), None);
    }

    #[test]
    fn a_function_is_found_by_its_whole_name() {
        let symbols = Symbols::read(SAMPLE.as_bytes(), is_function).unwrap();
        assert_eq!(symbols.address("weak"), Some(0xffff_ffff_8100_0200));
        assert_eq!(symbols.address("second"), None);
        assert_eq!(symbols.address("data"), None);
    }

    #[test]
    fn hidden_addresses_are_an_error_that_says_so() {
        let error = |text: &str| Symbols::read(text.as_bytes(), is_function).err().unwrap().to_string();
        assert!(error("0000000000000000 T _stext\n").contains("kptr_restrict"));
        assert!(error("").contains("CONFIG_KALLSYMS"));
        assert!(error("\u{fffd} not a symbol\n\n1 T\n").contains("CONFIG_KALLSYMS"));
    }

    #[test]
    fn a_pattern_can_be_open_at_either_end() {
        for (pattern, name) in [
            ("down", "down"),
            ("down_*", "down_read"),
            ("*_lock", "mutex_lock.cold"),
            ("*mutex*", "__mutex_lock"),
        ] {
            assert!(is_meant(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("down", "down_read"), ("down_*", "up_down_"), ("*_lock", "mutex_lock_io")] {
            assert!(!is_meant(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_clone_has_the_name_of_its_source() {
        assert_eq!(source_name("shrink_node.constprop.0"), "shrink_node");
        assert_eq!(source_name("vfs_read"), "vfs_read");
        assert_eq!(source_name(".text"), ".text");
    }
}

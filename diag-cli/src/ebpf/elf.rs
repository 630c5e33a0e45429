//! An eBPF object before it is loaded: what its programs refer to.
//!
//! Every object holds the maps and globals of all tools, since they are statics of one crate. What no instruction refers
//! to is neither resolved nor created.

use std::{collections::BTreeSet, ops::Range};

use anyhow::{Context as _, Result};
use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SectionIndex, SectionKind,
    SymbolKind, read::elf::ElfFile64,
};

/// The section of map definitions that `aya_ebpf::macros::map` writes.
const MAPS: &str = "maps";
/// The kernel side's log: aya-log looks for it in every object.
pub(super) const LOG: &str = "AYA_LOGS";
/// `Elf64_Sym` (include/uapi/linux/elf.h): its size, and where it says which section the symbol is in.
const SYMBOL_BYTES: usize = 24;
const SECTION_OF_SYMBOL: usize = 6;

/// An object's bytes, and what was found in them.
pub(super) struct Image {
    bytes: Vec<u8>,
    /// Where the programs are.
    code: Vec<Range<usize>>,
    /// The symbols that they refer to.
    used: BTreeSet<String>,
    /// Where the symbols of maps that they do not refer to say in which section they are.
    unused_maps: Vec<usize>,
}

impl Image {
    /// Reads an object that was built with this program.
    pub(super) fn read(bytes: &[u8]) -> Result<Image> {
        let file = ElfFile64::<object::Endianness>::parse(bytes).context("the eBPF object is no ELF file")?;
        let mut image =
            Image { bytes: bytes.to_vec(), code: Vec::new(), used: BTreeSet::new(), unused_maps: Vec::new() };
        for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
            let (start, length) = section.file_range().context("a program of the eBPF object is missing")?;
            image.code.push(start as usize..(start + length) as usize);
            for (_, relocation) in section.relocations() {
                let RelocationTarget::Symbol(target) = relocation.target() else { continue };
                if let Ok(name) = file.symbol_by_index(target).and_then(|symbol| symbol.name()) {
                    image.used.insert(name.to_owned());
                }
            }
        }
        let maps = file.section_by_name(MAPS).map(|section| section.index());
        let table = file.section_by_name(".symtab").and_then(|table| table.file_range());
        if let (Some(maps), Some((table, _))) = (maps, table) {
            let of_maps = file.symbols().filter(|symbol| is_map(symbol, maps));
            let unused = of_maps
                .filter(|symbol| symbol.name().is_ok_and(|name| name != LOG && !image.refers_to(name)));
            image.unused_maps = unused
                .map(|symbol| table as usize + symbol.index().0 * SYMBOL_BYTES + SECTION_OF_SYMBOL)
                .collect();
        }
        Ok(image)
    }

    /// Whether a program refers to a symbol.
    pub(super) fn refers_to(&self, symbol: &str) -> bool {
        self.used.contains(symbol)
    }

    /// The instructions of each section of programs.
    pub(super) fn code(&mut self) -> impl Iterator<Item = &mut [u8]> {
        // Sections of one file do not overlap, but the compiler cannot know that.
        let (bytes, mut rest, mut at) = (&mut self.bytes, Vec::new(), 0);
        let mut sorted = self.code.clone();
        sorted.sort_by_key(|range| range.start);
        let mut left: &mut [u8] = bytes;
        for range in sorted {
            let (_, from) = left.split_at_mut(range.start - at);
            let (section, behind) = from.split_at_mut(range.len());
            rest.push(section);
            (left, at) = (behind, range.end);
        }
        rest.into_iter()
    }

    /// The object without the maps that no program refers to: their symbols are made undefined, and the loader creates a
    /// map for each symbol of the section.
    pub(super) fn without_unused_maps(mut self) -> Vec<u8> {
        for at in self.unused_maps {
            self.bytes[at..at + 2].fill(0);
        }
        self.bytes
    }
}

fn is_map<'a>(symbol: &impl object::ObjectSymbol<'a>, maps: SectionIndex) -> bool {
    symbol.section_index() == Some(maps) && symbol.kind() == SymbolKind::Data
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUNG: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/hung"));

    fn maps(bytes: &[u8]) -> Vec<String> {
        let file = ElfFile64::<object::Endianness>::parse(bytes).unwrap();
        let maps = file.section_by_name(MAPS).unwrap().index();
        let mut names: Vec<String> =
            file.symbols().filter(|s| is_map(s, maps)).map(|s| s.name().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_object_refers_to_the_fields_and_maps_of_its_own_tool() {
        let image = Image::read(HUNG).unwrap();
        for used in ["TASK_PID", "TASK_VFORK_DONE", "COMPLAINTS", "SCOPE_PIDS"] {
            assert!(image.refers_to(used), "{used}");
        }
        for unused in ["REQUEST_START", "CELLS", "LOCK_CELLS"] {
            assert!(!image.refers_to(unused), "{unused}");
        }
    }

    #[test]
    fn maps_that_no_program_refers_to_are_left_out() {
        let image = Image::read(HUNG).unwrap();
        let mut used: Vec<String> = maps(HUNG).into_iter().filter(|name| image.refers_to(name)).collect();
        used.push(LOG.to_owned());
        used.sort();
        used.dedup();
        assert!(used.len() < maps(HUNG).len());
        assert_eq!(maps(&image.without_unused_maps()), used);
    }
}

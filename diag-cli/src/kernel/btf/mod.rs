//! The kernel's type information (BTF): a reader that keeps the raw bytes and one offset for each type.
//!
//! The format is include/uapi/linux/btf.h. Kinds beyond the 19 that Linux 6.18 knows are skipped with the help of the
//! layout section that later kernels can add to the header.

#[cfg(test)]
mod oracle;
mod query;
mod same;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::Path;

use thiserror::Error;

use crate::{arch, exit::Failure};
pub(crate) use query::Param;
pub(crate) use same::Sameness;

/// Where the running kernel shows its own types.
pub(crate) const RUNNING: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;
const MAGIC_SWAPPED: u16 = 0x9feb;
const HEADER_BYTES: usize = 24;
/// The header with the two words that place the layout section.
const HEADER_WITH_LAYOUT_BYTES: usize = 32;
const TYPE_BYTES: usize = 12;

/// Why a BTF query has no answer.
#[derive(Debug, Error)]
pub(crate) enum BtfError {
    /// The bytes are not BTF, or contradict themselves.
    #[error("malformed BTF: {0}")]
    Malformed(&'static str),
    /// Types of the same name give different answers.
    #[error("BTF has several types named {0} that disagree on {1}")]
    Ambiguous(String, String),
}

type Result<T> = std::result::Result<T, BtfError>;

/// `BTF_KIND_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Int,
    Ptr,
    Array,
    Struct,
    Union,
    Enum,
    Typedef,
    Func,
    FuncProto,
    Float,
    Enum64,
    Variable,
    Section,
    /// Const, volatile, restrict and type tag: what they modify is `size_or_type`.
    Modifier,
    /// Anything that no query looks into.
    Other,
}

impl Kind {
    fn of(number: u32) -> Kind {
        match number {
            1 => Kind::Int,
            2 => Kind::Ptr,
            3 => Kind::Array,
            4 => Kind::Struct,
            5 => Kind::Union,
            6 => Kind::Enum,
            8 => Kind::Typedef,
            9..=11 | 18 => Kind::Modifier,
            12 => Kind::Func,
            13 => Kind::FuncProto,
            14 => Kind::Variable,
            15 => Kind::Section,
            16 => Kind::Float,
            19 => Kind::Enum64,
            _ => Kind::Other,
        }
    }

    /// Bytes after the common part of a type: a fixed part, and a part for each of its elements.
    fn layout(number: u32) -> Option<(usize, usize)> {
        match number {
            1 | 14 | 17 => Some((4, 0)),
            3 => Some((12, 0)),
            4 | 5 | 15 | 19 => Some((0, 12)),
            6 | 13 => Some((0, 8)),
            2 | 7..=12 | 16 | 18 => Some((0, 0)),
            _ => None,
        }
    }
}

/// One type as it stands in the bytes.
#[derive(Clone, Copy, Debug)]
struct Type {
    name: u32,
    kind: Kind,
    /// `kind_flag`: the members of this struct say how many bits they have; the values of this enum are signed.
    flag: bool,
    elements: u32,
    size_or_type: u32,
    /// Where the part that depends on the kind begins.
    body: usize,
}

/// The types of one kernel.
pub(crate) struct Btf {
    bytes: Vec<u8>,
    strings: std::ops::Range<usize>,
    /// Where each type begins; the first has the id 1.
    types: Vec<u32>,
    /// Hash of the name and id of every type that is looked up by name, sorted.
    names: Vec<(u32, u32)>,
    /// Enums without a name.
    nameless_enums: Vec<u32>,
}

impl Btf {
    /// The types of the running kernel; [`Failure::Unsupported`] where it does not show them.
    pub(crate) fn running() -> anyhow::Result<Btf> {
        let unusable = |why: String, hint: &str| {
            let what = format!("cannot read where this kernel keeps its fields from {RUNNING}");
            anyhow::Error::from(Failure::Unsupported(format!("{what}: {why}; {hint}")))
        };
        let bytes = fs::read(RUNNING).map_err(|why| {
            let hint = match why.kind() {
                io::ErrorKind::NotFound => {
                    "boot a kernel with CONFIG_DEBUG_INFO_BTF=y and mount /sys, or give its types with --btf FILE"
                }
                _ => "run as root",
            };
            unusable(why.to_string(), hint)
        })?;
        Btf::parse(bytes).map_err(|why| unusable(why.to_string(), "give its types with --btf FILE"))
    }

    /// The types in a raw BTF file; [`Failure::Usage`] where it cannot be read or is not one.
    pub(crate) fn from_file(path: &Path) -> anyhow::Result<Btf> {
        let usage = |why: String| Failure::Usage(format!("--btf {}: {why}", path.display()));
        let bytes = fs::read(path).map_err(|error| usage(error.to_string()))?;
        Ok(Btf::parse(bytes)
            .map_err(|error| usage(format!("{error}; expected a raw BTF file like {RUNNING}")))?)
    }

    /// Reads the sections and finds where each type begins.
    fn parse(bytes: Vec<u8>) -> Result<Btf> {
        let short = BtfError::Malformed("shorter than its header says");
        let magic = bytes.get(..2).map(|b| u16::from_le_bytes([b[0], b[1]]));
        match magic {
            Some(MAGIC) => {}
            Some(MAGIC_SWAPPED) => return Err(BtfError::Malformed("of a big-endian kernel")),
            _ => return Err(BtfError::Malformed("no BTF magic at its start")),
        }
        let word = |at: usize| word(&bytes, at).map(|w| w as usize);
        let header = word(4).ok_or(BtfError::Malformed("no header"))?;
        if bytes.get(2) != Some(&1) || header < HEADER_BYTES || u32::try_from(bytes.len()).is_err() {
            return Err(BtfError::Malformed("unknown version or header"));
        }
        let section = |at: usize| {
            let start = header.checked_add(word(at)?)?;
            let end = start.checked_add(word(at + 4)?)?;
            (end <= bytes.len()).then_some(start..end)
        };
        let Some(types) = section(8) else { return Err(short) };
        let Some(strings) = section(16) else { return Err(short) };
        let layout = if header >= HEADER_WITH_LAYOUT_BYTES { section(24).unwrap_or(0..0) } else { 0..0 };
        let mut btf =
            Btf { bytes, strings, types: Vec::new(), names: Vec::new(), nameless_enums: Vec::new() };
        btf.walk(types, layout)?;
        btf.index();
        Ok(btf)
    }

    /// Finds where each type begins.
    fn walk(&mut self, section: std::ops::Range<usize>, layout: std::ops::Range<usize>) -> Result<()> {
        self.types.reserve(section.len() / 30);
        let mut at = section.start;
        while at < section.end {
            let info = word(&self.bytes, at + 4).ok_or(BtfError::Malformed("a type is cut off"))?;
            let number = info >> 24 & 0x7f;
            let (fixed, element) = Kind::layout(number)
                .or_else(|| {
                    let entry = layout.start + number as usize * 4;
                    (entry + 4 <= layout.end)
                        .then(|| (usize::from(self.bytes[entry]), usize::from(self.bytes[entry + 1])))
                })
                .ok_or(BtfError::Malformed("a type of unknown kind"))?;
            self.types.push(at as u32);
            at += TYPE_BYTES + fixed + element * (info & 0x00ff_ffff) as usize;
        }
        if at == section.end { Ok(()) } else { Err(BtfError::Malformed("a type is cut off")) }
    }

    /// Indexes the types that are looked up by name.
    fn index(&mut self) {
        for (id, &at) in (1..).zip(&self.types) {
            let Some(t) = self.read(at) else { continue };
            let indexed = match t.kind {
                Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Section => true,
                Kind::Variable => {
                    let name = self.name(t.name);
                    name == query::RUN_QUEUES.as_bytes()
                        || query::is_of_interest(name, arch::PER_CPU_VARIABLES)
                }
                Kind::Typedef => self.name(t.name).starts_with(b"btf_trace_"),
                Kind::Func => {
                    let name = self.name(t.name);
                    query::NAMING_FUNCTIONS.iter().any(|p| name.starts_with(p.as_bytes()))
                        || query::is_of_interest(name, &query::KERNEL_FUNCTIONS)
                }
                _ => false,
            };
            let name = self.name(t.name);
            if indexed && !name.is_empty() {
                self.names.push((hash(name), id));
            } else if matches!(t.kind, Kind::Enum | Kind::Enum64) {
                self.nameless_enums.push(id);
            }
        }
        self.names.sort_unstable();
    }

    fn read(&self, at: u32) -> Option<Type> {
        let at = at as usize;
        let info = word(&self.bytes, at + 4)?;
        Some(Type {
            name: word(&self.bytes, at)?,
            kind: Kind::of(info >> 24 & 0x7f),
            flag: info >> 31 == 1,
            elements: info & 0x00ff_ffff,
            size_or_type: word(&self.bytes, at + 8)?,
            body: at + TYPE_BYTES,
        })
    }

    /// The type with this id; `None` for void.
    fn get(&self, id: u32) -> Result<Option<Type>> {
        let Some(index) = id.checked_sub(1) else { return Ok(None) };
        let at = *self.types.get(index as usize).ok_or(BtfError::Malformed("an id of no type"))?;
        self.read(at).map(Some).ok_or(BtfError::Malformed("a type is cut off"))
    }

    /// A word of the part of a type that depends on its kind.
    fn body(&self, t: &Type, index: usize) -> Result<u32> {
        word(&self.bytes, t.body + index * 4).ok_or(BtfError::Malformed("a type is cut off"))
    }

    /// A string; empty where there is none.
    fn name(&self, offset: u32) -> &[u8] {
        let strings = &self.bytes[self.strings.clone()];
        let rest = strings.get(offset as usize..).unwrap_or_default();
        let end = rest.iter().position(|&b| b == 0).unwrap_or(rest.len());
        &rest[..end]
    }

    /// The types of this name that can be looked up by name.
    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Type> + 'a {
        self.named_ids(name).map(|(_, t)| t)
    }

    /// The same, with their ids.
    fn named_ids<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (u32, Type)> + 'a {
        let wanted = hash(name.as_bytes());
        let start = self.names.partition_point(|&(h, _)| h < wanted);
        self.names[start..]
            .iter()
            .take_while(move |&&(h, _)| h == wanted)
            .filter_map(|&(_, id)| Some((id, self.get(id).ok().flatten()?)))
            .filter(move |(_, t)| self.name(t.name) == name.as_bytes())
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// FNV-1a.
fn hash(name: &[u8]) -> u32 {
    name.iter().fold(0x811c_9dc5, |h, &b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193))
}

//! What is asked of the types: places of members, sizes, constants and tracepoint prototypes.

use super::{Btf, BtfError, HEADER_BYTES, Kind, MAGIC, Result, Type};

/// How deep types nest before they count as malformed.
const MAX_DEPTH: u32 = 32;
/// Members that one query looks at before the types count as malformed; the largest struct of Linux has hundreds.
const MAX_MEMBERS: u32 = 1 << 20;

/// Functions that have a tracepoint's prototype and, unlike the type `btf_trace_…`, name its parameters
/// (include/linux/tracepoint.h, include/trace/bpf_probe.h, 6.18).
pub(super) const NAMING_FUNCTIONS: [&str; 3] = ["__traceiter_", "__bpf_trace_", "__probestub_"];

/// Functions that programs may call, those of interest here (kernel/bpf/helpers.c, 6.18), and one that kernels have which keep
/// readers of an rwsem (kernel/locking/rwsem.c, 6.18).
pub(super) const KERNEL_FUNCTIONS: [&str; 6] = [
    "bpf_rdonly_cast",
    "bpf_preempt_disable",
    "bpf_preempt_enable",
    "bpf_task_from_pid",
    "bpf_task_release",
    "is_rwsem_reader_owned",
];

/// A variable that each CPU has one of (kernel/sched/core.c); [`crate::arch::PER_CPU_VARIABLES`] has the others of interest.
pub(super) const RUN_QUEUES: &str = "runqueues";

/// The section of such variables (include/linux/percpu-defs.h).
pub(super) const SECTION: &str = ".data..percpu";

/// Whether a name is among those that are looked up.
pub(super) fn is_of_interest(name: &[u8], names: &[&str]) -> bool {
    names.iter().any(|known| name == known.as_bytes())
}

/// Where a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Bytes from the start of the struct; for a bit field the byte with its lowest bit.
    pub(crate) offset: u32,
    /// Bytes of its type.
    pub(crate) size: u32,
    /// For a bit field its lowest bit within the byte at `offset`, and how many bits it has.
    pub(crate) bits: Option<(u32, u32)>,
}

/// A parameter of a tracepoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Param {
    /// Its name, where the types have one.
    pub(crate) name: Option<String>,
    /// The name of its type, without qualifiers; of the type pointed to where it is a pointer.
    pub(crate) type_name: String,
    /// Whether it is a pointer.
    pub(crate) pointer: bool,
}

/// What is left of a path to look for, and of the work that may be spent on it.
struct Search<'a> {
    path: &'a [&'a [u8]],
    fuel: u32,
}

impl Btf {
    /// The member at a dotted path (`sched_info.run_delay`) of a struct or union. Anonymous structs and unions are
    /// looked through; pointers are not followed.
    ///
    /// `None` without such a struct or member. Where several types have the name, those that have the member count.
    pub(crate) fn member(&self, name: &str, path: &str) -> Result<Option<Member>> {
        let parts: Vec<&[u8]> = path.split('.').map(str::as_bytes).collect();
        let mut search = Search { path: &parts, fuel: MAX_MEMBERS };
        let answers = self
            .named(name)
            .filter(|t| matches!(t.kind, Kind::Struct | Kind::Union))
            .filter_map(|t| self.find(&t, 0, MAX_DEPTH, &mut search).transpose());
        one_answer(answers, name, path)
    }

    /// Bytes of a struct or union.
    pub(crate) fn struct_size(&self, name: &str) -> Result<Option<u32>> {
        let types = self.named(name).filter(|t| matches!(t.kind, Kind::Struct | Kind::Union));
        one_answer(types.map(|t| Ok(t.size_or_type)), name, "its size")
    }

    /// Where a per-CPU variable, or a member of it at a dotted path, is in the section of such variables; `None` where
    /// the types do not have it (pahole lists variables from 1.18 on).
    pub(crate) fn per_cpu(&self, variable: &str, path: &str) -> Result<Option<Member>> {
        let Some(section) = self.named(SECTION).find(|t| t.kind == Kind::Section) else { return Ok(None) };
        let ids: Vec<(u32, Type)> =
            self.named_ids(variable).filter(|(_, t)| t.kind == Kind::Variable).collect();
        for index in 0..section.elements as usize {
            let id = self.body(&section, index * 3)?;
            let Some((_, found)) = ids.iter().find(|(known, _)| *known == id) else { continue };
            let (offset, size) = (self.body(&section, index * 3 + 1)?, self.body(&section, index * 3 + 2)?);
            if path.is_empty() {
                return Ok(Some(Member { offset, size, bits: None }));
            }
            let Some(whole) = self.strip(found.size_or_type)? else { return Ok(None) };
            let parts: Vec<&[u8]> = path.split('.').map(str::as_bytes).collect();
            let mut search = Search { path: &parts, fuel: MAX_MEMBERS };
            let member = self.find(&whole, 0, MAX_DEPTH, &mut search)?;
            return Ok(member.map(|member| Member { offset: offset + member.offset, ..member }));
        }
        Ok(None)
    }

    /// Types of the same numbers, in the same format, of which tracepoints and these functions alone have a name and a kind: for a
    /// reader that looks them up and keeps all that it reads. The last type is the last one of them.
    pub(crate) fn with_names_of(&self, functions: &[&str]) -> Vec<u8> {
        const FORWARD: u32 = 7 << 24;
        const TYPEDEF: u32 = 8 << 24;
        const FUNCTION: u32 = 12 << 24;
        const TRACEPOINT: &[u8] = b"btf_trace_";
        // The empty string comes first.
        let (mut types, mut strings, mut end) = (Vec::new(), vec![0], 0);
        for &at in &self.types {
            let known = self.read(at).and_then(|t| {
                let name = self.name(t.name);
                let (kind, is_wanted) = match t.kind {
                    Kind::Typedef => (TYPEDEF, name.starts_with(TRACEPOINT)),
                    Kind::Func => (FUNCTION, functions.iter().any(|known| known.as_bytes() == name)),
                    _ => return None,
                };
                is_wanted.then_some((name, kind))
            });
            let (name, kind) = known.unwrap_or((b"", FORWARD));
            let offset = if name.is_empty() { 0 } else { strings.len() as u32 };
            if !name.is_empty() {
                strings.extend_from_slice(name);
                strings.push(0);
            }
            for word in [offset, kind, 0] {
                types.extend_from_slice(&word.to_le_bytes());
            }
            if kind != FORWARD {
                end = types.len();
            }
        }
        // What comes after the last of them is not asked for.
        types.truncate(end);
        let (types_len, strings_len) = (types.len() as u32, strings.len() as u32);
        // Magic and version 1; then the header's own length, and where the sections are behind it.
        let header = [u32::from(MAGIC) | 1 << 16, HEADER_BYTES as u32, 0, types_len, types_len, strings_len];
        [header.iter().flat_map(|word| word.to_le_bytes()).collect(), types, strings].concat()
    }

    /// The id of the struct of this name; none where there are several.
    pub(crate) fn struct_id(&self, name: &str) -> Option<u32> {
        self.only_id(name, Kind::Struct)
    }

    /// The id of a function of interest.
    pub(crate) fn function_id(&self, name: &str) -> Option<u32> {
        self.only_id(name, Kind::Func)
    }

    fn only_id(&self, name: &str, kind: Kind) -> Option<u32> {
        let mut ids = self.named_ids(name).filter(|(_, t)| t.kind == kind).map(|(id, _)| id);
        let id = ids.next()?;
        ids.next().is_none().then_some(id)
    }

    /// The value of a constant of an enum; the empty name stands for every enum without a name.
    pub(crate) fn enum_value(&self, name: &str, constant: &str) -> Result<Option<i64>> {
        if name.is_empty() {
            let enums = self.nameless_enums.iter().filter_map(|&id| self.get(id).transpose());
            return one_answer(
                enums.filter_map(|t| self.constant(&t.ok()?, constant).transpose()),
                name,
                constant,
            );
        }
        let enums = self.named(name).filter(|t| matches!(t.kind, Kind::Enum | Kind::Enum64));
        one_answer(enums.filter_map(|t| self.constant(&t, constant).transpose()), name, constant)
    }

    /// The parameters that a tracepoint passes to its probes; `None` where the kernel has no such tracepoint.
    pub(crate) fn prototype(&self, event: &str) -> Result<Option<Vec<Param>>> {
        let malformed = || BtfError::Malformed("a tracepoint that is no function");
        let name = format!("btf_trace_{event}");
        let Some(typedef) = self.named(&name).find(|t| t.kind == Kind::Typedef) else { return Ok(None) };
        let pointer =
            self.strip(typedef.size_or_type)?.filter(|t| t.kind == Kind::Ptr).ok_or_else(malformed)?;
        let proto = self.strip(pointer.size_or_type)?;
        let proto = proto.filter(|t| t.kind == Kind::FuncProto).ok_or_else(malformed)?;
        let named = self.naming_prototype(event, &proto)?.unwrap_or(proto);
        // The first parameter is the probe's own `void *__data`.
        (1..proto.elements as usize)
            .map(|index| {
                let name = String::from_utf8_lossy(self.name(self.body(&named, index * 2)?)).into_owned();
                let (type_name, pointer) = self.describe(self.body(&proto, index * 2 + 1)?)?;
                Ok(Param { name: (!name.is_empty()).then_some(name), type_name, pointer })
            })
            .collect::<Result<Vec<Param>>>()
            .map(Some)
    }

    /// The prototype of a function that stands for the tracepoint and whose parameters have names.
    fn naming_prototype(&self, event: &str, like: &Type) -> Result<Option<Type>> {
        for prefix in NAMING_FUNCTIONS {
            let name = format!("{prefix}{event}");
            for function in self.named(&name).filter(|t| t.kind == Kind::Func) {
                let Some(proto) = self.get(function.size_or_type)? else { continue };
                let fits = proto.kind == Kind::FuncProto && proto.elements == like.elements;
                if fits && proto.elements > 1 && !self.name(self.body(&proto, 2)?).is_empty() {
                    return Ok(Some(proto));
                }
            }
        }
        Ok(None)
    }

    /// Finds the path below a struct or union that itself begins at `base` bits.
    fn find(&self, parent: &Type, base: u64, depth: u32, search: &mut Search<'_>) -> Result<Option<Member>> {
        let nested = depth.checked_sub(1).ok_or(BtfError::Malformed("types nest without end"))?;
        let Some((&first, rest)) = search.path.split_first() else { return Ok(None) };
        for index in 0..parent.elements as usize {
            search.fuel = search.fuel.checked_sub(1).ok_or(BtfError::Malformed("types nest without end"))?;
            let name = self.name(self.body(parent, index * 3)?);
            if !name.is_empty() && name != first {
                continue;
            }
            let type_id = self.body(parent, index * 3 + 1)?;
            let place = self.body(parent, index * 3 + 2)?;
            let (bit, width) = if parent.flag { (place & 0x00ff_ffff, place >> 24) } else { (place, 0) };
            let bit = base + u64::from(bit);
            if !name.is_empty() && rest.is_empty() {
                return self.place(type_id, bit, width).map(Some);
            }
            let Some(child) = self.strip(type_id)?.filter(|t| matches!(t.kind, Kind::Struct | Kind::Union))
            else {
                continue;
            };
            let path = search.path;
            if !name.is_empty() {
                search.path = rest;
            }
            let found = self.find(&child, bit, nested, search)?;
            search.path = path;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn place(&self, type_id: u32, bit: u64, width: u32) -> Result<Member> {
        let far = BtfError::Malformed("a member beyond 4 GiB");
        let Ok(offset) = u32::try_from(bit / 8) else { return Err(far) };
        let within = (bit % 8) as u32;
        if within != 0 && width == 0 {
            return Err(BtfError::Malformed("a member that is not at a byte"));
        }
        let bits = (width != 0).then_some((within, width));
        Ok(Member { offset, size: self.size(type_id)?, bits })
    }

    fn size(&self, mut type_id: u32) -> Result<u32> {
        let mut elements = 1u32;
        for _ in 0..MAX_DEPTH {
            let unsized_member = BtfError::Malformed("a member without a size");
            let Some(t) = self.strip(type_id)? else { return Err(unsized_member) };
            let one = match t.kind {
                Kind::Int | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Float => {
                    t.size_or_type
                }
                Kind::Ptr => 8,
                Kind::Array => {
                    type_id = self.body(&t, 0)?;
                    elements = elements
                        .checked_mul(self.body(&t, 2)?)
                        .ok_or(BtfError::Malformed("an array beyond 4 GiB"))?;
                    continue;
                }
                _ => return Err(unsized_member),
            };
            return elements.checked_mul(one).ok_or(BtfError::Malformed("an array beyond 4 GiB"));
        }
        Err(BtfError::Malformed("types nest without end"))
    }

    /// What a type is below its typedefs and qualifiers; `None` for void.
    fn strip(&self, mut id: u32) -> Result<Option<Type>> {
        for _ in 0..MAX_DEPTH {
            match self.get(id)? {
                Some(t) if matches!(t.kind, Kind::Typedef | Kind::Modifier) => id = t.size_or_type,
                other => return Ok(other),
            }
        }
        Err(BtfError::Malformed("types nest without end"))
    }

    /// The name of a parameter's type and whether it is a pointer.
    fn describe(&self, mut id: u32) -> Result<(String, bool)> {
        let mut pointers = 0usize;
        for _ in 0..MAX_DEPTH {
            let t = self.get(id)?;
            match t {
                Some(t) if t.kind == Kind::Modifier => id = t.size_or_type,
                Some(t) if t.kind == Kind::Ptr => {
                    pointers += 1;
                    id = t.size_or_type;
                }
                _ => {
                    let name = t.map_or(&b"void"[..], |t| self.name(t.name));
                    let stars = "*".repeat(pointers.saturating_sub(1));
                    return Ok((String::from_utf8_lossy(name).into_owned() + &stars, pointers > 0));
                }
            }
        }
        Err(BtfError::Malformed("types nest without end"))
    }

    fn constant(&self, t: &Type, constant: &str) -> Result<Option<i64>> {
        let words = if t.kind == Kind::Enum64 { 3 } else { 2 };
        for index in 0..t.elements as usize {
            if self.name(self.body(t, index * words)?) != constant.as_bytes() {
                continue;
            }
            let low = self.body(t, index * words + 1)?;
            return Ok(Some(match (t.kind, t.flag) {
                (Kind::Enum64, _) => {
                    (u64::from(self.body(t, index * words + 2)?) << 32 | u64::from(low)).cast_signed()
                }
                (_, true) => i64::from(low.cast_signed()),
                (_, false) => i64::from(low),
            }));
        }
        Ok(None)
    }
}

/// The answer that all give; an error where two differ.
fn one_answer<T: PartialEq>(
    mut answers: impl Iterator<Item = Result<T>>,
    name: &str,
    asked: &str,
) -> Result<Option<T>> {
    let Some(first) = answers.next().transpose()? else { return Ok(None) };
    for other in answers {
        if other? != first {
            return Err(BtfError::Ambiguous(name.to_owned(), asked.to_owned()));
        }
    }
    Ok(Some(first))
}

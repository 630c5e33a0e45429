//! Field tables: what the kernel side has to know of a kernel's types, each as a global of the eBPF object.
//!
//! A tool states its globals as a `const` table of [`Field`]; [`resolve`] turns it into values for the kernel whose
//! types are given. Several candidates stand for one field where kernels differ: the first that exists wins.

use anyhow::Result;

use super::btf::{Btf, Param};
use crate::exit::Failure;

/// The value of a global whose field this kernel does not have.
pub(crate) const ABSENT: u32 = u32::MAX;

/// A member of a struct, in some kernels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// The struct or union.
    pub(crate) of: &'static str,
    /// The dotted path of the member.
    pub(crate) path: &'static str,
    /// Which kernels have it, and the commit that changed it.
    pub(crate) since: &'static str,
}

/// A [`Candidate`], short to write.
pub(crate) const fn at(of: &'static str, path: &'static str, since: &'static str) -> Candidate {
    Candidate { of, path, since }
}

/// Whether the eBPF object can do without a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// It cannot run.
    Required,
    /// It runs without.
    Optional,
}

/// How a parameter of a tracepoint is recognised.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    /// By its name; where the types name no parameters, by its position in a prototype of so many parameters,
    /// as pairs (parameters, position).
    Name(&'static str, &'static [(usize, u32)]),
    /// By its type, if a single parameter has it: without qualifiers, for a pointer what it points to.
    Type(&'static str),
}

/// What the value of a global is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// Bytes from the start of a struct to a member.
    Offset(&'static [Candidate]),
    /// Bytes from the start of a struct to the byte that has a bit field.
    Bits {
        /// A second global: which bits of that byte are the field.
        mask: &'static str,
        /// Where it is.
        candidates: &'static [Candidate],
    },
    /// The id of a struct's type, where the kernel has a function of this name that programs may call.
    TypeFor {
        /// The function.
        function: &'static str,
        /// The struct.
        of: &'static str,
    },
    /// Bytes from one per-CPU variable to another, or to a member of it, on the same CPU.
    #[allow(dead_code, reason = "not every architecture has one of interest")]
    PerCpu {
        /// The variable that the programs can find.
        from: &'static str,
        /// The variable that they want, and the path of a member; an empty path is the whole.
        candidates: &'static [Candidate],
        /// A second global: which bits of it count, by its size in bytes.
        mask: &'static str,
        /// The bits; a size that is not here is a layout that nobody knows.
        by_size: &'static [(u32, u32)],
    },
    /// Bytes that a member has, or a whole struct where the path is empty.
    Size(&'static [Candidate]),
    /// The value of a constant of an enum; one without a name is any that has none.
    Constant(&'static [Candidate]),
    /// The position of a parameter of a tracepoint; the first is 0.
    Argument {
        /// The tracepoint.
        event: &'static str,
        /// Which parameter.
        by: By,
    },
}

/// One entry of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// The name of the global, an unsigned 32-bit integer.
    pub(crate) global: &'static str,
    /// What it is.
    pub(crate) source: Source,
    /// Whether the object can do without.
    pub(crate) need: Need,
}

impl Field {
    /// The globals that it is about: its own, and that of a mask.
    pub(crate) fn globals(&self) -> impl Iterator<Item = &'static str> {
        let mask = match self.source {
            Source::Bits { mask, .. } | Source::PerCpu { mask, .. } => Some(mask),
            _ => None,
        };
        [self.global].into_iter().chain(mask)
    }
}

/// A [`Field`] that the object cannot do without.
pub(crate) const fn required(global: &'static str, source: Source) -> Field {
    Field { global, source, need: Need::Required }
}

/// A [`Field`] that the object can do without.
pub(crate) const fn optional(global: &'static str, source: Source) -> Field {
    Field { global, source, need: Need::Optional }
}

/// A global and its value in one kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// The global.
    pub(crate) global: &'static str,
    /// Its value, [`ABSENT`] where this kernel has nothing of the kind.
    pub(crate) value: u32,
    /// What the value was taken from, for people.
    pub(crate) from: String,
}

/// The values of all globals of a table, in its order.
///
/// [`Failure::Unsupported`] when the kernel lacks a required field; other errors when its types contradict themselves.
pub(crate) fn resolve(btf: &Btf, fields: &[Field]) -> Result<Vec<Resolved>> {
    let mut resolved = Vec::with_capacity(fields.len() + 4);
    for field in fields {
        let before = resolved.len();
        resolve_one(btf, field, &mut resolved)?;
        if field.need == Need::Required && resolved[before..].iter().any(|r| r.value == ABSENT) {
            let what = &resolved[before].from;
            return Err(Failure::Unsupported(format!(
                "this kernel's types have {what}; it cannot be traced"
            ))
            .into());
        }
    }
    Ok(resolved)
}

/// How the types `other` differ from `own` in what is read of them, in words: the first field that is elsewhere.
pub(crate) fn difference(
    own: &Btf,
    other: &Btf,
    fields: impl Iterator<Item = &'static Field>,
) -> Result<Option<String>> {
    for field in fields {
        let (mut mine, mut its) = (Vec::new(), Vec::new());
        resolve_one(own, field, &mut mine)?;
        resolve_one(other, field, &mut its)?;
        if let Some((mine, its)) = mine.iter().zip(&its).find(|(mine, its)| mine.value != its.value) {
            let value = |field: &Resolved| match field.value {
                ABSENT => "nowhere".to_owned(),
                value => format!("{value:#x}"),
            };
            return Ok(Some(format!("{} is {} there, and {} here", mine.global, value(its), value(mine))));
        }
    }
    Ok(None)
}

fn resolve_one(btf: &Btf, field: &Field, out: &mut Vec<Resolved>) -> Result<()> {
    let mut push = |global, value: Option<u32>, from: String| {
        out.push(Resolved { global, value: value.unwrap_or(ABSENT), from });
    };
    match field.source {
        Source::Offset(candidates) => {
            let (value, from) = first(candidates, |c| Ok(btf.member(c.of, c.path)?.map(|m| m.offset)))?;
            push(field.global, value, from);
        }
        Source::Size(candidates) => {
            let (value, from) = first(candidates, |c| match c.path {
                "" => Ok(btf.struct_size(c.of)?),
                path => Ok(btf.member(c.of, path)?.map(|m| m.size)),
            })?;
            push(field.global, value, from);
        }
        Source::Constant(candidates) => {
            let constant = |c: &Candidate| {
                let value = btf.enum_value(c.of, c.path)?;
                Ok(value.and_then(|value| u32::try_from(value).ok()))
            };
            let (value, from) = first(candidates, constant)?;
            push(field.global, value, from);
        }
        Source::TypeFor { function, of } => {
            let id = btf.function_id(function).and_then(|_| btf.struct_id(of));
            let from = if id.is_some() { format!("{of}, for {function}") } else { format!("no {function}") };
            push(field.global, id, from);
        }
        Source::Bits { mask, candidates } => {
            let place = |c: &Candidate| {
                let member = btf.member(c.of, c.path)?;
                Ok(member.and_then(|m| Some((m.offset, byte_mask(m.bits?)?))))
            };
            let (value, from) = first(candidates, place)?;
            push(field.global, value.map(|(offset, _)| offset), from.clone());
            push(mask, value.map(|(_, mask)| mask), from);
        }
        Source::PerCpu { from, candidates, mask, by_size } => {
            let start = btf.per_cpu(from, "")?;
            let place = |c: &Candidate| Ok(start.and(btf.per_cpu(c.of, c.path)?));
            let (wanted, said) = first(candidates, place)?;
            let bits = wanted.and_then(|wanted| by_size.iter().find(|&&(size, _)| size == wanted.size));
            let both = start.zip(wanted).zip(bits);
            // A way back is a negative one: programs add it as 32 bits, signed.
            push(field.global, both.map(|((from, to), _)| to.offset.wrapping_sub(from.offset)), said.clone());
            push(mask, both.map(|(_, &(_, bits))| bits), said);
        }
        Source::Argument { event, by } => {
            let prototype = btf.prototype(event)?;
            let position = prototype.as_deref().and_then(|params| position(params, by));
            let wanted = match by {
                By::Name(name, _) => name,
                By::Type(name) => name,
            };
            let from = match (&prototype, position) {
                (None, _) => format!("no tracepoint {event}"),
                (_, None) => format!("no {wanted} among the parameters of {event}"),
                (_, Some(at)) => format!("{event}: {wanted} is parameter {at}"),
            };
            push(field.global, position, from);
        }
    }
    Ok(())
}

/// The first candidate that exists, and what to say of it.
fn first<T>(
    candidates: &[Candidate],
    find: impl Fn(&Candidate) -> Result<Option<T>>,
) -> Result<(Option<T>, String)> {
    for c in candidates {
        if let Some(value) = find(c)? {
            return Ok((Some(value), format!("{} ({})", dotted(c), c.since)));
        }
    }
    let names: Vec<String> = candidates.iter().map(dotted).collect();
    Ok((None, format!("no {}", names.join(" or "))))
}

fn dotted(c: &Candidate) -> String {
    if c.path.is_empty() { c.of.to_owned() } else { format!("{}.{}", c.of, c.path) }
}

/// The mask of a bit field within its byte; `None` where it reaches into the next.
fn byte_mask((bit, width): (u32, u32)) -> Option<u32> {
    (bit + width <= 8).then(|| ((1 << width) - 1) << bit)
}

fn position(params: &[Param], by: By) -> Option<u32> {
    match by {
        By::Name(_, positions) if params.iter().all(|p| p.name.is_none()) => {
            positions.iter().find(|&&(arity, _)| arity == params.len()).map(|&(_, position)| position)
        }
        By::Name(name, _) => params.iter().position(|p| p.name.as_deref() == Some(name)).map(|i| i as u32),
        By::Type(name) => {
            let mut having = (0u32..).zip(params).filter(|(_, p)| p.type_name == name);
            let (position, _) = having.next()?;
            having.next().is_none().then_some(position)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn param(name: Option<&str>, type_name: &str) -> Param {
        Param { name: name.map(str::to_owned), type_name: type_name.to_owned(), pointer: false }
    }

    #[test]
    fn a_parameter_is_found_by_name_and_only_without_names_by_position() {
        let by = By::Name("pause", &[(2, 1)]);
        let named = [param(Some("pause"), "long int"), param(Some("start_time"), "long unsigned int")];
        assert_eq!(position(&named, by), Some(0));
        let nameless = [param(None, "long unsigned int"), param(None, "long int")];
        assert_eq!(position(&nameless, by), Some(1));
        let other = [param(Some("a"), "int"), param(Some("b"), "int")];
        assert_eq!(position(&other, by), None);
        assert_eq!(position(&nameless[..1], by), None);
    }

    #[test]
    fn a_parameter_is_found_by_type_if_it_is_the_only_one() {
        let params = [param(None, "gfp_t"), param(None, "int"), param(None, "int")];
        assert_eq!(position(&params, By::Type("gfp_t")), Some(0));
        assert_eq!(position(&params, By::Type("int")), None);
    }

    #[test]
    fn a_mask_stays_within_a_byte() {
        assert_eq!(byte_mask((3, 1)), Some(0x08));
        assert_eq!(byte_mask((0, 8)), Some(0xff));
        assert_eq!(byte_mask((7, 2)), None);
    }
}

//! Loading one object: its maps, its globals, and the kind of hooks that this kernel takes.

use std::{fmt, fs::File, io::BufReader, path::Path, rc::Rc};

use anyhow::Result;
use aya::{Ebpf, EbpfLoader, Endianness, VerifierLogLevel};

use super::{
    calls::Calls,
    elf::{Image, LOG},
    knobs, layout,
    probes::{self, ProbeSpec, one_line},
    programs::refused,
    states,
};
use crate::{
    exit::Failure,
    kernel::{
        btf::{Btf, Sameness},
        fields::{self, ABSENT, Resolved},
        symbols::KALLSYMS,
    },
    output::record::{Hook, Unavailable},
};

/// The kind of hooks that an object's programs hang on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hooks {
    /// Tracepoints with typed arguments, and task storage: 5.13 and up, with BTF.
    Btf,
    /// Raw tracepoints, and a hash by thread.
    Raw,
}

impl Hooks {
    /// What records call it.
    pub(crate) fn hook(self) -> Hook {
        match self {
            Hooks::Btf => Hook::TpBtf,
            Hooks::Raw => Hook::RawTp,
        }
    }
}

impl fmt::Display for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hook().fmt(f)
    }
}

/// A tool's two objects, with the same programs and maps.
pub(crate) struct Objects {
    /// For [`Hooks::Btf`].
    pub(crate) btf: &'static [u8],
    /// For [`Hooks::Raw`].
    pub(crate) raw: &'static [u8],
}

/// The function that stands for the iterator of tasks (`DEFINE_BPF_ITER_FUNC`, kernel/bpf/task_iter.c, 5.10 to 6.18).
const ITERATOR: &str = "bpf_iter_task";

/// The running kernel as far as loading has to know it.
pub(crate) struct Kernel {
    /// The types to resolve fields from.
    pub(crate) types: Btf,
    /// Whether they were read from the running kernel, so that types have the numbers that it knows them by.
    own: bool,
    /// That nothing tells whether they are its own, where nothing does.
    unchecked: Option<Unavailable>,
}

impl Kernel {
    /// Reads the running kernel's types, or those in `file`, which have to be the running kernel's as well.
    pub(crate) fn read(file: Option<&Path>) -> Result<Kernel> {
        let Some(file) = file else {
            return Ok(Kernel { types: Btf::running()?, own: true, unchecked: None });
        };
        let types = Btf::from_file(file)?;
        let unchecked = match compare_with_running(&types)? {
            Sameness::Same => None,
            Sameness::Other(why) => {
                return Err(Failure::Unsupported(format!(
                    "--btf {}: these are the types of another kernel: {why}; expected those of the running one",
                    file.display()
                ))
                .into());
            }
            Sameness::Untold(why) => Some(Unavailable {
                name: "btf-match".to_owned(),
                why: why.to_owned(),
                effect: format!(
                    "if {} is of another build of this kernel, all numbers are wrong",
                    file.display()
                ),
            }),
        };
        Ok(Kernel { types, own: false, unchecked })
    }
}

/// Whether types are the running kernel's: by its own types in what is read of them, else by its symbols.
fn compare_with_running(types: &Btf) -> Result<Sameness> {
    let Ok(own) = Btf::running() else {
        let symbols = File::open(KALLSYMS);
        return symbols
            .map_or(Ok(Sameness::Untold("the running kernel shows neither types nor symbols")), |file| {
                types.compare_with_symbols(BufReader::new(file))
            });
    };
    if let Some(difference) = fields::difference(&own, types, layout::all())? {
        return Ok(Sameness::Other(difference));
    }
    if Calls::of(&own) != Calls::of(types) {
        return Ok(Sameness::Other("functions that programs may call have other numbers".to_owned()));
    }
    Ok(Sameness::Same)
}

/// A global of an object, beside the fields.
pub(crate) enum Value {
    /// 32 bits.
    U32(u32),
    /// 64 bits.
    U64(u64),
    /// 8 bits.
    U8(u8),
}

/// What a session sets in an object before it is loaded.
#[derive(Default)]
pub(crate) struct Settings {
    /// Globals by name.
    pub(crate) globals: Vec<(&'static str, Value)>,
    /// Entries of maps whose size depends on the machine.
    pub(crate) entries: Vec<(&'static str, u32)>,
}

/// What is wanted of an object.
pub(crate) struct Wanted<'a> {
    /// Its globals and map sizes.
    pub(crate) settings: &'a Settings,
    /// Its probes, and those of them that this kernel has.
    pub(crate) probes: &'static [ProbeSpec],
    pub(crate) existing: &'a [&'static str],
    /// Fields that the user side reads, or reports if they are missing, by their globals.
    pub(crate) fields: Vec<&'static str>,
    /// Whether the kernel side's log, and the verifier's, are to be shown.
    pub(crate) logs: bool,
}

/// A loaded object. None of its programs is attached yet.
pub(crate) struct Object {
    /// aya's handle.
    pub(crate) ebpf: Ebpf,
    /// The kind of hooks.
    pub(crate) hooks: Hooks,
    /// Why not `tp_btf`, where it is not.
    pub(crate) fallback: Option<String>,
    /// The fields, as resolved.
    pub(crate) fields: Vec<Resolved>,
    /// What is already known to be missing.
    pub(super) unavailable: Vec<Unavailable>,
    /// Whether the verifier's log is to be shown.
    pub(super) logs: bool,
    /// The kernel's own types as aya reads them, which some programs are loaded with.
    pub(super) running: Option<Rc<aya::Btf>>,
}

/// One of a tool's objects, ready for this kernel.
struct Prepared {
    bytes: Vec<u8>,
    fields: Vec<Resolved>,
    /// Whether it keeps a state for each task.
    has_states: bool,
}

impl Objects {
    /// Loads the object for the best kind of hooks that works: the `tp_btf` one if the kernel takes every program of it
    /// that there is no answer without, and gives tasks storage; else the raw one.
    ///
    /// Of the kernel's types only the numbers of some names are kept, which programs are loaded with.
    pub(crate) fn load(&self, kernel: Kernel, wanted: &Wanted<'_>, loader: EbpfLoader<'_>) -> Result<Object> {
        let calls = Calls::of(&kernel.types);
        let forced = knobs::hooks();
        let typed = match forced.as_deref() {
            Some("raw") => Err(anyhow::anyhow!("{}=raw", knobs::HOOKS_VARIABLE)),
            _ => prepare(self.btf, &kernel, &calls, wanted).and_then(
                |prepared| match states::unsafe_storage(&kernel.types)? {
                    Some(why) if prepared.has_states && forced.is_none() => Err(anyhow::anyhow!(why)),
                    _ => Ok(prepared),
                },
            ),
        };
        let raw = prepare(self.raw, &kernel, &calls, wanted);
        let unchecked = kernel.unchecked;
        let names = if kernel.own { Some(Rc::new(names(&kernel.types, wanted.probes)?)) } else { None };
        drop(kernel.types);
        // It is gone before what it is given here.
        let mut loader = loader;
        let loaded = match &typed {
            Ok(prepared) => load_typed(&mut loader, prepared, names.clone(), wanted),
            Err(error) => Err(anyhow::anyhow!("{error:#}")),
        };
        let mut object = match loaded {
            Ok(object) => object,
            Err(error) if forced.as_deref() == Some("btf") => {
                return Err(Failure::Unsupported(one_line(&format!("{error:#}"))).into());
            }
            Err(error) => {
                let why = one_line(&format!("{error:#}"));
                let raw = raw.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
                let mut object = load_maps(&mut loader, raw, Hooks::Raw, wanted)?;
                object.running = names;
                if forced.is_none() {
                    object.unavailable.push(Unavailable {
                        name: "typed-hooks".to_owned(),
                        why: why.clone(),
                        effect: "raw tracepoints and a table of tasks serve instead, which cost more and see less of short waits"
                            .to_owned(),
                    });
                }
                object.fallback = Some(why);
                object
            }
        };
        object.unavailable.extend(unchecked);
        Ok(object)
    }
}

/// Resolves what the object's programs refer to, and leaves out the rest.
fn prepare(object: &[u8], kernel: &Kernel, calls: &Calls, wanted: &Wanted<'_>) -> Result<Prepared> {
    let mut image = Image::read(object)?;
    let asked = |global: &str| wanted.probes.iter().any(|probe| probe.needless_with() == Some(global));
    let read = |global: &str| image.refers_to(global) || wanted.fields.contains(&global) || asked(global);
    let table = layout::fields(read);
    let fields = fields::resolve(&kernel.types, &table)?;
    calls.write_into(&mut image);
    let has_states = image.refers_to(states::STATES);
    Ok(Prepared { bytes: image.without_unused_maps(), fields, has_states })
}

/// What aya looks up in the kernel's types to load programs: the numbers of tracepoints, and of these probes where they are functions.
fn names(types: &Btf, probes: &[ProbeSpec]) -> Result<aya::Btf> {
    let functions: Vec<&str> = probes.iter().map(|probe| probe.name).chain([ITERATOR]).collect();
    let bytes = types.with_names_of(&functions);
    Ok(aya::Btf::parse(&bytes, Endianness::default())?)
}

/// Loads the programs that decide, and tries whether tasks get storage.
fn load_typed<'a>(
    loader: &mut EbpfLoader<'a>,
    prepared: &'a Prepared,
    names: Option<Rc<aya::Btf>>,
    wanted: &'a Wanted<'_>,
) -> Result<Object> {
    let mut object = load_maps(loader, prepared, Hooks::Btf, wanted)?;
    states::try_storage(&object.ebpf)?;
    object.running = names;
    object.read_types()?;
    for probe in probes::decisive(wanted.probes, wanted.existing)? {
        object.load(probe)?;
    }
    Ok(object)
}

/// The one loader of a session. aya reads the kernel's types whenever one is made, and leaves that to no caller; the objects
/// here have no use for them: nothing in them is relocated by types.
pub(crate) fn loader<'a>() -> EbpfLoader<'a> {
    let mut loader = EbpfLoader::new();
    loader.btf(None);
    give_back();
    loader
}

fn load_maps<'a>(
    loader: &mut EbpfLoader<'a>,
    prepared: &'a Prepared,
    hooks: Hooks,
    wanted: &'a Wanted<'_>,
) -> Result<Object> {
    loader.allow_unsupported_maps().verifier_log_level(VerifierLogLevel::DEBUG | VerifierLogLevel::STATS);
    for field in &prepared.fields {
        // All objects have the globals of all tools.
        loader.override_global(field.global, &field.value, true);
    }
    for (name, value) in &wanted.settings.globals {
        match value {
            Value::U32(value) => loader.override_global(name, value, true),
            Value::U64(value) => loader.override_global(name, value, true),
            Value::U8(value) => loader.override_global(name, value, true),
        };
    }
    if knobs::without(knobs::SOME_WAKEUPS).is_some() {
        loader.override_global("FORGET_ONE_OF", &knobs::FORGET_ONE_OF, true);
    }
    for &(name, entries) in &wanted.settings.entries {
        // Task storage has no entries of a number.
        if hooks == Hooks::Btf && name == states::STATES {
            continue;
        }
        loader.map_max_entries(name, entries);
    }
    if !wanted.logs {
        // Nothing is written to it: the smallest that there is, which is a page.
        loader.map_max_entries(LOG, 1);
    }
    let ebpf = loader.load(&prepared.bytes).map_err(|error| refused("the kernel refuses the maps", error))?;
    Ok(Object {
        ebpf,
        hooks,
        fallback: None,
        fields: prepared.fields.clone(),
        unavailable: Vec::new(),
        logs: wanted.logs,
        running: None,
    })
}

impl Object {
    /// Whether this kernel has a field, by its global.
    pub(crate) fn has(&self, global: &str) -> bool {
        self.fields.iter().any(|field| field.global == global && field.value != ABSENT)
    }

    /// Lets go of what only attaching needs, and gives the memory back to the system.
    pub(crate) fn settle(&mut self) {
        self.running = None;
        give_back();
    }
}

/// Gives memory that is free back to the system.
fn give_back() {
    // SAFETY: no preconditions.
    unsafe { libc::malloc_trim(0) };
}

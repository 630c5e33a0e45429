//! Loading one object: its maps, its globals, and the kind of hooks that this kernel takes.

use std::{fmt, fs::File, io::BufReader, path::Path};

use anyhow::{Context, Result};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};

use super::{
    calls::Calls,
    elf::{Image, LOG},
    knobs, layout,
    probes::{self, ProbeSpec, one_line},
    programs::refused,
    states,
};
use crate::{
    arch,
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

/// The running kernel as far as loading has to know it.
pub(crate) struct Kernel {
    /// The types to resolve fields from.
    pub(crate) types: Btf,
    /// That nothing tells whether they are its own, where nothing does.
    unchecked: Option<Unavailable>,
}

impl Kernel {
    /// Reads the running kernel's types, or those in `file`, which have to be the running kernel's as well.
    pub(crate) fn read(file: Option<&Path>) -> Result<Kernel> {
        let Some(file) = file else { return Ok(Kernel { types: Btf::running()?, unchecked: None }) };
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
        Ok(Kernel { types, unchecked })
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
    /// The kernel's own types as aya reads them, which some programs are loaded with: 21 MB.
    pub(super) running: Option<aya::Btf>,
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
    /// The kernel's types are let go of first: the loader reads them for itself, and needs four times their memory.
    pub(crate) fn load(&self, kernel: Kernel, wanted: &Wanted<'_>) -> Result<Object> {
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
        drop(kernel.types);
        let mut object = match typed.and_then(|prepared| load_typed(prepared, wanted)) {
            Ok(object) => object,
            Err(error) if forced.as_deref() == Some("btf") => {
                return Err(Failure::Unsupported(one_line(&format!("{error:#}"))).into());
            }
            Err(error) => {
                let why = one_line(&format!("{error:#}"));
                let mut object = load_maps(raw?, Hooks::Raw, wanted)?;
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

/// Loads the programs that decide, and tries whether tasks get storage.
fn load_typed(prepared: Prepared, wanted: &Wanted<'_>) -> Result<Object> {
    let mut object = load_maps(prepared, Hooks::Btf, wanted)?;
    states::try_storage(&object.ebpf)?;
    // Only now: the loader has read the same types for itself, and let go of them.
    object.running = Some(aya::Btf::from_sys_fs().context("the kernel has no BTF of its own")?);
    for probe in probes::decisive(wanted.probes, wanted.existing)? {
        object.load(probe)?;
    }
    Ok(object)
}

fn load_maps(prepared: Prepared, hooks: Hooks, wanted: &Wanted<'_>) -> Result<Object> {
    let mut loader = EbpfLoader::new();
    loader.allow_unsupported_maps().verifier_log_level(VerifierLogLevel::DEBUG | VerifierLogLevel::STATS);
    for field in &prepared.fields {
        // All objects have the globals of all tools.
        loader.override_global(field.global, &field.value, true);
    }
    let architecture = arch::globals();
    for (name, value) in wanted.settings.globals.iter().chain(&architecture) {
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
        fields: prepared.fields,
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
        // SAFETY: no preconditions.
        unsafe { libc::malloc_trim(0) };
    }
}

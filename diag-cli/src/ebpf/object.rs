//! Loading one object: its maps, its globals, and the kind of hooks that this kernel takes.

use std::{
    fmt,
    fs::{self, File},
    os::fd::{AsFd as _, AsRawFd as _, RawFd},
    path::Path,
};

use anyhow::{Context, Result};
use aya::{
    Ebpf, EbpfLoader, VerifierLogLevel,
    programs::{FEntry, FExit, Iter, Program},
};

use super::{calls::Calls, layout, privileges};
use crate::{
    exit::Failure,
    kernel::{
        btf::Btf,
        fields::{self, ABSENT, Resolved},
    },
    output::record::Hook,
};

/// Forces a kind of hooks, for tests that compare the two: `btf` or `raw`.
const HOOKS_VARIABLE: &str = "OSDIAG_HOOKS";
const RUNNING_BTF: &str = "/sys/kernel/btf/vmlinux";

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
}

impl Kernel {
    /// Reads the running kernel's types, or those in `file`.
    pub(crate) fn read(file: Option<&Path>) -> Result<Kernel> {
        let types = match file {
            Some(file) => Btf::from_file(file).map_err(|error| Failure::Usage(format!("{error:#}")))?,
            None => Btf::running().map_err(|_| {
                Failure::Unsupported(format!(
                    "{RUNNING_BTF} is missing or empty, so where this kernel keeps its fields is unknown; boot a kernel with CONFIG_DEBUG_INFO_BTF=y, or give its types with --btf FILE"
                ))
            })?,
        };
        Ok(Kernel { types })
    }
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
    /// The kernel's own types as aya reads them, which `tp_btf` programs are loaded with: 21 MB.
    running: Option<aya::Btf>,
}

impl Objects {
    /// Loads the object for the best kind of hooks that works: the `tp_btf` one if the kernel takes `probe`, one of
    /// its programs, and else the raw one.
    ///
    /// The kernel's types are let go of first: the loader reads them for itself, and needs four times their memory.
    pub(crate) fn load(&self, kernel: Kernel, settings: &Settings, probe: &str) -> Result<Object> {
        let fields = fields::resolve(&kernel.types, layout::FIELDS)?;
        let calls = Calls::of(&kernel.types);
        drop(kernel);
        let wanted = std::env::var(HOOKS_VARIABLE).ok();
        let typed = match wanted.as_deref() {
            Some("raw") => Err(format!("{HOOKS_VARIABLE}=raw")),
            _ => self.load_typed(&calls, &fields, settings, probe).map_err(|e| format!("{e:#}")),
        };
        match typed {
            Ok((ebpf, btf)) => {
                Ok(Object { ebpf, hooks: Hooks::Btf, fallback: None, fields, running: Some(btf) })
            }
            Err(why) if wanted.as_deref() == Some("btf") => Err(Failure::Unsupported(why).into()),
            Err(why) => {
                let ebpf = load(&calls.write_into(self.raw), &fields, settings)?;
                Ok(Object { ebpf, hooks: Hooks::Raw, fallback: Some(why), fields, running: None })
            }
        }
    }

    fn load_typed(
        &self,
        calls: &Calls,
        fields: &[Resolved],
        settings: &Settings,
        probe: &str,
    ) -> Result<(Ebpf, aya::Btf)> {
        let mut ebpf = load(&calls.write_into(self.btf), fields, settings)?;
        // Only now: the loader has read the same types for itself, and let go of them.
        let btf = aya::Btf::from_sys_fs().context("the kernel has no BTF of its own")?;
        load_program(&mut ebpf, probe, Hooks::Btf, Some(&btf))?;
        Ok((ebpf, btf))
    }
}

fn load(object: &[u8], fields: &[Resolved], settings: &Settings) -> Result<Ebpf> {
    let mut loader = EbpfLoader::new();
    loader.allow_unsupported_maps().verifier_log_level(VerifierLogLevel::DEBUG | VerifierLogLevel::STATS);
    for field in fields {
        // A tool's object has the globals that it uses, and no others.
        loader.override_global(field.global, &field.value, false);
    }
    for (name, value) in &settings.globals {
        match value {
            Value::U32(value) => loader.override_global(name, value, true),
            Value::U64(value) => loader.override_global(name, value, true),
            Value::U8(value) => loader.override_global(name, value, true),
        };
    }
    for &(name, entries) in &settings.entries {
        loader.map_max_entries(name, entries);
    }
    loader.load(object).map_err(|error| refused("the kernel refuses the maps", error))
}

/// Loads one program; the error says what the kernel said.
pub(crate) fn load_program(ebpf: &mut Ebpf, name: &str, hooks: Hooks, btf: Option<&aya::Btf>) -> Result<()> {
    let program = ebpf.program_mut(name).with_context(|| format!("there is no program {name}"))?;
    let loaded = match (program, hooks) {
        (Program::BtfTracePoint(program), Hooks::Btf) => {
            if program.fd().is_ok() {
                return Ok(());
            }
            program.load(name, btf.context("the kernel has no BTF")?)
        }
        (Program::RawTracePoint(program), Hooks::Raw) => program.load(),
        _ => anyhow::bail!("{name} is no {hooks} program"),
    };
    loaded.map_err(|error| refused(&format!("the kernel refuses {name}"), error))
}

/// `recursion_misses` of a program (kernel/bpf/syscall.c, bpf_prog_show_fdinfo, 6.18).
fn misses(fd: RawFd) -> Option<u64> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
    info.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?.trim().parse().ok()
}

fn refused<E: std::error::Error + Send + Sync + 'static>(what: &str, error: E) -> anyhow::Error {
    if let Some(hint) = privileges::refusal_hint() {
        return Failure::Unsupported(format!("{what}: {hint}")).into();
    }
    let error = anyhow::Error::new(error);
    let not_permitted = |cause: &(dyn std::error::Error + 'static)| {
        let errno = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
        errno == Some(rustix::io::Errno::PERM.raw_os_error())
    };
    if error.chain().any(not_permitted) {
        let why = "it is not permitted; tracing needs CAP_BPF and CAP_PERFMON in the initial user namespace: run it as root of the host";
        return Failure::Unsupported(format!("{what}: {why}")).into();
    }
    error.context(what.to_owned())
}

impl Object {
    /// Loads and attaches one program to its tracepoint.
    pub(crate) fn attach(&mut self, name: &str) -> Result<()> {
        load_program(&mut self.ebpf, name, self.hooks, self.running.as_ref())?;
        let attached = match self.ebpf.program_mut(name) {
            Some(Program::BtfTracePoint(program)) => program.attach().map(drop),
            Some(Program::RawTracePoint(program)) => program.attach(name).map(drop),
            _ => anyhow::bail!("there is no program {name}"),
        };
        attached.with_context(|| format!("cannot attach to {name}"))
    }

    /// Loads the two programs of a kernel function, and attaches them to its return and its call, in this order: a return
    /// whose call was not seen does no harm.
    pub(crate) fn attach_function(&mut self, name: &str) -> Result<()> {
        // Raw tracepoints need no types; functions do.
        if self.running.is_none() {
            self.running = Some(aya::Btf::from_sys_fs().context("the kernel has no BTF of its own")?);
        }
        let types = self.running.as_ref().context("the kernel has no BTF")?;
        let (call, back) = (format!("{name}_begin"), format!("{name}_end"));
        let refused = |error| refused(&format!("the kernel refuses {name}"), error);
        entry(&mut self.ebpf, &call)?.load(name, types).map_err(refused)?;
        let returns = exit(&mut self.ebpf, &back)?;
        returns.load(name, types).map_err(refused)?;
        returns.attach().with_context(|| format!("cannot attach to the return of {name}"))?;
        if let Err(error) = entry(&mut self.ebpf, &call)?.attach() {
            let _ = exit(&mut self.ebpf, &back)?.unload();
            return Err(error).with_context(|| format!("cannot attach to {name}"));
        }
        Ok(())
    }

    /// Loads a program that is run with every task when it is read; see [`Object::iterate`].
    pub(crate) fn load_iterator(&mut self, name: &str) -> Result<()> {
        // Raw tracepoints need no types; an iterator does.
        let own = match self.running {
            Some(_) => None,
            None => Some(aya::Btf::from_sys_fs().context("the kernel has no BTF of its own")?),
        };
        let btf = own.as_ref().or(self.running.as_ref()).context("the kernel has no BTF")?;
        let loaded = iterator(&mut self.ebpf, name)?.load("task", btf);
        loaded.map_err(|error| refused(&format!("the kernel refuses {name}"), error))
    }

    /// What such a program writes of all tasks, for one reading.
    pub(crate) fn iterate(&mut self, name: &str) -> Result<File> {
        let program = iterator(&mut self.ebpf, name)?;
        let link = program.attach()?;
        Ok(program.take_link(link)?.into_file()?)
    }

    /// Whether this kernel has a field, by its global.
    pub(crate) fn has(&self, global: &str) -> bool {
        self.fields.iter().any(|field| field.global == global && field.value != ABSENT)
    }

    /// How often the kernel left a program out because it was already running on that CPU; 0 where it does not count
    /// that (before 5.12).
    pub(crate) fn missed_runs(&self) -> u64 {
        let fds = self.ebpf.programs().filter_map(|(_, program)| program.fd().ok());
        fds.map(|fd| misses(fd.as_fd().as_raw_fd()).unwrap_or(0)).sum()
    }

    /// Lets go of what only attaching needs, and gives the memory back to the system.
    pub(crate) fn settle(&mut self) {
        self.running = None;
        // SAFETY: no preconditions.
        unsafe { libc::malloc_trim(0) };
    }

    /// Detaches and unloads every program; the maps stay.
    pub(crate) fn detach(&mut self) {
        for (_, program) in self.ebpf.programs_mut() {
            let _ = match program {
                Program::BtfTracePoint(program) => program.unload(),
                Program::RawTracePoint(program) => program.unload(),
                Program::Iter(program) => program.unload(),
                Program::FEntry(program) => program.unload(),
                Program::FExit(program) => program.unload(),
                _ => Ok(()),
            };
        }
    }
}

fn entry<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut FEntry> {
    match ebpf.program_mut(name) {
        Some(Program::FEntry(program)) => Ok(program),
        _ => anyhow::bail!("there is no program {name}"),
    }
}

fn exit<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut FExit> {
    match ebpf.program_mut(name) {
        Some(Program::FExit(program)) => Ok(program),
        _ => anyhow::bail!("there is no program {name}"),
    }
}

fn iterator<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Iter> {
    match ebpf.program_mut(name) {
        Some(Program::Iter(program)) => Ok(program),
        _ => anyhow::bail!("there is no iterator {name}"),
    }
}

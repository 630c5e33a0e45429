//! The programs of a loaded object: loading, attaching, reading and detaching them.

use std::{
    fs::{self, File},
    os::fd::{AsFd as _, AsRawFd as _, RawFd},
    rc::Rc,
};

use anyhow::{Context, Result};
use aya::{
    BtfError, Ebpf,
    programs::{FEntry, FExit, Iter, Program, ProgramError},
};

use super::{
    object::{Hooks, Object},
    privileges,
    probes::ProbeSpec,
};
use crate::{exit::Failure, output::streams};

/// `recursion_misses` of a program (kernel/bpf/syscall.c, bpf_prog_show_fdinfo, 6.18).
fn misses(fd: RawFd) -> Option<u64> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
    info.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?.trim().parse().ok()
}

/// What to say of what the kernel refused: [`Failure::Unsupported`] where privileges are what is missing.
pub(super) fn refused<E: std::error::Error + Send + Sync + 'static>(what: &str, error: E) -> anyhow::Error {
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
    /// Loads the program of a tracepoint or an iterator, if it is not loaded yet.
    pub(super) fn load(&mut self, probe: &ProbeSpec) -> Result<()> {
        if probe.is_iterator() { self.load_iterator(probe.name) } else { self.load_program(probe.name) }
    }

    /// Loads and attaches one program to its tracepoint.
    pub(super) fn attach(&mut self, name: &str) -> Result<()> {
        self.load_program(name)?;
        let attached = match self.ebpf.program_mut(name) {
            Some(Program::BtfTracePoint(program)) => program.attach().map(drop),
            Some(Program::RawTracePoint(program)) => program.attach(name).map(drop),
            _ => anyhow::bail!("there is no program {name}"),
        };
        attached.with_context(|| format!("cannot attach to {name}"))
    }

    fn load_program(&mut self, name: &str) -> Result<()> {
        let hooks = self.hooks;
        let program = self.ebpf.program_mut(name).with_context(|| format!("there is no program {name}"))?;
        let loaded = match (program, hooks) {
            (Program::BtfTracePoint(program), Hooks::Btf) if program.fd().is_ok() => Ok(()),
            (Program::BtfTracePoint(program), Hooks::Btf) => {
                program.load(name, self.running.as_deref().context("the kernel has no BTF")?)
            }
            (Program::RawTracePoint(program), Hooks::Raw) => program.load(),
            _ => anyhow::bail!("{name} is no {hooks} program"),
        };
        loaded.map_err(|error| self.refuses(name, error))
    }

    /// Loads the two programs of a kernel function, and attaches them to its return and its call, in this order: a return
    /// whose call was not seen does no harm.
    pub(super) fn attach_function(&mut self, name: &str) -> Result<()> {
        self.read_types()?;
        let types = self.running.as_deref().context("the kernel has no BTF")?;
        let (call, back) = (format!("{name}_begin"), format!("{name}_end"));
        let loaded = entry(&mut self.ebpf, &call)?.load(name, types);
        loaded.map_err(|error| self.refuses_function(name, error))?;
        let loaded = exit(&mut self.ebpf, &back)?.load(name, types);
        loaded.map_err(|error| self.refuses_function(name, error))?;
        let attached = exit(&mut self.ebpf, &back)?.attach();
        attached.with_context(|| format!("cannot attach to the return of {name}"))?;
        if let Err(error) = entry(&mut self.ebpf, &call)?.attach() {
            let _ = exit(&mut self.ebpf, &back)?.unload();
            return Err(error).with_context(|| format!("cannot attach to {name}"));
        }
        Ok(())
    }

    /// Loads a program that is run with every task when it is read; see [`Object::iterate`].
    pub(super) fn load_iterator(&mut self, name: &str) -> Result<()> {
        self.read_types()?;
        let btf = self.running.as_deref().context("the kernel has no BTF")?;
        let program = iterator(&mut self.ebpf, name)?;
        if program.fd().is_ok() {
            return Ok(());
        }
        let loaded = program.load("task", btf);
        loaded.map_err(|error| self.refuses(name, error))
    }

    /// Reads the kernel's own types, where those at hand were not read from it. Raw tracepoints need none; functions and iterators
    /// do.
    pub(super) fn read_types(&mut self) -> Result<()> {
        if self.running.is_none() {
            let types = aya::Btf::from_sys_fs().context("the kernel has no BTF of its own")?;
            self.running = Some(Rc::new(types));
        }
        Ok(())
    }

    /// The same for the program of a function, which the kernel's compiler may have put into its callers.
    fn refuses_function(&self, name: &str, error: ProgramError) -> anyhow::Error {
        match error {
            ProgramError::Btf(BtfError::UnknownBtfTypeName { .. }) => {
                anyhow::anyhow!("this kernel's types have no such function")
            }
            error => self.refuses(name, error),
        }
    }

    /// The error for a program that the kernel does not load; `-vv` shows the verifier's whole log.
    fn refuses(&self, name: &str, error: ProgramError) -> anyhow::Error {
        if let ProgramError::LoadError { verifier_log, .. } = &error
            && self.logs
        {
            streams::note(format_args!("the verifier on {name} ({}):", self.hooks));
            verifier_log.to_string().lines().for_each(streams::note);
        }
        refused(&format!("the kernel refuses {name}"), error)
    }

    /// What such a program writes of all tasks, for one reading.
    pub(crate) fn iterate(&mut self, name: &str) -> Result<File> {
        let program = iterator(&mut self.ebpf, name)?;
        let link = program.attach()?;
        Ok(program.take_link(link)?.into_file()?)
    }

    /// How often the kernel left a program out because it was already running on that CPU; 0 where it does not count
    /// that (before 5.12).
    pub(crate) fn missed_runs(&self) -> u64 {
        let fds = self.ebpf.programs().filter_map(|(_, program)| program.fd().ok());
        fds.map(|fd| misses(fd.as_fd().as_raw_fd()).unwrap_or(0)).sum()
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

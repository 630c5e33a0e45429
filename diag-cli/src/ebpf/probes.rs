//! A tool's probes as data: what each is for, and what is lost without it.

use anyhow::Result;

use super::object::{Kernel, Object};
use crate::{
    exit::Failure,
    output::record::{Probe, Unavailable},
};

/// Pretends that probes cannot be attached, for tests: their names, separated by commas.
const WITHOUT_VARIABLE: &str = "OSDIAG_WITHOUT";

/// What a program hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    /// The tracepoint that it is named after.
    Tracepoint,
    /// Nothing: it is run with every task when it is read.
    Tasks,
}

/// A program of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProbeSpec {
    /// Its name.
    pub(crate) name: &'static str,
    on: On,
    /// What the answer lacks without it; none for a probe that there is no answer without.
    pub(crate) effect: Option<&'static str>,
    /// A field that makes it needless, where the kernel has it.
    unless: Option<&'static str>,
}

impl ProbeSpec {
    /// The same, on kernels alone that lack a field, by its global.
    pub(crate) const fn unless(self, field: &'static str) -> ProbeSpec {
        ProbeSpec { unless: Some(field), ..self }
    }
}

/// A probe that there is no answer without.
pub(crate) const fn essential(name: &'static str) -> ProbeSpec {
    ProbeSpec { name, on: On::Tracepoint, effect: None, unless: None }
}

/// An iterator over tasks, which there is no answer without.
pub(crate) const fn iterator(name: &'static str) -> ProbeSpec {
    ProbeSpec { name, on: On::Tasks, effect: None, unless: None }
}

/// A probe that the answer is poorer without, and by what.
pub(crate) const fn helpful(name: &'static str, effect: &'static str) -> ProbeSpec {
    ProbeSpec { name, on: On::Tracepoint, effect: Some(effect), unless: None }
}

/// What came of attaching.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attached {
    /// What is attached.
    pub(crate) probes: Vec<Probe>,
    /// What is not.
    pub(crate) unavailable: Vec<Unavailable>,
}

/// Those of `probes` whose tracepoint this kernel has.
pub(crate) fn existing(kernel: &Kernel, probes: &[ProbeSpec]) -> Result<Vec<&'static str>> {
    let mut names = Vec::with_capacity(probes.len());
    for probe in probes {
        if probe.on == On::Tasks || kernel.types.prototype(probe.name)?.is_some() {
            names.push(probe.name);
        }
    }
    Ok(names)
}

/// Attaches `probes`, of which the kernel has those `existing`, in their order. [`Failure::Unsupported`] when an essential one fails.
pub(crate) fn attach(object: &mut Object, existing: &[&str], probes: &[ProbeSpec]) -> Result<Attached> {
    let without = std::env::var(WITHOUT_VARIABLE).unwrap_or_default();
    let mut attached = Attached::default();
    for probe in probes {
        if probe.unless.is_some_and(|field| object.has(field)) {
            continue;
        }
        let hook = if probe.on == On::Tasks { "iter" } else { object.hooks.name() };
        let done = if without.split(',').any(|name| name == probe.name) {
            Err(anyhow::anyhow!("{WITHOUT_VARIABLE} leaves it out"))
        } else if !existing.contains(&probe.name) {
            Err(anyhow::anyhow!("this kernel has no tracepoint {}", probe.name))
        } else if probe.on == On::Tasks {
            object.load_iterator(probe.name)
        } else {
            object.attach(probe.name)
        };
        match (done, probe.effect) {
            (Ok(()), _) => {
                attached.probes.push(Probe { name: probe.name.to_owned(), hook });
            }
            (Err(error), Some(effect)) => attached.unavailable.push(Unavailable {
                name: probe.name.to_owned(),
                why: one_line(&format!("{error:#}")),
                effect: effect.to_owned(),
            }),
            (Err(error), None) => {
                return Err(Failure::Unsupported(format!(
                    "cannot trace {}, which nothing works without: {}",
                    probe.name,
                    one_line(&format!("{error:#}"))
                ))
                .into());
            }
        }
    }
    Ok(attached)
}

/// What the kernel said, in one line: of a verifier's log, which has a line for each instruction, the verdict.
pub(crate) fn one_line(said: &str) -> String {
    let mut lines = said.lines();
    let first = lines.next().unwrap_or_default();
    let is_statistics =
        |line: &&str| ["processed ", "verification time", "stack depth"].iter().any(|s| line.starts_with(s));
    let log: Vec<&str> = lines.collect();
    match log.iter().position(is_statistics) {
        Some(end) if end > 0 => {
            let summary = first.split(". Verifier output").next().unwrap_or(first);
            format!("{summary}: {}", log[end - 1])
        }
        _ => first.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_verifier_log_the_verdict_remains() {
        let log = "the kernel refuses x: denied (os error 13). Verifier output: func#0 @0\n0: R1=ctx()\nR1 invalid mem access\nprocessed 2 insns\n";
        assert_eq!(one_line(log), "the kernel refuses x: denied (os error 13): R1 invalid mem access");
        assert_eq!(one_line("no such file"), "no such file");
    }
}

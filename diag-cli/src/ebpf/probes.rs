//! A tool's probes as data: what each is for, and what is lost without it.

use anyhow::Result;

use super::{
    knobs,
    limits::is_exhausted,
    object::{Kernel, Object},
};
use crate::{
    exit::Failure,
    output::record::{Hook, Probe, Unavailable},
};

/// What a program hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    /// The tracepoint that it is named after.
    Tracepoint,
    /// Nothing: it is run with every task when it is read.
    Tasks,
    /// A kernel function's call and its return: two programs.
    Function,
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
    /// Another probe that makes this one needless.
    instead_of: Option<&'static str>,
    /// Another probe that this one is of no use without.
    beside: Option<&'static str>,
    /// Whether others can stand in for it, one of which must.
    replaceable: bool,
}

impl ProbeSpec {
    /// Whether it is a kernel function's call and return.
    pub(crate) fn is_function(&self) -> bool {
        self.on == On::Function
    }

    /// Whether it is a program that is run with every task when it is read.
    pub(super) fn is_iterator(&self) -> bool {
        self.on == On::Tasks
    }

    /// The field that makes it needless.
    pub(super) fn needless_with(&self) -> Option<&'static str> {
        self.unless
    }

    /// The same, on kernels alone that lack a field, by its global.
    pub(crate) const fn unless(self, field: &'static str) -> ProbeSpec {
        ProbeSpec { unless: Some(field), ..self }
    }

    /// The same, wanted where `better` cannot be attached, which stands before it in the list.
    pub(crate) const fn instead_of(self, better: &'static str) -> ProbeSpec {
        ProbeSpec { instead_of: Some(better), ..self }
    }

    /// The same, where another probe is attached, which stands before it in the list.
    pub(crate) const fn beside(self, other: &'static str) -> ProbeSpec {
        ProbeSpec { beside: Some(other), ..self }
    }

    /// The same, with others behind it in the list that can stand in for it. There is no answer without any of them.
    pub(crate) const fn replaceable(self) -> ProbeSpec {
        ProbeSpec { replaceable: true, ..self }
    }
}

/// A tracepoint, and no more.
const fn tracepoint(name: &'static str) -> ProbeSpec {
    ProbeSpec {
        name,
        on: On::Tracepoint,
        effect: None,
        unless: None,
        instead_of: None,
        beside: None,
        replaceable: false,
    }
}

/// A probe that there is no answer without.
pub(crate) const fn essential(name: &'static str) -> ProbeSpec {
    tracepoint(name)
}

/// An iterator over tasks, which there is no answer without.
pub(crate) const fn iterator(name: &'static str) -> ProbeSpec {
    ProbeSpec { on: On::Tasks, ..tracepoint(name) }
}

/// A probe that the answer is poorer without, and by what.
pub(crate) const fn helpful(name: &'static str, effect: &'static str) -> ProbeSpec {
    ProbeSpec { effect: Some(effect), ..tracepoint(name) }
}

/// The call and the return of a kernel function, wanted where `better` cannot be attached, which stands before it in the
/// list. Its programs are called `NAME_begin` and `NAME_end`.
pub(crate) const fn function(name: &'static str, better: &'static str, effect: &'static str) -> ProbeSpec {
    ProbeSpec { on: On::Function, ..helpful(name, effect) }.instead_of(better)
}

/// The probes of every session, whichever tool it is for.
const COMMON: &[ProbeSpec] =
    &[helpful("cgroup_mkdir", "cgroups that are made and removed while tracing have no name")];

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
    let mut names = Vec::with_capacity(COMMON.len() + probes.len());
    for probe in COMMON.iter().chain(probes) {
        let exists = match probe.on {
            On::Tracepoint => kernel.types.prototype(probe.name)?.is_some(),
            On::Tasks => true,
            On::Function => keeps_trampolines(kernel),
        };
        if exists {
            names.push(probe.name);
        }
    }
    Ok(names)
}

/// Whether a function can be left alone again while tasks sleep in it: before 5.12 (e21aa341785c, and in stable series of
/// older kernels) the kernel frees what they return to.
fn keeps_trampolines(kernel: &Kernel) -> bool {
    kernel.types.struct_id("bpf_tramp_image").is_some()
}

/// The probes that the kind of hooks has to work for: those that there is no answer without. An error where the kernel
/// lacks one that functions stand in for, since only the raw object has their programs.
pub(super) fn decisive<'a>(
    probes: &'a [ProbeSpec],
    existing: &'a [&str],
) -> Result<impl Iterator<Item = &'a ProbeSpec>> {
    let exists = |probe: &ProbeSpec| existing.contains(&probe.name) && knobs::without(probe.name).is_none();
    if let Some(probe) = probes.iter().find(|probe| probe.replaceable && !exists(probe)) {
        anyhow::bail!("this kernel has no tracepoint {}, and functions stand in for it", probe.name);
    }
    Ok(probes.iter().filter(move |probe| (probe.effect.is_none() || probe.replaceable) && exists(probe)))
}

/// Attaches `probes`, of which the kernel has those `existing`, in their order. [`Failure::Unsupported`] when an essential one fails.
pub(crate) fn attach(object: &mut Object, existing: &[&str], probes: &[ProbeSpec]) -> Result<Attached> {
    let mut attached = Attached { probes: Vec::new(), unavailable: object.unavailable.clone() };
    for probe in COMMON.iter().chain(probes) {
        if probe.unless.is_some_and(|field| object.has(field)) {
            continue;
        }
        let has = |name: &str| attached.probes.iter().any(|probe| probe.name == name);
        if probe.instead_of.is_some_and(has) || probe.beside.is_some_and(|other| !has(other)) {
            continue;
        }
        let hook = match probe.on {
            On::Tracepoint => object.hooks.hook(),
            On::Tasks => Hook::Iter,
            On::Function => Hook::Fentry,
        };
        let done = if let Some(why) = knobs::without(probe.name) {
            Err(anyhow::Error::msg(why))
        } else if !existing.contains(&probe.name) {
            Err(match probe.on {
                On::Function => {
                    anyhow::anyhow!("this kernel cannot let go of a function that tasks sleep in")
                }
                _ => anyhow::anyhow!("this kernel has no tracepoint {}", probe.name),
            })
        } else {
            match probe.on {
                On::Tracepoint => object.attach(probe.name),
                On::Tasks => object.load(probe),
                On::Function => object.attach_function(probe.name),
            }
        };
        match (done, probe.effect) {
            // No property of the kernel, which a record could state.
            (Err(error), _) if is_exhausted(&error) => return Err(error),
            (Ok(()), _) => {
                attached.probes.push(Probe { name: probe.name.to_owned(), hook });
            }
            (Err(error), Some(effect)) => attached.unavailable.push(Unavailable {
                name: probe.name.to_owned(),
                why: one_line(&format!("{error:#}")),
                effect: effect.to_owned(),
            }),
            (Err(error), None) => {
                let why = one_line(&format!("{error:#}"));
                let also =
                    object.fallback.as_ref().map(|why| format!(" (before: {why})")).unwrap_or_default();
                return Err(Failure::Unsupported(format!(
                    "cannot trace {}, which nothing works without: {why}{also}",
                    probe.name
                ))
                .into());
            }
        }
    }
    match missing(probes, &attached.probes) {
        Some(name) => Err(no_stand_in(name, &attached.unavailable)),
        None => Ok(attached),
    }
}

/// A replaceable probe that is not attached, and none in its place either.
fn missing(probes: &[ProbeSpec], attached: &[Probe]) -> Option<&'static str> {
    let works = |probe: &ProbeSpec| attached.iter().any(|attached| attached.name == probe.name);
    let replaceable = probes.iter().filter(|probe| probe.replaceable).map(|probe| probe.name);
    let answers = |name| move |probe: &&ProbeSpec| probe.name == name || probe.instead_of == Some(name);
    replaceable.into_iter().find(|&name| !probes.iter().filter(answers(name)).any(works))
}

fn no_stand_in(name: &str, unavailable: &[Unavailable]) -> anyhow::Error {
    let mut said: Vec<&str> = Vec::new();
    for missing in unavailable {
        // Many functions can stand in for one tracepoint, and mostly the kernel refuses all of them for one reason.
        let why = missing.why.as_str();
        let why = why.strip_prefix(&format!("the kernel refuses {}: ", missing.name)).unwrap_or(why);
        if !said.contains(&why) {
            said.push(why);
        }
    }
    Failure::Unsupported(format!(
        "cannot trace {name}, nor anything in its place, and nothing works without: {}",
        said.join("; ")
    ))
    .into()
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
    fn what_is_replaced_is_not_missing() {
        let probes = [
            helpful("end", "spinlocks are not seen").replaceable(),
            essential("begin").beside("end"),
            function("slow_path", "end", "mutexes are not seen"),
            helpful("other", "something else is not seen"),
        ];
        let attached = |names: &[&str]| {
            let probe = |name: &&str| Probe { name: (*name).to_owned(), hook: Hook::Fentry };
            missing(&probes, &names.iter().map(probe).collect::<Vec<_>>())
        };
        assert_eq!(attached(&["end", "begin", "other"]), None);
        assert_eq!(attached(&["slow_path"]), None);
        assert_eq!(attached(&["other"]), Some("end"));
    }

    #[test]
    fn a_reason_that_many_have_is_said_once() {
        let missing = |name: &str, why: &str| Unavailable {
            name: name.to_owned(),
            why: why.to_owned(),
            effect: String::new(),
        };
        let unavailable = [
            missing("end", "there is none"),
            missing("lock", "the kernel refuses lock: denied"),
            missing("down", "the kernel refuses down: denied"),
        ];
        let said = no_stand_in("end", &unavailable).to_string();
        assert!(said.ends_with("without: there is none; denied"), "{said}");
    }

    #[test]
    fn the_kind_of_hooks_has_to_work_for_what_nothing_works_without() {
        let probes = [
            helpful("end", "spinlocks are not seen").replaceable(),
            essential("begin"),
            helpful("more", "more is not seen"),
            iterator("tasks"),
        ];
        let names = |existing: &[&str]| {
            let decisive = decisive(&probes, existing).map_err(|error| error.to_string())?;
            Ok::<_, String>(decisive.map(|probe| probe.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["end", "begin", "more", "tasks"]).unwrap(), ["end", "begin", "tasks"]);
        assert_eq!(
            names(&["end", "tasks"]).unwrap(),
            ["end", "tasks"],
            "what is missing is said when attaching"
        );
        assert!(names(&["begin"]).unwrap_err().contains("no tracepoint end"));
    }

    #[test]
    fn of_a_verifier_log_the_verdict_remains() {
        let log = "the kernel refuses x: denied (os error 13). Verifier output: func#0 @0\n0: R1=ctx()\nR1 invalid mem access\nprocessed 2 insns\n";
        assert_eq!(one_line(log), "the kernel refuses x: denied (os error 13): R1 invalid mem access");
        assert_eq!(one_line("no such file"), "no such file");
    }
}

//! What to run next, ready to paste; then what helps against the cause.

use diag_common::cause::{Cause, Layer};

use crate::{
    output::{
        advice::{Adviser, Rule},
        cause_advice,
        record::{
            parties::{Group, Resource},
            verdict::Advice,
        },
    },
    tools::delays::{advice::target, culprits::resource_of},
};

/// When a command tells more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// A wait still lasts.
    Stuck,
    /// Files are waited for.
    Io,
    /// A CPU is waited for.
    Cpu,
    /// A lock of the kernel is waited for.
    Lock,
    /// Always.
    Any,
}

/// The commands: nothing else stands in their texts.
pub(super) const COMMANDS: &[Rule<When>] = &[
    Rule {
        id: "run-hung",
        when: When::Stuck,
        text: "osdiag hung{target} -d 10s",
        source: "osdiag hung --help: on what tasks are stuck, and behind whom",
    },
    Rule {
        id: "run-lock",
        when: When::Lock,
        text: "osdiag lock{target} -d 30s",
        source: "osdiag lock --help: who holds the lock",
    },
    Rule {
        id: "run-iolat",
        when: When::Io,
        text: "osdiag iolat{target} -d 30s",
        source: "osdiag iolat --help: which operations on which device are slow",
    },
    Rule {
        id: "run-runq",
        when: When::Cpu,
        text: "osdiag runq{target} -d 30s",
        source: "osdiag runq --help: which threads waited for a CPU, and who had it",
    },
    Rule {
        id: "run-delays",
        when: When::Any,
        text: "osdiag delays{target} --by comm -d 30s",
        source: "osdiag delays --help: which of its threads",
    },
];

/// Commands, of the four pieces of advice there can be.
const MOST_COMMANDS: usize = 2;

/// What to run and to look at where a victim suffers from a cause, through another one, and whether a wait still lasts.
pub(super) fn advice(victim: &Group, cause: Cause, via: Option<Cause>, stuck: bool) -> Vec<Advice> {
    let gaps = [("target", target(victim)), ("device", None), ("list", Some("longest".to_owned()))];
    let mut adviser = Adviser::new(&gaps);
    adviser.add(COMMANDS, MOST_COMMANDS, |&when| fits(when, cause, stuck));
    cause_advice::add(&mut adviser, cause, via);
    adviser.finish()
}

/// Whether a piece of advice is a command to paste.
pub(super) fn is_command(advice: &Advice) -> bool {
    COMMANDS.iter().any(|command| command.id == advice.rule)
}

fn fits(when: When, cause: Cause, stuck: bool) -> bool {
    match when {
        When::Stuck => stuck,
        When::Io => matches!(cause.layer(), Layer::Memory | Layer::Filesystem | Layer::Block | Layer::Uring),
        When::Cpu => matches!(cause.layer(), Layer::Cpu | Layer::Hypervisor),
        When::Lock => resource_of(cause) == Some(Resource::Lock),
        When::Any => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{advice::check, record::parties::GroupType};

    #[test]
    fn commands_come_first_and_select_the_victim() {
        check(COMMANDS);
        let victim = Group { cgroup: Some("/a/web.service".to_owned()), ..Group::of(GroupType::Unit) };
        let advice = advice(&victim, Cause::Runqueue, None, false);
        assert_eq!(advice[0].text, "osdiag runq --unit web.service -d 30s");
        assert!(is_command(&advice[1]) && !is_command(&advice[2]), "{advice:?}");
        let rules = |cause, stuck| super::advice(&victim, cause, None, stuck)[0].rule;
        assert_eq!((rules(Cause::Freeze, true), rules(Cause::Freeze, false)), ("run-hung", "run-iolat"));
        assert_eq!(rules(Cause::KernelLock, false), "run-lock");
    }
}

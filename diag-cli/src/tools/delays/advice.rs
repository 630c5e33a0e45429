//! What to look at next: the command that tells more of a cause, then what helps against it.

use diag_common::cause::{Cause, Layer};

use super::culprits::resource_of;
use crate::output::{
    advice::{Adviser, Rule},
    cause_advice,
    record::{
        parties::{Group, GroupType, Resource},
        verdict::Advice,
    },
};

/// When a rule applies.
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
    /// The group has threads that could be told apart.
    Divisible,
}

/// What was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation<'a> {
    pub(super) cause: Cause,
    pub(super) via: Option<Cause>,
    /// Who lost time.
    pub(super) victim: &'a Group,
    /// Whether a wait of this cause has lasted long, and still does.
    pub(super) stuck: bool,
    /// Whether the group's threads could be told apart.
    pub(super) divisible: bool,
}

impl Situation<'_> {
    fn is(&self, when: When) -> bool {
        match when {
            When::Stuck => self.stuck,
            When::Io => {
                matches!(self.cause.layer(), Layer::Memory | Layer::Filesystem | Layer::Block | Layer::Uring)
            }
            When::Cpu => matches!(self.cause, Cause::Runqueue | Cause::Throttled | Cause::Irq | Cause::Steal),
            When::Lock => resource_of(self.cause) == Some(Resource::Lock),
            When::Divisible => self.divisible,
        }
    }
}

/// Commands, of the four pieces of advice there can be.
const MOST_COMMANDS: usize = 2;

/// What to look at next.
pub(super) fn advice(situation: &Situation<'_>) -> Vec<Advice> {
    let gaps = [("target", target(situation.victim)), ("device", None), ("list", Some("longest".to_owned()))];
    let mut adviser = Adviser::new(&gaps);
    adviser.add(COMMANDS, MOST_COMMANDS, |&when| situation.is(when));
    cause_advice::add(&mut adviser, situation.cause, situation.via);
    adviser.finish()
}

/// The flag that selects a group's tasks, with a space before it; none where there is none.
pub(crate) fn target(group: &Group) -> Option<String> {
    let flag = match group.kind {
        GroupType::Container => format!("--container {}", quoted(&group.container.as_ref()?.label())),
        GroupType::Unit => format!("--unit {}", quoted(group.cgroup.as_ref()?.rsplit('/').next()?)),
        GroupType::Cgroup => format!("--cgroup {}", quoted(group.cgroup.as_ref()?)),
        GroupType::Process | GroupType::Thread => format!("-p {}", group.pid?),
        GroupType::Comm => format!("--comm {}", quoted(group.comm.as_ref()?)),
        GroupType::Kernel | GroupType::Cpu | GroupType::Rest => return None,
    };
    Some(format!(" {flag}"))
}

/// `text` as one word of a shell: names are data that others chose.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./@:=+-".contains(c);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The commands that tell more.
pub(super) const COMMANDS: &[Rule<When>] = &[
    Rule {
        id: "trace-stuck",
        when: When::Stuck,
        text: "what it is stuck on, and behind whom: osdiag hung{target}",
        source: "osdiag hung --help",
    },
    Rule {
        id: "trace-locks",
        when: When::Lock,
        text: "who holds the lock: osdiag lock{target} -d 30s",
        source: "osdiag lock --help",
    },
    Rule {
        id: "trace-io",
        when: When::Io,
        text: "which operations on which device are slow: osdiag iolat{target} -d 30s",
        source: "osdiag iolat --help",
    },
    Rule {
        id: "trace-run-queue",
        when: When::Cpu,
        text: "which threads waited for a CPU, and who had it: osdiag runq{target} -d 30s",
        source: "osdiag runq --help",
    },
    Rule {
        id: "trace-threads",
        when: When::Divisible,
        text: "which of its threads: osdiag delays{target} --by comm -d 30s",
        source: "osdiag delays --help",
    },
];

#[cfg(test)]
mod tests {
    use diag_common::cause::Class;

    use super::*;
    use crate::output::{advice::check, record::parties::Container};

    fn rules(cause: Cause, victim: &Group, stuck: bool) -> Vec<&'static str> {
        let situation = Situation { cause, via: None, victim, stuck, divisible: true };
        let advice = advice(&situation);
        assert!(advice.iter().all(|advice| !advice.text.contains('{')), "{advice:?}");
        advice.iter().map(|advice| advice.rule).collect()
    }

    #[test]
    fn every_lost_cause_has_a_command_and_advice() {
        check(COMMANDS);
        let victim = Group { pid: Some(7), ..Group::of(GroupType::Process) };
        for &cause in Cause::ALL.iter().filter(|cause| cause.class() == Class::Lost) {
            let rules = rules(cause, &victim, false);
            assert!(rules[0].starts_with("trace-"), "{cause:?}: {rules:?}");
        }
        assert_eq!(rules(Cause::Freeze, &victim, true)[..2], ["trace-stuck", "trace-io"]);
        assert_eq!(rules(Cause::Runqueue, &victim, false)[..2], ["trace-run-queue", "trace-threads"]);
        assert_eq!(rules(Cause::MmapLock, &victim, false)[..2], ["trace-locks", "trace-threads"]);
    }

    #[test]
    fn commands_select_the_victim() {
        let of = |kind, name: &str| Group { cgroup: Some(name.to_owned()), ..Group::of(kind) };
        let container = Container { id: "3f2a".into(), name: Some("web 1".into()), ..Container::default() };
        let container = Group { container: Some(container), ..Group::of(GroupType::Container) };
        let comm = Group { comm: Some("a'; reboot #".into()), ..Group::of(GroupType::Comm) };
        let thread = Group { pid: Some(7), tid: Some(8), ..Group::of(GroupType::Thread) };
        for (group, flag) in [
            (of(GroupType::Unit, "/system.slice/nginx.service"), Some(" --unit nginx.service")),
            (of(GroupType::Cgroup, "/jobs/nightly"), Some(" --cgroup /jobs/nightly")),
            (container, Some(" --container 'web 1'")),
            (comm, Some(" --comm 'a'\\''; reboot #'")),
            (thread, Some(" -p 7")),
            (Group::of(GroupType::Kernel), None),
        ] {
            assert_eq!(target(&group).as_deref(), flag);
        }
    }
}

//! What to look at next: rules, each with where it comes from.

use super::{
    record::{Cause, Relation, StuckTask},
    words,
};

/// Pieces of advice at most.
const MOST: usize = 4;

/// When a rule applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// Somebody waits for itself.
    Deadlock,
    /// The end of the chain is this, in this state; any where there is none.
    End(Relation, Option<&'static str>),
    /// A link of the chain, or the task itself, waits for this.
    Cause(Cause),
}

/// Something worth looking at, or worth doing. `{pid}` is the process at the end of the chain, `{device}` and `{mount}` those
/// of the innermost wait; a rule that needs one which is not known does not apply.
struct Rule {
    when: When,
    text: &'static str,
}

const fn rule(when: When, text: &'static str) -> Rule {
    Rule { when, text }
}

const RULES: &[Rule] = &[
    // Documentation/filesystems/fuse/fuse.rst: "Aborting a filesystem connection".
    rule(
        When::Deadlock,
        "nothing but ending one of them helps: kill a killable one; for a FUSE server, kill it or write 1 to abort of its connection in fusectl",
    ),
    // signal(7); kernel/signal.c, 6.18.
    rule(
        When::End(Relation::FuseServer, Some("T")),
        "the server is stopped: who stopped it (a debugger, a freezer, kill -STOP)? kill -CONT {pid} lets it go on",
    ),
    // Documentation/filesystems/fuse/fuse.rst: "Aborting a filesystem connection".
    rule(
        When::End(Relation::FuseServer, None),
        "what the server does: cat /proc/{pid}/stack, gdb or strace -p {pid}; killing it fails all that waits for it",
    ),
    // ps(1), wait(2): a stopped task holds what it holds.
    rule(When::End(Relation::Holder, Some("T")), "the holder is stopped: kill -CONT {pid} lets it go on"),
    // perf-record(1); Documentation/scheduler/sched-bwc.rst.
    rule(
        When::End(Relation::Holder, Some("R")),
        "the holder runs, or waits for a CPU: perf top -p {pid}, and nr_throttled in its cgroup's cpu.stat",
    ),
    // proc_pid_stack(5).
    rule(When::End(Relation::Holder, Some("S")), "what the holder sleeps for: cat /proc/{pid}/stack"),
    // vfork(2).
    rule(
        When::End(Relation::VforkChild, None),
        "what keeps the child from exec: cat /proc/{pid}/stack, strace -p {pid}",
    ),
    // fsfreeze(8); ioctl_fsfreeze: FITHAW.
    rule(
        When::Cause(Cause::Freeze),
        "who froze it, which the kernel does not keep: a snapshot or backup agent that has not finished, or died",
    ),
    // fsfreeze(8).
    rule(When::Cause(Cause::Freeze), "if whoever froze it is gone: fsfreeze -u {mount}"),
    // nfs(5), nfsstat(8); Documentation/filesystems/nfs.
    rule(
        When::Cause(Cause::NetworkFs),
        "whether the server answers: ping it, rpcinfo -T tcp SERVER nfs; dmesg | grep 'not responding'",
    ),
    rule(
        When::Cause(Cause::NetworkFs),
        "umount -f {mount} fails what waits for it; a mount with soft or timeo= gives up by itself",
    ),
    // iostat(1); Documentation/ABI/stable/sysfs-block: inflight.
    rule(
        When::Cause(Cause::Block),
        "whether requests come back at all: cat /sys/class/block/{device}/inflight, twice; iostat -x {device} 1",
    ),
    // Documentation/ABI/stable/sysfs-block: queue/io_timeout.
    rule(
        When::Cause(Cause::Block),
        "whether the device fails: dmesg -T | grep -iE 'timeout|reset|I/O error'; on a cloud disk, its state at the provider",
    ),
    // fs/jbd2/journal.c, 6.18: kjournald2.
    rule(
        When::Cause(Cause::Journal),
        "what the journal's thread waits for is in the chain; osdiag iolat -d 10s shows what else waits for it",
    ),
    // Documentation/admin-guide/sysctl/kernel.rst: hung_task_*; Documentation/admin-guide/sysrq.rst.
    rule(
        When::Cause(Cause::Lock),
        "where no holder is named: echo w > /proc/sysrq-trigger writes all blocked tasks' stacks to the kernel's log",
    ),
    rule(
        When::Cause(Cause::Other),
        "where it sleeps: 'stack' in --json; echo w > /proc/sysrq-trigger writes all blocked tasks' stacks to the kernel's log",
    ),
];

/// What to look at next for a stuck task.
pub(super) fn advice(task: &StuckTask, deadlock: bool) -> Vec<String> {
    let links: Vec<_> = words::links(task).collect();
    let waits: Vec<_> =
        links.iter().rev().filter_map(|link| link.wait.as_ref()).chain([&task.wait]).collect();
    let end = links.last().copied();
    let applies = |when: When| match when {
        When::Deadlock => deadlock,
        When::End(relation, state) => end.is_some_and(|end| {
            let found = end.who.as_ref().map(|who| who.state.as_str());
            !deadlock && end.relation == relation && found.is_some() && (state.is_none() || state == found)
        }),
        When::Cause(cause) => waits.first().is_some_and(|wait| wait.cause == cause),
    };
    let pid = end.and_then(|end| Some(end.who.as_ref()?.pid.to_string()));
    let device = waits.first().and_then(|wait| wait.device.clone());
    let mount = waits.first().and_then(|wait| wait.mount.clone());
    let fill = |text: &str| {
        let mut text = text.to_owned();
        for (gap, value) in [("{pid}", &pid), ("{device}", &device), ("{mount}", &mount)] {
            if text.contains(gap) {
                text = text.replace(gap, value.as_deref()?);
            }
        }
        Some(text)
    };
    RULES.iter().filter(|rule| applies(rule.when)).filter_map(|rule| fill(rule.text)).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::hung::sample::{chain, crowd_of};

    #[test]
    fn rules_are_single_short_lines() {
        for rule in RULES {
            assert!(rule.text.len() <= 140 && !rule.text.contains('\n'), "{}", rule.text);
        }
    }

    #[test]
    fn a_rule_that_needs_what_is_not_known_does_not_apply() {
        let mut task = crowd_of(1).remove(0);
        assert!(
            advice(&task, false)
                .iter()
                .any(|text| text == "if whoever froze it is gone: fsfreeze -u /srv/frozen")
        );
        task.wait.mount = None;
        assert!(!advice(&task, false).iter().any(|text| text.contains("fsfreeze")));
        assert!(!advice(&task, false).is_empty());
    }

    #[test]
    fn a_server_that_is_stopped_is_let_go_on_and_one_that_sleeps_looked_at() {
        let mut task = chain();
        assert!(advice(&task, false)[0].contains("kill -CONT 400"));
        let mut link = task.behind.as_mut();
        while let Some(behind) = link {
            if let Some(who) = behind.who.as_mut().filter(|who| who.state == "T") {
                who.state = "S".into();
            }
            link = behind.behind.as_mut();
        }
        let texts = advice(&task, false);
        assert!(texts[0].contains("strace -p 400"), "{texts:?}");
        assert!(!texts.iter().any(|text| text.contains("CONT")), "{texts:?}");
    }
}

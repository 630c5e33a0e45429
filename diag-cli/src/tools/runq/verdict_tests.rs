use super::*;
use crate::{
    output::record::parties::Task,
    tools::runq::{
        policy::Policy,
        sample::{cpu, culprit, facts, group, own},
    },
};

const SLOW: Duration = Duration::from_millis(1);

fn of(groups: &[(Group, Facts)], cpu_times: &[CpuTime], waiting: &[Waiting]) -> Verdict {
    let (groups, facts): (Vec<_>, Vec<_>) = groups.iter().cloned().unzip();
    let found = Found { groups: &groups, facts: &facts, cpu_times, waiting, cgroups: None, slow: SLOW };
    verdict(found, &mut Policies::default())
}

fn alone(group: Group) -> (Group, Facts) {
    let facts = facts(&group);
    (group, facts)
}

fn rules(verdict: &Verdict) -> Vec<&str> {
    verdict.advice().iter().map(|advice| advice.rule).collect()
}

fn name(verdict: &Verdict) -> &str {
    verdict.subject.as_ref().map_or("", |subject| subject.name.as_str())
}

#[test]
fn a_victim_comes_before_those_who_crowd_each_other() {
    let hogs = group("hog", 100, 10_000_000, vec![culprit("hog", 7, 100, 10_000_000, 0.98)]);
    let crowd = own(&hogs);
    let web = group("web", 60, 8_000_000, vec![culprit("hog", 7, 60, 8_000_000, 0.97)]);
    let verdict = of(&[(hogs, crowd), alone(web)], &[cpu(0, 1.0), cpu(1, 0.1)], &[]);
    assert_eq!((name(&verdict), verdict.cause), ("web", Some(CauseWord(Cause::Runqueue))));
    assert!(verdict.statement.contains("hog[7] was running"), "{}", verdict.statement);
    assert!(rules(&verdict).contains(&"keep-apart"), "{verdict:?}");
    assert_eq!((verdict.ns, verdict.share), (Some(480_000_000), Some(0.489796)));
}

#[test]
fn a_group_alone_waits_for_itself() {
    let hogs = group("hog", 100, 10_000_000, vec![culprit("hog", 7, 100, 10_000_000, 0.98)]);
    let crowd = own(&hogs);
    let verdict = of(&[(hogs, crowd)], &[cpu(0, 1.0)], &[]);
    assert!(verdict.statement.contains("98 % of its waiting, threads of its own"), "{}", verdict.statement);
    assert!(rules(&verdict).contains(&"fewer-threads"), "{verdict:?}");
}

#[test]
fn a_name_that_is_the_same_is_nobody_of_ones_own() {
    let python = group("python3", 500, 500_000, vec![culprit("python3", 8, 500, 500_000, 0.99)]);
    let python = Group { delay: group("python3", 100, 2_840_000, vec![]).delay, ..python };
    let single = group("kcompactd0", 1, 3_700_000, vec![culprit("python3", 8, 1, 3_700_000, 0.99)]);
    let single = Group { run_ns: 10_000, ..single };
    assert_eq!(name(&of(&[alone(single), alone(python)], &[cpu(0, 1.0)], &[])), "python3");
}

#[test]
fn who_is_not_known_is_not_named() {
    let web = group("web", 60, 8_000_000, vec![culprit("hog", 7, 60, 8_000_000, 0.01)]);
    let verdict = of(&[alone(web)], &[cpu(0, 1.0)], &[]);
    assert!(!verdict.statement.contains("hog") && verdict.statement.contains("99 %"), "{verdict:?}");
    assert_eq!(verdict.cause, Some(CauseWord(Cause::Runqueue)));
}

#[test]
fn a_quota_is_a_reason_without_any_wait() {
    let mut held = group("batch", 3, 5_000, vec![]);
    (held.throttled_ns, held.run_ns) = (4_000_000_000, 1_000_000_000);
    let verdict = of(&[alone(held)], &[cpu(0, 0.2)], &[]);
    assert_eq!((verdict.cause, verdict.ns), (Some(CauseWord(Cause::Throttled)), Some(4_000_000_000)));
    assert!(verdict.advice()[0].text.contains("cpu.max"), "{verdict:?}");
}

#[test]
fn nothing_below_the_bound_is_slow() {
    let groups = [alone(group("web", 100, 20_000, vec![]))];
    let verdict = of(&groups, &[cpu(0, 0.2)], &[]);
    assert_eq!(verdict.status, Status::Nothing);
    assert!(verdict.statement.contains("20 µs of web"), "{}", verdict.statement);
    assert_eq!(of(&[], &[], &[]).statement, "Nothing waited for a CPU.");
}

#[test]
fn a_verdict_says_that_groups_hold_but_a_part() {
    let groups = [alone(group("web", 100, 20_000, vec![]))];
    let statement = of(&groups, &[cpu(0, 0.2)], &[]).statement;
    assert!(
        statement.ends_with("The groups hold only 10 % of all waiting; the others found no room."),
        "{statement}"
    );
    let groups = [alone(group("web", 500, 40_000, vec![]))];
    assert!(!of(&groups, &[cpu(0, 0.2)], &[]).statement.contains("only"));
}

#[test]
fn a_wait_that_does_not_end_is_a_verdict_too() {
    let task = Task { pid: Some(9), tid: Some(9), comm: Some("batch".into()), ..Task::default() };
    let waiting = |throttled| Waiting {
        task: task.clone(),
        policy: Some(Policy::Idle),
        cpu: Some(1),
        waited_ns: 900_000_000,
        since_known: true,
        throttled,
    };
    let verdict = of(&[], &[cpu(0, 1.0)], &[waiting(None)]);
    assert_eq!((verdict.status, name(&verdict), verdict.ns), (Status::Found, "batch[9]", Some(900_000_000)));
    assert!(verdict.statement.contains("as SCHED_IDLE") && !verdict.advice().is_empty(), "{verdict:?}");
    assert_eq!(of(&[], &[], &[waiting(Some(true))]).cause, Some(CauseWord(Cause::Throttled)));
    // It comes before less, and after more.
    let little = group("web", 60, 8_000_000, vec![]);
    assert_eq!(name(&of(&[alone(little)], &[], &[waiting(Some(false))])), "batch[9]");
    let much = group("web", 200, 8_000_000, vec![]);
    assert_eq!(name(&of(&[alone(much)], &[], &[waiting(Some(false))])), "web");
}

/// Most of its waiting, the CPU was taken by the host, or by interrupts: what no machine of these tests brings about.
#[test]
fn what_the_host_and_interrupts_took_is_said_with_its_share() {
    let waited = || group("web", 100, 8_000_000, vec![culprit("hog", 7, 100, 8_000_000, 0.2)]);
    let taken = |steal_ns, irq_ns| Group {
        steal_ns: Some(steal_ns),
        irq_ns: Some(irq_ns),
        unattributed_ns: 0,
        ..waited()
    };
    for (group, cause, rule, words) in [
        (taken(560_000_000, 80_000_000), Cause::Steal, "steal", "70 % of its waiting, the hypervisor ran"),
        (
            taken(80_000_000, 560_000_000),
            Cause::Irq,
            "interrupt-sources",
            "70 % of its waiting, the CPU was busy with",
        ),
    ] {
        let verdict = of(&[alone(group)], &[cpu(0, 1.0), cpu(1, 0.1)], &[]);
        assert_eq!((verdict.cause, verdict.ns), (Some(CauseWord(cause)), Some(560_000_000)));
        assert!(verdict.statement.contains(words), "{}", verdict.statement);
        // Neither whom it waited for less, nor the CPU that was idle.
        assert_eq!(rules(&verdict), [rule]);
    }
    // What the kernel has no clock for is not guessed.
    let none = Group { steal_ns: None, irq_ns: None, ..waited() };
    assert_eq!(rules(&of(&[alone(none)], &[cpu(0, 1.0)], &[])), ["narrower"]);
}

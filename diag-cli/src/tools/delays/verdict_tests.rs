//! Verdicts on built groups.

use diag_common::cause::Class;

use super::*;
use crate::{
    output::record::parties,
    tools::delays::{
        harvest::{Harvest, Key},
        place::Place,
        sample::{LASTED, MS, account, busy, calm, comm, judged, listed, part, time, waits, web},
    },
};

fn rules(verdict: &Verdict) -> Vec<&str> {
    verdict.advice().iter().map(|advice| advice.rule).collect()
}

fn one(parts: &[(Cause, u64)]) -> Group {
    let parts = parts.iter().map(|&(cause, ns)| {
        let spent = if cause == Cause::Run { time(ns) } else { waits(1, ns) };
        (part(cause, None), spent)
    });
    let groups = [(Key::Comm(comm("one")), account(1, parts))].into();
    listed(&Harvest { groups, ..Harvest::default() }).remove(0)
}

#[test]
fn a_victim_comes_before_those_who_crowd_each_other() {
    let verdict = judged(&[busy(), web(), calm("sshd")]);
    assert_eq!(verdict.cause, Some(CauseWord(Cause::Device)));
    assert_eq!(
        verdict.statement,
        "container web lost 6.0 s in 10 s (605 ms/s, 61 % of the time in which it had work); 84 % of that was waiting \
         for the device, mostly in pread64. worker[41] has waited for 2.5 s and still does."
    );
    assert_eq!(rules(&verdict)[..2], ["trace-stuck", "trace-io"]);
    assert!(verdict.advice()[1].text.contains("osdiag iolat --container web -d 30s"), "{verdict:?}");
}

#[test]
fn a_group_that_crowds_itself_is_told_so() {
    let verdict = judged(&[busy(), calm("sshd")]);
    assert_eq!(verdict.cause, Some(CauseWord(Cause::Runqueue)));
    assert!(
        verdict.statement.contains("its own threads had the CPU for 95 % of that"),
        "{}",
        verdict.statement
    );
    assert!(verdict.advice()[0].text.contains("osdiag runq --unit batch.service"), "{verdict:?}");
}

#[test]
fn others_who_had_the_cpu_are_named() {
    let mut group = busy();
    group.culprits[0].group = Some(parties::Group::of(GroupType::Kernel));
    assert!(judged(&[group]).statement.contains("; kernel threads had the CPU for 95 % of that."));
}

#[test]
fn what_is_behind_the_cause_is_named() {
    let groups = [(
        Key::Comm(comm("db")),
        account(
            1,
            [(
                crate::tools::delays::harvest::Part {
                    via: Some(Cause::Device),
                    ..part(Cause::Journal, Some(Place::Call("fsync")))
                },
                waits(10, 100 * MS),
            )],
        ),
    )];
    let verdict = judged(&listed(&Harvest { groups: groups.into(), ..Harvest::default() }));
    assert_eq!((verdict.cause, verdict.via), (Some(CauseWord(Cause::Journal)), Some(Via(Cause::Device))));
    assert!(
        verdict.statement.ends_with("the journal, which was itself held up by the device, mostly in fsync."),
        "{}",
        verdict.statement
    );
}

#[test]
fn a_second_cause_is_named_where_the_first_is_not_all() {
    let verdict = judged(&[one(&[(Cause::Freeze, 600 * MS), (Cause::Throttled, 400 * MS)])]);
    assert!(verdict.statement.ends_with("frozen, and 40 % a CPU quota."), "{}", verdict.statement);
}

#[test]
fn only_lost_time_is_a_verdict() {
    for cause in Cause::ALL.iter().filter(|cause| cause.class() != Class::Lost) {
        let verdict = judged(&[one(&[(*cause, 9_000 * MS)])]);
        assert_eq!(verdict.status, Status::Nothing, "{cause:?}");
    }
    for &cause in Cause::ALL.iter().filter(|cause| cause.class() == Class::Lost) {
        let verdict = judged(&[one(&[(cause, 9_000 * MS), (Cause::Poll, 1_000 * MS)])]);
        assert_eq!((verdict.status, verdict.cause), (Status::Found, Some(CauseWord(cause))));
        assert_eq!(verdict.share, Some(1.0));
    }
}

#[test]
fn a_loss_has_to_be_worth_a_word() {
    let found = |lost_ms, run_ms| {
        judged(&[one(&[(Cause::Device, lost_ms * MS), (Cause::Run, run_ms * MS)])]).is_found()
    };
    assert!(found(100, 500) && !found(99, 500), "10 ms in each of ten seconds");
    assert!(found(100, 1_900) && !found(100, 1_901), "5 % of the time in which it had work");
}

#[test]
fn kernel_threads_and_all_others_are_no_victims() {
    for key in [Key::Kernel, Key::Rest] {
        let groups = [(key, account(1, [(part(Cause::Device, None), waits(9, 1_000 * MS))]))];
        let verdict = judged(&listed(&Harvest { groups: groups.into(), ..Harvest::default() }));
        assert_eq!(verdict.status, Status::Nothing);
    }
}

#[test]
fn where_nothing_was_lost_it_says_so() {
    assert_eq!(judged(&[]).statement, "No thread was seen: nothing to explain.");
    assert_eq!(judged(&[one(&[(Cause::Run, MS)])]).statement, "Nothing is slow: no time was lost.");
    assert_eq!(
        judged(&[calm("sshd")]).statement,
        "Nothing is slow: no group lost 10ms in each second and 5 % of the time in which it had work; sshd lost most, \
         100 µs/s (10 %)."
    );
    assert_eq!(LASTED, Duration::from_secs(10));
}

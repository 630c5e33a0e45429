use diag_common::vmexit::{NOT_BY_MSR, UNKNOWN};

use super::*;
use crate::tools::vmexit::sample::{
    COST, CPUS, DURATION_NS, FLUSH, body, busy, functions, guest, interrupt, key, scene,
};

fn of(harvest: &Harvest) -> Vec<Activity> {
    body(&guest(), Some(COST), harvest).activities
}

fn one(key: CellKey) -> Activity {
    let harvest = Harvest { counts: [(key, 10)].into(), ..Harvest::default() };
    of(&harvest).remove(0)
}

#[test]
fn each_count_is_in_one_activity_and_each_adds_up() {
    let harvest = busy();
    let activities = of(&harvest);
    let halts: u64 = harvest.idle.entered.iter().sum();
    let counted: u64 = activities.iter().map(|activity| activity.event_count).sum();
    assert_eq!(counted, harvest.counts.values().sum::<u64>() + halts);
    for activity in &activities {
        let by: u64 = activity.doers.iter().map(|doer| doer.event_count).sum();
        assert_eq!(by + activity.other_event_count, activity.event_count, "{activity:?}");
        assert_eq!(activity.estimated_ns, Some(activity.event_count * COST.p50_ns));
    }
    assert!(activities.is_sorted_by_key(|activity| std::cmp::Reverse(activity.busy_ns())));
}

#[test]
fn rates_and_shares() {
    let activities = of(&busy());
    let deadline = activities.iter().find(|activity| activity.msr == Some(0x6e0)).unwrap();
    assert_eq!(deadline.label(), "msr-write IA32_TSC_DEADLINE");
    assert_eq!((deadline.event_count, deadline.idle_event_count), (750_000, 700_000));
    assert!((deadline.events_per_second - 75_000.0).abs() < 0.001);
    let share = |count: u64| (count * COST.p50_ns) as f64 / (CPUS * DURATION_NS) as f64;
    assert!((deadline.cpu_share.unwrap() - share(50_000)).abs() < 1e-6);
    assert!((deadline.cpu_share_idle.unwrap() - share(700_000)).abs() < 1e-6);
    let idle = &deadline.doers[0];
    assert_eq!((idle.context, &idle.task, idle.event_count), (Context::Idle, &None, 700_000));
    let interrupt = &deadline.doers[1];
    assert_eq!((interrupt.context, &interrupt.task), (Context::Interrupt, &None));
}

#[test]
fn shares_of_all_are_the_sums() {
    let body = body(&guest(), Some(COST), &busy());
    let sum = |of: fn(&Activity) -> Option<f64>| -> f64 { body.activities.iter().filter_map(of).sum() };
    assert!((sum(|activity| activity.cpu_share) - body.cpu_share.unwrap()).abs() < 1e-5);
    assert!((sum(|activity| activity.cpu_share_idle) - body.cpu_share_idle.unwrap()).abs() < 1e-5);
}

#[test]
fn what_is_cut_is_summed_up() {
    let (guest, harvest) = (guest(), busy());
    let whole = body(&guest, Some(COST), &harvest);
    let scene = Scene { top: 2, sort: Sort::Count, ..scene(&guest, Some(COST)) };
    let cut = super::body(&scene, &harvest, &mut functions(), None);
    let names: Vec<String> = cut.activities.iter().map(Activity::label).collect();
    assert_eq!(names, ["msr-write IA32_TSC_DEADLINE", "ipi-call sched_ttwu_pending"]);
    assert_eq!(cut.activities_omitted.count, whole.activities.len() as u64 - 2);
    assert_eq!((cut.event_count(), cut.cpu_share), (whole.event_count(), whole.cpu_share));
    let ns = |body: &Vmexit| body.activities.iter().filter_map(|activity| activity.estimated_ns).sum::<u64>();
    assert_eq!(ns(&cut) + cut.activities_omitted.ns.unwrap(), ns(&whole));
}

#[test]
fn an_ipi_is_told_by_its_function_and_its_way() {
    let flush = one(key(Kind::IpiCall, FLUSH, b"java", 1));
    assert_eq!((flush.label().as_str(), flush.msr), ("tlb-shootdown flush_tlb_func", Some(0x830)));
    let old = one(key(Kind::IpiCall, TLB_FLUSH, b"java", 1));
    assert_eq!((old.activity, &old.name), (Deed::TlbShootdown, &None));
    let unknown = one(key(Kind::IpiCall, 0, b"java", 1));
    assert_eq!((unknown.activity, &unknown.name), (Deed::IpiCall, &None));
    let called = one(CellKey { via: NOT_BY_MSR, ..key(Kind::IpiReschedule, 0, b"java", 1) });
    assert_eq!((called.label().as_str(), called.msr, called.exits), ("ipi-reschedule", None, Exits::Yes));
}

#[test]
fn what_nothing_armed_has_no_name() {
    let none = one(interrupt(Kind::Timer, 0));
    assert_eq!((none.activity, &none.name), (Deed::Timer, &None));
    let earlier = one(CellKey { context: UNKNOWN, ..key(Kind::Timer, FLUSH, b"", 0) });
    assert_eq!(earlier.doers[0].context, Context::Unknown);
}

#[test]
fn a_register_without_a_name_has_its_number() {
    let register = one(key(Kind::MsrRead, 0xdead_beef, b"agent", 5));
    assert_eq!((&register.name, register.msr), (&None, Some(0xdead_beef)));
    assert_eq!(register.label(), "msr-read 0xdeadbeef");
}

#[test]
fn names_of_threads_are_data() {
    let activity = one(key(Kind::MsrRead, 0x10, b"\xff\x1b[0m", 5));
    let task = activity.doers[0].task.as_ref().unwrap();
    assert_eq!((task.comm.as_deref(), task.pid), (Some("\\xff\\x1b[0m"), Some(5)));
}

#[test]
fn many_doers_are_summed_up() {
    let counts = (1..=60).map(|pid| (key(Kind::MsrRead, 0x10, b"agent", pid), u64::from(pid))).collect();
    let activity = of(&Harvest { counts, ..Harvest::default() }).remove(0);
    assert_eq!((activity.doers.len(), activity.doers_omitted.count), (50, 10));
    assert_eq!((activity.other_event_count, activity.event_count), (55, 1830));
    assert_eq!(activity.doers[0].task.as_ref().unwrap().pid, Some(60));
}

#[test]
fn polling_is_no_halt() {
    let mut harvest = Harvest::default();
    harvest.idle.entered = [7, 5, 0, 0, 0, 0, 0, 0, 0, 0];
    let activities = of(&harvest);
    assert_eq!(activities.len(), 1);
    assert_eq!((activities[0].label().as_str(), activities[0].event_count), ("hlt haltpoll idle", 5));
}

#[test]
fn what_comes_to_an_idle_cpu_is_told_apart_whoever_did_it() {
    let asleep = key(Kind::Timer, FLUSH, b"poller", 7);
    let counts = [
        (asleep, 3),
        (CellKey { context: IN_TASK | ON_IDLE, ..asleep }, 5),
        (CellKey { context: IN_INTERRUPT | ON_IDLE, ..interrupt(Kind::Timer, FLUSH) }, 2),
    ];
    let timer = of(&Harvest { counts: counts.into(), ..Harvest::default() }).remove(0);
    assert_eq!((timer.event_count, timer.idle_event_count), (10, 7));
    let doers: Vec<(Context, u64)> =
        timer.doers.iter().map(|doer| (doer.context, doer.event_count)).collect();
    assert_eq!(doers, [(Context::Task, 8), (Context::Interrupt, 2)]);
    assert_eq!(timer.busy_ns(), Some(3 * COST.p50_ns));
}

#[test]
fn with_a_target_halts_are_shown_and_in_no_number() {
    let (guest, harvest) = (guest(), busy());
    let scene = Scene { targets_all: false, ..scene(&guest, Some(COST)) };
    let body = super::body(&scene, &harvest, &mut functions(), None);
    assert!(body.activities.iter().all(|activity| activity.activity != Deed::Hlt));
    assert_eq!(body.event_count(), harvest.counts.values().sum::<u64>());
    assert_eq!(body.idle.halted.count, harvest.idle.entered[1]);
    let rules: Vec<&str> = body.verdict.advice().iter().map(|advice| advice.rule).collect();
    assert!(!rules.iter().any(|rule| rule.starts_with("halt-polling")), "{rules:?}");
}

#[test]
fn a_steal_clock_that_stands_still_is_none_unless_it_is_served() {
    let harvest = |goes_on| Harvest { steal_ns: Some(0), steal_goes_on: goes_on, ..Harvest::default() };
    let steal = |guest: &Guest, goes_on| body(guest, None, &harvest(goes_on)).steal_ns;
    assert_eq!(steal(&guest(), false), Some(0));
    let mut shunning = guest();
    shunning.kernel.shuns_paravirt = true;
    assert_eq!(steal(&shunning, false), None);
    assert_eq!(steal(&shunning, true), Some(0));
}

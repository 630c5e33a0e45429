use diag_common::vmexit::{CellKey, Kind, WAKE_UP};

use super::*;
use crate::{
    output::advice::check,
    tools::vmexit::{
        collect::Harvest,
        guest::{Guest, recorded},
        sample::{
            COST, CPUS, DURATION_NS, FLUSH, PACE, PERF, RDMSR, SLEEP, TICK, TIMERFD, body, guest, halted,
            halted_on, interrupt, key, scene,
        },
    },
};

/// So often in the sample's ten seconds.
const fn a_second(rate: u64) -> u64 {
    rate * DURATION_NS / 1_000_000_000
}

fn of(guest: &Guest, harvest: &Harvest) -> Vec<Advice> {
    advice(&scene(guest, Some(COST)), &body(guest, Some(COST), harvest), &harvest.halts)
}

fn rules(guest: &Guest, harvest: &Harvest) -> Vec<&'static str> {
    of(guest, harvest).into_iter().map(|advice| advice.rule).collect()
}

fn counted(key: CellKey, count: u64) -> Harvest {
    Harvest { counts: [(key, count)].into(), ..Harvest::default() }
}

/// That a rule fires, and names whom it is about, just when something happens so often a second.
fn fires_from(rate: u64, rule: &str, doer: &str, key: CellKey) {
    let advice = of(&guest(), &counted(key, a_second(rate)));
    let found =
        advice.iter().find(|advice| advice.rule == rule).unwrap_or_else(|| panic!("{rule}: {advice:?}"));
    assert!(found.text.contains(doer) && !found.text.contains('{'), "{}", found.text);
    assert_eq!(rules(&guest(), &counted(key, a_second(rate) - 1)), [""; 0], "{rule} below {rate}");
}

#[test]
fn doers_are_named_who_do_it_often() {
    fires_from(500, "sleeps", "poller[7] (500 a second)", key(Kind::Timer, SLEEP, b"poller", 7));
    fires_from(500, "periodic-timers", "qemu[8]", key(Kind::Timer, TIMERFD, b"qemu", 8));
    fires_from(500, "pacing", "500 a second", key(Kind::Timer, PACE, b"nginx", 9));
    fires_from(1000, "unmaps", "java[10]", key(Kind::IpiCall, FLUSH, b"java", 10));
    fires_from(5000, "wake-ups", "pg[11]", key(Kind::IpiCall, WAKE_UP, b"pg", 11));
    fires_from(5000, "wake-ups", "pg[11]", key(Kind::IpiReschedule, 0, b"pg", 11));
    fires_from(10, "msr-readers", "turbostat[12]", key(Kind::MsrRead, 0x19c, b"turbostat", 12));
    fires_from(10, "msr-readers", "node_exporter[13]", key(Kind::IpiCall, RDMSR, b"node_exporter", 13));
    fires_from(100, "counter-readers", "perf[14]", key(Kind::PmcRead, 0, b"perf", 14));
    fires_from(100, "counter-readers", "perf[14]", key(Kind::IpiCall, PERF, b"perf", 14));
}

#[test]
fn nobody_is_blamed_for_what_idle_cpus_and_interrupts_do() {
    let idle = key(Kind::IpiCall, WAKE_UP, b"swapper/1", 0);
    let interrupt = interrupt(Kind::IpiCall, WAKE_UP);
    for key in [idle, interrupt] {
        assert_eq!(rules(&guest(), &counted(key, a_second(100_000))), [""; 0]);
    }
}

#[test]
fn halt_polling_is_for_many_short_halts() {
    let harvest = |rate, ns| {
        let mut harvest = Harvest::default();
        halted(&mut harvest, 1, a_second(rate * CPUS), ns);
        harvest
    };
    assert_eq!(rules(&guest(), &harvest(1000, 20_000)), ["halt-polling-off"]);
    assert_eq!(rules(&guest(), &harvest(999, 20_000)), [""; 0]);
    assert_eq!(rules(&guest(), &harvest(1000, 900_000)), [""; 0]);
    let mut polls = guest();
    polls.kernel.halt_poll_ns = Some(200_000);
    assert_eq!(rules(&polls, &harvest(1000, 20_000)), [""; 0]);
    let mut menu = guest();
    menu.kernel.idle_driver = None;
    menu.kernel.idle_governor = Some("menu".into());
    assert_eq!(rules(&menu, &harvest(1000, 20_000)), ["halt-polling-missing"]);
}

#[test]
fn one_pair_of_busy_cpus_is_enough_for_halt_polling_however_many_there_are() {
    let mut harvest = Harvest::default();
    for cpu in 0..2 {
        halted_on(&mut harvest, cpu, 1, a_second(1500), 20_000);
    }
    // The others halt seldom, and long.
    halted_on(&mut harvest, 2, 1, 50, 900_000_000);
    let advice = of(&guest(), &harvest);
    assert_eq!(advice[0].rule, "halt-polling-off");
    assert!(advice[0].text.starts_with("2 of 4 CPUs halt up to 1,500 a second"), "{}", advice[0].text);
}

#[test]
fn reading_registers_that_do_not_exit_is_no_trouble() {
    let reads = counted(key(Kind::MsrRead, 0xc000_0100, b"agent", 12), a_second(1000));
    assert_eq!(rules(&guest(), &reads), [""; 0]);
}

#[test]
fn what_the_whole_guest_does_is_no_targets_doing() {
    let mut harvest = Harvest { steal_ns: Some(CPUS * DURATION_NS / 2), ..Harvest::default() };
    halted(&mut harvest, 1, a_second(5000 * CPUS), 20_000);
    assert_eq!(rules(&guest(), &harvest), ["halt-polling-off", "steal"]);
    let guest = guest();
    let scene = Scene { targets_all: false, ..scene(&guest, Some(COST)) };
    assert_eq!(advice(&scene, &body(&guest, Some(COST), &harvest), &harvest.halts), []);
}

#[test]
fn slow_clocks_are_told_with_what_is_better() {
    let mut slow = guest();
    slow.kernel.clocksource = Some("hpet".into());
    slow.kernel.clocksources = vec!["hpet".into(), "kvm-clock".into(), "acpi_pm".into()];
    let advice = of(&slow, &Harvest::default());
    assert_eq!(advice[0].rule, "clocksource");
    assert!(advice[0].text.contains("hpet (there is kvm-clock)"), "{}", advice[0].text);
    assert_eq!(rules(&guest(), &Harvest::default()), [""; 0]);
}

#[test]
fn ticks_are_told_where_they_need_not_be() {
    let idle = |rate| counted(key(Kind::Timer, TICK, b"swapper/0", 0), a_second(rate));
    let mut periodic = guest();
    periodic.kernel.ticks_when_idle = true;
    assert_eq!(rules(&periodic, &idle(50)), ["tick-when-idle"]);
    assert_eq!(rules(&periodic, &idle(49)), [""; 0]);
    assert_eq!(rules(&guest(), &idle(250)), [""; 0]);
    let mut fast = guest();
    fast.kernel.hz = Some(1000);
    let busy = |rate| counted(key(Kind::Timer, TICK, b"java", 1), a_second(rate));
    assert_eq!(rules(&fast, &busy(500)), ["tick-rate"]);
    assert_eq!(rules(&fast, &busy(499)), [""; 0]);
    assert_eq!(rules(&guest(), &busy(2000)), [""; 0]);
}

#[test]
fn features_that_are_offered_and_shunned_are_told() {
    let mut shunning = guest();
    shunning.kernel.shuns_paravirt = true;
    assert_eq!(rules(&shunning, &Harvest::default()), ["pv-ipi-shunned"]);
    let mut unoffered = recorded::guest(&recorded::VMWARE);
    unoffered.kernel.shuns_paravirt = true;
    assert_eq!(rules(&unoffered, &Harvest::default()), [""; 0]);
}

#[test]
fn steal_is_told_from_a_twentieth_on() {
    let harvest = |steal_ns| Harvest { steal_ns: Some(steal_ns), ..Harvest::default() };
    assert_eq!(rules(&guest(), &harvest(CPUS * DURATION_NS / 20)), ["steal"]);
    assert_eq!(rules(&guest(), &harvest(CPUS * DURATION_NS / 21)), [""; 0]);
}

#[test]
fn there_is_nothing_to_stop_outside_a_virtual_machine() {
    let harvest = counted(key(Kind::Timer, SLEEP, b"poller", 7), a_second(5000));
    assert_eq!(rules(&recorded::guest(&recorded::BARE), &harvest), [""; 0]);
    assert_eq!(rules(&recorded::guest(&recorded::TCG), &harvest), [""; 0]);
}

#[test]
fn every_rule_that_speaks_of_something_has_it_filled_in() {
    check(RULES);
    let guest = guest();
    let body = body(&guest, Some(COST), &Harvest::default());
    let gaps = Facts { scene: &scene(&guest, Some(COST)), body: &body, halts: &[] }.gaps();
    for rule in RULES.iter().filter(|rule| rule.id != "pv-ipi-shunned") {
        let filled = gaps.iter().filter(|(gap, _)| rule.text.contains(&format!("{{{gap}}}"))).count();
        assert_eq!((filled, rule.text.matches('{').count()), (1, 1), "{}", rule.id);
    }
}

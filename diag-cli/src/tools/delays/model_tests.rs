//! Groups of records, from built counts.

use super::*;
use crate::{
    output::record::parties::GroupType,
    target::{
        CgroupNames,
        tests::{Machine, WEB, names_of},
    },
    tools::delays::{
        args::By,
        harvest::Part,
        place::Place as Where,
        sample::{MS, account, comm, had_cpu, part, time, wait, waits},
    },
};

fn of(harvest: &Harvest, top: usize, sort: Sort) -> Groups {
    groups(harvest, Wanted { top, sort }, &mut Naming::new(By::Process, &mut None))
}

fn harvest(accounts: impl IntoIterator<Item = (Key, Account)>) -> Harvest {
    Harvest { groups: accounts.into_iter().collect(), ..Harvest::default() }
}

#[test]
fn layers_causes_and_what_is_unaccounted_add_up_to_thread_time() {
    let read = Some(Where::Call("read"));
    let mut counted = account(
        2,
        [
            (part(Cause::Device, read), waits(3, 4 * MS)),
            (part(Cause::Device, Some(Where::Fault)), waits(1, 5 * MS)),
            (Part { via: Some(Cause::Device), ..part(Cause::Journal, read) }, waits(1, MS)),
            (part(Cause::Reclaim, None), Spent { on_cpu_ns: 2 * MS, ..time(2 * MS) }),
            (part(Cause::Run, None), time(10 * MS)),
        ],
    );
    counted.thread_ns += 7;
    let groups = of(&harvest([(Key::Process(7), counted)]), 9, Sort::Lost);
    let [group] = &groups.listed[..] else { panic!("one group") };
    assert_eq!((group.thread_ns, group.unaccounted_ns), (30 * MS + 7, 7));
    assert_eq!(group.layers.total_ns(), 30 * MS);
    assert_eq!(group.causes.iter().map(|cause| cause.ns).sum::<u64>(), 30 * MS);
    assert_eq!((group.loss_ns, group.active_ns()), (20 * MS, 30 * MS));
    let device = &group.causes[0];
    assert_eq!((device.keys.cause, device.ns, device.wait_count), (Cause::Device, 17 * MS, 4));
    assert_eq!((device.wait.sum_ns, device.wait.max_ns), (17 * MS, Some(5 * MS)));
    assert!(device.wait.min_ns.unwrap().abs_diff(4 * MS) < 4 * MS / 32, "{:?}", device.wait);
    let single = group.causes.iter().find(|cause| cause.keys.cause == Cause::Journal).unwrap();
    assert_eq!((single.wait.min_ns, single.wait.max_ns), (Some(MS), Some(MS)));
    let reclaim = group.causes.iter().find(|cause| cause.keys.cause == Cause::Reclaim).unwrap();
    assert_eq!((reclaim.on_cpu_ns, reclaim.wait_count, reclaim.wait.max_ns), (2 * MS, 0, None));
    let places: Vec<_> = group.places.iter().map(|place| (place.place.as_str(), place.ns)).collect();
    assert_eq!(places, [("read", 13 * MS), ("fault", 5 * MS)]);
    assert_eq!(group.places[0].causes[1].keys.via, Some(Cause::Device));
}

#[test]
fn more_than_thread_time_is_unaccounted_below_zero() {
    let mut counted = account(1, [(part(Cause::Run, None), time(10))]);
    counted.thread_ns = 4;
    let group = &of(&harvest([(Key::Process(7), counted)]), 9, Sort::Lost).listed[0];
    assert_eq!((group.thread_ns, group.unaccounted_ns), (4, -6));
}

#[test]
fn groups_beyond_the_top_are_added_up() {
    let losing = |ns| account(2, [(part(Cause::Device, None), waits(1, ns))]);
    let mut counted = harvest((1..=4).map(|pid| (Key::Process(pid), losing(u64::from(pid) * MS))));
    counted.groups.insert(Key::Rest, losing(50 * MS));
    counted.longest = vec![wait(Key::Rest, 9, 6), wait(Key::Process(1), 1, 5), wait(Key::Process(4), 4, 4)];
    let groups = of(&counted, 2, Sort::Lost);
    let pids: Vec<_> = groups.listed.iter().map(|group| group.group.pid).collect();
    assert_eq!(pids, [Some(4), Some(3), None]);
    let rest = &groups.listed[2];
    assert_eq!((rest.group.kind, rest.thread_count, rest.thread_ns), (GroupType::Rest, 6, 53 * MS));
    assert_eq!(rest.longest.iter().map(|wait| wait.ns).collect::<Vec<_>>(), [6, 5]);
    assert_eq!(groups.omitted, Omitted { count: 3, ns: Some(53 * MS) });
    assert_eq!(of(&counted, 9, Sort::Lost).omitted, Omitted { count: 1, ns: Some(50 * MS) });
}

#[test]
fn groups_stand_in_the_order_asked_for() {
    let many = account(9, [(part(Cause::Throttled, None), waits(1, 2 * MS))]);
    let slow = account(1, [(part(Cause::Device, None), waits(1, 3 * MS)), (part(Cause::Run, None), time(1))]);
    let counted = harvest([(Key::Process(1), many), (Key::Process(2), slow)]);
    for (sort, first) in [
        (Sort::Lost, 2),
        (Sort::Threads, 1),
        (Sort::Layer(Layer::Block), 2),
        (Sort::Layer(Layer::Cpu), 1),
        (Sort::Cause(Cause::Throttled), 1),
        (Sort::Cause(Cause::Run), 2),
    ] {
        assert_eq!(of(&counted, 9, sort).listed[0].group.pid, Some(first), "{sort:?}");
    }
}

#[test]
fn lists_that_are_cut_say_so() {
    let parts = (0..25).map(|at| (part(Cause::Device, Where::of_number(at)), waits(1, u64::from(at) + 1)));
    let queued = (part(Cause::Runqueue, None), waits(1, 230));
    let mut counted = account(1, parts.chain([queued]));
    counted.culprits = had_cpu((1..=23).map(|pid| (Key::Process(pid), 10)));
    let mut counted = harvest([(Key::Process(7), counted)]);
    counted.longest = (1..=22).rev().map(|ns| wait(Key::Process(7), 7, ns)).collect();
    let group = &of(&counted, 9, Sort::Lost).listed[0];
    assert_eq!((group.places.len(), group.places_omitted), (20, Omitted { count: 5, ns: Some(15) }));
    assert_eq!((group.longest.len(), group.longest_omitted), (20, Omitted { count: 2, ns: Some(3) }));
    assert_eq!((group.culprits.len(), group.culprits_omitted), (20, Omitted { count: 4, ns: Some(40) }));
    let via =
        Cause::ALL.iter().map(|&via| (Part { via: Some(via), ..part(Cause::Journal, None) }, waits(1, 2)));
    let counted = harvest([(Key::Process(7), account(1, via))]);
    let group = &of(&counted, 9, Sort::Lost).listed[0];
    let omitted = Cause::ALL.len() as u64 - 30;
    assert_eq!(
        (group.causes.len(), group.causes_omitted),
        (30, Omitted { count: omitted, ns: Some(2 * omitted) })
    );
}

#[test]
fn culprits_have_shares_of_the_waiting_for_a_cpu() {
    let mut counted =
        account(1, [(part(Cause::Runqueue, None), waits(2, 50)), (part(Cause::Run, None), time(900))]);
    counted.culprits = had_cpu([(Key::Process(8), 60), (Key::Process(9), 0)]);
    let group = &of(&harvest([(Key::Process(7), counted)]), 9, Sort::Lost).listed[0];
    let [culprit, unknown] = &group.culprits[..] else { panic!("{:?}", group.culprits) };
    assert_eq!((culprit.ns, culprit.share), (60, 0.6));
    assert_eq!(culprit.group.as_ref().and_then(|group| group.pid), Some(8));
    assert_eq!((unknown.ns, unknown.share, &unknown.group), (40, 0.4, &None));
}

#[test]
fn cgroups_of_one_container_are_one_group() {
    let mut machine = Machine::new();
    machine.mount("unified", "cgroup2", "rw");
    let mut names: CgroupNames = names_of(&machine);
    names.learn(0, 101, format!("/docker/{WEB}").as_bytes());
    names.learn(0, 102, format!("/docker/{WEB}/inner").as_bytes());
    names.learn(0, 103, b"/system.slice/nginx.service/worker");
    let lost = |ns| account(1, [(part(Cause::Device, None), waits(1, ns))]);
    let mut victim = account(1, [(part(Cause::Runqueue, None), waits(1, 8))]);
    victim.culprits = had_cpu([(Key::Cgroup(101), 3), (Key::Cgroup(102), 4), (Key::Kernel, 1)]);
    let counted = harvest([
        (Key::Cgroup(101), lost(10)),
        (Key::Cgroup(102), lost(20)),
        (Key::Cgroup(103), victim),
        (Key::Kernel, lost(1)),
        (Key::Comm(comm("x")), lost(0)),
    ]);
    let wanted = Wanted { top: 9, sort: Sort::Lost };
    let groups = |by, names: &mut CgroupNames| {
        let mut names = Some(names);
        groups(&counted, wanted, &mut Naming::new(by, &mut names)).listed
    };
    let by_container = groups(By::Container, &mut names);
    let labels: Vec<String> = by_container.iter().map(|group| group.group.label()).collect();
    assert_eq!(
        labels[..3],
        [format!("container {WEB:.12}"), "nginx.service".into(), "kernel threads".into()]
    );
    assert_eq!((by_container[0].thread_count, by_container[0].thread_ns), (2, 30));
    assert_eq!(by_container[1].culprits.iter().map(|culprit| culprit.ns).collect::<Vec<_>>(), [7, 1]);
    let by_cgroup = groups(By::Cgroup, &mut names);
    assert_eq!(by_cgroup[0].group.cgroup, Some(format!("/docker/{WEB}/inner")));
    assert_eq!(by_cgroup.len(), 5);
}

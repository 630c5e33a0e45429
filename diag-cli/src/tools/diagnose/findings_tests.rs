use super::*;
use crate::{
    output::record::{parties::Resource, settings::Unit},
    target::LimitFile,
    tools::{
        delays::sample::{MS, Sketch, sketched},
        diagnose::{limits::Held, limits::Limits, triage::Disk},
    },
};

/// Ten seconds.
const LASTED: u64 = 10_000 * MS;

/// What is found: victim, cause, culprit, blame.
type Answer = (String, Cause, Option<String>, Option<Blame>);

fn answers(facts: &Facts<'_>) -> Vec<Answer> {
    let cases = cases(facts);
    let of = |found: &Found<'_>| {
        let culprit = found.culprits.first().and_then(|culprit| culprit.group.as_ref()).map(Group::label);
        (found.victims[0].group.label(), found.case.lost.cause, culprit, found.blame)
    };
    found(facts, &cases).iter().map(of).collect()
}

fn facts(groups: &[Account]) -> Facts<'_> {
    Facts { groups, lasted_ns: LASTED, ..Facts::default() }
}

fn runs(name: &'static str, run: u64, waits: u64, had: Vec<(Resource, &'static str, u64)>) -> Sketch {
    let parts = vec![(Cause::Run, None, run * MS, 1), (Cause::Runqueue, None, waits * MS, 4 * MS)];
    Sketch { name, parts, had }
}

fn cpu(who: &'static str, ms: u64) -> (Resource, &'static str, u64) {
    (Resource::Cpu, who, ms * MS)
}

fn reader(name: &'static str, each_ms: u64, had: Vec<(Resource, &'static str, u64)>) -> Sketch {
    let parts = vec![(Cause::Run, None, 100 * MS, 1), (Cause::Device, None, 9_000 * MS, each_ms * MS)];
    Sketch { name, parts, had }
}

#[test]
fn who_loses_most_is_not_the_victim_if_it_took_it() {
    // Two hogs and a service on one CPU: the hogs lose more, half of it to each other.
    let groups = sketched(&[
        runs("web", 1_400, 1_400, vec![cpu("batch", 1_390), cpu("web", 0)]),
        runs("batch", 8_600, 11_400, vec![cpu("batch", 8_600), cpu("web", 2_800)]),
    ]);
    let batch = Some("batch".to_owned());
    let web = ("web".to_owned(), Cause::Runqueue, batch, Some(Blame::Neighbour));
    assert_eq!(answers(&facts(&groups)), [web]);
    // What the hogs lose to the service is a note.
    let levels =
        |groups: &[Account]| -> Vec<Level> { cases(&facts(groups)).iter().map(|case| case.level).collect() };
    assert_eq!(levels(&groups).iter().filter(|level| **level == Level::Note).count(), 0);
    let groups = sketched(&[
        runs("web", 3_300, 6_600, vec![cpu("batch", 6_600)]),
        runs("batch", 6_600, 13_200, vec![cpu("batch", 6_600), cpu("web", 6_600)]),
    ]);
    assert_eq!(answers(&facts(&groups)).len(), 1);
    assert_eq!(answers(&facts(&groups))[0].0, "web");
    assert_eq!(levels(&groups).iter().filter(|level| **level == Level::Note).count(), 1);
}

#[test]
fn a_group_that_waits_for_its_own_threads_is_at_work() {
    let build = sketched(&[runs("build", 20_000, 20_000, vec![cpu("build", 19_000), cpu("ssh", 500)])]);
    assert_eq!(answers(&facts(&build)), []);
    assert_eq!(cases(&facts(&build))[0].health, Health::OwnThreads);
}

#[test]
fn a_reader_alone_is_at_work_unless_its_disk_is_slow() {
    let device = |who: &'static str, ms: u64| (Resource::Device, who, ms * MS);
    let alone = sketched(&[reader("reader", 20, vec![device("reader", 9_000)])]);
    assert_eq!(answers(&facts(&alone)), []);
    let disk = |requests: u64, bytes: u64, busy_ns: u64| Disk {
        name: "vdb".to_owned(),
        requests,
        bytes,
        ns: requests * 20 * MS,
        busy_ns,
        ..Disk::default()
    };
    let with = |disk| Facts { disks: vec![disk], ..facts(&alone) };
    let slow = ("reader".to_owned(), Cause::Device, None, Some(Blame::Disk));
    assert_eq!(answers(&with(disk(400, 400 << 12, 8_000 * MS))), [slow]);
    // Large requests, many at a time, or hardly any, say nothing of the disk.
    assert_eq!(answers(&with(disk(400, 400 << 20, 8_000 * MS))), []);
    assert_eq!(answers(&with(disk(400, 400 << 12, 1_000 * MS))), []);
    assert_eq!(answers(&with(disk(4, 4 << 12, 80 * MS))), []);
    // Nor does another disk, where its own waits are short.
    let quick = sketched(&[reader("reader", 1, vec![device("reader", 9_000)])]);
    assert_eq!(answers(&Facts { disks: vec![disk(400, 400 << 12, 8_000 * MS)], ..facts(&quick) }), []);
}

#[test]
fn a_disk_hog_is_the_neighbour() {
    let device = |who: &'static str, ms: u64| (Resource::Device, who, ms * MS);
    let groups = sketched(&[
        reader("web", 8, vec![device("web", 1_800), device("backup", 7_200)]),
        reader("backup", 8, vec![device("web", 1_800), device("backup", 7_200)]),
    ]);
    let web = ("web".to_owned(), Cause::Device, Some("backup".to_owned()), Some(Blame::Neighbour));
    assert_eq!(answers(&facts(&groups)), [web]);
}

#[test]
fn a_limit_of_its_own_is_to_blame_before_anybody_else() {
    let parts = vec![
        (Cause::Run, None, 2_000 * MS, 1),
        (Cause::Throttled, None, 7_500 * MS, 80 * MS),
        (Cause::Runqueue, None, 100 * MS, MS),
    ];
    let groups = sketched(&[Sketch { name: "job", parts, had: vec![cpu("hog", 90)] }]);
    let own = groups[0].group.clone();
    let limit = Limit { name: LimitFile::CpuMax, group: own.clone(), value: 0.2, unit: Unit::Cpus };
    let held = Held { cpu: Some(limit.clone()), ..Held::default() };
    let facts = Facts { limits: Limits::known(own, held), ..facts(&groups) };
    assert_eq!(answers(&facts), [("job".to_owned(), Cause::Throttled, None, Some(Blame::OwnLimit))]);
    assert_eq!(found(&facts, &cases(&facts))[0].limit, Some(limit));
}

#[test]
fn a_wait_that_lies_in_another_is_not_told_twice() {
    let parts = vec![
        (Cause::Run, None, 100 * MS, 1),
        (Cause::Journal, Some(Cause::Device), 6_000 * MS, 30 * MS),
        (Cause::Device, None, 2_000 * MS, 30 * MS),
    ];
    let had = vec![(Resource::Device, "backup", 2_000 * MS)];
    let groups = sketched(&[Sketch { name: "db", parts, had }]);
    let answers = answers(&facts(&groups));
    assert_eq!(
        answers,
        [("db".to_owned(), Cause::Device, Some("backup".to_owned()), Some(Blame::Neighbour))]
    );
}

#[test]
fn memory_that_has_to_be_made_is_memory_also_where_that_waits_for_a_disk() {
    let parts =
        vec![(Cause::Run, None, 500 * MS, 1), (Cause::MemcgReclaim, Some(Cause::Device), 6_000 * MS, 4 * MS)];
    let groups = sketched(&[Sketch { name: "job", parts, had: vec![] }]);
    let job = ("job".to_owned(), Cause::MemcgReclaim, None, Some(Blame::OwnLimit));
    assert_eq!(answers(&facts(&groups)), [job]);
}

#[test]
fn memory_is_taken_by_who_grew_meanwhile() {
    let parts = vec![(Cause::Run, None, 500 * MS, 1), (Cause::Reclaim, None, 3_000 * MS, 2 * MS)];
    let grown = |had: &[(&'static str, u64)]| {
        let had = had.iter().map(|&(name, ns)| (Resource::Memory, name, ns * MS)).collect();
        sketched(&[Sketch { name: "web", parts: parts.clone(), had }])
    };
    let web = |culprit: Option<&str>, blame| {
        ("web".to_owned(), Cause::Reclaim, culprit.map(str::to_owned), Some(blame))
    };
    let answers = |had| answers(&facts(&grown(had)));
    assert_eq!(answers(&[("hog", 2_800), ("web", 190)]), [web(Some("hog"), Blame::Neighbour)]);
    // What a group took itself is no other's doing.
    assert_eq!(answers(&[("web", 3_000)]), [web(None, Blame::Machine)]);
    assert_eq!(answers(&[]), [web(None, Blame::Machine)]);
}

#[test]
fn one_long_wait_is_enough() {
    let stuck = |ms: u64| {
        let parts = vec![(Cause::Run, None, 90_000 * MS, 1), (Cause::Freeze, None, ms * MS, ms * MS)];
        sketched(&[Sketch { name: "writer", parts, had: vec![] }])
    };
    let freeze = ("writer".to_owned(), Cause::Freeze, None, Some(Blame::Machine));
    assert_eq!(answers(&facts(&stuck(5_000))), [freeze]);
    assert_eq!(answers(&facts(&stuck(1_900))), [], "less than a fifth of the session");
}

#[test]
fn victims_of_one_culprit_are_one_finding() {
    let groups = sketched(&[
        runs("web", 1_000, 3_000, vec![cpu("hog", 3_000)]),
        runs("api", 1_000, 2_000, vec![cpu("hog", 2_000)]),
        runs("hog", 9_000, 400, vec![cpu("web", 400)]),
    ]);
    let facts = facts(&groups);
    let found = found(&facts, &cases(&facts));
    assert_eq!((found.len(), found[0].victims.len(), found[0].ns), (1, 2, 5_000 * MS));
    assert_eq!(found[0].victims[0].group.label(), "web");
}

#[test]
fn small_losses_are_notes_or_nothing() {
    let level = |waits: u64| {
        let groups = sketched(&[runs("web", 1_700, waits, vec![cpu("hog", waits)])]);
        cases(&facts(&groups))[0].level
    };
    assert_eq!((level(80), level(160), level(240)), (Level::Nothing, Level::Note, Level::Finding));
}

#[test]
fn kernel_threads_and_all_others_are_no_victims() {
    let mut groups = sketched(&[runs("x", 1_000, 9_000, vec![cpu("hog", 9_000)])]);
    for kind in [GroupType::Kernel, GroupType::Rest] {
        groups[0].group = Group::of(kind);
        assert_eq!(answers(&facts(&groups)), []);
    }
}

//! Reports as they look, on built records.

use super::*;
use crate::{
    output::{
        closing,
        histogram::Histogram,
        record::{
            Kind, Record,
            parties::{Omitted, Task},
        },
        sample::{checked, envelope},
        terminal::Screen,
    },
    tools::runq::{
        Body,
        model::Facts,
        policy::Policy,
        reason::Policies,
        sample::{cpu, culprit, facts, group, idle},
        verdict::{Found, verdict as judge},
        waiting::Waiting,
    },
};

const SLOW: Duration = Duration::from_millis(1);

fn report(groups: Vec<Group>, waiting: Vec<Waiting>) -> Report {
    let facts: Vec<Facts> = groups.iter().map(facts).collect();
    let mut cpu_times = vec![cpu(0, 1.0), cpu(1, 0.1)];
    if groups.is_empty() {
        cpu_times.iter_mut().for_each(|cpu| cpu.delay = Histogram::default());
    }
    let found = Found {
        groups: &groups,
        facts: &facts,
        cpu_times: &cpu_times,
        waiting: &waiting,
        cgroups: None,
        slow: SLOW,
    };
    let verdict = judge(found, &mut Policies::default());
    let body = Body {
        groups,
        groups_omitted: Omitted { count: 0, ns: Some(0) },
        cpu_times,
        steal_ns: Some(20_000_000),
        waiting: Some(waiting),
        waiting_omitted: Some(Omitted { count: 0, ns: Some(0) }),
        verdict,
    };
    Report { record: Record::new(envelope(), body), picture: facts }
}

fn crowded() -> Report {
    let web = vec![
        culprit("stress\x1b[2J", 4711, 300, 8_000_000, 0.91),
        culprit("kworker/0:1", 12, 300, 8_000_000, 0.004),
    ];
    report(
        vec![idle(group("web", 300, 8_000_000, web), 0.05), idle(group("sshd", 20, 40_000, vec![]), 0.98)],
        Vec::new(),
    )
}

fn whole(columns: usize, report: &Report) -> String {
    let mut page = Page::new(Screen { columns, colour: false });
    summary(&mut page, SLOW, report);
    closing::draw(&mut page, &report.record.envelope);
    verdict(&mut page, report);
    checked(page.into_text(), columns)
}

#[test]
fn a_crowded_cpu() {
    insta::assert_snapshot!(whole(80, &crowded()));
}

#[test]
fn a_starved_task() {
    let starved = Waiting {
        task: Task { pid: Some(99), tid: Some(99), comm: Some("batch".into()), ..Task::default() },
        policy: Some(Policy::Idle),
        cpu: Some(1),
        waited_ns: 9_800_000_000,
        since_known: true,
        throttled: Some(false),
    };
    insta::assert_snapshot!(whole(80, &report(Vec::new(), vec![starved])));
}

#[test]
fn one_interval() {
    let mut report = crowded();
    report.record.envelope.kind = Kind::Interval;
    let mut page = Page::new(Screen { columns: 80, colour: false });
    interval(&mut page, &report);
    insta::assert_snapshot!(checked(page.into_text(), 80));
}

#[test]
fn nothing_at_all() {
    let text = whole(100, &report(Vec::new(), Vec::new()));
    assert!(text.ends_with("Nothing waited for a CPU.\n"), "{text}");
}

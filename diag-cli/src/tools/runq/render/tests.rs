//! Reports as they look, on built records.

use super::*;
use crate::{
    output::{
        closing,
        record::{Kind, Record},
        sample::{checked, envelope},
        terminal::Screen,
    },
    tools::runq::{
        Body,
        args::By,
        policy::Policy,
        sample::{cpu, culprit, group, idle, spectrum},
        verdict::{Found, verdict as judge},
        waiting::Waiting,
    },
};

const SLOW: Duration = Duration::from_millis(1);

fn report(by: By, groups: Vec<Group>, waiting: Vec<Waiting>) -> Report {
    let spectra: Vec<_> = groups.iter().map(spectrum).collect();
    let cpus = vec![cpu(0, 1.0), cpu(1, 0.1)];
    let found = Found { by, groups: &groups, spectra: &spectra, cpus: &cpus, slow: SLOW };
    let verdict = judge(found);
    let body = Body { by, groups, rest: None, cpus, steal_ns: Some(20_000_000), waiting, verdict };
    Report { record: Record::new(envelope(), body), picture: spectra }
}

fn crowded() -> Report {
    let web = vec![
        culprit("stress\x1b[2J", 4711, 300, 8_000_000, 0.91),
        idle(300, 8_000_000, 0.05),
        culprit("kworker/0:1", 12, 300, 8_000_000, 0.004),
    ];
    report(
        By::Comm,
        vec![group("web", 300, 8_000_000, web), group("sshd", 20, 40_000, vec![idle(20, 40_000, 0.98)])],
        Vec::new(),
    )
}

fn whole(columns: usize, report: &Report) -> String {
    let mut page = Page::new(Screen { columns, colour: false });
    summary(&mut page, SLOW, report);
    closing::draw(&mut page, &report.record.envelope);
    verdict(&mut page, SLOW, report);
    checked(page.into_text(), columns)
}

#[test]
fn a_crowded_cpu() {
    insta::assert_snapshot!(whole(80, &crowded()));
}

#[test]
fn a_starved_task() {
    let starved = Waiting {
        comm: "batch".into(),
        pid: 99,
        tid: 99,
        policy: Policy::Idle,
        cpu: Some(1),
        waited_ns: 9_800_000_000,
        since_known: true,
        throttled: false,
    };
    insta::assert_snapshot!(whole(80, &report(By::Pid, Vec::new(), vec![starved])));
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
    let text = whole(100, &report(By::Cpu, Vec::new(), Vec::new()));
    assert!(text.ends_with("Nothing waited for a CPU.\n"), "{text}");
}

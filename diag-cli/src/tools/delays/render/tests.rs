//! Reports as they look, on built records.

use super::super::Report;
use super::*;
use crate::{
    output::{
        record::{Kind, Record, parties::Omitted},
        sample::{checked, envelope},
        terminal::Screen,
    },
    tools::delays::sample::{body, busy, calm, web},
};

fn report(groups: Vec<Group>, omitted: u64) -> Report {
    let mut body = body(groups);
    body.groups_omitted = Omitted { count: omitted, ns: Some(0) };
    let mut envelope = envelope();
    envelope.settings.by = Some("container");
    Report { record: Record::new(envelope, body), picture: () }
}

fn whole(columns: usize, colour: bool, report: &Report) -> String {
    let mut page = Page::new(Screen { columns, colour });
    summary(&mut page, Duration::from_millis(10), &report.record);
    closing::draw(&mut page, &report.record.envelope);
    verdict(&mut page, &report.record);
    checked(page.into_text(), columns)
}

#[test]
fn a_container_that_waits_for_its_disk() {
    insta::assert_snapshot!(whole(80, false, &report(vec![web(), busy(), calm("ssh\x1b[2Jd")], 0)));
}

#[test]
fn two_hundred_groups_are_readable() {
    let mut groups = vec![web(), busy()];
    groups.extend((0..197).map(|at| calm(&format!("group-{at}"))));
    let mut rest = calm("rest");
    rest.group = crate::output::record::parties::Group::of(GroupType::Rest);
    groups.push(rest);
    let text = whole(80, false, &report(groups, 800));
    assert!(text.lines().count() < 80, "{text}");
    assert!(text.contains("\nand 979 groups more with 180 threads: 18 ms/s lost\n"), "{text}");
    insta::assert_snapshot!(text.lines().take(30).collect::<Vec<_>>().join("\n"));
}

#[test]
fn nothing_was_lost() {
    insta::assert_snapshot!(whole(80, false, &report(vec![calm("sshd")], 0)));
}

#[test]
fn nothing_was_seen() {
    let text = whole(100, false, &report(vec![], 0));
    assert!(text.ends_with("No thread was seen: nothing to explain.\n"), "{text}");
}

#[test]
fn an_interval() {
    let mut report = report(vec![web(), busy(), calm("sshd")], 0);
    report.record.envelope.kind = Kind::Interval;
    let mut page = Page::new(Screen { columns: 80, colour: false });
    interval(&mut page, &report);
    insta::assert_snapshot!(checked(page.into_text(), 80));
}

/// A group whose name and numbers are as long as they come.
fn wide(at: u64) -> Group {
    let mut group = calm("x");
    group.group = crate::output::record::parties::Group {
        cgroup: Some(format!("/{}/木\u{202e}-{at}", "pod".repeat(40))),
        ..crate::output::record::parties::Group::of(GroupType::Cgroup)
    };
    group.thread_count = 1_234_567 + at;
    group.causes.iter_mut().for_each(|cause| cause.ns *= 1_000_000);
    group.loss_ns *= 1_000_000;
    group
}

#[test]
fn an_interval_of_two_hundred_groups_is_a_few_lines() {
    let mut groups: Vec<Group> = (0..197).map(|at| calm(&format!("group-{at}"))).collect();
    groups.extend([web(), busy()]);
    let mut rest = calm("rest");
    rest.group = crate::output::record::parties::Group::of(GroupType::Rest);
    groups.push(rest);
    let mut report = report(groups, 800);
    report.record.envelope.kind = Kind::Interval;
    let mut page = Page::new(Screen { columns: 80, colour: false });
    interval(&mut page, &report);
    insta::assert_snapshot!(checked(page.into_text(), 80));
}

#[test]
fn what_is_wide_stays_in_its_columns() {
    let mut report = report((0..200).map(wide).collect(), 0);
    whole(80, false, &report);
    report.record.envelope.kind = Kind::Interval;
    let mut page = Page::new(Screen { columns: 80, colour: false });
    interval(&mut page, &report);
    checked(page.into_text(), 80);
}

#[test]
fn colour_changes_no_letter() {
    let report = report(vec![web(), busy(), calm("sshd")], 0);
    for columns in [80, 97, 120] {
        let plain = anstream::adapter::strip_str(&whole(columns, true, &report)).to_string();
        assert_eq!(plain, whole(columns, false, &report));
    }
}

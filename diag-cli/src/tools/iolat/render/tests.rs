//! Reports as they look, on built records.

use std::time::Duration;

use diag_common::{cause::Cause, iolat::Op, loss::Loss};

use super::*;
use crate::{
    ebpf::probes::Attached,
    output::{
        closing,
        record::{Envelope, Target, TargetKind, Unavailable, cause::CauseKeys},
        sample::checked,
        terminal::Screen,
    },
    tools::iolat::{
        sample::{RUN, group, operation, report, throttled},
        verdict::verdict,
    },
};

const OPTIONS: Options = Options { slow: Duration::from_millis(1), slowest: 2 };

fn screen(columns: usize, colour: bool) -> Screen {
    Screen { columns, colour }
}

fn whole(screen: Screen, report: &Report) -> String {
    let mut page = Page::new(screen);
    summary(&mut page, &OPTIONS, report);
    closing::draw(&mut page, &report.record.envelope);
    super::verdict(&mut page, report);
    page.into_text()
}

fn block(screen: Screen, report: &Report) -> String {
    let mut page = Page::new(screen);
    interval(&mut page, &OPTIONS, report);
    closing::interval_losses(&mut page, &report.record.envelope);
    page.into_text()
}

#[test]
fn a_stall() {
    insta::assert_snapshot!(checked(whole(screen(80, false), &throttled()), 80));
}

#[test]
fn colour_changes_no_letter() {
    let coloured = checked(whole(screen(80, true), &throttled()), 80);
    assert!(coloured.contains("\x1b[30m\x1b[43mMM"));
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), whole(screen(80, false), &throttled()));
}

#[test]
fn nothing_is_slow() {
    let groups = [group(990, 900, RUN), group(10, 12_000, RUN)];
    let report = report(vec![operation(Op::Read, Some("vda"), &groups)], vec![]);
    insta::assert_snapshot!(checked(whole(screen(80, false), &report), 80));
}

#[test]
fn nothing_happened() {
    insta::assert_snapshot!(checked(whole(screen(80, false), &report(vec![], vec![])), 80));
}

#[test]
fn an_interval() {
    insta::assert_snapshot!(checked(block(screen(80, false), &throttled()), 80));
}

#[test]
fn hostile_text_and_what_is_missing() {
    let mut report = throttled();
    let evil = "\x1b]0;pwned\x07\r\n\u{202e}\u{9b}31m 漢字漢字漢字 \\xff";
    let record = &mut report.record;
    record.envelope.target = Target { unit: Some(evil.into()), ..Target::of(TargetKind::Unit) };
    record.envelope.unavailable = vec![Unavailable {
        name: evil.into(),
        why: evil.into(),
        effect: "waits for it count as device".into(),
    }];
    record.envelope.lost.0[Loss::Events as usize] = 12;
    record.body.operations.truncate(2);
    record.body.operations[1].filesystem = evil.into();
    record.body.operations[1].device.name = Some(evil.into());
    record.body.operations[1].tail.causes[0].keys = CauseKeys::plain(Cause::OtherWait);
    record.body.operations[1].tail.causes[0].stack = Some(vec![evil.into(), "b".into()]);
    for slow in &mut record.body.slowest {
        slow.file = Some(evil.repeat(9));
        (slow.task.comm, slow.task.cgroup) = (Some(evil.into()), Some(evil.repeat(3)));
        slow.task.tid = Some(1235);
        slow.stack = Some(vec![evil.into(); 9]);
        slow.causes[0].keys = CauseKeys::plain(Cause::OtherWait);
    }
    record.body.verdict = verdict(&record.body.operations, Duration::from_millis(1), 0);
    insta::assert_snapshot!(checked(whole(screen(80, false), &report), 80));
    for columns in [80, 81, 100, 120] {
        checked(whole(screen(columns, true), &report), columns);
        checked(block(screen(columns, true), &report), columns);
    }
    let Envelope { target, unavailable, .. } = &report.record.envelope;
    let attached = Attached { probes: vec![], unavailable: unavailable.clone() };
    checked(closing::opening(screen(80, false), "iolat", "file I/O", target, None, &attached), 80);
}

#[test]
fn many_groups_are_cut() {
    let groups = |ops| [group(ops, 900, RUN), group(1, 1_000, RUN)];
    let many = (1..=9).map(|ops| operation(Op::Read, Some("vda"), &groups(ops))).collect();
    let picture = checked(whole(screen(80, false), &report(many, vec![])), 80);
    assert_eq!(picture.matches("read on vda (254:0, ext4): ").count(), LINES, "{picture}");
    assert!(picture.contains("and 3 more, of less time: 9 operations, 8.4 µs together"), "{picture}");
}

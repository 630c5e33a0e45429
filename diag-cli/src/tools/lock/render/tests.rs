//! Reports as they look, on built records.

use std::time::Duration;

use super::*;
use crate::{
    output::{closing, sample::checked, terminal::Screen},
    tools::lock::sample::{convoy, folded, quiet, report, report_with, stuck},
};

const OPTIONS: Options = Options { slow: Duration::from_millis(1), top: 2 };

fn whole(columns: usize, colour: bool, report: &Report) -> String {
    let mut page = Page::new(Screen { columns, colour });
    summary(&mut page, &OPTIONS, report);
    closing::draw(&mut page, &report.record.envelope);
    verdict(&mut page, report);
    page.into_text()
}

#[test]
fn a_convoy() {
    let report = report_with(vec![convoy(), quiet(), folded()], vec![stuck()]);
    insta::assert_snapshot!(checked(whole(80, false, &report), 80));
}

#[test]
fn colour_changes_no_letter() {
    let report = report(vec![convoy(), quiet()]);
    let coloured = checked(whole(80, true, &report), 80);
    assert!(coloured.contains("\x1b[30m\x1b[45mDDD"));
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), whole(80, false, &report));
}

#[test]
fn nothing_is_slow() {
    insta::assert_snapshot!(checked(whole(80, false, &report(vec![quiet()])), 80));
}

#[test]
fn nothing_happened() {
    insta::assert_snapshot!(checked(whole(80, false, &report(vec![])), 80));
}

#[test]
fn an_interval() {
    let report = report(vec![convoy(), quiet(), folded(), quiet()]);
    let mut page = Page::new(Screen { columns: 80, colour: false });
    interval(&mut page, &OPTIONS, &report);
    insta::assert_snapshot!(checked(page.into_text(), 80));
}

#[test]
fn hostile_text() {
    let evil = "\x1b]0;pwned\x07\r\n\u{202e}\u{9b}31m 漢字漢字漢字";
    let mut lock = convoy();
    lock.name = Some(evil.into());
    lock.callers[0].stack = Some(vec![evil.into(); 9]);
    lock.owners[0].stack = Some(vec![evil.into(); 9]);
    for task in [&mut lock.owners[0].task, &mut lock.waiters[0].task] {
        task.as_mut().unwrap().comm = Some(evil.into());
    }
    checked(whole(80, false, &report(vec![lock])), 80);
}

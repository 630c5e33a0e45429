//! Reports as they look, on built records.

use super::*;
use crate::{
    output::{sample::checked, terminal::Screen},
    tools::vmexit::{
        collect::Harvest,
        guest::recorded,
        record::Exits,
        sample::{COST, busy, guest, report},
    },
};

fn screen(columns: usize, colour: bool) -> Screen {
    Screen { columns, colour }
}

fn whole(screen: Screen, report: &Report) -> String {
    let mut page = Page::new(screen);
    summary(&mut page, report, 8);
    closing::draw(&mut page, &report.record.envelope);
    verdict(&mut page, report);
    page.into_text()
}

fn block(screen: Screen, report: &Report) -> String {
    let mut page = Page::new(screen);
    interval(&mut page, report);
    page.into_text()
}

#[test]
fn a_busy_guest() {
    insta::assert_snapshot!(checked(whole(screen(80, false), &report(&guest(), Some(COST), &busy())), 80));
}

#[test]
fn an_interval() {
    insta::assert_snapshot!(checked(block(screen(80, false), &report(&guest(), Some(COST), &busy())), 80));
}

#[test]
fn no_virtual_machine() {
    let report = report(&recorded::guest(&recorded::BARE), None, &busy());
    assert!(report.record.body.activities.iter().all(|activity| activity.exits == Exits::No));
    insta::assert_snapshot!(checked(whole(screen(80, false), &report), 80));
}

#[test]
fn nothing_happened() {
    insta::assert_snapshot!(checked(
        whole(screen(80, false), &report(&guest(), Some(COST), &Harvest::default())),
        80
    ));
}

#[test]
fn colour_changes_no_letter() {
    let report = report(&guest(), Some(COST), &busy());
    let coloured = checked(whole(screen(80, true), &report), 80);
    assert!(coloured.contains("\x1b[30m\x1b[41myy"));
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), whole(screen(80, false), &report));
}

#[test]
fn hostile_names_and_all_widths() {
    let evil = "\x1b]0;x\x07\u{202e}\u{9b}m漢";
    let mut report = report(&guest(), Some(COST), &busy());
    for activity in &mut report.record.body.activities {
        activity.name = Some(evil.repeat(9));
        let tasks = activity.doers.iter_mut().filter_map(|doer| doer.task.as_mut());
        tasks.for_each(|task| task.comm = Some(evil.into()));
    }
    for columns in [80, 81, 100, 120] {
        checked(whole(screen(columns, true), &report), columns);
        checked(block(screen(columns, true), &report), columns);
    }
}

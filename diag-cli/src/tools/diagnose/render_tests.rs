use super::*;
use crate::{
    output::{
        record::{Record, parties::Resource},
        sample::{checked, complaints, envelope},
        terminal::Screen,
    },
    tools::{
        delays::sample::{MS, Sketch, sketched},
        diagnose::{
            diagnosis::diagnosis,
            facts::Facts,
            record::{Signal, SignalName},
        },
    },
};
use diag_common::cause::Cause;

fn starved(name: &'static str, culprit: &'static str) -> Sketch {
    let parts = vec![
        (Cause::Run, None, 1_500 * MS, 1),
        (Cause::Runqueue, None, 4_000 * MS, 12 * MS),
        (Cause::Journal, Some(Cause::Device), 1_100 * MS, 40 * MS),
        (Cause::Freeze, None, 3_000 * MS, 3_000 * MS),
    ];
    let had = vec![(Resource::Cpu, culprit, 3_900 * MS), (Resource::Device, "backup", 900 * MS)];
    Sketch { name, parts, had }
}

fn concluded(sketches: &[Sketch]) -> Diagnosis {
    let groups = sketched(sketches);
    let facts = Facts { groups: &groups, lasted_ns: 10_000 * MS, cpus: Some(2), ..Facts::default() };
    let signal = Signal {
        signal: SignalName::CpuPressure,
        group: None,
        value: 0.42,
        unit: crate::output::record::settings::Unit::Share,
        hurts_from: Some(0.1),
        hurts: Some(true),
        source: "/proc/pressure/cpu",
    };
    diagnosis(&facts, vec![signal], None, &[])
}

fn drawn(diagnosis: &Diagnosis, columns: usize, colour: bool) -> String {
    let mut drawn = Page::new(Screen { columns, colour });
    page(&mut drawn, &envelope(), diagnosis);
    checked(drawn.into_text(), columns)
}

#[test]
fn a_starved_service() {
    let build = Sketch {
        name: "build",
        parts: vec![(Cause::Run, None, 9_000 * MS, 1), (Cause::Runqueue, None, 8_000 * MS, 4 * MS)],
        had: vec![(Resource::Cpu, "build", 8_000 * MS)],
    };
    let diagnosis = concluded(&[starved("web", "batch\x1b"), build]);
    let record = serde_json::to_value(Record::new(envelope(), diagnosis.clone())).unwrap();
    assert_eq!(complaints::<Diagnosis>(&record), Vec::<String>::new());
    insta::assert_snapshot!(drawn(&diagnosis, 80, false));
    let plain = anstream::adapter::strip_str(&drawn(&diagnosis, 100, true)).to_string();
    assert_eq!(plain, drawn(&diagnosis, 100, false));
}

#[test]
fn nothing_is_slow() {
    let idle = Sketch { name: "sshd", parts: vec![(Cause::Run, None, 10 * MS, 1)], had: vec![] };
    insta::assert_snapshot!(drawn(&concluded(&[idle]), 80, false));
}

#[test]
fn a_page_is_no_longer_than_forty_lines() {
    let names =
        ["aaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbb", "ccccccccccccccc", "ddddddddddddddd", "eeeeeeeeeeeeeee"];
    let culprits = ["a-hog", "b-hog", "c-hog", "d-hog", "e-hog"];
    let sketches: Vec<_> = names.iter().zip(culprits).map(|(name, culprit)| starved(name, culprit)).collect();
    let mut diagnosis = concluded(&sketches);
    let long = format!("/kubepods.slice/{}", "kubepods-burstable-pod3f2a.slice/".repeat(6));
    diagnosis.verdict.statement = diagnosis.verdict.statement.replace("aaaaaaaaaaaaaaa", &long);
    for evidence in &mut diagnosis.findings[0].evidence {
        evidence.text += &long;
    }
    let drawn = drawn(&diagnosis, 80, false);
    assert!(drawn.lines().count() <= 40, "{} lines:\n{drawn}", drawn.lines().count());
}

#[test]
fn a_record_with_all_that_it_can_hold_is_below_its_bound() {
    let names: Vec<&'static str> =
        (0..100).map(|at| &*Box::leak(format!("group-{at}").into_boxed_str())).collect();
    let sketches: Vec<_> = names.iter().map(|name| starved(name, "hog")).collect();
    let record = Record::new(envelope(), concluded(&sketches));
    let length = serde_json::to_vec(&record).unwrap().len();
    assert!(length < 256 << 10, "{length} bytes");
}

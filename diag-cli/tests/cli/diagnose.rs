//! `osdiag schema diagnose` in the eyes of an independent validator, with a record that was written by hand; and what only
//! this command's line has.

use serde_json::{Value, json};

use crate::{
    osdiag,
    schema::{check_all_required, check_refused, complaints, record_with, schema, verdict_of_nothing},
};

fn record() -> Value {
    let mut record = record_with(include_str!("diagnose.json"));
    record["settings"]["thresholds"] = json!([
        { "threshold": "finding", "value": 2e7, "unit": "ns-per-second" },
        { "threshold": "small-request", "value": 16384.0, "unit": "bytes" },
    ]);
    record["unavailable"] = json!([{ "name": "triage", "why": "…", "effect": "…" }]);
    record
}

#[test]
fn a_record_of_the_contract_is_valid() {
    let schema = schema("diagnose");
    jsonschema::draft202012::meta::validate(&schema).expect("valid");
    assert_eq!(complaints(&schema, &record()), Vec::<String>::new());
    let mut without = record();
    without["verdict"] = verdict_of_nothing();
    for key in ["signals", "findings", "notes", "ruled_out", "not_seen"] {
        without[key] = json!([]);
    }
    assert_eq!(complaints(&schema, &without), Vec::<String>::new());
    let mut unknown = record();
    for key in ["blame", "limit"] {
        unknown["findings"][0][key] = Value::Null;
    }
    assert_eq!(complaints(&schema, &unknown), Vec::<String>::new());
}

#[test]
fn every_key_of_the_contract_is_required() {
    check_all_required(&schema("diagnose"), &record());
}

#[test]
fn what_the_contract_does_not_allow_is_refused() {
    let schema = schema("diagnose");
    let places = [
        ("/schema", json!("osdiag.delays/1")),
        ("/signals/0/signal", json!("load")),
        ("/signals/0/hurts", json!("yes")),
        ("/findings/0/rank", json!("first")),
        ("/findings/0/victims/0/ns", json!(-1)),
        ("/findings/0/cause", json!("slow")),
        ("/findings/0/blame", json!("provider")),
        ("/findings/0/limit/name", json!("cpu.shares")),
        ("/findings/0/limit/unit", json!("hours")),
        ("/findings/0/culprits/0/basis", json!("luck")),
        ("/findings/0/evidence/0/name", json!("rumour")),
        ("/findings/0/evidence/0/value", json!("much")),
        ("/findings/0/advice/0/rule", json!("reboot")),
        ("/notes/0/layer", json!("disk")),
        ("/ruled_out/0/evidence", Value::Null),
        ("/not_seen/0/name", json!("everything")),
        ("/settings/thresholds/0/threshold", json!("luck")),
    ];
    check_refused(&schema, &record(), &places);
}

#[test]
fn one_answer_has_no_intervals() {
    let answer = osdiag(&["diagnose", "-i", "1s"]);
    let complaint = answer.complaint(2);
    assert!(complaint.contains("--interval") && complaint.contains("one answer"), "{complaint}");
    assert!(osdiag(&["diagnose", "--fail-on", "warn"]).complaint(2).contains("finding"));
    let help = osdiag(&["diagnose", "--help"]).out;
    for part in ["--fail-on", "[default: 10s]", "--container", "Examples:", "How to read it:"] {
        assert!(help.contains(part), "{part}: {help}");
    }
    assert!(!help.contains("--interval"), "{help}");
    let short = osdiag(&["diagnose", "-h"]).out;
    assert!(short.lines().count() <= 45, "{short}");
}

#[test]
fn it_is_what_is_suggested_first() {
    let none: [&str; 0] = [];
    let answer = osdiag(&none);
    assert!(answer.complaint(2).contains("begin with 'osdiag diagnose'"));
    let help = osdiag(&["--help"]).out;
    let place = |word: &str| help.find(word).expect(word);
    assert!(place("osdiag diagnose") < place("iolat"), "{help}");
}

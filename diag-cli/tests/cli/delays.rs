//! `osdiag schema delays` in the eyes of an independent validator, with a record that was written by hand; and what only
//! this command's line has.

use serde_json::{Value, json};

use crate::{
    osdiag,
    schema::{check_all_required, check_refused, complaints, record_with, schema, verdict_of_nothing},
};

fn record() -> Value {
    let mut record = record_with(include_str!("delays.json"));
    record["settings"]["thresholds"] = json!([
        { "threshold": "loss", "value": 1e7, "unit": "ns-per-second" },
        { "threshold": "loss-share", "value": 0.05, "unit": "share" },
    ]);
    record["unavailable"] = json!([{ "name": "folded", "why": "No space left on device", "effect": "…" }]);
    record
}

#[test]
fn a_record_of_the_contract_is_valid() {
    let schema = schema("delays");
    jsonschema::draft202012::meta::validate(&schema).expect("valid");
    assert_eq!(complaints(&schema, &record()), Vec::<String>::new());
    let mut without = record();
    without["verdict"] = verdict_of_nothing();
    without["groups"] = json!([]);
    assert_eq!(complaints(&schema, &without), Vec::<String>::new());
}

#[test]
fn every_key_of_the_contract_is_required() {
    check_all_required(&schema("delays"), &record());
}

#[test]
fn what_the_contract_does_not_allow_is_refused() {
    let schema = schema("delays");
    let places = [
        ("/schema", json!("osdiag.iolat/1")),
        ("/groups/0/thread_ns", json!(-1)),
        ("/groups/0/unaccounted_ns", json!("none")),
        ("/groups/0/group/type", json!("user")),
        ("/groups/0/layers/cpu", Value::Null),
        ("/groups/0/causes/0/cause", json!("slow")),
        ("/groups/0/causes/0/via", json!("disk")),
        ("/groups/0/causes_omitted", Value::Null),
        ("/groups/0/places/0/place", json!(1)),
        ("/groups/0/places/0/causes/0/class", json!("wasted")),
        ("/groups/0/longest/0/chain", Value::Null),
        ("/groups/0/longest/0/chain/0/layer", json!("disk")),
        ("/groups/0/longest/0/open", json!("yes")),
        ("/groups/0/culprits/0/resource", json!("time")),
        ("/groups/0/pressure/io_some_ns", json!(0.5)),
        ("/settings/thresholds/0/unit", json!("hours")),
        ("/verdict/advice/0/rule", json!("reboot")),
    ];
    check_refused(&schema, &record(), &places);
}

#[test]
fn what_groups_are_sorted_by_is_said_where_it_is_wrong() {
    let answer = osdiag(&["delays", "--sort", "disk"]);
    let complaint = answer.complaint(2);
    assert!(complaint.contains("--sort") && complaint.contains("block.device"), "{complaint}");
    let answer = osdiag(&["delays", "--top", "201"]);
    assert!(answer.complaint(2).contains("--top"));
}

//! `osdiag schema vmexit` in the eyes of an independent validator, with a record that was written by hand.

use serde_json::{Value, json};

use crate::schema::{check_refused, check_required, complaints, record_with, schema};

fn record() -> Value {
    record_with(include_str!("vmexit.json"))
}

#[test]
fn a_record_of_the_contract_is_valid() {
    let schema = schema("vmexit");
    jsonschema::draft202012::meta::validate(&schema).expect("valid");
    assert_eq!(complaints(&schema, &record()), Vec::<String>::new());
    let mut without = record();
    for key in ["verdict", "exit_cost_ns", "vcpu_share", "vcpu_share_certain"] {
        without[key] = Value::Null;
    }
    without["causes"] = json!([]);
    assert_eq!(complaints(&schema, &without), Vec::<String>::new());
}

#[test]
fn every_key_of_the_contract_is_required() {
    let schema = schema("vmexit");
    let objects = [
        ("", &["exit_cost_ns", "vcpu_share", "vcpu_share_certain", "verdict"][..]),
        ("/causes/0", &["msr", "estimated_ns", "vcpu_share"]),
        ("/causes/1/by/0", &["cgroup"]),
        ("/exit_cost_ns", &[]),
        ("/features", &["hz"]),
        ("/features/paravirtual/1", &["used"]),
        ("/idle", &["halt_poll_ns"]),
        ("/interrupts", &[]),
        ("/verdict", &[]),
        ("/advice/0", &[]),
        ("/not_visible/0", &[]),
    ];
    check_required(&schema, &record(), &objects);
}

#[test]
fn what_the_contract_does_not_allow_is_refused() {
    let schema = schema("vmexit");
    let places = [
        ("/schema", json!("osdiag.iolat/1")),
        ("/causes/0/kind", json!("port-io")),
        ("/causes/0/exits", json!("maybe")),
        ("/causes/0/count", json!(-1)),
        ("/causes/0/msr", json!("0x6e0")),
        ("/causes/0/by/0/context", json!("nmi")),
        ("/features/paravirtual/0/offered", json!("yes")),
        ("/steal_ns", json!(null)),
    ];
    check_refused(&schema, &record(), &places);
}

//! What tests of the tools' records and pictures share: the common keys of a built record, and what must hold of every
//! record and picture.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::{
    cost::SelfCost,
    host::{Host, Os},
    record::{Body, Envelope, Hook, Kind, Lost, Probe, Record, Settings, Target, TargetKind},
    text,
    time::Timestamp,
};

/// What a stranger's validator has against a record of a tool.
pub(crate) fn complaints<T: Body>(record: &Value) -> Vec<String> {
    let schema = Record::<T>::json_schema();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    validator.iter_errors(record).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Checks that a record follows its schema, and lacks something without any of its keys.
pub(crate) fn check_keys<T: Body>(record: &Value) {
    assert_eq!(complaints::<T>(record), Vec::<String>::new());
    for key in record.as_object().unwrap().keys() {
        let mut less = record.clone();
        less.as_object_mut().unwrap().remove(key);
        assert_eq!(complaints::<T>(&less).len(), 1, "{key}");
    }
}

/// Checks that a record with something else at a place does not follow its schema.
pub(crate) fn check_refused<T: Body>(record: &Value, pointer: &str, wrong: Value) {
    let mut other = record.clone();
    *other.pointer_mut(pointer).unwrap() = wrong;
    assert_ne!(complaints::<T>(&other), Vec::<String>::new(), "{pointer}");
}

/// The keys at a place of a record.
pub(crate) fn keys(record: &Value, pointer: &str) -> String {
    let object = record.pointer(pointer).unwrap().as_object().unwrap();
    object.keys().map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// Checks what holds of every picture, and gives it back.
pub(crate) fn checked(picture: String, columns: usize) -> String {
    for line in picture.lines() {
        let plain = anstream::adapter::strip_str(line).to_string();
        assert!(text::width(&plain) <= columns, "{} columns: {plain}", text::width(&plain));
        assert_eq!(text::for_terminal(&plain), plain);
        assert_eq!(line.trim_end(), line);
    }
    picture
}

/// A complete summary of ten seconds of a whole system.
pub(crate) fn envelope() -> Envelope {
    let at = |seconds| Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    Envelope {
        version: "0.1.0",
        session: "01979d3a-0000-7000-8000-000000000000".into(),
        sequence: 0,
        kind: Kind::Summary,
        host: Host {
            hostname: Some("db1".into()),
            machine_id: Some("m".into()),
            boot_id: Some("b".into()),
            kernel: Some("6.18.0".into()),
            arch: "x86_64",
            os: Os { id: Some("debian".into()), version: Some("12".into()) },
            hypervisor: Some("kvm".into()),
            vendor: None,
            product: None,
            instance: None,
            cpus: Some(4),
            possible_cpus: Some(4),
            memory_bytes: Some(8 << 30),
        },
        start: at(1_700_000_000),
        end: at(1_700_000_010),
        duration_ns: 10_000_000_000,
        settings: Settings::default(),
        target: Target::of(TargetKind::System),
        probes: vec![Probe { name: "sched_switch".into(), hook: Hook::TpBtf }],
        unavailable: vec![],
        lost: Lost::default(),
        cost: SelfCost {
            run_ns: Some(230_000_000),
            events: Some(1_642_345),
            cpu_ns: 61_000_000,
            rss_bytes: Some(14 << 20),
            kernel_bytes: Some(9 << 20),
        },
    }
}

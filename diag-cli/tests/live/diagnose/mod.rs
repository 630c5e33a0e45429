//! `osdiag diagnose` on the running kernel: a victim's own clock proves each fault, and the answer is judged by four things
//! that were written down before: victim, cause, culprit, blame.

mod faults;
mod quiet;
mod scene;
mod screen;

use crate::{Test, record::Record};

/// The tests of this folder.
pub(crate) const TESTS: &[&[Test]] = &[faults::TESTS, quiet::TESTS, screen::TESTS];

/// What must be true of every diagnosis.
pub(crate) fn check(record: &Record) {
    let findings = record.0["findings"].as_array().expect("findings");
    for (at, finding) in findings.iter().enumerate() {
        assert_eq!(finding["rank"], at + 1, "{finding}");
        let victims: u64 = finding["victims"].as_array().expect("victims").iter().map(ns).sum();
        assert_eq!(ns(finding), victims, "{finding}");
        let evidence = finding["evidence"].as_array().expect("evidence");
        assert!(
            !evidence.is_empty() && !finding["chain"].as_array().expect("a chain").is_empty(),
            "{finding}"
        );
    }
    let costs: Vec<u64> = findings.iter().map(ns).collect();
    assert!(costs.is_sorted_by(|a, b| a >= b), "the worst is not first: {costs:?}");
    let status = record.0["verdict"]["status"].as_str().expect("a status");
    assert_eq!(status == "found", !findings.is_empty(), "{}", record.0["verdict"]);
    assert!(record.0.to_string().len() < 256 << 10, "{} bytes", record.0.to_string().len());
}

fn ns(of: &serde_json::Value) -> u64 {
    crate::record::number(&of["ns"])
}

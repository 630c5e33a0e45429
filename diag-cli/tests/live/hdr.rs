//! HDR payloads in the hands of another language's library.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    Outcome, Test,
    lab::{Lab, image::PlainDisk, python},
    osdiag::trace,
    record::{device_of, within},
    workload::{Call, Desk, Job, Plan, Step},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[("hdr_payloads_mean_the_same_elsewhere", same_elsewhere)];

/// Reads a list of payloads, and writes for each what the library makes of it; last, what it makes of all together.
const PROGRAM: &str = "
import json, math, sys
from hdrh.histogram import HdrHistogram
def tell(h):
    keys = ('p50_ns', 50), ('p90_ns', 90), ('p99_ns', 99), ('p999_ns', 99.9)
    n = h.get_total_count()
    # The library rounds a percentile's rank to the nearest; records round it up, so ask for that rank.
    d = {name: h.get_value_at_percentile(100 * math.ceil(p * n / 100 - 1e-9) / n) for name, p in keys}
    return dict(d, count=n, max_ns=h.get_max_value(), min_ns=h.get_min_value())
texts = json.load(sys.stdin)
whole = HdrHistogram.decode(texts[0])
told = [tell(HdrHistogram.decode(text)) for text in texts]
for text in texts[1:]:
    whole.decode_and_add(text)
json.dump(told + [tell(whole)], sys.stdout)
";

fn decode(python: &Path, payloads: &[&Value]) -> Vec<Value> {
    let mut child = Command::new(python)
        .args(["-c", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    let mut input = child.stdin.take().expect("its input is a pipe");
    input.write_all(json!(payloads).to_string().as_bytes()).expect("python listens");
    drop(input);
    let output = child.wait_with_output().expect("python ends");
    assert!(output.status.success(), "the library refuses a payload");
    serde_json::from_slice(&output.stdout).expect("python writes JSON")
}

fn same_elsewhere() -> Outcome {
    let python = python::with("hdrhistogram==0.10.8", "hdrh.histogram")?;
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 128 << 20)?;
    let file = disk.mount.file("data", 32 << 20);
    let desk = Desk::new(&lab);
    let (call, block, span, sync) = (Call::Pwrite, 64 << 10, 32 << 20, Some(Call::Fsync));
    let step = Step::Transfer { call, block, span, random: true, evict: false, sync };
    let traced =
        trace(&desk, &["-i", "300ms"], &Plan { jobs: vec![Job::new(&file, step, 400)], ..desk.plan(vec![]) });
    let records = traced.finished.records();
    let device = device_of(&file);
    for call in ["pwrite64", "fsync"] {
        // The summary's comes first, then the intervals', whose sum it has to be.
        let histograms: Vec<&Value> = records
            .iter()
            .rev()
            .flat_map(|record| record.on(&device))
            .filter(|operation| operation.call() == call && operation.count() > 0)
            .map(|operation| &operation.0["latency"])
            .collect();
        assert!(histograms.len() >= 2, "{call} is in {} records", histograms.len());
        let payloads: Vec<&Value> = histograms.iter().map(|histogram| &histogram["hdr"]).collect();
        let told = decode(&python, &payloads);
        for (told, histogram) in told.iter().zip(&histograms) {
            for (key, value) in told.as_object().expect("a histogram is told as an object") {
                let number =
                    |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{key} is no number: {value}"));
                // Three digits, as HdrHistogram has it, and the library's rounding up within its own bucket.
                assert!(
                    within(0.002, number(value), number(&histogram[key])),
                    "{call} {key}: {value} elsewhere, {} here",
                    histogram[key]
                );
            }
        }
        let own = &traced.report.samples[if call == "fsync" { &Call::Fsync } else { &Call::Pwrite }];
        let merged = decode(&python, &payloads[1..]);
        let merged = merged.last().expect("the whole comes last");
        assert_eq!(merged["count"], own.ns.len(), "the intervals' payloads add up");
        for (key, percent) in [("p50_ns", 50.0), ("p99_ns", 99.0)] {
            let theirs = merged[key].as_u64().expect("a percentile is a number") as f64;
            // The library rounds a rank to the nearest, so it may mean the call before or after.
            let place = 100.0 / own.ns.len() as f64;
            let [lower, upper] =
                [percent - place, percent + place].map(|percent| own.percentile(percent) as f64);
            let near = 0.95 * lower..=1.05 * upper;
            assert!(near.contains(&theirs), "{call} {key}: {theirs} is not within {near:?}");
        }
    }
    Ok(())
}

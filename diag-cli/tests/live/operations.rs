//! Records of `osdiag iolat`: operations, their layers and causes.

use serde_json::Value;

use crate::record::{Record, number, within};

/// The layers of the contract.
const LAYERS: [&str; 12] = [
    "memory",
    "filesystem",
    "block",
    "uring",
    "cpu",
    "hypervisor",
    "lock",
    "network",
    "ipc",
    "stopped",
    "idle",
    "other",
];

fn layers_total(value: &Value) -> u64 {
    LAYERS.iter().map(|layer| number(&value["layers"][layer]["ns"])).sum()
}

/// What must be true of every record of this tool.
pub(crate) fn check(record: &Record) {
    record.check_sums();
}

impl Record {
    /// All operations.
    pub(crate) fn operations(&self) -> impl Iterator<Item = Operation<'_>> {
        self.0["operations"].as_array().expect("operations is a list").iter().map(Operation)
    }

    /// The operations on one device.
    pub(crate) fn on(&self, device: &str) -> Vec<Operation<'_>> {
        self.operations().filter(|operation| operation.device() == device).collect()
    }

    /// One system call on one device.
    pub(crate) fn operation(&self, call: &str, device: &str) -> Operation<'_> {
        let mut found = self.on(device);
        found.retain(|operation| operation.call() == call);
        assert_eq!(found.len(), 1, "{call} on {device} in {}", self.outline());
        found[0]
    }

    /// The slowest single operations.
    pub(crate) fn slowest(&self) -> &[Value] {
        self.0["slowest"].as_array().expect("slowest is a list")
    }

    /// Operations that had not returned.
    pub(crate) fn pending(&self) -> &[Value] {
        self.0["pending"].as_array().map_or(&[], Vec::as_slice)
    }

    /// The verdict, where there is one.
    pub(crate) fn verdict(&self) -> Option<&Value> {
        Some(&self.0["verdict"]).filter(|verdict| verdict["status"] == "found")
    }

    /// What a failure message shows: each operation with its causes.
    pub(crate) fn outline(&self) -> String {
        let mut text = format!("{} of {} ns\n", self.text("type"), self.0["duration_ns"]);
        for operation in self.operations() {
            text.push_str(&operation.outline());
        }
        text.push_str(&format!("verdict {}\nlost {}", self.0["verdict"], self.0["lost"]));
        text
    }

    /// That every operation's layers and causes add up to its latency, as a whole, in its tail and one by one.
    fn check_sums(&self) {
        for operation in self.operations() {
            let value = operation.0;
            let sum = operation.sum();
            assert!(within(0.001, layers_total(value), sum), "layers do not add up: {}", operation.outline());
            for layer in LAYERS {
                let causes: u64 = operation.causes(value, |name, _| name == layer);
                let whole = number(&value["layers"][layer]["ns"]);
                assert!(
                    causes.abs_diff(whole) as f64 <= 0.001 * sum as f64,
                    "{layer}: {}",
                    operation.outline()
                );
            }
            let tail = &value["tail"];
            let tail_sum = number(&tail["operation_count"]) * number(&tail["mean_ns"]);
            let rounding = number(&tail["operation_count"]) + sum / 1000;
            assert!(layers_total(tail).abs_diff(tail_sum) <= rounding, "tail: {}", operation.outline());
        }
        for slow in self.slowest() {
            assert!(
                within(0.001, layers_total(slow), number(&slow["latency_ns"])),
                "layers do not add up: {slow}"
            );
        }
    }
}

/// One system call on one device and file system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation<'a>(pub &'a Value);

impl<'a> Operation<'a> {
    fn key(self, name: &str) -> &'a str {
        self.0[name].as_str().unwrap_or_else(|| panic!("{name} is no string"))
    }

    /// The system call.
    pub(crate) fn call(self) -> &'a str {
        self.key("op")
    }

    /// The device, `MAJOR:MINOR`.
    pub(crate) fn device(self) -> &'a str {
        self.0["device"]["id"].as_str().expect("a device has an id")
    }

    /// The file system.
    pub(crate) fn filesystem(self) -> &'a str {
        self.key("filesystem")
    }

    /// How many there were.
    pub(crate) fn count(self) -> u64 {
        number(&self.0["latency"]["count"])
    }

    /// How long they took together, ns.
    pub(crate) fn sum(self) -> u64 {
        number(&self.0["latency"]["sum_ns"])
    }

    /// A number of the latency histogram.
    pub(crate) fn latency(self, key: &str) -> u64 {
        number(&self.0["latency"][key])
    }

    /// How many bytes they moved.
    pub(crate) fn bytes(self) -> u64 {
        number(&self.0["bytes"])
    }

    fn causes(self, of: &Value, wanted: impl Fn(&str, &str) -> bool) -> u64 {
        let name = |cause: &Value, key: &str| cause[key].as_str().unwrap_or_default().to_owned();
        let list = of["causes"].as_array().expect("causes is a list");
        list.iter()
            .filter(|cause| wanted(&name(cause, "layer"), &name(cause, "cause")))
            .map(|cause| number(&cause["ns"]))
            .sum()
    }

    /// The share of a cause, `LAYER.CAUSE`, in all time.
    pub(crate) fn share(self, cause: &str) -> f64 {
        let ns = self.causes(self.0, |layer, name| cause.split_once('.') == Some((layer, name)));
        ns as f64 / self.sum() as f64
    }

    /// The time of a cause, ns, and how many operations had any of it.
    pub(crate) fn cause(self, cause: &str) -> (u64, u64) {
        let list = self.0["causes"].as_array().expect("causes is a list");
        let is = |entry: &&Value| {
            let name = |key: &str| entry[key].as_str().unwrap_or_default();
            format!("{}.{}", name("layer"), name("cause")) == cause
        };
        let numbers = |entry: &Value| (number(&entry["ns"]), number(&entry["operation_count"]));
        list.iter().filter(is).map(numbers).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// The share of a layer in all time.
    pub(crate) fn layer_share(self, layer: &str) -> f64 {
        number(&self.0["layers"][layer]["ns"]) as f64 / self.sum() as f64
    }

    /// The share of time in a cause for which the record also says what its holder was waiting for.
    pub(crate) fn share_via(self, cause: &str, via: &str) -> f64 {
        let is = |value: &Value, text: &str| {
            Some((value["layer"].as_str().unwrap_or_default(), value["cause"].as_str().unwrap_or_default()))
                == text.split_once('.')
        };
        let list = self.0["causes"].as_array().expect("causes is a list");
        let found = list.iter().filter(|entry| is(entry, cause) && entry["via"] == via);
        found.map(|entry| number(&entry["ns"])).sum::<u64>() as f64 / self.sum() as f64
    }

    /// What a failure message shows.
    pub(crate) fn outline(self) -> String {
        let mut text = format!(
            "  {} {} {}: {} in {} ns, p99 {} ns, max {} ns\n",
            self.call(),
            self.device(),
            self.filesystem(),
            self.count(),
            self.sum(),
            self.latency("p99_ns"),
            self.latency("max_ns"),
        );
        for cause in self.0["causes"].as_array().into_iter().flatten() {
            let ns = cause["ns"].as_f64().unwrap_or_default();
            let share = 100.0 * ns / self.sum().max(1) as f64;
            text.push_str(&format!("    {share:5.1} % {}.{}", cause["layer"], cause["cause"]));
            if !cause["via"].is_null() {
                text.push_str(&format!(" via {}", cause["via"]));
            }
            if !cause["stack"].is_null() {
                text.push_str(&format!(" at {}", cause["stack"]));
            }
            text.push('\n');
        }
        text
    }
}

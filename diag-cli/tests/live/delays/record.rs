//! Records of `osdiag delays`: groups, and the parts of their time.

use serde_json::Value;

use crate::{
    record::{Record, number},
    runq::record::Group,
};

/// What must be true of every record of this tool.
pub(crate) fn check(record: &Record) {
    for group in record.groups() {
        let time = Time(group);
        let thread_ns = time.thread_ns();
        let layers = time.0.0["layers"].as_object().expect("layers are an object");
        let in_layers: u64 = layers.values().map(|layer| number(&layer["ns"])).sum();
        let in_causes = sum(time.list("causes"), "ns") + time.omitted_ns("causes");
        assert_eq!(in_layers, in_causes, "layers are not their causes: {}", group.0);
        for (name, layer) in layers {
            let causes = time.list("causes").iter().filter(|cause| cause["layer"] == name.as_str());
            assert!(causes.map(|cause| number(&cause["ns"])).sum::<u64>() <= number(&layer["ns"]), "{name}");
        }
        let unaccounted_ns = group.0["unaccounted_ns"].as_i64().expect("a number");
        let allowed_ns = thread_ns / 1_000 + 1_000_000;
        assert!(unaccounted_ns.unsigned_abs() <= allowed_ns, "not accounted for: {}", group.0);
        assert_eq!(in_layers.checked_add_signed(unaccounted_ns), Some(thread_ns), "{}", group.0);
        let lost = time.list("causes").iter().filter(|cause| cause["class"] == "lost");
        assert!(lost.map(|cause| number(&cause["ns"])).sum::<u64>() <= number(&group.0["loss_ns"]));
        for cause in time.list("causes") {
            assert!(number(&cause["on_cpu_ns"]) <= number(&cause["ns"]), "{cause}");
            assert_eq!(number(&cause["wait"]["count"]), number(&cause["wait_count"]), "{cause}");
        }
        for place in time.list("places") {
            let causes = place["causes"].as_array().expect("a list");
            let parts_ns = sum(causes, "ns") + number(&place["causes_omitted"]["ns"]);
            assert_eq!(parts_ns, number(&place["ns"]), "{place}");
        }
        // Who slept at a place was in one of the causes.
        assert!(sum(time.list("places"), "ns") <= in_layers, "{}", group.0);
        check_shares(group.0);
    }
}

/// No share is more than all, wherever it stands.
fn check_shares(value: &Value) {
    match value {
        Value::Array(list) => list.iter().for_each(check_shares),
        Value::Object(object) => {
            for (name, value) in object {
                let share = value.as_f64().filter(|_| name == "share" || name == "loss_share");
                assert!(share.is_none_or(|share| (0.0..=1.0).contains(&share)), "{name} {value}");
                check_shares(value);
            }
        }
        _ => {}
    }
}

fn sum(list: &[Value], key: &str) -> u64 {
    list.iter().map(|item| number(&item[key])).sum()
}

/// The time of a group's threads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time<'a>(pub(super) Group<'a>);

impl<'a> Time<'a> {
    pub(super) fn thread_ns(self) -> u64 {
        number(&self.0.0["thread_ns"])
    }

    pub(super) fn thread_count(self) -> u64 {
        number(&self.0.0["thread_count"])
    }

    pub(super) fn list(self, key: &str) -> &'a [Value] {
        self.0.0[key].as_array().expect("a list")
    }

    fn omitted_ns(self, key: &str) -> u64 {
        number(&self.0.0[format!("{key}_omitted")]["ns"])
    }

    /// Of a cause, named as `layer.cause`, ns.
    pub(super) fn cause_ns(self, name: &str) -> u64 {
        self.of_cause(name, "ns")
    }

    /// Of a cause, waits that ended.
    pub(super) fn waits(self, name: &str) -> u64 {
        self.of_cause(name, "wait_count")
    }

    fn of_cause(self, name: &str, key: &str) -> u64 {
        self.list("causes").iter().filter(|cause| path(cause) == name).map(|cause| number(&cause[key])).sum()
    }

    pub(super) fn layer_ns(self, name: &str) -> u64 {
        number(&self.0.0["layers"][name]["ns"])
    }

    pub(super) fn loss_ns(self) -> u64 {
        number(&self.0.0["loss_ns"])
    }

    /// On a CPU, whatever for, ns.
    pub(super) fn on_cpu_ns(self) -> u64 {
        self.cause_ns("cpu.run") + sum(self.list("causes"), "on_cpu_ns")
    }

    /// Runnable, and not on a CPU, ns.
    pub(super) fn runnable_ns(self) -> u64 {
        self.cause_ns("cpu.runqueue") + self.cause_ns("cpu.throttled")
    }

    /// Asleep, ns.
    pub(super) fn asleep_ns(self) -> u64 {
        self.layer_sum() - self.on_cpu_ns() - self.runnable_ns() - self.layer_ns("hypervisor")
    }

    fn layer_sum(self) -> u64 {
        let layers = self.0.0["layers"].as_object().expect("layers are an object");
        layers.values().map(|layer| number(&layer["ns"])).sum()
    }

    /// Asleep at a place, ns.
    pub(super) fn at_any(self, place: &str) -> u64 {
        let places = self.list("places").iter().filter(|item| item["place"] == place);
        let causes = places.flat_map(|item| item["causes"].as_array().expect("a list"));
        causes.map(|item| number(&item["ns"])).sum()
    }

    /// Asleep at a place for a cause, ns.
    pub(super) fn at(self, place: &str, cause: &str) -> u64 {
        let places = self.list("places").iter().filter(|item| item["place"] == place);
        let causes = places.flat_map(|item| item["causes"].as_array().expect("a list"));
        causes.filter(|item| path(item) == cause).map(|item| number(&item["ns"])).sum()
    }
}

/// `layer.cause` of something that has both.
pub(super) fn path(value: &Value) -> String {
    let text = |key: &str| value[key].as_str().expect("text").to_owned();
    format!("{}.{}", text("layer"), text("cause"))
}

impl Record {
    /// The time of the group of a key.
    pub(super) fn time(&self, key: &str) -> Time<'_> {
        Time(self.group(key))
    }

    /// How long it is, ns.
    pub(super) fn duration_ns(&self) -> u64 {
        number(&self.0["duration_ns"])
    }

    /// A wait among the longest of a thread's group.
    pub(super) fn longest_of(&self, key: &str, tid: u32) -> &Value {
        let list = self.time(key).list("longest");
        list.iter().find(|wait| wait["task"]["tid"] == tid).unwrap_or_else(|| panic!("no {tid} in {list:?}"))
    }
}

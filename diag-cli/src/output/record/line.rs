//! From a record to its line.

use serde::Serialize;
use serde_json::Value;

use super::lost::SATURATED;

/// The largest integer in a record: databases have no unsigned ones.
const LARGEST: u64 = i64::MAX.cast_unsigned();

/// The record as JSON: without HdrHistogram payloads where `hdr` is false, and with integers that fit a signed 64-bit number;
/// `lost.saturated` counts those that did not.
///
/// # Errors
///
/// Where a record cannot be JSON, which none of this program's is.
pub(crate) fn json(record: &impl Serialize, hdr: bool) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(record)?;
    let mut saturated = 0;
    settle(&mut value, hdr, &mut saturated);
    if let Some(count) = value.pointer_mut(&format!("/lost/{SATURATED}")) {
        *count = saturated.into();
    }
    Ok(value)
}

fn settle(value: &mut Value, hdr: bool, saturated: &mut u64) {
    match value {
        Value::Number(number) if number.as_u64().is_some_and(|number| number > LARGEST) => {
            *value = LARGEST.into();
            *saturated += 1;
        }
        Value::Array(items) => items.iter_mut().for_each(|item| settle(item, hdr, saturated)),
        Value::Object(keys) => {
            for (key, value) in keys {
                if key == "hdr" && !hdr {
                    *value = Value::Null;
                } else {
                    settle(value, hdr, saturated);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_does_not_fit_is_the_largest_and_counted() {
        let record = json!({"lost": {"events": 0, "saturated": 0}, "a": [{"ns": u64::MAX}], "b": LARGEST});
        let line = json(&record, true).unwrap();
        assert_eq!(
            line,
            json!({"lost": {"events": 0, "saturated": 1}, "a": [{"ns": LARGEST}], "b": LARGEST})
        );
    }

    #[test]
    fn payloads_can_be_left_out() {
        let record = json!({"a": [{"hdr": "x", "count": 1}]});
        assert_eq!(json(&record, false).unwrap(), json!({"a": [{"hdr": null, "count": 1}]}));
        assert_eq!(json(&record, true).unwrap(), record);
    }
}

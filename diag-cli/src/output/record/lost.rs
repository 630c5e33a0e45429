//! A count for everything that can be lost.

use std::borrow::Cow;

use diag_common::loss::Loss;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value, json};

/// The key for numbers that did not fit.
pub(super) const SATURATED: &str = "saturated";

/// A count for everything that can be lost, by [`Loss`]; the keys are the same in the records of every command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lost(pub(crate) [u64; Loss::ALL.len()]);

impl Default for Lost {
    fn default() -> Self {
        Lost([0; Loss::ALL.len()])
    }
}

impl Lost {
    /// One of the counts.
    pub(crate) fn get(&self, loss: Loss) -> u64 {
        self.0[loss as usize]
    }

    /// All counts with their keys.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Loss::ALL.iter().zip(self.0).map(|(loss, count)| (loss.name(), count))
    }
}

impl Serialize for Lost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut keys = serializer.serialize_map(Some(Loss::ALL.len() + 1))?;
        for (name, count) in self.named() {
            keys.serialize_entry(name, &count)?;
        }
        // Filled in where the record becomes a line, which is where numbers are found not to fit.
        keys.serialize_entry(SATURATED, &0)?;
        keys.end()
    }
}

impl JsonSchema for Lost {
    fn schema_name() -> Cow<'static, str> {
        "Lost".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let count =
            |description: &str| json!({ "description": description, "type": "integer", "minimum": 0 });
        let mut properties: Map<String, Value> =
            Loss::ALL.iter().map(|loss| (loss.name().to_owned(), count(loss.meaning()))).collect();
        properties.insert(
            SATURATED.to_owned(),
            count("Numbers of this record that did not fit, and stand as the largest that does."),
        );
        let required: Vec<&String> = properties.keys().collect();
        let required = json!(required);
        json_schema!({ "type": "object", "properties": properties, "required": required })
    }
}

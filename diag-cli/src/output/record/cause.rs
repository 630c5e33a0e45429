//! Layers, causes and classes as records have them: the names of [`diag_common::cause`], as enums of the schema.

use std::borrow::Cow;

use diag_common::cause::{Cause, Class, Layer};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer, ser::SerializeStruct};
use serde_json::{Value, json};

use super::parties::{Device, Task};

/// A cause in the three keys `layer`, `cause` and `class`, and in `via` what the holder or the waker was itself waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CauseKeys {
    /// The cause.
    pub(crate) cause: Cause,
    /// What is behind it; none where that is not known.
    pub(crate) via: Option<Cause>,
}

impl CauseKeys {
    /// A cause with nothing known behind it.
    #[cfg(test)]
    pub(crate) fn plain(cause: Cause) -> CauseKeys {
        CauseKeys { cause, via: None }
    }
}

impl Serialize for CauseKeys {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut keys = serializer.serialize_struct("CauseKeys", 4)?;
        keys.serialize_field("layer", self.cause.layer().name())?;
        keys.serialize_field("cause", self.cause.name())?;
        keys.serialize_field("class", self.cause.class().name())?;
        keys.serialize_field("via", &self.via.map(Cause::path))?;
        keys.end()
    }
}

impl JsonSchema for CauseKeys {
    fn schema_name() -> Cow<'static, str> {
        "CauseKeys".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let classes = Class::ALL.map(Class::name);
        json_schema!({
            "type": "object",
            "properties": {
                "layer": { "description": "Which part of the system the time belongs to.", "type": "string", "enum": layers() },
                "cause": { "description": "Why, within the layer.", "type": "string", "enum": causes() },
                "class": {
                    "description": "What the cause means: only `lost` can be a verdict.", "type": "string", "enum": classes,
                },
                "via": nullable("What the holder or the waker was itself waiting for, as `LAYER.CAUSE`; null where that is not known.", paths()),
            },
            "required": ["layer", "cause", "class", "via"],
        })
    }
}

/// The same four keys where there may be no cause: all of them are null then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct CauseOrNull(pub(crate) Option<CauseKeys>);

impl Serialize for CauseOrNull {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let cause = self.0.map(|keys| keys.cause);
        let mut keys = serializer.serialize_struct("CauseOrNull", 4)?;
        keys.serialize_field("layer", &cause.map(|cause| cause.layer().name()))?;
        keys.serialize_field("cause", &cause.map(Cause::name))?;
        keys.serialize_field("class", &cause.map(|cause| cause.class().name()))?;
        keys.serialize_field("via", &self.0.and_then(|keys| keys.via).map(Cause::path))?;
        keys.end()
    }
}

impl JsonSchema for CauseOrNull {
    fn schema_name() -> Cow<'static, str> {
        "CauseOrNull".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let classes = Class::ALL.map(Class::name).to_vec();
        json_schema!({
            "type": "object",
            "properties": {
                "layer": nullable("Which part of the system is concerned; null where there is no cause, or it is not known.", layers()),
                "cause": nullable("Why, within the layer; null likewise.", causes()),
                "class": nullable("What the cause means; null likewise.", classes),
                "via": nullable("What the holder or the waker was itself waiting for, as `LAYER.CAUSE`; null where that is not known.", paths()),
            },
            "required": ["layer", "cause", "class", "via"],
        })
    }
}

fn layers() -> Vec<&'static str> {
    Layer::ALL.map(Layer::name).to_vec()
}

fn causes() -> Vec<&'static str> {
    let mut causes: Vec<&str> = Cause::ALL.iter().map(|cause| cause.name()).collect();
    causes.sort_unstable();
    causes.dedup();
    causes
}

fn paths() -> Vec<&'static str> {
    Cause::ALL.iter().map(|cause| cause.path()).collect()
}

fn nullable(description: &str, words: Vec<&'static str>) -> Value {
    let words: Vec<Value> = words.into_iter().map(Value::from).chain([Value::Null]).collect();
    json!({ "description": description, "type": ["string", "null"], "enum": words })
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident($of:ty) = $say:path, $all:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) struct $name(pub(crate) $of);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str($say(self.0))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "enum": $all })
            }
        }
    )*};
}

words! {
    /// A layer, where it stands without the other keys of a cause.
    LayerWord(Layer) = Layer::name, layers();
    /// A cause's name within its layer.
    CauseWord(Cause) = Cause::name, causes();
    /// A cause as `LAYER.CAUSE`.
    Via(Cause) = Cause::path, paths();
}

/// A step from a wait to its root.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Step {
    /// Which part of the system.
    pub(crate) layer: LayerWord,
    /// Why, within the layer.
    pub(crate) cause: CauseWord,
    /// Whose wait it is; null where that is not known.
    pub(crate) task: Option<Task>,
    /// The device concerned; null where there is none, or it is not known.
    pub(crate) device: Option<Device>,
}

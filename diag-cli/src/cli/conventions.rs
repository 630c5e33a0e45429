//! One walk over all schemas: the conventions that every record keeps (docs/records.md).

use std::collections::BTreeMap;

use serde_json::Value;

use super::TOOLS;

/// Lists whose name is no plural: what the contract calls so.
const NOT_PLURAL: &[&str] = &[
    "stack",
    "chain",
    "advice",
    "command",
    "pending",
    "waiting",
    "slowest",
    "longest",
    "unavailable",
    "evidence",
    "ruled_out",
    "not_seen",
];
/// Names with a final s that are no lists.
const NOT_LISTS: &[&str] = &[
    "status",
    "os",
    "share_ns",
    "bytes",
    "cpus",
    "possible_cpus",
    "ns",
    "basis",
    "events",
    "exits",
    "class",
    "address",
];

/// What a schema says of one key.
struct Key<'a> {
    /// Where it stands, for complaints.
    path: String,
    name: &'a str,
    /// The types that its value can have, but for null.
    types: Vec<&'a str>,
    schema: &'a Value,
}

/// Follows a reference within a schema.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => {
            resolve(root, root.pointer(reference.trim_start_matches('#')).expect("it is there"))
        }
        None => schema,
    }
}

/// What a schema allows besides null: itself, or its only other alternative.
fn present<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let schema = resolve(root, schema);
    let alternatives = schema.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    let others: Vec<&Value> = alternatives.filter(|one| one["type"] != "null").collect();
    match others[..] {
        [only] => resolve(root, only),
        _ => schema,
    }
}

fn types(schema: &Value) -> Vec<&str> {
    let listed = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        Value::String(one) => vec![one.as_str()],
        // Enums whose values are described one by one.
        _ => {
            schema["oneOf"].as_array().into_iter().flatten().filter_map(|one| one["type"].as_str()).collect()
        }
    };
    let mut types: Vec<&str> = listed.into_iter().filter(|name| *name != "null").collect();
    types.dedup();
    types
}

fn walk<'a>(root: &'a Value, schema: &'a Value, path: &str, found: &mut Vec<Key<'a>>) {
    let schema = present(root, schema);
    for open in ["additionalProperties", "patternProperties"] {
        let closed = schema.get(open).is_none_or(|value| value.as_bool().is_some());
        assert!(closed, "{path}: an object with keys that are data");
    }
    if let Some(items) = schema.get("items") {
        walk(root, items, &format!("{path}[]"), found);
    }
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        assert!(required.contains(&name.as_str()), "{path} can be missing");
        let described = property.get("description").or(present(root, property).get("description"));
        assert!(described.is_some(), "{path} has no description");
        let schema = present(root, property);
        found.push(Key { path: path.clone(), name, types: types(schema), schema });
        walk(root, schema, &path, found);
    }
}

/// Objects whose keys are fixed words of the contract, which name things there and not what they are elsewhere.
const FIXED: &[&str] = &[".layers.", ".lost."];

fn keys(check: impl Fn(&Key<'_>)) {
    for tool in TOOLS {
        let schema = (tool.schema)();
        let mut found = Vec::new();
        walk(&schema, &schema, tool.schema_name, &mut found);
        assert!(found.len() > 60, "{}: {} keys", tool.schema_name, found.len());
        found.iter().filter(|key| !FIXED.iter().any(|fixed| key.path.contains(fixed))).for_each(&check);
    }
}

#[test]
fn one_name_has_one_type_in_all_records() {
    let seen = std::cell::RefCell::new(BTreeMap::<String, (Vec<String>, String)>::new());
    keys(|key| {
        let types: Vec<String> = key.types.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(types.len(), 1, "{}: {types:?}", key.path);
        let mut seen = seen.borrow_mut();
        let (before, place) = seen.entry(key.name.to_owned()).or_insert((types.clone(), key.path.clone()));
        assert_eq!(*before, types, "{place} and {}", key.path);
    });
}

#[test]
fn names_say_units_and_numbers() {
    keys(|key| {
        let Key { path, name, types, .. } = key;
        let list = types[..] == ["array"];
        let number = matches!(types[..], ["integer" | "number"]);
        if name.ends_with("_ns") || name.ends_with("_bytes") || name.ends_with("_count") || *name == "ns" {
            assert_eq!(types[..], ["integer"], "{path}");
        }
        if *name == "share" || name.ends_with("_share") {
            assert_eq!(types[..], ["number"], "{path}");
        }
        if list {
            assert!(
                name.ends_with('s') || NOT_PLURAL.contains(name),
                "{path} is a list with a singular name"
            );
        } else if number && name.ends_with('s') && !name.ends_with("_ns") && !name.ends_with("_bytes") {
            assert!(NOT_LISTS.contains(name), "{path} is a number with the name of a list");
        }
        assert_eq!(*name == "kind", path.ends_with(".target.kind"), "{path}");
    });
}

#[test]
fn words_that_programs_count_are_enums() {
    const WORDS: &[&str] = &[
        "layer",
        "cause",
        "class",
        "via",
        "hook",
        "rule",
        "status",
        "type",
        "kind",
        "state",
        "resource",
        "basis",
        "threshold",
        "unit_of",
        "policy",
        "reason",
        "relation",
        "watchdog",
        "exits",
        "method",
        "signal",
        "blame",
    ];
    keys(|key| {
        let unavailable = key.path.ends_with(".unavailable[].name");
        if unavailable || WORDS.contains(&key.name) {
            let listed = key.schema.get("enum").or(key.schema.get("oneOf")).or(key.schema.get("const"));
            assert!(listed.is_some(), "{} is no enum", key.path);
        }
    });
}

#[test]
fn what_is_cut_says_so() {
    keys(|key| {
        if key.name.ends_with("_omitted") {
            let properties = key.schema["properties"].as_object().expect("an object");
            let names: Vec<&str> = properties.keys().map(String::as_str).collect();
            assert_eq!(names, ["count", "ns"], "{}", key.path);
        }
    });
}

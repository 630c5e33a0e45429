//! Whether the kernel takes what a tool has for it.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::record::{hooks, list};
use crate::report::{Step, step};

/// What came of loading a tool.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// The kind of hooks.
    pub(crate) hook: &'static str,
    /// How many programs were loaded and attached.
    pub(crate) programs: usize,
    /// The fields that the kernel lacks.
    pub(crate) fields: Vec<String>,
    /// And the tracepoints.
    pub(crate) tracepoints: Vec<String>,
    /// And the functions.
    pub(crate) functions: Vec<String>,
}

const RAW: &str = "raw_tp";
const TYPED: &str = "tp_btf";

/// The session went well, and what it did without this kernel lacks: `tracepoints` are all that it has.
pub(crate) fn loaded(step: &Step, release: &str, tracepoints: &[String]) -> Result<Loaded> {
    ensure!(step.status == Some(0), "osdiag ended with {:?}: {}", step.status, last_line(&step.stderr));
    let records = step.stdout.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>();
    let records = records.context("a record is not JSON")?;
    let summary = records.iter().find(|record| record["type"] == "summary").context("there is no summary")?;
    let mut loaded = Loaded::default();
    for missing in list(summary, "unavailable")? {
        let (name, why) = (text(missing, "name")?, text(missing, "why")?);
        // Which hooks serve is judged below.
        ensure!(name == "typed-hooks" || !refuses(why), "{name} is not loaded: {why}");
        if why.starts_with("this kernel has no tracepoint") {
            ensure!(!tracepoints.iter().any(|there| there == name), "{name} is there, but {why}");
            loaded.tracepoints.push(name.to_owned());
        } else if why.starts_with("this kernel's types have no such function") {
            loaded.functions.push(name.to_owned());
        }
    }
    for probe in list(summary, "probes")? {
        // The call and the return of a function.
        loaded.programs += if probe["hook"] == "fentry" { 2 } else { 1 };
    }
    let is = |hook: &str| list(summary, "probes").map(|probes| probes.iter().any(|it| it["hook"] == hook));
    loaded.hook = match (is(RAW)?, is(TYPED)?) {
        (true, false) => RAW,
        (false, true) => TYPED,
        _ => bail!("there are hooks of both kinds or of none"),
    };
    if step.name == step::RAW {
        ensure!(loaded.hook == RAW, "the hooks are {}", loaded.hook);
    } else {
        hooks(release, &step.tool, summary)?;
    }
    let fields = step.stderr.lines().filter_map(|line| line.strip_prefix("field: "));
    let fields: Vec<_> = fields.filter_map(|field| field.split_once(" = ")).collect();
    ensure!(!fields.is_empty(), "no field was looked up");
    let absent = fields.iter().filter(|(_, value)| value.starts_with("-1,"));
    loaded.fields = absent.map(|(name, _)| (*name).to_owned()).collect();
    Ok(loaded)
}

/// Whether osdiag has something for this kernel that the kernel did not take, rather than the kernel lacks something.
fn refuses(why: &str) -> bool {
    why.contains("the kernel refuses") || why.contains("cannot attach")
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("no text {key}"))
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(unavailable: &Value) -> Step {
        let probes = json!([{"name": "a", "hook": "raw_tp"}, {"name": "f", "hook": "fentry"}]);
        let record = json!({"type": "summary", "unavailable": unavailable, "probes": probes});
        Step {
            name: step::RAW.to_owned(),
            tool: "lock".to_owned(),
            status: Some(0),
            elapsed_ms: 1,
            stdout: format!("{record}\n"),
            stderr: "hooks: raw_tp, because\nfield: A = 12, a.b (all)\nfield: B = -1, no c.d\n".to_owned(),
            truth: Vec::new(),
        }
    }

    #[test]
    fn what_a_kernel_lacks_is_told_apart_from_what_it_refuses() {
        let missing = |why: &str| run(&json!([{"name": "x", "why": why, "effect": "none"}]));
        let here = |step: &Step, tracepoints: &[&str]| {
            let tracepoints: Vec<_> = tracepoints.iter().map(|&name| name.to_owned()).collect();
            loaded(step, "6.8.0-1-generic", &tracepoints).map_err(|error| error.to_string())
        };
        let no_tracepoint = missing("this kernel has no tracepoint x");
        let found = here(&no_tracepoint, &["y"]).unwrap();
        assert_eq!((found.hook, found.programs), (RAW, 3));
        assert_eq!((found.fields, found.tracepoints), (vec!["B".to_owned()], vec!["x".to_owned()]));
        assert!(here(&no_tracepoint, &["x", "y"]).unwrap_err().contains("x is there"));
        assert!(here(&missing("the kernel refuses x: R1 invalid"), &[]).unwrap_err().contains("R1 invalid"));
        assert!(here(&missing("the kernel has no CONFIG_PSI"), &[]).is_ok());
        let untyped = run(&json!([{"name": "typed-hooks", "why": "the kernel refuses x: no such helper"}]));
        assert!(here(&untyped, &[]).is_ok());
        let ended = Step { status: Some(3), ..missing("") };
        assert!(here(&ended, &[]).unwrap_err().contains("Some(3)"));
    }
}

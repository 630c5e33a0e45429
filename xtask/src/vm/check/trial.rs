//! Whether osdiag named a fault: the cause of its verdict, and of most of the time lost, or whoever is to blame. How long
//! anything took is not compared, since the time of an emulated machine means little.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::hung;
use crate::record::{list, number};
use crate::report::{Step, fault};

/// What the fault is made by and happens to.
const VICTIM: &str = "victim";
const HOG: &str = "hog";
const HOLDER: &str = "holder";

/// What osdiag said, if that names the fault.
pub(crate) fn names(name: &str, place: &str, run: &Step) -> Result<String> {
    ensure!(run.status == Some(0), "osdiag ended with {:?}: {}", run.status, run.stderr.trim());
    let records = run.stdout.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>();
    let records = records.context("a record is not JSON")?;
    let mut summaries = records.iter().filter(|record| record["type"] == "summary");
    let (Some(summary), None) = (summaries.next(), summaries.next()) else {
        bail!("{} records, but not one summary", records.len());
    };
    match name {
        fault::REMOVED => {
            ensure!(summary["target"]["ended"] == "cgroup-removed", "the target is {}", summary["target"]);
            return Ok("target.ended is cgroup-removed, and there is a summary".to_owned());
        }
        fault::FREEZE if run.tool == "hung" => {
            for truth in &run.truth {
                hung::holds(summary, truth)?;
            }
            return Ok(said(summary));
        }
        _ if run.tool == "delays" => return delayed(summary, name, place),
        name if RUNS.contains(&name) => return ran(summary, name),
        fault::HOLDER => held(summary)?,
        fault::RUNQUEUE if run.tool == "runq" => crowded(summary)?,
        _ => {}
    }
    let cause = (name != fault::HOLDER).then_some(name);
    let verdict = &summary["verdict"];
    let named = format!("{}.{}", word(&verdict["layer"]), word(&verdict["cause"]));
    ensure!(verdict["status"] == "found", "the verdict is {}", said(summary));
    ensure!(cause.is_none_or(|cause| cause == named), "the verdict is {named}: {}", said(summary));
    if let (Some(cause), "iolat") = (cause, run.tool.as_str()) {
        most_lost(summary, cause)?;
    }
    if name == fault::QUOTA && run.tool == "runq" {
        advises_quota(summary, place)?;
    }
    Ok(said(summary))
}

/// What waits for nothing, or for another CPU to run: an emulated machine, which runs one at a time, runs longer for all else
/// than for that, and the verdict may say so. What is lost is judged alone.
const RUNS: [&str; 4] = [fault::MEMCG_RECLAIM, fault::RECLAIM, fault::COMPACTION, fault::MMAP_LOCK];

/// Of the operation that takes longest, most of the lost time is this cause.
fn ran(summary: &Value, cause: &str) -> Result<String> {
    let operations = list(summary, "operations")?;
    let longest = operations.iter().max_by_key(|operation| operation["latency"]["sum_ns"].as_u64());
    let longest = longest.context("no operation was seen")?;
    let largest = largest_lost(list(longest, "causes")?)?;
    ensure!(largest == cause, "most of the lost time is {largest}: {}", said(summary));
    Ok(format!("most of the lost time of {} is {cause}", word(&longest["op"])))
}

/// The group of the victim lost most to this cause, and that is the verdict, unless the emulator may prevent that.
fn delayed(summary: &Value, cause: &str, place: &str) -> Result<String> {
    let [group] = &list(summary, "groups")?[..] else { bail!("not one group, but {}", summary["groups"]) };
    let cgroup = word(&group["group"]["cgroup"]);
    ensure!(place == fault::NONE || cgroup.ends_with("/target"), "the group is {}", group["group"]);
    let largest = largest_lost(list(group, "causes")?)?;
    ensure!(largest == cause, "most of the lost time is {largest}: {}", said(summary));
    let verdict = &summary["verdict"];
    let named = format!("{}.{}", word(&verdict["layer"]), word(&verdict["cause"]));
    ensure!(
        named == cause || RUNS.contains(&cause) && verdict["status"] == "nothing",
        "the verdict is {named}: {}",
        said(summary)
    );
    Ok(said(summary))
}

/// Of the operation of which the verdict is, the tail lost most to this cause.
fn most_lost(summary: &Value, cause: &str) -> Result<()> {
    let name = word(&summary["verdict"]["subject"]["name"]);
    let operations = list(summary, "operations")?;
    let is_it = |operation: &&Value| name.starts_with(&format!("{} on ", word(&operation["op"])));
    let operation = operations.iter().find(is_it).with_context(|| format!("{name} is not in operations"))?;
    let largest = largest_lost(list(&operation["tail"], "causes")?)?;
    ensure!(largest == cause, "most of the tail's lost time is {largest}");
    Ok(())
}

fn largest_lost(causes: &[Value]) -> Result<String> {
    let lost = causes.iter().filter(|part| part["class"] == "lost");
    let largest = lost.max_by_key(|part| part["ns"].as_u64()).context("nothing is lost")?;
    Ok(format!("{}.{}", word(&largest["layer"]), word(&largest["cause"])))
}

/// Most of the victim's waiting, hogs had its CPU.
fn crowded(summary: &Value) -> Result<()> {
    let groups = list(summary, "groups")?;
    let victim = groups.iter().find(|group| group["group"]["comm"] == VICTIM);
    let culprits = list(victim.context("there is no group of the victim")?, "culprits")?;
    let named = |culprit: &Value| [&culprit["task"], &culprit["group"]].map(|of| word(&of["comm"])).concat();
    let first = culprits.first().map(named).unwrap_or_default();
    ensure!(first.contains(HOG), "the first culprit is '{first}'");
    Ok(())
}

/// The advice has what the victim's cgroup says of its quota, and what lifts it, by the file of this version of cgroups.
fn advises_quota(summary: &Value, place: &str) -> Result<()> {
    let (file, says, none) = match place {
        fault::V1 => ("/sys/fs/cgroup/cpu/target/cpu.cfs_quota_us", "20000", "-1"),
        _ => ("/sys/fs/cgroup/target/cpu.max", "20000 100000", "max"),
    };
    let advice = list(&summary["verdict"], "advice")?;
    let text = advice.iter().find(|advice| advice["rule"] == "quota").map(|advice| word(&advice["text"]));
    let text = text.with_context(|| format!("no quota in {}", summary["verdict"]["advice"]))?;
    for words in [format!("{file} says {says}"), format!("echo {none} > {file}")] {
        ensure!(text.contains(&words), "the advice has no '{words}': {text}");
    }
    Ok(())
}

/// The victim waited for the inode's lock, and for most of that time the other writer is said to have held it. There are no
/// others, so time without an owner counts against it.
fn held(summary: &Value) -> Result<()> {
    let name = word(&summary["verdict"]["subject"]["name"]);
    ensure!(name.contains("i_rwsem"), "the verdict is about {name}");
    let of_inodes = |lock: &&Value| word(&lock["name"]).contains("i_rwsem");
    let locks: Vec<_> = list(summary, "locks")?.iter().filter(of_inodes).collect();
    let total = locks.iter().map(|lock| number(&lock["wait"], "sum_ns")).sum::<Result<u64>>()?;
    let owners = locks.iter().filter_map(|lock| lock["owners"].as_array()).flatten();
    let holder = owners.filter(|owner| owner["task"]["comm"] == HOLDER);
    let holder = holder.map(|owner| number(owner, "ns")).sum::<Result<u64>>()?;
    ensure!(2 * holder > total, "the other writer is said to have held it for {holder} of {total} ns");
    Ok(())
}

fn said(summary: &Value) -> String {
    word(&summary["verdict"]["statement"])
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(cause: &str, tail: &str) -> Step {
        let part = |cause: &str, class: &str, ns: u64| json!({"layer": "block", "cause": cause, "class": class, "ns": ns});
        let record = json!({
            "type": "summary",
            "operations": [{"op": "read", "tail": {"causes": [part("run", "busy", 9), part(tail, "lost", 5)]}}],
            "verdict": {
                "status": "found", "layer": "block", "cause": cause, "statement": "so it is",
                "subject": {"name": "read on vdb (254:16, ext4)"},
            },
        });
        Step {
            name: "fault".to_owned(),
            tool: "iolat".to_owned(),
            status: Some(0),
            elapsed_ms: 1,
            stdout: format!("{record}\n"),
            stderr: String::new(),
            truth: Vec::new(),
        }
    }

    #[test]
    fn the_verdict_and_the_tail_have_to_name_it() {
        assert_eq!(names(fault::DEVICE, fault::NONE, &run("device", "device")).unwrap(), "so it is");
        let wrong = |verdict, tail| {
            format!("{:#}", names(fault::DEVICE, fault::NONE, &run(verdict, tail)).unwrap_err())
        };
        assert!(wrong("wait", "device").contains("the verdict is block.wait"));
        assert!(wrong("device", "queue").contains("lost time is block.queue"));
    }
}

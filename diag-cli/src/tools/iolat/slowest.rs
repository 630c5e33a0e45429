//! The slowest single operations, from the kernel side's events.

use std::collections::HashMap;

use diag_common::{
    cause::{COUNTED, Cause},
    iolat::{CAUSE_STACK, Event, Op, PATH_CUT, PATH_DELETED, VIA_NONE},
};

use super::{
    collect::Wait,
    explain::Explained,
    model::{Namer, Part, cause_parts, layers},
    record::{CausePart, OpName, SlowOperation},
};
use crate::{
    kernel::mounts::Mounts,
    output::{
        record::{
            cause::{CauseWord, LayerWord, Step},
            parties::Task,
        },
        text::escape,
    },
    target::CgroupNames,
};

/// The `wanted` slowest of `events`, slowest first.
pub(crate) fn slowest(
    events: &[Event],
    wanted: usize,
    namer: &mut Namer<'_>,
    cgroups: Option<&mut CgroupNames>,
) -> Vec<SlowOperation> {
    let mut slowest: Vec<&Event> = events.iter().collect();
    slowest.sort_by_key(|event| std::cmp::Reverse(event.latency_ns));
    slowest.truncate(wanted);
    let mut cgroups = cgroups;
    slowest.into_iter().filter_map(|event| operation(event, namer, cgroups.as_deref_mut())).collect()
}

fn operation(
    event: &Event,
    namer: &mut Namer<'_>,
    cgroups: Option<&mut CgroupNames>,
) -> Option<SlowOperation> {
    let op = Op::from_number(event.op)?;
    let all = causes(event, namer);
    let home = cgroups.map(|names| names.home(event.cgroup)).unwrap_or_default();
    let moved = u64::try_from(event.ret).ok().filter(|_| op.moves_bytes());
    let (causes, causes_omitted) = cause_parts(&all, namer);
    Some(SlowOperation {
        op: OpName(op),
        task: Task {
            cgroup: home.cgroup,
            container: home.container,
            pid: Some(event.tgid),
            tid: Some(event.pid),
            comm: Some(escape(until_zero(&event.comm))),
            ..Task::default()
        },
        file: file(event, namer.mounts),
        offset_bytes: u64::try_from(event.offset).ok(),
        bytes: moved,
        latency_ns: event.latency_ns,
        layers: layers(&all),
        chain: causes.first().map(chain).unwrap_or_default(),
        causes,
        causes_omitted,
        stack: namer.functions(event.stack),
    })
}

/// The steps from a cause to what was behind it.
fn chain(part: &CausePart) -> Vec<Step> {
    let causes = [Some(part.keys.cause), part.keys.via];
    let step = |cause: Cause| Step {
        layer: LayerWord(cause.layer()),
        cause: CauseWord(cause),
        task: None,
        device: None,
    };
    causes.into_iter().flatten().map(step).collect()
}

fn causes(event: &Event, namer: &mut Namer<'_>) -> HashMap<Explained, Part> {
    let mut waits: Vec<(Wait, u64)> = Vec::new();
    for &cause in &Cause::ALL[..COUNTED] {
        let at = cause as usize;
        if event.touched & (1 << at) != 0 {
            waits.push((
                Wait { cause: cause as u8, via: event.via[at], flags: 0, stack: event.stacks[at] },
                event.ns[at],
            ));
        }
    }
    for wait in &event.waits[..usize::from(event.waits_used).min(event.waits.len())] {
        waits.push((
            Wait { cause: CAUSE_STACK, via: VIA_NONE, flags: wait.flags, stack: wait.stack },
            wait.ns,
        ));
    }
    let mut causes: HashMap<Explained, Part> = HashMap::new();
    let mut rest = event.latency_ns;
    for (wait, ns) in waits {
        let key = namer.explainer.explain(namer.stacks, wait);
        let ns = ns.min(rest);
        rest -= ns;
        causes.entry(key).or_default().add(ns, 1, wait.stack);
    }
    let run = Explained { cause: Cause::Run, via: None };
    causes.entry(run).or_default().add(rest, 1, 0);
    for part in causes.values_mut() {
        part.ops = 1;
    }
    causes
}

/// The file's path as this mount namespace sees it; from its file system's root where no mount shows it. A path with
/// more directories than the kernel side sends begins with `...`.
fn file(event: &Event, mounts: &mut Mounts) -> Option<String> {
    let used = usize::try_from(event.path_bytes).ok()?.min(event.path.len());
    let mut names: Vec<&[u8]> =
        event.path[..used].split(|&byte| byte == 0).filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return None;
    }
    names.reverse();
    let mut path = Vec::new();
    for name in names {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    let mut path = if event.path_flags & PATH_CUT != 0 {
        [b"...", path.as_slice()].concat()
    } else {
        let located = if event.magic == 0 { device_node(&path) } else { mounts.locate(event.dev, &path) };
        located.unwrap_or(path)
    };
    if event.path_flags & PATH_DELETED != 0 {
        // As /proc/PID/fd has it (d_path, fs/d_path.c, 6.18).
        path.extend_from_slice(b" (deleted)");
    }
    Some(escape(&path))
}

/// A block device opened as a file is an entry of the device file system.
fn device_node(path: &[u8]) -> Option<Vec<u8>> {
    Some([b"/dev", path].concat())
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

//! Waits and chains in words.

use super::record::{Behind, Relation, StuckTask, Wait, Who};

/// `dd[812]`
pub(super) fn name(who: &Who) -> String {
    format!("{}[{}]", who.comm, who.tid)
}

/// What a state means to whoever waits for the task; its waits are told apart from that.
pub(super) fn state(who: &Who) -> &'static str {
    match who.state.as_str() {
        "R" => "it runs, or waits for a CPU",
        "S" => "it sleeps, and can be woken",
        "T" => "it is stopped",
        "t" => "a debugger has stopped it",
        "Z" | "X" => "it is dead",
        "I" => "it is idle",
        _ => "it sleeps uninterruptibly",
    }
}

/// What a task waits for: `a lock (filesystem.inode-lock)`.
pub(super) fn wait(wait: &Wait) -> String {
    let phrase = wait.cause.phrase();
    match wait.detail.as_deref().filter(|detail| !detail.starts_with("other.")) {
        Some(detail) => format!("{phrase} ({detail})"),
        None => phrase.to_owned(),
    }
}

/// Where it waits: `/srv/data/a on loop0 (ext4 at /srv/data)`.
pub(super) fn place(wait: &Wait) -> Option<String> {
    let mount = match (&wait.filesystem, &wait.mount) {
        (Some(filesystem), Some(mount)) => Some(format!("{filesystem} at {mount}")),
        _ => None,
    };
    let on = match (&wait.device, mount) {
        (Some(device), Some(mount)) => Some(format!("{device} ({mount})")),
        (Some(device), None) => Some(device.clone()),
        (None, mount) => mount,
    };
    match (&wait.file, on) {
        (Some(file), Some(on)) => Some(format!("{file} on {on}")),
        (Some(file), None) => Some(file.clone()),
        (None, on) => on,
    }
}

/// What somebody is to whoever waits for them, to stand before their name.
pub(super) fn relation(relation: Relation) -> &'static str {
    match relation {
        Relation::Holder => "held by",
        Relation::Reader => "last taken by (others may hold it too)",
        Relation::JournalThread => "written by",
        Relation::Flusher => "written back by",
        Relation::FuseServer => "served by",
        Relation::Server => "served by",
        Relation::LoopWorker => "worked on by",
        Relation::LoopBacking => "is",
        Relation::VforkChild => "until exec or exit of",
    }
}

/// All links of a chain.
pub(super) fn links(task: &StuckTask) -> impl Iterator<Item = &Behind> {
    std::iter::successors(task.behind.as_deref(), |link| link.behind.as_deref())
}

/// Whether a chain comes back to itself.
pub(super) fn is_deadlock(task: &StuckTask) -> bool {
    links(task).any(|link| link.deadlock)
}

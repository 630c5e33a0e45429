//! The answer in a sentence, and what follows from it.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    cause::{CauseWord, LayerWord, Via},
    parties::{Device, Group, Task},
};

/// The answer in a sentence. All but `status` and `statement` is null unless something was found.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Verdict {
    /// Whether there is an answer.
    pub(crate) status: Status,
    /// One plain sentence.
    pub(crate) statement: String,
    /// What the sentence is about.
    pub(crate) subject: Option<Subject>,
    /// Which part of the system is to blame.
    pub(crate) layer: Option<LayerWord>,
    /// Why, within the layer; null also where the table of causes has no name for it.
    pub(crate) cause: Option<CauseWord>,
    /// What the cause was itself waiting for, as `LAYER.CAUSE`; null where that is not known.
    pub(crate) via: Option<Via>,
    /// The cause's part of the subject's time, 0 to 1; null also where time is not what counts.
    pub(crate) share: Option<f64>,
    /// The cause's time, ns.
    pub(crate) ns: Option<u64>,
    /// What to look at next, most telling first.
    pub(crate) advice: Option<Vec<Advice>>,
}

/// Whether there is an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    /// Something is the matter.
    Found,
    /// Nothing is.
    Nothing,
    /// The record contradicts itself, so that no answer can be trusted.
    Inconsistent,
    /// Too little could be seen for an answer.
    Blind,
}

/// What a verdict is about.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Subject {
    /// What it is.
    #[serde(rename = "type")]
    pub(crate) kind: SubjectType,
    /// What it is called, as the record's lists call it.
    pub(crate) name: String,
    /// The group, where it is one.
    pub(crate) group: Option<Group>,
    /// The task, where it is one.
    pub(crate) task: Option<Task>,
    /// The device concerned.
    pub(crate) device: Option<Device>,
}

impl Subject {
    /// Of this type and name alone.
    pub(crate) fn named(kind: SubjectType, name: String) -> Subject {
        Subject { kind, name, group: None, task: None, device: None }
    }
}

/// What the subject of a verdict is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SubjectType {
    /// File operations of one kind.
    Operation,
    /// A task.
    Task,
    /// A group of tasks.
    Group,
    /// A lock.
    Lock,
    /// A CPU.
    Cpu,
    /// The whole guest.
    Guest,
}

/// Something to look at next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Advice {
    /// The rule's identifier, which stays the same from release to release.
    pub(crate) rule: &'static str,
    /// One or two plain sentences.
    pub(crate) text: String,
    /// Where it comes from: a kernel document or file, or a manual page.
    pub(crate) source: &'static str,
}

impl Verdict {
    /// Nothing is the matter.
    pub(crate) fn nothing(statement: String) -> Verdict {
        Verdict::without_subject(Status::Nothing, statement)
    }

    /// No answer.
    pub(crate) fn without_subject(status: Status, statement: String) -> Verdict {
        Verdict {
            status,
            statement,
            subject: None,
            layer: None,
            cause: None,
            via: None,
            share: None,
            ns: None,
            advice: None,
        }
    }

    /// Whether something is the matter.
    #[cfg(test)]
    pub(crate) fn is_found(&self) -> bool {
        self.status == Status::Found
    }

    /// What to look at next.
    pub(crate) fn advice(&self) -> &[Advice] {
        self.advice.as_deref().unwrap_or_default()
    }
}

//! What verdicts ask of a group of a record: to what it lost time, and who had that meanwhile.

use diag_common::cause::{Cause, Class};

use super::{culprits::resource_of, record::Group};
use crate::output::record::parties::Culprit;

impl Group {
    /// Lost time of each cause, whatever its via, ns.
    pub(crate) fn lost_by_cause(&self) -> Vec<(Cause, u64)> {
        let mut causes: Vec<(Cause, u64)> = Vec::new();
        for part in self.causes.iter().filter(|part| part.keys.cause.class() == Class::Lost) {
            match causes.iter_mut().find(|(cause, _)| *cause == part.keys.cause) {
                Some((_, ns)) => *ns += part.ns,
                None => causes.push((part.keys.cause, part.ns)),
            }
        }
        causes
    }

    /// What `cause`, of `whole_ns`, itself mostly waited for, where that is at least so much of its time, 0 to 1.
    pub(crate) fn largest_via(&self, cause: Cause, whole_ns: u64, least: f64) -> Option<Cause> {
        let of_cause = self.causes.iter().filter(|part| part.keys.cause == cause);
        let known = of_cause.filter_map(|part| Some((part.keys.via?, part.ns)));
        let (via, ns) = known.max_by_key(|&(_, ns)| ns)?;
        (ns as f64 >= least * whole_ns as f64).then_some(via)
    }

    /// Who had what was waited for in the time of a cause, longest first.
    pub(crate) fn culprits_of(&self, cause: Cause) -> impl Iterator<Item = &Culprit> {
        let resource = resource_of(cause);
        self.culprits.iter().filter(move |culprit| Some(culprit.resource) == resource)
    }

    /// Whether the group had it itself.
    pub(crate) fn is_own(&self, culprit: &Culprit) -> bool {
        culprit.group.as_ref() == Some(&self.group)
    }
}

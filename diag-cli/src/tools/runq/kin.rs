//! Culprits of one name taken together: for a sentence and the screen, where who they are one by one is too much.

use super::record::{Culprit, CulpritKind};

/// Culprits of one name.
#[derive(Clone, Debug)]
pub(super) struct Kin<'a> {
    /// The one who had the CPU longest.
    pub(super) first: &'a Culprit,
    /// How many processes they are of.
    pub(super) processes: usize,
    /// Their time, ns.
    pub(super) ns: u64,
    /// Its share of the group's waiting.
    pub(super) share: f64,
    pids: Vec<u32>,
}

impl Kin<'_> {
    /// What they are called: `stress[4711]`, `stress (3 processes)`.
    pub(super) fn name(&self) -> String {
        let Culprit { kind, comm, pid, tid, .. } = self.first;
        match (kind, tid, self.processes) {
            (CulpritKind::Task, None, 1) => format!("{comm}[{pid}]"),
            (CulpritKind::Task, Some(tid), 1) => format!("{comm}[{pid}/{tid}]"),
            (CulpritKind::Task, _, processes) => format!("{comm} ({processes} processes)"),
            (CulpritKind::Idle, ..) => "idle: wake-up not taken up yet".to_owned(),
            _ => comm.clone(),
        }
    }
}

/// Takes culprits of one name together; longest first.
pub(super) fn together<'a>(culprits: impl Iterator<Item = &'a Culprit>) -> Vec<Kin<'a>> {
    let mut all: Vec<Kin<'a>> = Vec::new();
    for culprit in culprits {
        let alike = |kin: &&mut Kin<'_>| kin.first.kind == culprit.kind && kin.first.comm == culprit.comm;
        match all.iter_mut().find(alike) {
            Some(kin) => {
                kin.ns += culprit.ns;
                kin.share += culprit.share;
                if !kin.pids.contains(&culprit.pid) {
                    kin.pids.push(culprit.pid);
                    kin.processes += 1;
                }
                if culprit.ns > kin.first.ns {
                    kin.first = culprit;
                }
            }
            None => all.push(Kin {
                first: culprit,
                processes: 1,
                ns: culprit.ns,
                share: culprit.share,
                pids: vec![culprit.pid],
            }),
        }
    }
    all.sort_by_key(|kin| std::cmp::Reverse(kin.ns));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::runq::sample::{culprit, idle};

    #[test]
    fn those_of_one_name_come_together() {
        let culprits = [
            idle(1, 1_000, 0.4),
            culprit("batch", 1, 1, 1_000, 0.25),
            culprit("batch", 2, 1, 1_000, 0.3),
            culprit("web", 3, 1, 1_000, 0.05),
        ];
        let kin = together(culprits.iter());
        let names: Vec<String> = kin.iter().map(Kin::name).collect();
        assert_eq!(names, ["batch (2 processes)", "idle: wake-up not taken up yet", "web[3]"]);
        assert_eq!((kin[0].first.pid, kin[0].ns), (2, 550));
    }
}

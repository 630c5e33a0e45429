//! Whether a record can be trusted, before its verdict is: one place, one check a kind of doubt.

use std::fmt;

use diag_common::loss::Loss;

use super::{
    record::{
        Body, Lost, Unavailable,
        verdict::{Status, Verdict},
    },
    units,
};

/// Losses that take whole operations, waits or events out of the numbers.
const WHOLE: &[Loss] = &[Loss::TaskState, Loss::LockWaits, Loss::CompatSyscalls];
/// Losses that mean that a whole group is missing.
const GROUPS: &[Loss] = &[Loss::Slots];
/// From this share of what was counted on, losses are of its order.
const MUCH: f64 = 0.1;

/// Something in a record that cannot be true beside the rest of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Contradiction {
    /// The slowest operations take less on average than the percentile at which they begin.
    TailBelowPercentile {
        /// Whose.
        of: String,
        /// Their mean, ns.
        mean_ns: u64,
        /// The percentile, ns.
        percentile_ns: u64,
    },
    /// The longest single case listed is shorter than the longest counted.
    LongestMissing {
        /// The longest listed, ns.
        listed_ns: u64,
        /// The longest counted, ns.
        counted_ns: u64,
    },
    /// Parts do not add up to their whole.
    PartsDiffer {
        /// Whose.
        of: String,
        /// What the parts add up to, ns.
        parts_ns: u64,
        /// The whole, ns.
        whole_ns: u64,
    },
    /// As much was lost as was counted, or nearly.
    LostMuch {
        /// What was lost.
        lost: u64,
        /// What was counted.
        counted: u64,
    },
    /// Whole groups are missing for lack of room.
    GroupsMissing {
        /// What would have been in them.
        count: u64,
    },
    /// Programs may still have been counting when the last interval was read.
    NotSettled,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = units::time;
        match self {
            Contradiction::TailBelowPercentile { of, mean_ns, percentile_ns } => write!(
                f,
                "the slowest of {of} take {} on average, less than the percentile at which they begin, {}",
                time(*mean_ns),
                time(*percentile_ns)
            ),
            Contradiction::LongestMissing { listed_ns, counted_ns } => write!(
                f,
                "the longest case listed took {}, the longest counted {}",
                time(*listed_ns),
                time(*counted_ns)
            ),
            Contradiction::PartsDiffer { of, parts_ns, whole_ns } => {
                write!(f, "the parts of {of} add up to {}, the whole is {}", time(*parts_ns), time(*whole_ns))
            }
            Contradiction::LostMuch { lost, counted } => {
                write!(f, "{} were lost beside {} counted", units::count(*lost), units::count(*counted))
            }
            Contradiction::GroupsMissing { count } => {
                write!(
                    f,
                    "groups with {} found no room",
                    units::counted(*count, "entry").replace("entrys", "entries")
                )
            }
            Contradiction::NotSettled => {
                f.write_str("programs in the kernel may still have been counting when the maps were read")
            }
        }
    }
}

/// Takes the verdict from a record that cannot be trusted.
pub(crate) fn settle<T: Body>(body: &mut T, lost: &Lost, unavailable: &[Unavailable]) {
    if let Some(verdict) = doubt(body.counted(), body.contradictions(), lost, unavailable) {
        body.set_verdict(verdict);
    }
}

fn doubt(
    counted: Option<u64>,
    mut found: Vec<Contradiction>,
    lost: &Lost,
    unavailable: &[Unavailable],
) -> Option<Verdict> {
    let sum = |losses: &[Loss]| losses.iter().map(|&loss| lost.get(loss)).sum::<u64>();
    let (whole, groups) = (sum(WHOLE), sum(GROUPS));
    if let Some(counted) = counted {
        if counted == 0 && whole + groups > 0 {
            let statement = format!(
                "Nothing could be counted: all {} that were seen were lost (see 'lost')",
                units::count(whole + groups)
            );
            return Some(Verdict::without_subject(Status::Blind, statement));
        }
        if whole > 0 && whole as f64 >= MUCH * counted as f64 {
            found.push(Contradiction::LostMuch { lost: whole, counted });
        }
    }
    if groups > 0 {
        found.push(Contradiction::GroupsMissing { count: groups });
    }
    if unavailable.iter().any(|missing| missing.name == QUIESCE) {
        found.push(Contradiction::NotSettled);
    }
    let first = found.first()?;
    let statement = format!("The record contradicts itself, so it gets no verdict: {first}");
    Some(Verdict::without_subject(Status::Inconsistent, statement))
}

/// In `unavailable` where it is not known that all programs had ended before the maps were read.
pub(crate) const QUIESCE: &str = "quiesce";

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(losses: &[(Loss, u64)]) -> Lost {
        let mut lost = Lost::default();
        losses.iter().for_each(|&(loss, count)| lost.0[loss as usize] = count);
        lost
    }

    fn status(counted: Option<u64>, losses: &[(Loss, u64)]) -> Option<Status> {
        doubt(counted, vec![], &lost(losses), &[]).map(|verdict| verdict.status)
    }

    #[test]
    fn a_complete_record_keeps_its_verdict() {
        assert_eq!(status(Some(100), &[]), None);
        assert_eq!(status(Some(0), &[]), None);
        // What takes no whole operation away takes no verdict away.
        assert_eq!(status(Some(1), &[(Loss::Paths, 100), (Loss::Stacks, 100)]), None);
    }

    #[test]
    fn where_all_was_lost_nothing_is_known() {
        assert_eq!(status(Some(0), &[(Loss::TaskState, 797)]), Some(Status::Blind));
        let verdict = doubt(Some(0), vec![], &lost(&[(Loss::TaskState, 797)]), &[]).unwrap();
        assert!(verdict.statement.contains("797") && verdict.subject.is_none(), "{verdict:?}");
    }

    #[test]
    fn losses_of_the_order_of_what_was_counted_are_a_doubt() {
        assert_eq!(status(Some(1_000), &[(Loss::TaskState, 99)]), None);
        assert_eq!(status(Some(1_000), &[(Loss::TaskState, 100)]), Some(Status::Inconsistent));
        // An empty list of stuck tasks is no sign of a loss.
        assert_eq!(status(None, &[(Loss::TaskState, 100)]), None);
    }

    #[test]
    fn a_group_that_found_no_room_may_be_the_worst() {
        assert_eq!(status(Some(1_000_000), &[(Loss::Slots, 1)]), Some(Status::Inconsistent));
    }

    #[test]
    fn maps_that_were_read_too_early_are_a_doubt() {
        let quiesce = Unavailable { name: QUIESCE.into(), why: "…".into(), effect: "…".into() };
        let verdict = doubt(Some(5), vec![], &Lost::default(), &[quiesce]).unwrap();
        assert_eq!(verdict.status, Status::Inconsistent);
    }

    #[test]
    fn every_contradiction_is_said_in_a_sentence() {
        let of = || "pwrite64 on vda".to_owned();
        for (found, word) in [
            (
                Contradiction::TailBelowPercentile { of: of(), mean_ns: 1_000, percentile_ns: 5_000 },
                "percentile",
            ),
            (Contradiction::LongestMissing { listed_ns: 1_000, counted_ns: 5_000 }, "longest"),
            (Contradiction::PartsDiffer { of: of(), parts_ns: 1_000, whole_ns: 5_000 }, "add up"),
            (Contradiction::LostMuch { lost: 5, counted: 5 }, "lost"),
            (Contradiction::GroupsMissing { count: 5 }, "5 entries"),
            (Contradiction::NotSettled, "counting"),
        ] {
            let verdict = doubt(Some(1), vec![found], &Lost::default(), &[]).unwrap();
            assert_eq!(verdict.status, Status::Inconsistent);
            assert!(verdict.statement.contains(word), "{}", verdict.statement);
        }
    }
}

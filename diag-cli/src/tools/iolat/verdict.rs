//! The verdict: which operation lost most time in its tail, to what, and what to look at next.

use std::time::Duration;

use diag_common::cause::{Cause, Layer};

use super::{
    advice::advice,
    limits::{self, Limit},
    record::{CausePart, Operation, SlowOperation, Tail},
};
use crate::output::{
    causes::{noun, phrase},
    record::{
        cause::{CauseKeys, CauseWord, LayerWord, Via},
        verdict::{Status, Subject, SubjectType, Verdict},
    },
    units::{self, share},
};

/// Below this share of the tail, a cause alone does not tell enough, and the next one is named too.
const DOMINANT: f64 = 0.7;
/// A second cause is worth naming from this share of the tail on.
const NOTABLE: f64 = 0.15;

/// The verdict on `operations`: nothing where no tail's mean reaches `slow`. `stuck` operations have not returned.
pub(crate) fn verdict(operations: &[Operation], slow: Duration, stuck: usize) -> Verdict {
    slowest(operations, slow).unwrap_or_else(|| {
        Verdict::nothing(match stuck {
            0 => nothing_slow(operations, slow),
            _ => "Nothing is slow of what returned; what did not return is the trouble".to_owned(),
        })
    })
}

fn slowest(operations: &[Operation], slow: Duration) -> Option<Verdict> {
    let slow_ns = u64::try_from(slow.as_nanos()).unwrap_or(u64::MAX);
    let operation = operations
        .iter()
        .filter(|operation| operation.tail.operation_count > 0 && operation.tail.mean_ns >= slow_ns)
        .max_by_key(|operation| operation.tail.layers.total_ns())?;
    let tail = &operation.tail;
    let layer = Layer::ALL.into_iter().max_by_key(|&layer| tail.layers.get(layer).ns)?;
    let causes = by_cause(&tail.causes);
    let &(cause, ns) = causes.iter().find(|(cause, _)| cause.layer() == layer).or(causes.first())?;
    let second = causes.iter().find(|&&(other, _)| other != cause);
    let total_ns = tail.layers.total_ns();
    let share_of = |ns| share(ns, total_ns);
    let via = largest_via(&tail.causes, cause);
    let second = second.map(|&(cause, ns)| (cause, share_of(ns)));
    let device = operation.device.name.as_deref().unwrap_or("DEVICE");
    Some(Verdict {
        status: Status::Found,
        statement: statement(operation, cause, share_of(ns), via, second),
        subject: Some(Subject {
            device: Some(operation.device.clone()),
            ..Subject::named(SubjectType::Operation, operation.label())
        }),
        layer: Some(LayerWord(cause.layer())),
        cause: Some(CauseWord(cause)),
        via: via.map(Via),
        share: Some(share_of(ns)),
        ns: Some(ns),
        advice: Some(advice(cause, via, device)),
    })
}

/// Says whose limit it is, where one holds operations back.
pub(super) fn name_limit(
    verdict: &mut Verdict,
    operations: &[Operation],
    limits: &[Limit],
    slowest: &[SlowOperation],
) {
    let throttled = verdict.cause.is_some_and(|cause| cause.0 == Cause::BlockThrottle);
    let subject = verdict.subject.as_ref().filter(|_| throttled);
    let operation =
        subject.and_then(|subject| operations.iter().find(|operation| operation.label() == subject.name));
    let Some(operation) = operation else { return };
    let limits = limits::on(limits, operation.op.0, &operation.device.id, slowest);
    if let Some((first, others)) = limits.split_first() {
        verdict.statement += &format!(": {}", first.words());
        if !others.is_empty() {
            verdict.statement += &format!(", and {} more", others.len());
        }
    }
}

/// Time of each cause, whatever its via and stack, largest first.
fn by_cause(parts: &[CausePart]) -> Vec<(Cause, u64)> {
    let mut causes: Vec<(Cause, u64)> = Vec::new();
    for part in parts {
        match causes.iter_mut().find(|(cause, _)| *cause == part.keys.cause) {
            Some((_, ns)) => *ns += part.ns,
            None => causes.push((part.keys.cause, part.ns)),
        }
    }
    causes.sort_by_key(|&(_, ns)| std::cmp::Reverse(ns));
    causes
}

/// What `cause` itself mostly waited for, where that is known of at least half its time.
fn largest_via(parts: &[CausePart], cause: Cause) -> Option<Cause> {
    let of_cause = || parts.iter().filter(|part| part.keys.cause == cause);
    let total_ns: u64 = of_cause().map(|part| part.ns).sum();
    let root = |part: &CausePart| {
        let keys = CauseKeys { cause: part.keys.via?, via: None };
        Some(CausePart { keys, ..part.clone() })
    };
    let known: Vec<CausePart> = of_cause().filter_map(root).collect();
    let known_ns: u64 = known.iter().map(|part| part.ns).sum();
    let largest = by_cause(&known).first().map(|&(via, _)| via);
    largest.filter(|_| known_ns * 2 >= total_ns)
}

/// One plain sentence.
fn statement(
    operation: &Operation,
    cause: Cause,
    share: f64,
    via: Option<Cause>,
    second: Option<(Cause, f64)>,
) -> String {
    let mut said = format!(
        "{}: {}; {} of that is {}",
        operation.label(),
        tail_takes(operation),
        units::percent(share),
        phrase(cause),
    );
    if let Some(via) = via {
        said += &format!(", which was itself held up by {}", noun(via));
    }
    if let Some((second, share_of_second)) = second
        && share < DOMINANT
        && share_of_second >= NOTABLE
    {
        said += &format!(", and {} {}", units::percent(share_of_second), noun(second));
    }
    said
}

/// `its slowest 1 % (123 of 12,345) take 38 ms on average`, or shorter where that says it all.
fn tail_takes(operation: &Operation) -> String {
    let Tail { quantile, operation_count: ops, mean_ns, .. } = operation.tail;
    let (all, mean) = (operation.latency.count, units::time(mean_ns));
    match ops {
        1 if all == 1 => format!("its only call took {mean}"),
        1 => format!("the slowest of its {} calls took {mean}", units::count(all)),
        _ if ops == all => format!("its {} calls take {mean} on average", units::count(all)),
        _ => {
            let (ops, all) = (units::count(ops), units::count(all));
            format!("its slowest {} ({ops} of {all}) take {mean} on average", tail_percent(quantile))
        }
    }
}

/// The share of operations in the tail in percent, with two digits that count: `1 %`, `0.13 %`, `25 %`.
pub(crate) fn tail_percent(quantile: f64) -> String {
    let percent = (1.0 - quantile) * 100.0;
    let decimals = if percent >= 9.95 { 0.0 } else { 1.0 - percent.max(1e-4).log10().floor() };
    let scale = 10_f64.powf(decimals);
    format!("{} %", (percent * scale).round() / scale)
}

/// What to say where there is no verdict.
fn nothing_slow(operations: &[Operation], slow: Duration) -> String {
    let Some(slowest) = operations.iter().max_by_key(|operation| operation.tail.mean_ns) else {
        return "No file I/O was seen: nothing to explain".to_owned();
    };
    let tail = &slowest.tail;
    let total_ns = tail.layers.total_ns();
    let of_it = match by_cause(&tail.causes).first() {
        Some(&(cause, ns)) if share(ns, total_ns) >= 0.99 => format!(", all of it {}", phrase(cause)),
        Some(&(cause, ns)) => format!(", {} of it {}", units::percent(share(ns, total_ns)), phrase(cause)),
        None => String::new(),
    };
    format!(
        "Nothing is slow: even {}, the slowest, has p99 {}, and {}{of_it}; \
         nothing to explain below {}",
        slowest.label(),
        units::time_or_dash(slowest.latency.p99_ns),
        tail_takes(slowest),
        units::time(u64::try_from(slow.as_nanos()).unwrap_or(u64::MAX)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::iolat::sample::{DIRTY, RUN, group, operation, throttled};
    use diag_common::iolat::Op;

    const SLOW: Duration = Duration::from_millis(1);

    #[test]
    fn the_operation_that_lost_most_in_its_tail_is_named() {
        let verdict = slowest(&throttled().record.body.operations, SLOW).unwrap();
        assert_eq!(
            verdict.statement,
            "pwrite64 on vda (254:0, ext4): its slowest 1 % (123 of 12,345) take 38 ms on average; 91 % of that is \
             dirty throttling (balance_dirty_pages)"
        );
        assert_eq!((verdict.cause, verdict.via), (Some(CauseWord(Cause::DirtyThrottle)), None));
        assert!((verdict.share.unwrap() - 0.91).abs() < 0.001);
        assert!(verdict.advice()[0].text.contains("vm.dirty_ratio"), "{:?}", verdict.advice);
    }

    #[test]
    fn the_holder_and_the_second_cause_are_named_where_one_cause_is_not_the_whole() {
        let sync = throttled().record.body.operations.remove(2);
        let verdict = slowest(&[sync], SLOW).unwrap();
        assert_eq!(
            verdict.statement,
            "fdatasync on 254:0 (ext4): the slowest of its 91 calls took 61 ms; 65 % of that is waiting for \
             the journal, which was itself held up by the device, and 35 % the device"
        );
        assert_eq!((verdict.cause, verdict.via), (Some(CauseWord(Cause::Journal)), Some(Via(Cause::Device))));
        assert!(verdict.advice()[0].text.starts_with("iostat -x DEVICE 1"), "{:?}", verdict.advice);
    }

    #[test]
    fn a_tail_of_one_or_of_all_is_called_so() {
        let takes = |groups: &[_]| tail_takes(&operation(Op::Fsync, None, groups).0);
        assert_eq!(takes(&[group(1, 43_000_000, RUN)]), "its only call took 43 ms");
        assert_eq!(takes(&[group(7, 43_000_000, RUN)]), "its 7 calls take 43 ms on average");
        let groups = [group(90, 1_000, RUN), group(1, 43_000_000, RUN)];
        assert_eq!(takes(&groups), "the slowest of its 91 calls took 43 ms");
    }

    #[test]
    fn a_verdict_is_not_lost_where_layers_and_causes_disagree() {
        let (mut slow, _) = operation(Op::Fsync, None, &[group(1, 43_000_000, DIRTY)]);
        slow.tail.causes.retain(|part| part.keys.cause.layer() != Layer::Memory);
        assert_eq!(slowest(&[slow], SLOW).unwrap().cause, Some(CauseWord(Cause::Device)));
    }

    #[test]
    fn the_cause_is_the_largest_of_the_largest_layer() {
        // Two causes of one layer outweigh a larger one of another.
        const CAUSES: &[(Cause, Option<Cause>, f64)] =
            &[(Cause::Device, None, 0.3), (Cause::Queue, None, 0.3), (Cause::Journal, None, 0.4)];
        let groups = [group(99, 1_000, RUN), group(1, 50_000_000, CAUSES)];
        let verdict = slowest(&[operation(Op::Read, None, &groups).0], SLOW).unwrap();
        assert_eq!(verdict.layer, Some(LayerWord(Layer::Block)));
    }

    #[test]
    fn nothing_below_the_bound_is_slow() {
        let groups = [group(990, 900, RUN), group(10, 12_000, DIRTY)];
        let operations = [operation(Op::Read, Some("vda"), &groups).0];
        assert_eq!(verdict(&operations, SLOW, 0).status, Status::Nothing);
        assert_eq!(verdict(&operations, Duration::from_micros(12), 0).status, Status::Found);
        assert_eq!(verdict(&[], Duration::ZERO, 0).status, Status::Nothing);
    }

    #[test]
    fn the_tail_has_the_share_that_it_has() {
        let shares = [(0.99, "1 %"), (0.990008, "1 %"), (0.9987, "0.13 %"), (0.75, "25 %"), (0.0, "100 %")];
        for (quantile, percent) in shares {
            assert_eq!(tail_percent(quantile), percent);
        }
    }
}

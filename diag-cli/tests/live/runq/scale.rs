//! Many threads, many wake-ups.

use std::{
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use super::{
    runner::{Account, Kind, Order, Runner},
    trace,
};
use crate::{Outcome, Skip, Test, record::within};

/// The tests of this room.
pub(crate) const TESTS: &[Test] =
    &[("runq_five_thousand_threads", five_thousand_threads), ("runq_beside_runqlat", beside_runqlat)];

/// Every time that a thread is given a CPU it has waited for it before, if ever so briefly.
fn five_thousand_threads() -> Outcome {
    let mut runner = Runner::start(&Kind { comm: "crowd".into(), threads: 5_000, ..Kind::default() });
    let session = trace(&["-p", &runner.pid.to_string()]);
    runner.order(&Order::Sleep(2_000, 5));
    let accounts = runner.answer();
    let summary = session.interrupt().summary();
    summary.assert_complete();
    assert_eq!(accounts.len(), 5_000);
    let slices: u64 = accounts.iter().map(|account| account.slices).sum();
    let group = summary.group("crowd");
    // Beside what it does on command, each thread is started, waits at a barrier and ends.
    let least = slices - summary.unseen();
    assert!((least..=slices + 5_000 * 12).contains(&group.count()), "{} for {slices}", group.count());
    Ok(())
}

/// libbpf-tools' `runqlat` in the same seconds: as many waits, as long.
fn beside_runqlat() -> Outcome {
    let mut runner = Runner::start(&Kind { comm: "sleeper".into(), ..Kind::default() });
    let pid = runner.pid.to_string();
    let runqlat = Command::new("runqlat")
        .args(["-p", &pid, "4", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Skip::because(format!("runqlat: {error}")))?;
    let session = trace(&["-p", &pid]);
    // It says nothing when it has begun.
    thread::sleep(Duration::from_millis(1_500));
    runner.order(&Order::Sleep(50, 8_000));
    let Account { slices, .. } = runner.answer()[0];
    let summary = session.interrupt().summary();
    let output = runqlat.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let bins = bins(&text);
    let theirs: u64 = bins.iter().map(|&(_, count)| count).sum();
    if theirs == 0 {
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Skip::because(format!("runqlat counts nothing: {complaint}")));
    }
    let ours = summary.group("sleeper");
    assert!(within(0.01, ours.count(), theirs), "{} and {theirs} of {slices}: {text}", ours.count());
    // Its waits begin where the task is queued, and its ranges are powers of two, µs, of which the middle stands for all.
    let queued_us = (ours.delay_ns() - ours.wake_ns()) / ours.count() / 1_000;
    let sum_us: u64 = bins.iter().map(|&(low, count)| count * (low + low / 2)).sum();
    let theirs_us = sum_us / theirs;
    assert!(
        (theirs_us / 2..=theirs_us * 2 + 2).contains(&queued_us),
        "{queued_us} µs and {theirs_us} µs: {text}"
    );
    Ok(())
}

/// Its histogram: `        16 -> 31         : 12       |****    |`.
fn bins(text: &str) -> Vec<(u64, u64)> {
    let bin = |line: &str| {
        let (range, rest) = line.split_once(':')?;
        let low = range.split("->").next()?.trim().parse().ok()?;
        Some((low, rest.split_whitespace().next()?.parse().ok()?))
    };
    text.lines().filter_map(bin).collect()
}

//! What `osdiag vmexit` costs. Not tests: they print figures, and run only with `--tier bench`.

use std::time::Duration;

use crate::{
    Outcome, Test,
    bench::{show, starts},
    osdiag::{Session, tool},
    storm::{Kind, Storm},
};

/// The benches of this room.
pub(crate) const TESTS: &[Test] = &[("bench_vmexit_storms", storms), ("bench_vmexit_start", start)];

const ROUNDS: usize = 15;
const TIME: Duration = Duration::from_millis(300);

/// Paired rounds: the same storm without osdiag and with it, one right after the other.
fn storms() -> Outcome {
    println!("\nns for each operation, median of {ROUNDS} paired rounds of {TIME:?} [p10, p90]");
    for (kind, what) in [
        (Kind::Pipes, "round trip through pipes between two CPUs"),
        (Kind::Protect, "mprotect with a TLB shootdown"),
        (Kind::Sleeps, "sleep of 400 µs"),
    ] {
        let mut storm = Storm::ready(kind, None);
        let mut each = || TIME.as_nanos() as f64 / storm.rage(TIME).max(1) as f64;
        let (mut off, mut added, mut ratio) = (vec![], vec![], vec![]);
        each();
        for _ in 0..ROUNDS {
            let without = each();
            let session = Session::tracing(tool("vmexit", &["--json"]));
            std::thread::sleep(Duration::from_millis(250));
            let with = each();
            session.interrupt();
            off.push(without);
            added.push(with - without);
            ratio.push(100.0 * (with / without - 1.0));
        }
        println!("{what}");
        show("without, ns", &off);
        show("added, ns", &added);
        show("added, %", &ratio);
    }
    Ok(())
}

fn start() -> Outcome {
    starts(|| Session::counting(tool("vmexit", &["--json", "-i", "200ms"])));
    Ok(())
}

//! Threads that were stopped from outside.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{assert_near, trace};
use crate::{
    Outcome, Test,
    lab::{
        Lab,
        cgroup::Cgroup,
        stuck::{FrozenCgroup, Stopped},
    },
    runq::runner::{Kind, Order, Runner},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] =
    &[("delays_stopped_by_a_signal", by_a_signal), ("delays_stopped_by_the_freezer", by_the_freezer)];

const STOPPED: Duration = Duration::from_secs(1);

/// Processes that follow an order while `stop` stops them: the time, by the clock beside it.
fn stop(
    kind: &Kind,
    orders: &[Order],
    cause: &str,
    stop: impl FnOnce(Vec<u32>) -> Outcome<Duration>,
) -> Outcome {
    let mut runners: Vec<_> = orders.iter().map(|_| Runner::start(kind)).collect();
    let session = trace(&["--by", "process"]);
    runners.iter_mut().zip(orders).for_each(|(runner, order)| runner.order(order));
    thread::sleep(Duration::from_millis(200));
    let stopped = stop(runners.iter().map(|runner| runner.pid).collect())?;
    runners.iter_mut().for_each(|runner| drop(runner.answer()));
    let summary = session.interrupt().summary();
    for runner in &runners {
        let time = summary.time(&runner.pid.to_string());
        assert_near(cause, time.cause_ns(cause), stopped.as_nanos() as u64, 0.05, 0);
        assert_eq!(time.layer_ns("stopped"), time.cause_ns(cause), "{}", time.0.0);
    }
    Ok(())
}

const SPIN: Order = Order::Spin(1_600);
const SLEEP: Order = Order::Sleep(500, 1_000);

fn by_a_signal() -> Outcome {
    stop(&Kind { comm: "dl-stop".into(), ..Kind::default() }, &[SPIN, SLEEP], "stopped.signal", |pids| {
        let begun = Instant::now();
        let guards: Vec<_> = pids.into_iter().map(Stopped::new).collect();
        thread::sleep(STOPPED);
        drop(guards);
        Ok(begun.elapsed())
    })
}

/// One that runs: from Linux 6.1 on, one that sleeps is frozen where it sleeps, without an event (`__set_task_frozen`).
fn by_the_freezer() -> Outcome {
    let lab = Lab::new();
    let frozen = FrozenCgroup(Cgroup::v1(&lab, "freezer")?);
    let cgroup = Some(frozen.0.path().to_owned());
    stop(&Kind { comm: "dl-freeze".into(), cgroup, ..Kind::default() }, &[SPIN], "stopped.freezer", |_| {
        frozen.freeze()?;
        let begun = Instant::now();
        thread::sleep(STOPPED);
        frozen.0.release("freezer.state", "THAWED");
        Ok(begun.elapsed())
    })
}

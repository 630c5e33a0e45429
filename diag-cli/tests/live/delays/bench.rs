//! What `osdiag delays` costs. Not a test: it prints figures, and runs only with `--tier bench`.

use std::time::Duration;

use super::{
    crowds::{THREADS, enter, kernel_bytes, reap, second, sleepers},
    trace,
};
use crate::{
    Outcome, Test,
    bench::{ROUNDS, calls_beside, settled, show, starts},
    lab::{Lab, attempt, cgroup::Cgroup, setting::Setting},
    record::{Record, number},
    runq::bench::switch_beside_runqlat,
};

/// The benches of this room.
pub(crate) const TESTS: &[Test] = &[
    ("bench_delays_switch", switch),
    ("bench_delays_calls", calls),
    ("bench_delays_messaging", messaging),
    ("bench_delays_start", start),
    ("bench_delays_threads", threads),
    ("bench_delays_cgroups", cgroups),
];

fn switch() -> Outcome {
    switch_beside_runqlat("delays", || trace(&[]));
    Ok(())
}

fn calls() -> Outcome {
    calls_beside(("getppid", libc::SYS_getppid), &[("everything is traced", &|| trace(&[]))])
}

/// Groups of processes that send messages to each other, as `perf bench` has them.
fn messaging() -> Outcome {
    let run = || -> Outcome<f64> {
        let text = attempt("perf", &["bench", "-f", "simple", "sched", "messaging", "-g", "5", "-l", "200"])?;
        Ok(text.trim().parse().expect("perf bench prints seconds"))
    };
    let (mut off, mut ratio) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        let without = run()?;
        let session = settled(|| trace(&[]));
        let with = run()?;
        session.interrupt();
        off.push(without * 1e3);
        ratio.push(with / without);
    }
    println!("\nperf bench sched messaging, median of {ROUNDS} paired rounds [p10, p90]");
    show("without, ms", &off);
    show("with osdiag delays / without", &ratio);
    Ok(())
}

fn start() -> Outcome {
    starts(|| trace(&["-i", "200ms"]));
    Ok(())
}

fn show_size(what: &str, (took, record): (Duration, Record)) {
    let mebi = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let resident = number(&record.0["self"]["rss_bytes"]);
    println!(
        "  {what:<18} begins after {:4.0} ms, {:5.1} MiB in the kernel, {:5.1} MiB resident",
        took.as_secs_f64() * 1e3,
        mebi(kernel_bytes(&record)),
        mebi(resident)
    );
}

fn threads() -> Outcome {
    let lab = Lab::new();
    let _more = Setting::change(&lab, "/proc/sys/kernel/pid_max", "200000")?;
    println!("\na session of a second, beside sleeping threads");
    show_size("none", second(&[]));
    let mut crowd = Vec::new();
    for many in [2, 10] {
        while crowd.len() < many {
            crowd.push(sleepers()?);
        }
        show_size(&(many * THREADS).to_string(), second(&[]));
    }
    Ok(())
}

fn cgroups() -> Outcome {
    const CGROUPS: usize = 10_000;
    let lab = Lab::new();
    let above = Cgroup::of(&lab, "memory")?;
    println!("\na session of a second, beside cgroups with a process each");
    show_size("none", second(&[]));
    let all: Vec<_> =
        (0..CGROUPS).map(|number| above.child(&format!("cgroup-{number}"))).collect::<Outcome<_>>()?;
    let stay = libc::timespec { tv_sec: 600, tv_nsec: 0 };
    let children: Vec<_> = all.iter().map(|cgroup| enter(cgroup, stay)).collect();
    show_size(&CGROUPS.to_string(), second(&[]));
    for child in children {
        // SAFETY: a child that has not been waited for.
        unsafe { libc::kill(child, libc::SIGKILL) };
        reap(child);
    }
    Ok(())
}

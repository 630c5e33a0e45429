//! What osdiag costs. Not tests: they print figures, and run only with `--tier bench`.

use std::{
    fs,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use crate::{
    Outcome, Test,
    lab::{
        Lab,
        fault::pin,
        image::{PlainDisk, warm},
    },
    osdiag::{Session, iolat},
    workload::{Buffer, Call, make},
};

/// The benches of this room.
pub(crate) const TESTS: &[Test] =
    &[("bench_iolat_fast_path", fast_path), ("bench_iolat_start_and_size", start_and_size)];

pub(crate) const ROUNDS: usize = 17;
pub(crate) const CALLS: u32 = 200_000;

/// ns for each call.
pub(crate) fn time(mut call: impl FnMut()) -> f64 {
    for _ in 0..CALLS / 20 {
        call();
    }
    let start = Instant::now();
    for _ in 0..CALLS {
        call();
    }
    start.elapsed().as_nanos() as f64 / f64::from(CALLS)
}

/// The value below which so large a share of all lies.
pub(crate) fn quantile(values: &[f64], quantile: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * quantile).round() as usize]
}

/// Prints a median with what lies around it.
pub(crate) fn show(what: &str, values: &[f64]) {
    let [p10, median, p90] = [0.1, 0.5, 0.9].map(|at| quantile(values, at));
    println!("  {what:<44} {median:8.2}  [{p10:.2}, {p90:.2}]");
}

fn fast_path() -> Outcome {
    let session = |flags: &'static [&str]| move || Session::tracing(iolat(flags));
    calls_beside(
        ("getpid", libc::SYS_getpid),
        &[
            ("everything is traced", &session(&["--json"])),
            ("something else is traced", &session(&["--json", "--comm", "nobody"])),
        ],
    )
}

/// Paired rounds of calls that do not block, without osdiag and with each kind of session, one right after the other: a read of what is
/// cached, and another call, which has no arguments.
pub(crate) fn calls_beside(
    other: (&str, libc::c_long),
    sessions: &[(&str, &dyn Fn() -> Session)],
) -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let path = disk.mount.file("data", 1 << 20);
    warm(&path);
    let file = fs::File::open(&path).expect("the file is there");
    pin(1);
    let mut buffer = Buffer::new(4096);
    let mut round = || {
        let read = time(|| {
            make(Call::Pread, file.as_fd(), &mut buffer, 0).expect("the file can be read");
        });
        // SAFETY: a call without arguments has no preconditions.
        let unrelated = time(|| _ = unsafe { libc::syscall(other.1) });
        [read, unrelated]
    };
    println!("\nns for each call, median of {ROUNDS} paired rounds of {CALLS} calls [p10, p90]");
    for (name, begin) in sessions {
        let (mut off, mut added) = ([vec![], vec![]], [vec![], vec![]]);
        for _ in 0..ROUNDS {
            let without = round();
            let session = settled(begin);
            let with = round();
            session.interrupt();
            for call in 0..2 {
                off[call].push(without[call]);
                added[call].push(with[call] - without[call]);
            }
        }
        println!("{name}");
        for (call, what) in ["cached pread64 of 4 KiB", other.0].into_iter().enumerate() {
            show(&format!("{what}, without"), &off[call]);
            show(&format!("{what}, added"), &added[call]);
        }
    }
    Ok(())
}

/// A session after the first of the short samples in which it measures its own cost.
pub(crate) fn settled(begin: impl Fn() -> Session) -> Session {
    let session = begin();
    std::thread::sleep(Duration::from_millis(200));
    session
}

fn start_and_size() -> Outcome {
    starts(|| Session::tracing(iolat(&["--json", "-i", "200ms"])));
    Ok(())
}

/// From exec to recording, and the resident set: prints them of sessions that write an interval soon.
pub(crate) fn starts(begin: impl Fn() -> Session) {
    let (mut start, mut now, mut most) = (vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let session = begin();
        start.push(began.elapsed().as_secs_f64() * 1e3);
        session.wait_for_output();
        std::thread::sleep(Duration::from_millis(300));
        let status = fs::read_to_string(format!("/proc/{}/status", session.pid())).expect("it runs");
        let mib = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("status has it");
            line.trim().trim_end_matches(" kB").parse::<f64>().expect("a size") / 1024.0
        };
        now.push(mib("VmRSS:"));
        most.push(mib("VmHWM:"));
        session.interrupt();
    }
    println!("\nmedian of {ROUNDS} starts [p10, p90]");
    show("from exec to recording, ms", &start);
    show("resident set, MiB", &now);
    show("resident set at its largest, MiB", &most);
}

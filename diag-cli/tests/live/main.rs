//! Live tests: `osdiag` on the running kernel, against truth that does not come from it.
//!
//! A lab brings about one fault at a time (a slow disk, a full memory cgroup, a frozen file system), a workload times
//! each of its own system calls, and the tests compare both with what `osdiag` says. Needs root; what cannot run says
//! why and counts as ignored. `OSDIAG_BIN` names the binary under test; without it, the one that cargo has just built.
//!
//! This program is also the workload and the slow disk's server: it starts itself again with `--lab-workload`,
//! `--lab-locks` or `--lab-disk`.

mod bench;
mod counting;
mod delays;
mod diagnose;
mod engines;
mod faults;
mod guards;
mod hdr;
mod homes;
mod hostile;
mod hung;
mod hung_budget;
mod hung_chains;
mod hung_cost;
mod hung_proof;
mod killed;
mod lab;
mod large;
mod limits;
mod lock;
mod numbers;
mod operations;
mod osdiag;
mod paths;
mod query;
mod record;
mod runq;
mod session;
mod stalls;
mod stopped;
mod storm;
mod stuck;
mod swap;
mod targets;
mod tiers;
mod vmexit;
mod vmexit_bench;
mod weather;
mod workload;

use std::{ffi::OsString, process::ExitCode};

use libtest_mimic::Arguments;

use tiers::Tier;

/// Why a test cannot run here. Not a failure, and never a success.
#[derive(Debug)]
struct Skip(String);

impl Skip {
    fn because(why: impl Into<String>) -> Skip {
        Skip(why.into())
    }
}

/// What a test, or a part of the lab that may be missing here, gives back. A test fails by panicking.
type Outcome<T = ()> = Result<T, Skip>;

/// A name and what it runs.
type Test = (&'static str, fn() -> Outcome);

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_ref().and_then(|first| first.to_str()) {
        Some("--lab-workload") => return workload::main(arguments),
        Some(runq::runner::FLAG) => return runq::runner::main(arguments),
        Some("--lab-locks") => return lock::work::main(arguments),
        Some("--lab-disk") => return lab::disk::main(arguments),
        Some(hostile::FLAG) => return hostile::main(arguments),
        Some("--lab-storm") => return storm::main(arguments),
        _ => {}
    }
    // Shells and nohup start jobs in the background with these signals ignored, and osdiag would leave them so.
    for signal in [libc::SIGINT, libc::SIGHUP] {
        // SAFETY: the default action is no function of this program.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let tier = Tier::take(&mut arguments);
    let mut arguments = Arguments::from_iter([OsString::from("live")].into_iter().chain(arguments));
    // The kernel is shared state: one test at a time.
    arguments.test_threads = Some(1);
    if lab::is_root() && !arguments.list {
        lab::clean_after_the_dead();
    }
    let tests = [
        counting::TESTS,
        numbers::TESTS,
        paths::TESTS,
        faults::TESTS,
        guards::TESTS,
        stalls::TESTS,
        stopped::TESTS,
        limits::TESTS,
        swap::TESTS,
        killed::TESTS,
        large::TESTS,
        hdr::TESTS,
        targets::TESTS,
        homes::TESTS,
        weather::TESTS,
        hostile::TESTS,
        lock::TESTS,
        hung::TESTS,
        hung_budget::TESTS,
        hung_chains::TESTS,
        hung_proof::TESTS,
        vmexit::TESTS,
        vmexit::perf::TESTS,
        vmexit::session::TESTS,
        session::signals::TESTS,
        session::command::TESTS,
        session::output::TESTS,
        session::course::TESTS,
        query::TESTS,
    ];
    let tests = [&tests[..], runq::TESTS, delays::TESTS, diagnose::TESTS].concat().concat();
    let benches = [
        bench::TESTS,
        lock::BENCHES,
        hung_cost::TESTS,
        runq::bench::TESTS,
        delays::bench::TESTS,
        vmexit_bench::TESTS,
    ]
    .concat();
    libtest_mimic::run(&arguments, tier.trials(&tests, engines::TESTS, &benches)).exit_code()
}

//! Which tests run when: `--tier NAME`, before all other arguments.

use std::{ffi::OsString, panic, time::Instant};

use libtest_mimic::{Completion, Failed, Trial};

use crate::{Outcome, Skip, Test, lab};

/// What is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    /// Nothing was asked for: every test, but for those that are known to fail.
    All,
    /// One test for each cause, and what is quick.
    Short,
    /// What is in [`LONG`].
    Long,
    /// What needs a container engine.
    Engines,
    /// What is in [`KNOWN`], each of which must fail.
    Known,
    /// What measures, and tests nothing.
    Bench,
}

/// Tests that take long, repeat a shorter one with more, or compare with another tool.
const LONG: &[&str] = &[
    "counting_on_overlayfs",
    "counting_the_same_through_raw_hooks",
    "delays_cgroups_that_come_and_go",
    "delays_hundred_thousand_processes",
    "delays_more_processes_than_room",
    "delays_processes_that_come_and_go",
    "delays_short_processes",
    "delays_twenty_thousand_sleepers",
    "diagnose_nothing_of_a_build",
    "fault_limit_of_buffered_reads",
    "fault_stopped_by_a_tracer",
    "fault_stopped_by_the_freezer",
    "hdr_payloads_mean_the_same_elsewhere",
    "home_in_the_hierarchy_of_the_target",
    "hostile_thread_names_in_all_tools",
    "hung_budget_beside_a_crowd",
    "hung_budget_beside_five_thousand_threads",
    "hung_budget_where_a_crowd_is_stuck_anew",
    "hung_mount_point_with_a_space",
    "hung_two_thousand_at_once",
    "lock_beside_perf",
    "lock_handed_over",
    "lock_privileges",
    "lock_storm",
    "query_of_two_tools_in_duckdb",
    "runq_and_iolat_see_the_quota_that_the_kernel_accounts",
    "runq_and_iolat_tell_the_quota_from_the_wait_after_it",
    "runq_beside_runqlat",
    "runq_five_thousand_threads",
    "session_command_that_is_left_running",
    "session_output_stuck_is_given_up_after_a_signal",
    "session_output_stuck_makes_intervals_longer",
    "stall_of_a_command_that_does_not_end",
    "stall_slow_device_and_cpu_hogs",
    "stall_slow_device_raw_block",
    "vmexit_calibration_repeats",
    "vmexit_perf_counts_the_same",
    "weather_hostile_names",
];

/// Tests that show a fault, and the number of the issue that mends it.
const KNOWN: &[(&str, u32)] = &[];

impl Tier {
    /// Takes the tier off the arguments that follow the program's name.
    pub(crate) fn take(arguments: &mut Vec<OsString>) -> Tier {
        if arguments.first().is_none_or(|first| first != "--tier") {
            return Tier::All;
        }
        arguments.remove(0);
        let name = if arguments.is_empty() { OsString::new() } else { arguments.remove(0) };
        let tiers = [
            ("short", Tier::Short),
            ("long", Tier::Long),
            ("engines", Tier::Engines),
            ("known", Tier::Known),
            ("bench", Tier::Bench),
        ];
        let tier = tiers.iter().find(|(known, _)| name == *known).map(|(_, tier)| *tier);
        tier.unwrap_or_else(|| panic!("no tier {name:?}: expected one of {:?}", tiers.map(|(name, _)| name)))
    }

    /// What is to be run of these tests, engines' tests and benches.
    pub(crate) fn trials(self, tests: &[Test], engines: &[Test], benches: &[Test]) -> Vec<Trial> {
        for name in LONG.iter().chain(KNOWN.iter().map(|(name, _)| name)) {
            let is_there = tests.iter().chain(engines).any(|(test, _)| test == name);
            assert!(is_there, "{name} is marked, and there is no such test");
        }
        let chosen = match self {
            Tier::All => [tests, engines].concat(),
            Tier::Engines => engines.to_vec(),
            Tier::Bench => benches.to_vec(),
            Tier::Short => of(tests, |name| !LONG.contains(&name)),
            Tier::Long => of(tests, |name| LONG.contains(&name)),
            Tier::Known => of(&[tests, engines].concat(), |name| issue(name).is_some()),
        };
        chosen.into_iter().map(|(name, test)| self.trial(name, test)).collect()
    }

    fn trial(self, name: &'static str, test: fn() -> Outcome) -> Trial {
        match issue(name) {
            Some(issue) if self == Tier::Known => {
                Trial::ignorable_test(name, move || completion(name, || fails(test, issue)))
            }
            Some(_) => Trial::test(name, || Ok(())).with_ignored_flag(true),
            None => Trial::ignorable_test(name, move || completion(name, || test().map(Ok))),
        }
    }
}

fn of(tests: &[Test], is: impl Fn(&str) -> bool) -> Vec<Test> {
    tests.iter().filter(|(name, _)| is(name)).copied().collect()
}

/// The issue that mends what a test shows.
fn issue(name: &str) -> Option<u32> {
    KNOWN.iter().find(|(known, _)| *known == name).map(|(_, issue)| *issue)
}

/// That a test fails. One that does not has been mended.
fn fails(test: fn() -> Outcome, issue: u32) -> Outcome<Result<(), Failed>> {
    match panic::catch_unwind(test) {
        Ok(Err(skip)) => Err(skip),
        Ok(Ok(())) => Ok(Err(format!("passes: it is no longer to be marked with issue {issue}").into())),
        Err(_) => Ok(Ok(())),
    }
}

fn completion(name: &str, test: impl FnOnce() -> Outcome<Result<(), Failed>>) -> Result<Completion, Failed> {
    let start = Instant::now();
    let outcome = if lab::is_root() { test() } else { Err(Skip::because("needs root")) };
    match outcome {
        Ok(result) => {
            eprintln!("\n{name}: {:.1} s", start.elapsed().as_secs_f64());
            result.map(|()| Completion::Completed)
        }
        Err(Skip(why)) => {
            eprintln!("\nskipped: {name}: {why}");
            Ok(Completion::ignored_with(why))
        }
    }
}

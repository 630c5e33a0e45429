//! What the kernel's functions stand for: data, of Linux 5.10 to 7.3 unless said otherwise.

/// What to say of an interrupt in which no timer expired.
pub(super) const NO_TIMER: &str = "no timer due";

/// Functions by which a CPU flushes the TLBs of another's behalf (arch/x86/mm/tlb.c).
const TLB: &[&str] = &[
    "flush_tlb_func",
    // before 5.13
    "flush_tlb_func_remote",
    "do_flush_tlb_all",
    "do_kernel_range_flush",
];

/// Whether a function that another CPU calls flushes its TLB.
pub(super) fn is_tlb_flush(function: &str) -> bool {
    TLB.contains(&function)
}

/// The scheduler's tick (kernel/time/tick-sched.c): before 6.8, where the second has another use, and from then on.
pub(super) const TICKS: &[&str] = &["tick_sched_timer", "tick_nohz_handler"];

/// What wakes a task that sleeps for a time (kernel/time/hrtimer.c, kernel/time/sleep_timeout.c).
pub(super) const SLEEPS: &str = "hrtimer_wakeup";

/// What an IPI makes a CPU do that calls what is queued for it (kernel/smp.c).
pub(super) const CALLS: &str = "generic_smp_call_function_single_interrupt";

/// What wakes tasks up on the CPU that it interrupts (kernel/sched/core.c).
pub(super) const WAKE_UPS: &str = "sched_ttwu_pending";

/// What a timer's function, or one that another CPU calls, is for; none for one that is not known here.
pub(super) fn meaning(function: &str) -> Option<&'static str> {
    if is_tlb_flush(function) {
        return Some("TLB shootdown");
    }
    MEANINGS.iter().find(|(known, _)| *known == function).map(|&(_, meaning)| meaning)
}

const MEANINGS: &[(&str, &str)] = &[
    // Timers.
    ("tick_nohz_handler", "the tick"),
    ("tick_sched_timer", "the tick"),
    (SLEEPS, "sleeps with a time limit"),
    ("timerfd_tmrproc", "timerfd"),
    ("posix_timer_fn", "POSIX timers"),
    ("it_real_fn", "setitimer"),
    ("tcp_pace_kick", "TCP pacing"),
    ("tcp_compressed_ack_kick", "delayed TCP acks"),
    ("qdisc_watchdog", "packet scheduling"),
    ("napi_watchdog", "network polling"),
    ("hrtick", "exact time slices"),
    ("sched_cfs_period_timer", "CPU quotas"),
    ("sched_cfs_slack_timer", "CPU quotas"),
    ("sched_rt_period_timer", "real-time limits"),
    ("dl_task_timer", "deadline tasks"),
    ("dl_server_timer", "deadline servers"),
    ("watchdog_timer_fn", "lockup watchdog"),
    ("perf_mux_hrtimer_handler", "perf: sharing counters"),
    ("perf_swevent_hrtimer", "perf: sampling by clock"),
    ("bpf_timer_cb", "BPF timers"),
    // Calls on other CPUs.
    (WAKE_UPS, "wake-ups"),
    ("nohz_csd_func", "load balancing"),
    ("__hrtick_start", "exact time slices"),
    ("do_sync_core", "patching of code"),
    ("ipi_mb", "membarrier"),
    ("ipi_sync_core", "membarrier"),
    ("ipi_rseq", "membarrier"),
    ("remote_function", "perf: counters elsewhere"),
    ("__perf_event_read", "perf: counters elsewhere"),
    ("__rdmsr_on_cpu", "MSR reads elsewhere"),
    ("__rdmsr_safe_on_cpu", "MSR reads elsewhere"),
    ("__wrmsr_on_cpu", "MSR writes elsewhere"),
    ("__wrmsr_safe_on_cpu", "MSR writes elsewhere"),
    ("rcu_exp_handler", "expedited RCU"),
    ("rcu_barrier_handler", "RCU barriers"),
    ("invalidate_bh_lru", "block device caches"),
    ("retrigger_next_event", "clock changes"),
    ("blk_mq_complete_request_remote", "block completions"),
    ("__blk_mq_complete_request_remote", "block completions"),
    ("trigger_softirq", "block completions"),
    ("rps_trigger_softirq", "receive steering"),
    ("aperfmperf_snapshot_khz", "CPU frequency readers"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_have_one_meaning_each_and_it_is_short() {
        for (at, (function, meaning)) in MEANINGS.iter().enumerate() {
            assert!(MEANINGS[at + 1..].iter().all(|(other, _)| other != function), "{function}");
            assert!(meaning.len() <= 26, "{meaning}");
        }
        assert_eq!(meaning("flush_tlb_func"), Some("TLB shootdown"));
        assert_eq!(meaning("hrtimer_wakeup"), Some("sleeps with a time limit"));
        assert_eq!(meaning("no_such_function"), None);
        assert!(TICKS.iter().all(|tick| meaning(tick) == Some("the tick")));
    }
}

//! Whether this kernel preempts programs on system-call tracepoints (6.13 and up, unless built or booted without
//! preemption).

use std::fs;

use procfs::ConfigSetting;

/// What the scheduler says: the model in force stands in brackets.
const SCHEDULER: &str = "/sys/kernel/debug/sched/preempt";

/// Whether a program must hold its CPU lest other tasks' runs of it be left out. In doubt it must: that costs 10 ns.
pub(crate) fn preempts_programs() -> bool {
    let by_scheduler = fs::read_to_string(SCHEDULER).ok().and_then(|models| {
        let model = models.split_once('(')?.1.split_once(')')?.0.to_owned();
        Some(model)
    });
    let by_command_line = || {
        let line = fs::read_to_string("/proc/cmdline").ok()?;
        line.split_whitespace()
            .filter_map(|word| word.strip_prefix("preempt="))
            .next_back()
            .map(str::to_owned)
    };
    match by_scheduler.or_else(by_command_line) {
        Some(model) => preempts(&model),
        None => by_configuration(),
    }
}

fn preempts(model: &str) -> bool {
    !matches!(model, "none" | "voluntary")
}

fn by_configuration() -> bool {
    let Ok(configuration) = procfs::kernel_config() else { return true };
    let set = |name: &str| matches!(configuration.get(name), Some(ConfigSetting::Yes));
    !set("CONFIG_PREEMPT_NONE") && !set("CONFIG_PREEMPT_VOLUNTARY")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_without_preemption_are_known() {
        assert!(!preempts("none") && !preempts("voluntary"));
        assert!(preempts("full") && preempts("lazy"));
    }
}

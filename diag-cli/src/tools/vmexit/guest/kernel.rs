//! What the kernel makes of this guest: clocks, timers, and how it idles.

use std::{fs, path::Path};

/// An idle state of cpuidle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::tools::vmexit) struct IdleState {
    /// Its number, as `cpu_idle` tells it.
    pub(in crate::tools::vmexit) number: u32,
    /// Its name: `POLL`, `haltpoll idle`, `C1`…
    pub(in crate::tools::vmexit) name: String,
}

impl IdleState {
    /// Whether a CPU in it polls rather than halts (drivers/cpuidle/poll_state.c, 6.18).
    pub(in crate::tools::vmexit) fn polls(&self) -> bool {
        self.name == "POLL"
    }
}

/// What `/sys` says.
#[derive(Debug, Clone, Default)]
pub(in crate::tools::vmexit) struct Kernel {
    /// The clock that time is read from: `tsc`, `kvm-clock`, `hpet`…
    pub(in crate::tools::vmexit) clocksource: Option<String>,
    /// Those that there are.
    pub(in crate::tools::vmexit) clocksources: Vec<String>,
    /// The timer of the first CPU: `lapic-deadline`, `lapic`, `Hyper-V clockevent`…
    pub(in crate::tools::vmexit) timer: Option<String>,
    /// cpuidle's driver; none where idle CPUs do what the architecture does by default.
    pub(in crate::tools::vmexit) idle_driver: Option<String>,
    /// cpuidle's governor.
    pub(in crate::tools::vmexit) idle_governor: Option<String>,
    /// Its states; none without a driver.
    pub(in crate::tools::vmexit) idle_states: Vec<IdleState>,
    /// How long the governor `haltpoll` polls at most before it halts, ns; none without it.
    pub(in crate::tools::vmexit) halt_poll_ns: Option<u64>,
    /// Ticks a second (`CONFIG_HZ`); none where the configuration is not shown.
    pub(in crate::tools::vmexit) hz: Option<u32>,
    /// Whether idle CPUs have a tick (`CONFIG_HZ_PERIODIC`, or `nohz=off`).
    pub(in crate::tools::vmexit) ticks_when_idle: bool,
    /// Whether the kernel was told to leave the hypervisor's features alone (`nopv`).
    pub(in crate::tools::vmexit) shuns_paravirt: bool,
}

impl Kernel {
    /// This kernel.
    pub(in crate::tools::vmexit) fn read() -> Kernel {
        let configuration = procfs::kernel_config().ok();
        let setting = |name: &str| configuration.as_ref().and_then(|all| all.get(name));
        let hz = match setting("CONFIG_HZ") {
            Some(procfs::ConfigSetting::Value(hz)) => hz.parse().ok(),
            _ => None,
        };
        let periodic = matches!(setting("CONFIG_HZ_PERIODIC"), Some(procfs::ConfigSetting::Yes));
        let command_line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
        let was_told = |word: &str| command_line.split_whitespace().any(|told| told == word);
        let system = Path::new("/sys/devices/system");
        let line = |path: &str| line(&system.join(path));
        // cpuidle's word where it has none (drivers/cpuidle/sysfs.c, 6.18).
        let is_some = |word: &String| word != "none";
        Kernel {
            clocksource: line("clocksource/clocksource0/current_clocksource"),
            clocksources: words(&line("clocksource/clocksource0/available_clocksource").unwrap_or_default()),
            timer: line("clockevents/clockevent0/current_device"),
            idle_driver: line("cpu/cpuidle/current_driver").filter(is_some),
            idle_governor: line("cpu/cpuidle/current_governor").filter(is_some),
            idle_states: idle_states(&system.join("cpu/cpu0/cpuidle")),
            halt_poll_ns: fs::read_to_string("/sys/module/haltpoll/parameters/guest_halt_poll_ns")
                .ok()
                .and_then(|text| text.trim().parse().ok()),
            hz,
            ticks_when_idle: periodic || was_told("nohz=off"),
            shuns_paravirt: was_told("nopv"),
        }
    }

    /// Idle states that poll, a bit each.
    pub(in crate::tools::vmexit) fn polling_states(&self) -> u32 {
        self.idle_states.iter().filter(|state| state.polls()).map(|state| 1 << state.number).sum()
    }

    /// Whether the local timer is the local APIC's, whose interrupts a tracepoint tells.
    pub(in crate::tools::vmexit) fn has_apic_timer(&self) -> bool {
        self.timer.as_deref().is_some_and(|timer| timer.starts_with("lapic"))
    }

    /// Whether the governor `haltpoll` decides.
    pub(in crate::tools::vmexit) fn has_haltpoll_governor(&self) -> bool {
        self.idle_governor.as_deref() == Some("haltpoll")
    }

    /// Whether cpuidle's driver is `haltpoll`.
    pub(in crate::tools::vmexit) fn has_haltpoll_driver(&self) -> bool {
        self.idle_driver.as_deref() == Some("haltpoll")
    }

    /// Whether the governor `haltpoll` decides, and polls before it halts.
    pub(in crate::tools::vmexit) fn polls_before_halt(&self) -> bool {
        self.has_haltpoll_governor() && self.halt_poll_ns.is_some_and(|ns| ns > 0)
    }
}

/// The one line of a file; none where it cannot be read, or is empty.
fn line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|line| !line.is_empty())
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn idle_states(directory: &Path) -> Vec<IdleState> {
    (0..diag_common::vmexit::IDLE_STATES as u32)
        .map_while(|number| {
            Some(IdleState { number, name: line(&directory.join(format!("state{number}/name")))? })
        })
        .collect()
}

/// What all CPUs did in states that poll, since boot: how often, and how long, ns. cpuidle counts it. None where there is no
/// such state.
pub(in crate::tools::vmexit) fn polling(states: &[IdleState]) -> Option<(u64, u64)> {
    let number = |path: &Path| line(path).and_then(|line| line.parse::<u64>().ok());
    let mut sum = None;
    for cpu in fs::read_dir("/sys/devices/system/cpu").ok()?.flatten() {
        for state in states.iter().filter(|state| state.polls()) {
            let directory = cpu.path().join(format!("cpuidle/state{}", state.number));
            if let Some((usage, time_us)) =
                number(&directory.join("usage")).zip(number(&directory.join("time")))
            {
                let (count, ns) = sum.get_or_insert((0, 0));
                *count += usage;
                *ns += time_us * 1000;
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polling_states_are_a_mask() {
        let state = |number, name: &str| IdleState { number, name: name.into() };
        let states = vec![state(0, "POLL"), state(1, "haltpoll idle")];
        let kernel = Kernel { idle_states: states, ..Kernel::default() };
        assert_eq!(kernel.polling_states(), 0b01);
        assert_eq!(Kernel::default().polling_states(), 0);
    }

    #[test]
    fn haltpoll_polls_only_if_it_is_the_governor_and_has_time() {
        let kernel = |governor: &str, ns| Kernel {
            idle_governor: Some(governor.into()),
            halt_poll_ns: ns,
            ..Kernel::default()
        };
        assert!(kernel("haltpoll", Some(200_000)).polls_before_halt());
        assert!(!kernel("haltpoll", Some(0)).polls_before_halt());
        assert!(!kernel("menu", Some(200_000)).polls_before_halt());
        assert!(!kernel("menu", None).polls_before_halt());
    }

    #[test]
    fn this_kernel_has_a_clock() {
        let kernel = Kernel::read();
        assert!(kernel.clocksources.contains(kernel.clocksource.as_ref().unwrap()), "{kernel:?}");
    }
}

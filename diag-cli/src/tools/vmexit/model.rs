//! From counts to a record.

use std::collections::{BTreeMap, HashMap};

use diag_common::{
    vmexit::{BY_ICR, CellKey, IN_INTERRUPT, IN_TASK, Kind, ON_IDLE, TLB_FLUSH, WAKE_UP},
    who as identity,
};

use super::{
    args::Sort,
    collect::Harvest,
    exits::{Act, exits},
    features::features,
    guest::Guest,
    invisible::INVISIBLE,
    msr,
    record::{Activity, Context, Deed, Doer, ExitCost, Exits, Idle, Vmexit},
    verdict::verdict,
    words,
};
use crate::{
    kernel::symbols::Functions,
    output::{
        histogram::Histogram,
        record::{
            parties::{Omitted, Task},
            verdict::Verdict,
        },
        text, units,
    },
    target::{CgroupNames, Home},
};

/// Doers that an activity names at most.
const MOST_DOERS: usize = 50;

/// What a session has found out about the guest, and what is wanted of it.
pub(super) struct Scene<'a> {
    pub(super) guest: &'a Guest,
    pub(super) cost: Option<ExitCost>,
    /// CPUs that are online.
    pub(super) cpus: u64,
    /// The time that is told of, ns.
    pub(super) duration_ns: u64,
    /// Whether the session is about the whole system.
    pub(super) targets_all: bool,
    pub(super) sort: Sort,
    /// Activities in a record.
    pub(super) top: usize,
}

impl Scene<'_> {
    /// All CPUs' time, ns.
    fn cpu_time_ns(&self) -> u64 {
        self.duration_ns * self.cpus
    }

    /// So much of it, where exits have a cost.
    fn cpu_share(&self, ns: impl Iterator<Item = Option<u64>>) -> Option<f64> {
        self.cost.map(|_| units::share(ns.flatten().sum(), self.cpu_time_ns()))
    }
}

/// All that a record says.
pub(super) fn body(
    scene: &Scene<'_>,
    harvest: &Harvest,
    functions: &mut Functions,
    cgroups: Option<&mut CgroupNames>,
) -> Vmexit {
    let mut activities = activities(scene, harvest, functions, cgroups);
    let features = features(scene.guest, harvest, &activities);
    let busy = |wanted: fn(Exits) -> bool| {
        let wanted = activities.iter().filter(move |activity| wanted(activity.exits));
        scene.cpu_share(wanted.map(Activity::busy_ns))
    };
    let (cpu_share, cpu_share_certain) = (busy(|_| true), busy(|exits| exits == Exits::Yes));
    let cpu_share_idle = scene.cpu_share(activities.iter().map(idle_ns));
    // The sort is stable, so that what is equal stays in the order of time.
    if scene.sort == Sort::Count {
        activities.sort_by_key(|activity| std::cmp::Reverse(activity.event_count));
    }
    let mut body = Vmexit {
        activities,
        activities_omitted: Omitted { count: 0, ns: scene.cost.map(|_| 0) },
        other_event_count: 0,
        exit_cost: scene.cost,
        cpu_share,
        cpu_share_certain,
        cpu_share_idle,
        features,
        idle: idle(scene.guest, harvest),
        interrupts: harvest.interrupts,
        steal_ns: harvest.steal_ns.filter(|_| harvest.steal_goes_on || scene.guest.serves_steal()),
        verdict: Verdict::nothing(String::new()),
        invisible_exits: INVISIBLE.to_vec(),
    };
    body.verdict = verdict(scene, &body, &harvest.halts);
    cut(&mut body, scene.top);
    body
}

/// Leaves the first activities, and sums up the rest.
fn cut(body: &mut Vmexit, top: usize) {
    let rest = body.activities.split_off(body.activities.len().min(top));
    body.activities_omitted.count = rest.len() as u64;
    for activity in rest {
        body.other_event_count += activity.event_count;
        if let Some((sum, ns)) = body.activities_omitted.ns.as_mut().zip(activity.estimated_ns) {
            *sum += ns;
        }
    }
}

/// Estimated time of exits of idle CPUs, ns.
fn idle_ns(activity: &Activity) -> Option<u64> {
    Some(activity.estimated_ns? - activity.busy_ns()?)
}

/// What an activity is, apart from who did it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct What {
    activity: Deed,
    name: Option<String>,
    msr: Option<u32>,
}

/// Who did something, as far as the kernel side tells: the context, and of a task its name, process and cgroup.
type Who = (Context, String, u32, u64);

const IDLE: Who = (Context::Idle, String::new(), 0, 0);

/// How often something was done.
struct Counted {
    act: Act,
    doers: HashMap<Who, u64>,
    /// The part of it of idle CPUs.
    idle_count: u64,
}

impl Counted {
    fn of(act: Act) -> Counted {
        Counted { act, doers: HashMap::new(), idle_count: 0 }
    }

    fn add(&mut self, who: Who, is_idle: bool, count: u64) {
        *self.doers.entry(who).or_default() += count;
        self.idle_count += if is_idle { count } else { 0 };
    }
}

/// The activities: those that took most from tasks and interrupts first, then those that took most, then the most frequent.
fn activities(
    scene: &Scene<'_>,
    harvest: &Harvest,
    functions: &mut Functions,
    mut cgroups: Option<&mut CgroupNames>,
) -> Vec<Activity> {
    let mut found: BTreeMap<What, Counted> = BTreeMap::new();
    for (key, &count) in &harvest.counts {
        let Some((what, act)) = what(key, functions) else { continue };
        let who = who(key);
        let is_idle = who == IDLE || key.context & ON_IDLE != 0;
        found.entry(what).or_insert_with(|| Counted::of(act)).add(who, is_idle, count);
    }
    // Halts are of CPUs, and no CPU is of a target.
    for (name, count) in halts(scene.guest, harvest).into_iter().filter(|_| scene.targets_all) {
        let what = What { activity: Deed::Hlt, name, msr: None };
        found.entry(what).or_insert_with(|| Counted::of(Act::Halt)).add(IDLE, true, count);
    }
    let mut activities: Vec<Activity> =
        found.into_iter().map(|(what, counted)| activity(scene, what, counted, &mut cgroups)).collect();
    activities.sort_by_key(|activity| {
        std::cmp::Reverse((activity.busy_ns(), activity.estimated_ns, activity.event_count))
    });
    activities
}

fn activity(
    scene: &Scene<'_>,
    What { activity, name, msr }: What,
    Counted { act, doers, idle_count }: Counted,
    cgroups: &mut Option<&mut CgroupNames>,
) -> Activity {
    let event_count: u64 = doers.values().sum();
    let answer = exits(scene.guest, act);
    let cost_ns = scene.cost.map(|cost| if answer.exits == Exits::No { 0 } else { cost.p50_ns });
    let mut doers: Vec<(Who, u64)> = doers.into_iter().collect();
    doers.sort_by(|(a, one), (b, other)| other.cmp(one).then_with(|| a.cmp(b)));
    let rest = doers.split_off(doers.len().min(MOST_DOERS));
    let mut activity = Activity {
        activity,
        name,
        msr,
        event_count,
        idle_event_count: idle_count,
        events_per_second: rate(event_count, scene.duration_ns),
        doers: doers.into_iter().map(|(who, count)| doer(who, count, cgroups)).collect(),
        doers_omitted: Omitted { count: rest.len() as u64, ns: None },
        other_event_count: rest.iter().map(|(_, count)| count).sum(),
        exits: answer.exits,
        why: answer.reason,
        in_short: answer.why,
        estimated_ns: cost_ns.map(|ns| event_count * ns),
        cpu_share: None,
        cpu_share_idle: None,
    };
    activity.cpu_share = scene.cpu_share([activity.busy_ns()].into_iter());
    activity.cpu_share_idle = scene.cpu_share([idle_ns(&activity)].into_iter());
    activity
}

fn doer((context, comm, pid, cgroup): Who, event_count: u64, cgroups: &mut Option<&mut CgroupNames>) -> Doer {
    let task = (context == Context::Task).then(|| {
        let names = cgroups.as_mut().filter(|_| cgroup != 0);
        let Home { cgroup, container } = names.map(|names| names.home(cgroup)).unwrap_or_default();
        Task { pid: Some(pid), comm: Some(comm), cgroup, container, ..Task::default() }
    });
    Doer { context, task, event_count }
}

/// What a count is of, and what that does to the CPU.
fn what(key: &CellKey, functions: &mut Functions) -> Option<(What, Act)> {
    let register = key.detail as u32;
    let (ipi_act, ipi_msr) = if key.via == BY_ICR {
        (Act::IpiByRegister, Some(msr::X2APIC_ICR))
    } else {
        (Act::IpiOtherwise, None)
    };
    let of = |activity, name, msr| What { activity, name, msr };
    Some(match Kind::from_number(key.kind)? {
        Kind::MsrWrite => (of(Deed::MsrWrite, msr::name(register), Some(register)), Act::Write(register)),
        Kind::MsrRead => (of(Deed::MsrRead, msr::name(register), Some(register)), Act::Read(register)),
        Kind::IpiReschedule => (of(Deed::IpiReschedule, None, ipi_msr), ipi_act),
        Kind::IpiCall if key.detail == TLB_FLUSH => (of(Deed::TlbShootdown, None, ipi_msr), ipi_act),
        Kind::IpiCall => {
            let function = function(functions, key.detail);
            let is_flush = function.as_deref().is_some_and(words::is_tlb_flush);
            (of(if is_flush { Deed::TlbShootdown } else { Deed::IpiCall }, function, ipi_msr), ipi_act)
        }
        Kind::Timer => (of(Deed::Timer, function(functions, key.detail), None), Act::Timer),
        Kind::PmcRead => (of(Deed::PmcRead, Some(format!("RDPMC {register:#x}")), None), Act::ReadCounter),
    })
}

/// The function that the kernel side tells of; none for none.
fn function(functions: &mut Functions, address: u64) -> Option<String> {
    match address {
        0 => None,
        WAKE_UP => Some(words::WAKE_UPS.to_owned()),
        address => Some(functions.at(address)),
    }
}

fn who(key: &CellKey) -> Who {
    match key.context & !ON_IDLE {
        IN_TASK if key.tgid == 0 => IDLE,
        IN_TASK => (Context::Task, text::escape(&identity::name(key.comm)), key.tgid, key.cgroup),
        IN_INTERRUPT => (Context::Interrupt, String::new(), 0, 0),
        _ => (Context::Unknown, String::new(), 0, 0),
    }
}

/// How often CPUs entered each state in which they halt.
fn halts(guest: &Guest, harvest: &Harvest) -> Vec<(Option<String>, u64)> {
    let polling = guest.kernel.polling_states();
    let states = harvest.idle.entered.iter().enumerate();
    let halting = states.filter(|&(state, &count)| count > 0 && polling >> state & 1 == 0);
    let name = |state: usize| {
        let known = guest.kernel.idle_states.iter().find(|known| known.number as usize == state);
        known.map(|known| known.name.clone())
    };
    halting.map(|(state, &count)| (name(state), count)).collect()
}

/// What idle CPUs did.
fn idle(guest: &Guest, harvest: &Harvest) -> Idle {
    let bins = (0u32..).zip(&harvest.idle.bins);
    let sum_ns = harvest.idle.bins.iter().map(|bin| bin.sum_ns).sum();
    let max_ns = harvest.idle.max_ns;
    let min_ns = if max_ns == 0 { 0 } else { !harvest.idle.min_inverted };
    Idle {
        driver: guest.kernel.idle_driver.clone(),
        governor: guest.kernel.idle_governor.clone(),
        halt_poll_ns: guest.kernel.halt_poll_ns.filter(|_| guest.kernel.has_haltpoll_governor()),
        poll_count: harvest.polled.map(|(count, _)| count),
        polling_ns: harvest.polled.map(|(_, ns)| ns),
        halted: Histogram::from_bins(bins.map(|(bucket, bin)| (bucket, bin.count)), sum_ns, min_ns, max_ns),
    }
}

/// Events a second, to three decimals.
fn rate(count: u64, duration_ns: u64) -> f64 {
    (count as f64 * 1e12 / duration_ns.max(1) as f64).round() / 1e3
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;

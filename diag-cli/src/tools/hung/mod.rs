//! `osdiag hung`: which tasks are stuck, on what, and behind whom.

mod advice;
mod args;
mod attach;
mod causes;
mod chain;
mod groups;
mod place;
mod record;
mod render;
#[cfg(test)]
mod sample;
mod scan;
mod scene;
mod servers;
mod threads;
mod verdict;
mod watch;
mod watchdog;
mod words;

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Result;

pub(crate) use self::{args::Args, record::Hung as Body};
use self::{
    record::{Complaint, StuckTask},
    scan::Scanner,
    scene::Scene,
    watch::{Sleep, Watch},
    watchdog::Log,
};
use crate::{
    cli::SessionArgs,
    ebpf::object::{Kernel, Object, Settings},
    output::{
        page::Page,
        record::{Kind, Unavailable},
        time::Timestamp,
    },
    session::{self, KernelSide, Tool},
    target::{CgroupNames, Target},
};

/// Traces, and reports.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    session::run::<Hung>(args)
}

/// Tasks that a record holds; the groups count all of them.
const IN_EVENT: usize = 100;
const IN_REPORT: usize = 1000;
/// Tasks that a session keeps.
const KEPT: usize = 20_000;

/// The tool while it works.
struct Hung {
    threshold: Duration,
    scanner: Scanner,
    watch: Watch,
    log: Log,
    /// Those that are stuck.
    stuck: BTreeMap<Sleep, StuckTask>,
    /// What has ended, and what the watchdogs have said, since the last harvest.
    past: Harvest,
}

/// What was stuck in an interval.
#[derive(Default)]
struct Harvest {
    tasks: BTreeMap<Sleep, StuckTask>,
    /// Tasks for which there was no room.
    more: u64,
    watchdogs: Vec<Complaint>,
}

impl Harvest {
    fn keep(&mut self, sleep: Sleep, task: StuckTask) {
        if self.tasks.len() < KEPT || self.tasks.contains_key(&sleep) {
            self.tasks.insert(sleep, task);
        } else {
            self.more += 1;
        }
    }
}

/// A record, and the longest task of each of its groups.
type Report = session::Report<Hung>;

impl Hung {
    /// Looks, where it is time to.
    fn look(&mut self, object: &mut Object, cgroups: Option<&mut CgroupNames>) -> Result<Vec<StuckTask>> {
        if !self.watch.is_due(Instant::now()) {
            return Ok(Vec::new());
        }
        let (sleepers, cost) = self.scanner.scan(object)?;
        let news = self.watch.look(&sleepers, Instant::now(), cost);
        let now = Timestamp::now();
        let mut told = Vec::new();
        for sleep in news.ended {
            if let Some(task) = self.stuck.remove(&sleep) {
                let task = StuckTask { resolved: Some(now), ..task };
                self.past.keep(sleep, task.clone());
                told.push(task);
            }
        }
        for (&(tid, _), task) in &mut self.stuck {
            if let Some(sleeper) = sleepers.get(&tid) {
                task.blocked_ns = sleeper.asleep_ns;
            }
        }
        let mut scene = Scene::new(object, &mut self.scanner, cgroups, sleepers);
        for tid in news.crossed {
            let Some(switches) = scene.sleepers.get(&tid).map(|sleeper| sleeper.switches) else { continue };
            if let Some(task) = scene.stuck(tid) {
                self.stuck.insert((tid, switches), task.clone());
                told.push(task);
            }
        }
        Ok(told)
    }

    /// What the kernel's own watchdogs have said.
    fn complaints(&mut self) -> Vec<Complaint> {
        let tids = self.scanner.complaints();
        let mut said = self.log.complaints();
        for tid in tids {
            // The log has a line for it as well, as long as the kernel has not had enough of that.
            let text = format!("task {tid} has been blocked for longer than kernel.hung_task_timeout_secs");
            if !said
                .iter()
                .any(|line| line.watchdog == watchdog::HUNG_TASK && line.text.contains(&format!(":{tid} ")))
            {
                said.push(Complaint { watchdog: watchdog::HUNG_TASK, at: Timestamp::now(), text });
            }
        }
        self.past.watchdogs.extend_from_slice(&said);
        said
    }
}

/// What a record says of some tasks, of which it holds `most`; there are `more` of which nothing is known.
fn body(
    threshold: Duration,
    mut tasks: Vec<StuckTask>,
    most: usize,
    more: u64,
    watchdogs: Vec<Complaint>,
) -> (Body, Vec<StuckTask>) {
    tasks.sort_by_key(|task| (task.resolved.is_some(), Reverse(task.blocked_ns), task.who.tid));
    let (groups, longest): (Vec<_>, Vec<_>) = groups::grouped(&tasks).into_iter().unzip();
    let longest: Vec<StuckTask> = longest.into_iter().map(|at| tasks[at].clone()).collect();
    let verdict = verdict::verdict(&groups, &longest);
    let more = more + tasks.len().saturating_sub(most) as u64;
    tasks.truncate(most);
    let threshold_ns = u64::try_from(threshold.as_nanos()).unwrap_or(u64::MAX);
    (Body { threshold_ns, tasks, more, groups, watchdogs, verdict }, longest)
}

impl Tool for Hung {
    type Args = Args;
    type Harvest = Harvest;
    type Body = Body;
    /// The longest task of each of the record's groups, in the same order.
    type Picture = Vec<StuckTask>;

    const NAME: &'static str = "hung";
    const SUBJECT: &'static str = "stuck tasks";
    const KERNEL_SIDE: KernelSide = attach::KERNEL_SIDE;

    fn session_args(args: &Args) -> &SessionArgs {
        &args.session
    }

    fn settings(args: &Args, _kernel: &Kernel) -> Result<Settings> {
        Ok(attach::settings(args.threshold))
    }

    fn open(args: &Args, _target: &Target, object: &mut Object) -> Result<Hung> {
        Ok(Hung {
            threshold: args.threshold,
            scanner: Scanner::of(&mut object.ebpf)?,
            watch: Watch::new(args.threshold, Instant::now()),
            log: Log::open(),
            stuck: BTreeMap::new(),
            past: Harvest::default(),
        })
    }

    fn events(
        &mut self,
        object: &mut Object,
        cgroups: Option<&mut CgroupNames>,
    ) -> Result<Vec<(Body, Vec<StuckTask>)>> {
        let watchdogs = self.complaints();
        let tasks = self.look(object, cgroups)?;
        if tasks.is_empty() && watchdogs.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![body(self.threshold, tasks, IN_EVENT, 0, watchdogs)])
    }

    fn harvest(&mut self) -> Result<Harvest> {
        let mut harvest = std::mem::take(&mut self.past);
        for (&sleep, task) in &self.stuck {
            harvest.keep(sleep, task.clone());
        }
        Ok(harvest)
    }

    fn add(&self, total: &mut Harvest, interval: &Harvest) {
        for (&sleep, task) in &interval.tasks {
            total.keep(sleep, task.clone());
        }
        total.more += interval.more;
        total.watchdogs.extend_from_slice(&interval.watchdogs);
    }

    fn tell(
        &mut self,
        _kind: Kind,
        _lasted: Duration,
        harvest: &Harvest,
        _cgroups: Option<&mut CgroupNames>,
    ) -> (Body, Vec<StuckTask>) {
        let tasks = harvest.tasks.values().cloned().collect();
        body(self.threshold, tasks, IN_REPORT, harvest.more, harvest.watchdogs.clone())
    }

    fn found_unavailable(&self) -> Vec<Unavailable> {
        let log = (!self.log.is_there()).then(|| Unavailable {
            name: "kernel log".to_owned(),
            why: format!("{} cannot be read", watchdog::LOG),
            effect: "what the kernel's watchdogs say of lockups and stalls is not shown".to_owned(),
        });
        log.into_iter().chain(self.scanner.unavailable()).collect()
    }

    fn draw_event(&self, page: &mut Page, report: &Report) {
        render::event(page, report);
    }

    fn draw_interval(&self, page: &mut Page, report: &Report) {
        render::interval(page, report);
    }

    fn draw_summary(&self, page: &mut Page, report: &Report) {
        render::summary(page, report);
    }

    fn draw_verdict(&self, page: &mut Page, report: &Report) {
        render::verdict(page, report);
    }
}

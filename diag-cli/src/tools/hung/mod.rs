//! `osdiag hung`: which tasks are stuck, on what, and behind whom.

mod advice;
mod args;
mod attach;
mod budget;
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
    args::Sort,
    record::{Complaint, Looks, StuckTask},
    scan::{Machine, Scanner},
    scene::Scene,
    watch::{Sleep, Watch},
    watchdog::Log,
};
use crate::{
    cli::SessionArgs,
    ebpf::object::{Kernel, Object, Settings},
    output::{
        cost::cpu_ns,
        page::Page,
        record::{
            Kind, Unavailable,
            parties::Omitted,
            settings::{Threshold, ThresholdName},
        },
        time::Timestamp,
    },
    session::{self, KernelSide, Tool},
    target::{CgroupNames, Target},
};

/// Traces, and reports.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    session::run::<Hung>(args)
}

/// Tasks that a session keeps.
const KEPT: usize = 20_000;

/// What records hold.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// From when on a task is stuck.
    threshold: Duration,
    /// How many tasks are listed, and how many groups.
    top: usize,
    /// The order of the groups.
    sort: Sort,
}

/// The tool while it works.
struct Hung {
    limits: Limits,
    scanner: Scanner,
    watch: Watch,
    /// What the process had spent when the watch was last told, ns; none while it does what looks do not answer for.
    charged_ns: Option<u64>,
    /// The look since then, if there was one.
    looked: Option<Looked>,
    log: Log,
    /// The target is the whole system.
    whole: bool,
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
    looks: Looks,
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

/// What a look has shown.
#[derive(Default)]
struct News {
    /// Tasks that have crossed the threshold or gone on.
    tasks: Vec<StuckTask>,
    looks: Looks,
}

/// What a look has done.
struct Looked {
    /// What its pass over all tasks cost.
    pass: Duration,
    /// How many tasks it has described.
    described: usize,
}

/// A record, and the longest task of each of its groups.
type Report = session::Report<Hung>;

impl Hung {
    /// CPU time that the process has spent so far. Reading the kernel's symbols, which is done once, is left out.
    fn spent_ns(&self) -> u64 {
        cpu_ns() - self.scanner.symbols_ns()
    }

    /// Tells the watch what was spent since `charged_ns`.
    fn charge(&mut self) {
        if let Some(before) = self.charged_ns.take() {
            let cost = Duration::from_nanos(self.spent_ns() - before);
            self.watch.budget.spent(Instant::now(), cost);
            if let Some(looked) = self.looked.take() {
                self.watch.budget.looked(looked.pass, cost, looked.described);
            }
        }
    }

    /// Looks at the machine, and says what is new; of the tasks that have become stuck, at most so many.
    fn look(&mut self, object: &mut Object, cgroups: Option<&mut CgroupNames>, room: usize) -> Result<News> {
        let delay = self.watch.delay(Instant::now());
        let before = self.spent_ns();
        let sleepers = self.scanner.scan(object)?;
        let pass = Duration::from_nanos(self.spent_ns() - before);
        let news = self.watch.look(&sleepers, Instant::now(), room);
        let looks = Looks::one(delay, self.watch.left());
        self.past.looks += looks;
        self.looked = Some(Looked { pass, described: news.crossed.len() });
        let now = Timestamp::now();
        let mut told = Vec::new();
        for sleep in news.ended {
            if let Some(task) = self.stuck.remove(&sleep) {
                let task = StuckTask { resolved_at: Some(now), ..task };
                self.past.keep(sleep, task.clone());
                told.push(task);
            }
        }
        for (&(tid, _), task) in &mut self.stuck {
            if let Some(sleeper) = sleepers.get(&tid) {
                task.blocked_ns = sleeper.asleep_ns;
            }
        }
        let mut machine = Machine { object, scanner: &mut self.scanner };
        let mut scene = Scene::new(&mut machine, cgroups, sleepers);
        for (sleep, task) in scene.stuck(&news.crossed) {
            self.stuck.insert(sleep, task.clone());
            told.push(task);
        }
        Ok(News { tasks: told, looks })
    }

    /// What has happened, with what a look has shown if there was one.
    fn tell_news(&mut self, news: News) -> Vec<(Body, Vec<StuckTask>)> {
        let watchdogs = self.complaints();
        if news.tasks.is_empty() && watchdogs.is_empty() {
            return Vec::new();
        }
        vec![body(self.limits, news.tasks, 0, watchdogs, news.looks)]
    }

    /// What the kernel's own watchdogs have said.
    fn complaints(&mut self) -> Vec<Complaint> {
        let said = watchdog::of_target(self.log.complaints(), &self.scanner.complaints(), self.whole);
        self.past.watchdogs.extend_from_slice(&said);
        said
    }
}

/// What a record says of some tasks; there are `more` of which nothing is known.
fn body(
    limits: Limits,
    mut tasks: Vec<StuckTask>,
    more: u64,
    watchdogs: Vec<Complaint>,
    looks: Looks,
) -> (Body, Vec<StuckTask>) {
    tasks.sort_by_key(|task| (Reverse(task.blocked_ns), task.task.tid));
    let (mut groups, longest): (Vec<_>, Vec<_>) = groups::grouped(&tasks, limits.sort).into_iter().unzip();
    let mut longest: Vec<StuckTask> = longest.into_iter().map(|at| tasks[at].clone()).collect();
    let verdict = verdict::verdict(&groups, &longest, limits.threshold);
    let cut = tasks.get(limits.top..).unwrap_or_default();
    let cut_ns = cut.iter().map(|task| task.blocked_ns).sum();
    let body = Body {
        task_count: tasks.len() as u64 + more,
        resolved_count: tasks.iter().filter(|task| task.resolved_at.is_some()).count() as u64,
        tasks_omitted: Omitted { count: cut.len() as u64 + more, ns: (more == 0).then_some(cut_ns) },
        tasks: {
            tasks.truncate(limits.top);
            tasks
        },
        stuck_groups_omitted: Omitted { count: groups.len().saturating_sub(limits.top) as u64, ns: None },
        stuck_groups: {
            groups.truncate(limits.top);
            groups
        },
        watchdogs,
        looks,
        verdict,
        threshold: limits.threshold,
    };
    longest.truncate(limits.top);
    (body, longest)
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

    fn thresholds(args: &Args) -> Vec<Threshold> {
        vec![Threshold::time(ThresholdName::Stuck, args.threshold)]
    }

    fn settings(args: &Args, _kernel: &Kernel) -> Result<Settings> {
        Ok(attach::settings(args.threshold))
    }

    fn open(args: &Args, target: &Target, object: &mut Object) -> Result<Hung> {
        Ok(Hung {
            limits: Limits { threshold: args.threshold, top: args.top as usize, sort: args.sort },
            scanner: Scanner::of(&mut object.ebpf)?,
            watch: Watch::new(args.threshold, Instant::now()),
            charged_ns: None,
            looked: None,
            log: Log::open(),
            whole: matches!(target, Target::System),
            stuck: BTreeMap::new(),
            past: Harvest::default(),
        })
    }

    fn events(
        &mut self,
        object: &mut Object,
        cgroups: Option<&mut CgroupNames>,
    ) -> Result<Vec<(Body, Vec<StuckTask>)>> {
        // What the last news took to write is part of it. What the session's loop takes where there is no look is none of it: fewer looks
        // would not make it less.
        self.charge();
        let is_due = self.watch.is_due(Instant::now());
        self.charged_ns = is_due.then(|| self.spent_ns());
        let room = self.watch.budget.tasks();
        let news = if is_due { self.look(object, cgroups, room)? } else { News::default() };
        Ok(self.tell_news(news))
    }

    fn last_events(
        &mut self,
        object: &mut Object,
        cgroups: Option<&mut CgroupNames>,
    ) -> Result<Vec<(Body, Vec<StuckTask>)>> {
        // There is no other look to leave anything to.
        let news = self.look(object, cgroups, usize::MAX)?;
        Ok(self.tell_news(news))
    }

    fn harvest(&mut self) -> Result<Harvest> {
        // Intervals are as frequent as they were asked for, and do not make looks rarer.
        self.charge();
        let mut harvest = std::mem::take(&mut self.past);
        harvest.looks.delayed(self.watch.delay(Instant::now()));
        harvest.looks.left_count = self.watch.left() as u64;
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
        total.looks += interval.looks;
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
        body(self.limits, tasks, harvest.more, harvest.watchdogs.clone(), harvest.looks)
    }

    fn found_unavailable(&self) -> Vec<Unavailable> {
        let log = (!self.log.is_there()).then(|| Unavailable {
            name: attach::KERNEL_LOG.to_owned(),
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

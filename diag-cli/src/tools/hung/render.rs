//! What `osdiag hung` shows on a terminal: a block as soon as somebody is stuck, a line when they go on, and in the end all
//! that were stuck.

use anstyle::Style;

use super::{
    Report,
    record::{Complaint, Link, StuckGroup, StuckTask},
    words,
};
use crate::{
    arch::ENTRY,
    output::{bar, closing, page::Page, record::parties::Task, text, units},
};

/// Groups that are drawn; more are counted.
const GROUPS: usize = 8;
/// Functions of a stack that are shown.
const FRAMES: usize = 5;
/// A look that is later than this is worth a word.
const LATE_NS: u64 = 500_000_000;
/// Columns of the bar that says how long a group was stuck.
const BAR: usize = 24;

/// What has just happened.
pub(super) fn event(page: &mut Page, report: &Report) {
    let body = &report.record.body;
    let at = page.paint(bar::STRONG, &report.record.envelope.end.time_of_day());
    let stuck: u64 = body.stuck_groups.iter().map(|group| group.task_count - group.resolved_count).sum();
    let resolved: u64 = body.stuck_groups.iter().map(|group| group.resolved_count).sum();
    if stuck > 0 {
        let words = if stuck == 1 {
            "a task is stuck".to_owned()
        } else {
            format!("{} tasks are stuck", units::count(stuck))
        };
        page.line(&format!("{at}  {words}:"));
        let groups = body.stuck_groups.iter().zip(&report.picture);
        let mut drawn = Vec::new();
        for (group, longest) in
            groups.filter(|(group, _)| group.task_count > group.resolved_count).take(GROUPS)
        {
            block(page, group, longest, None, &mut drawn);
        }
    }
    if body.looks.left_count > 0 {
        let more = units::counted(body.looks.left_count, "more task");
        page.wrapped(Style::new(), &format!("{at}  "), &format!("{more} stuck, to be told of later"));
    }
    if resolved > 0 {
        let went_on =
            body.stuck_groups.iter().zip(&report.picture).filter(|(group, _)| group.resolved_count > 0);
        for (group, longest) in went_on.take(GROUPS) {
            let who = crowd(group, longest, group.resolved_count);
            let words = format!("{who} went on after {}", units::time(group.longest_ns));
            page.wrapped(Style::new(), &format!("{at}  "), &words);
        }
    }
    complaints(page, &body.watchdogs);
}

/// One interval in a few lines.
pub(super) fn interval(page: &mut Page, report: &Report) {
    let envelope = &report.record.envelope;
    let at = page.paint(bar::STRONG, &envelope.end.time_of_day());
    let groups = &report.record.body.stuck_groups;
    let stuck: u64 = groups.iter().map(|group| group.task_count - group.resolved_count).sum();
    let went_on: u64 = groups.iter().map(|group| group.resolved_count).sum();
    let mut words = match stuck {
        0 => "nothing is stuck".to_owned(),
        _ => format!("{} stuck", units::counted(stuck, "task")),
    };
    if went_on > 0 {
        words += &format!(", {} went on", units::count(went_on));
    }
    page.line(&format!("{at}  {words}"));
    let shown =
        groups.iter().zip(&report.picture).filter(|(group, _)| group.task_count > group.resolved_count);
    for (group, longest) in shown.take(GROUPS) {
        let root = group.root.as_ref().map(Task::label).or_else(|| group.root_name.clone());
        let behind = root.map_or(String::new(), |root| format!(", behind {root}"));
        let who = crowd(group, longest, group.task_count - group.resolved_count);
        let time = units::time(group.longest_ns);
        page.wrapped(
            Style::new(),
            "  ",
            &format!("{who} for {time}: {}{behind}", words::wait(group.keys.cause)),
        );
    }
}

/// The whole session.
pub(super) fn summary(page: &mut Page, report: &Report) {
    let envelope = &report.record.envelope;
    let body = &report.record.body;
    let all: u64 = body.stuck_groups.iter().map(|group| group.task_count).sum();
    let words = format!(
        "{} of {} stuck for {} or longer in {}",
        units::counted(all, "task"),
        envelope.target,
        units::time(u64::try_from(body.threshold.as_nanos()).unwrap_or(u64::MAX)),
        units::time(envelope.duration_ns)
    );
    page.gap();
    page.wrapped(bar::STRONG, "", &words);
    let most_ns = body.stuck_groups.iter().map(|group| group.longest_ns).max().unwrap_or(0);
    let mut drawn = Vec::new();
    for (group, longest) in body.stuck_groups.iter().zip(&report.picture).take(GROUPS) {
        page.gap();
        block(page, group, longest, Some(most_ns), &mut drawn);
    }
    if body.stuck_groups.len() > GROUPS {
        let rest: u64 = body.stuck_groups[GROUPS..].iter().map(|group| group.task_count).sum();
        let (groups, tasks) = (body.stuck_groups.len() - GROUPS, units::counted(rest, "task"));
        page.gap();
        page.wrapped(bar::FAINT, "", &format!("and {groups} more groups of {tasks}; --json has them"));
    }
    complaints(page, &body.watchdogs);
    if body.looks.longest_delay_ns > LATE_NS {
        let late = units::time(body.looks.longest_delay_ns);
        let words = format!(
            "looked up to {late} late, to spend little CPU: what came and went in between is not told of"
        );
        page.gap();
        page.wrapped(bar::FAINT, "", &words);
    }
}

/// The end of a summary.
pub(super) fn verdict(page: &mut Page, report: &Report) {
    closing::verdict(page, &report.record.body.verdict);
}

/// A group: who is stuck and on what, and below it the chain that the longest of them waits behind. A bar of how long, where
/// there is a longest one to compare with. A task that is in a chain which is `drawn` already is not drawn again.
fn block(page: &mut Page, group: &StuckGroup, task: &StuckTask, most_ns: Option<u64>, drawn: &mut Vec<u32>) {
    let over = if group.task_count == group.resolved_count { "had been stuck for" } else { "stuck for" };
    let time = units::time(group.longest_ns);
    if let Some(most_ns) = most_ns {
        let cells = bar::length(group.longest_ns, most_ns, BAR);
        let end = if group.task_count == group.resolved_count { "|" } else { ">" };
        let bar = page.paint(bar::STRONG, &format!("{}{end}", "=".repeat(cells)));
        page.line(&format!("  {time:>7} {bar}"));
    }
    let up_to = if group.task_count == 1 { "" } else { "up to " };
    let verb = match (group.task_count == group.resolved_count, group.task_count) {
        (true, _) => "waited",
        (false, 1) => "waits",
        (false, _) => "wait",
    };
    let who = crowd(group, task, group.task_count);
    let words = format!("{who}: {over} {up_to}{time}, {verb} for {}", words::wait(task.keys.cause));
    page.wrapped(bar::STRONG, "  ", &words);
    if group.task_count == 1 && task.task.tid.is_some_and(|tid| drawn.contains(&tid)) {
        page.wrapped(bar::FAINT, "    ", "it is in the chain above");
        return;
    }
    drawn.extend(task.chain.iter().filter_map(|link| link.task.as_ref()?.tid));
    let cgroup = words::cgroup(&task.task);
    details(page, 4, words::place(&task.place), cgroup, task.stack.as_deref());
    for (depth, link) in task.chain.iter().enumerate() {
        chain_link(page, depth, link, cgroup);
    }
}

fn chain_link(page: &mut Page, depth: usize, link: &Link, known: Option<&str>) {
    let indent = 4 + 2 * depth;
    let lead = format!("{:indent$}└ ", "");
    let mut words = words::relation(link.relation).to_owned();
    if let Some(task) = &link.task {
        let state = link.state.map_or("?", words::letter);
        words += &format!(" {} ({state})", task.label());
    }
    if let Some(name) = &link.name {
        words += &if link.task.is_some() { format!(", {name}") } else { format!(" {name}") };
    }
    words += &match (link.waits_for(), link.state) {
        _ if link.deadlock => ", which waits in front of it: a deadlock".to_owned(),
        (Some(cause), _) => format!(": waits for {}", words::wait(cause)),
        (None, Some(state)) => format!(": {}", words::state(state)),
        (None, None) => String::new(),
    };
    page.wrapped(Style::new(), &lead, &words);
    if let Some(task) = link.task.as_ref().filter(|_| !link.deadlock) {
        let cgroup = words::cgroup(task).filter(|&cgroup| Some(cgroup) != known);
        details(page, indent + 2, words::place(&link.place), cgroup, link.stack.as_deref());
    }
}

/// Where a task waits, and its cgroup.
fn details(
    page: &mut Page,
    indent: usize,
    place: Option<String>,
    cgroup: Option<&str>,
    stack: Option<&[String]>,
) {
    let indent = " ".repeat(indent);
    let words: Vec<String> =
        place.into_iter().chain(cgroup.map(|cgroup| format!("in cgroup {cgroup}"))).collect();
    if !words.is_empty() {
        page.wrapped(Style::new(), &indent, &words.join(", "));
    }
    if let Some(stack) = stack {
        let end = stack.iter().position(|function| ENTRY.contains(&function.as_str()));
        let told = &stack[..end.unwrap_or(stack.len())];
        page.wrapped(bar::FAINT, &format!("{indent}in "), &text::stack(told, FRAMES));
    }
}

/// Who is in a group: one by name, of more the names and how many.
fn crowd(group: &StuckGroup, longest: &StuckTask, tasks: u64) -> String {
    if group.task_count == 1 {
        return longest.task.label();
    }
    let names: Vec<String> = group
        .comms
        .iter()
        .take(3)
        .map(|comm| {
            if comm.task_count == 1 {
                comm.comm.clone()
            } else {
                format!("{} x{}", comm.comm, units::count(comm.task_count))
            }
        })
        .collect();
    let more = if group.comms.len() > names.len() || group.comms_omitted.count > 0 { ", …" } else { "" };
    format!("{} ({}{more})", units::counted(tasks, "task"), names.join(", "))
}

fn complaints(page: &mut Page, watchdogs: &[Complaint]) {
    for complaint in watchdogs {
        let lead = format!("kernel's {} watchdog: ", complaint.watchdog.name());
        page.wrapped(bar::WARNING, &text::for_terminal(&lead), &complaint.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        output::terminal::Screen,
        tools::hung::{
            record::Looks,
            sample::{chain, crowd_of, nothing, report, report_of},
        },
    };

    fn page(draw: impl Fn(&mut Page)) -> String {
        let mut page = Page::new(Screen { columns: 80, colour: false });
        draw(&mut page);
        page.into_text()
    }

    fn whole(report: &Report) -> String {
        page(|page| {
            summary(page, report);
            closing::draw(page, &report.record.envelope);
            verdict(page, report);
        })
    }

    #[test]
    fn a_chain() {
        insta::assert_snapshot!(whole(&report(vec![chain()])));
    }

    #[test]
    fn a_crowd_beside_a_deadlock_that_others_have_named() {
        let mut tasks = crowd_of(2000);
        let mut tangled = chain();
        tangled.task.comm = Some("evil\x1b]0;x\x07".into());
        tangled.chain.truncate(2);
        tangled.chain[1].deadlock = true;
        tasks.push(tangled);
        let text = whole(&report(tasks));
        assert!(!text.contains(['\x1b', '\x07']), "{text:?}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn looks_that_came_late_are_told_of() {
        let late = "looked up to 4.2 s late";
        let text = |delay_ns| {
            whole(&report_of(vec![chain()], Looks { count: 9, longest_delay_ns: delay_ns, left_count: 0 }))
        };
        assert!(text(4_200_000_000).contains(late));
        assert!(!text(60_000_000).contains("late,"));
        let looks = Looks { count: 1, longest_delay_ns: 0, left_count: 2170 };
        let text = page(|page| event(page, &report_of(vec![chain()], looks)));
        assert!(text.contains("2,170 more tasks stuck, to be told of later"), "{text}");
    }

    #[test]
    fn nothing_is_stuck() {
        insta::assert_snapshot!(whole(&nothing()));
    }

    #[test]
    fn events_and_intervals_are_short() {
        let mut tasks = vec![chain()];
        let mut gone = chain();
        gone.resolved_at = Some(report(vec![]).record.envelope.end);
        gone.chain.clear();
        tasks.push(gone);
        let report = report(tasks);
        insta::assert_snapshot!(page(|page| event(page, &report)) + &page(|page| interval(page, &report)));
    }
}

//! What `osdiag hung` shows on a terminal: a block as soon as somebody is stuck, a line when they go on, and in the end all
//! that were stuck.

use anstyle::Style;

use super::{
    Report,
    record::{Behind, Complaint, Group, StuckTask, Who},
    words,
};
use crate::output::{bar, closing, page::Page, text, units};

/// Groups that are drawn; more are counted.
const GROUPS: usize = 8;
/// Functions of a stack that are shown.
const FRAMES: usize = 5;
/// Where every stack begins, which tells nothing.
const ENTRY: &[&str] = &["do_syscall_64", "x64_sys_call", "entry_SYSCALL_64_after_hwframe", "ret_from_fork"];
/// Columns of the bar that says how long a group was stuck.
const BAR: usize = 24;

/// What has just happened.
pub(super) fn event(page: &mut Page, report: &Report) {
    let body = &report.record.body;
    let at = page.paint(bar::STRONG, &report.record.envelope.end.time_of_day());
    let stuck: u64 = body.groups.iter().map(|group| group.tasks - group.resolved).sum();
    let resolved: u64 = body.groups.iter().map(|group| group.resolved).sum();
    if stuck > 0 {
        let words = if stuck == 1 {
            "a task is stuck".to_owned()
        } else {
            format!("{} tasks are stuck", units::count(stuck))
        };
        page.line(&format!("{at}  {words}:"));
        let groups = body.groups.iter().zip(&report.picture);
        let mut drawn = Vec::new();
        for (group, longest) in groups.filter(|(group, _)| group.tasks > group.resolved).take(GROUPS) {
            block(page, group, longest, None, &mut drawn);
        }
    }
    if resolved > 0 {
        let went_on = body.groups.iter().zip(&report.picture).filter(|(group, _)| group.resolved > 0);
        for (group, longest) in went_on.take(GROUPS) {
            let who = crowd(group, longest, group.resolved);
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
    let groups = &report.record.body.groups;
    let stuck: u64 = groups.iter().map(|group| group.tasks - group.resolved).sum();
    let went_on: u64 = groups.iter().map(|group| group.resolved).sum();
    let mut words = match stuck {
        0 => "nothing is stuck".to_owned(),
        _ => format!("{} stuck", units::counted(stuck, "task")),
    };
    if went_on > 0 {
        words += &format!(", {} went on", units::count(went_on));
    }
    page.line(&format!("{at}  {words}"));
    let shown = groups.iter().zip(&report.picture).filter(|(group, _)| group.tasks > group.resolved);
    for (group, longest) in shown.take(GROUPS) {
        let behind = group.root.as_ref().map_or(String::new(), |root| format!(", behind {root}"));
        let who = crowd(group, longest, group.tasks - group.resolved);
        let time = units::time(group.longest_ns);
        page.wrapped(Style::new(), "  ", &format!("{who} for {time}: {}{behind}", group.cause.phrase()));
    }
}

/// The whole session.
pub(super) fn summary(page: &mut Page, report: &Report) {
    let envelope = &report.record.envelope;
    let body = &report.record.body;
    let all: u64 = body.groups.iter().map(|group| group.tasks).sum();
    let words = format!(
        "{} of {} stuck for {} or longer in {}",
        units::counted(all, "task"),
        envelope.target,
        units::time(body.threshold_ns),
        units::time(envelope.duration_ns)
    );
    page.gap();
    page.wrapped(bar::STRONG, "", &words);
    let most_ns = body.groups.iter().map(|group| group.longest_ns).max().unwrap_or(0);
    let mut drawn = Vec::new();
    for (group, longest) in body.groups.iter().zip(&report.picture).take(GROUPS) {
        page.gap();
        block(page, group, longest, Some(most_ns), &mut drawn);
    }
    if body.groups.len() > GROUPS {
        let rest: u64 = body.groups[GROUPS..].iter().map(|group| group.tasks).sum();
        let (groups, tasks) = (body.groups.len() - GROUPS, units::counted(rest, "task"));
        page.gap();
        page.wrapped(bar::FAINT, "", &format!("and {groups} more groups of {tasks}; --json has them"));
    }
    complaints(page, &body.watchdogs);
}

/// The end of a summary.
pub(super) fn verdict(page: &mut Page, report: &Report) {
    let body = &report.record.body;
    match &body.verdict {
        None => {
            let words = format!(
                "Nothing was stuck: no task slept uninterruptibly for {} or longer",
                units::time(body.threshold_ns)
            );
            page.wrapped(bar::STRONG, "", &words);
        }
        Some(verdict) => closing::verdict(page, &verdict.statement, &verdict.advice),
    }
}

/// A group: who is stuck and on what, and below it the chain that the longest of them waits behind. A bar of how long, where
/// there is a longest one to compare with. A task that is in a chain which is `drawn` already is not drawn again.
fn block(page: &mut Page, group: &Group, task: &StuckTask, most_ns: Option<u64>, drawn: &mut Vec<u32>) {
    let over = if group.tasks == group.resolved { "had been stuck for" } else { "stuck for" };
    let time = units::time(group.longest_ns);
    if let Some(most_ns) = most_ns {
        let cells = bar::length(group.longest_ns, most_ns, BAR);
        let end = if group.tasks == group.resolved { "|" } else { ">" };
        let bar = page.paint(bar::STRONG, &format!("{}{end}", "=".repeat(cells)));
        page.line(&format!("  {time:>7} {bar}"));
    }
    let up_to = if group.tasks == 1 { "" } else { "up to " };
    let verb = match (group.tasks == group.resolved, group.tasks) {
        (true, _) => "waited",
        (false, 1) => "waits",
        (false, _) => "wait",
    };
    let who = crowd(group, task, group.tasks);
    let words = format!("{who}: {over} {up_to}{time}, {verb} for {}", words::wait(&task.wait));
    page.wrapped(bar::STRONG, "  ", &words);
    if group.tasks == 1 && drawn.contains(&task.who.tid) {
        page.wrapped(bar::FAINT, "    ", "it is in the chain above");
        return;
    }
    drawn.extend(words::links(task).filter_map(|link| Some(link.who.as_ref()?.tid)));
    details(page, 4, &task.who, words::place(&task.wait), None);
    for (depth, link) in words::links(task).enumerate() {
        chain_link(page, depth, link, task.who.cgroup.as_deref());
    }
}

fn chain_link(page: &mut Page, depth: usize, link: &Behind, known: Option<&str>) {
    let indent = 4 + 2 * depth;
    let lead = format!("{:indent$}└ ", "");
    let mut words = words::relation(link.relation).to_owned();
    if let Some(who) = &link.who {
        words += &format!(" {} ({})", words::name(who), who.state);
    }
    if let Some(name) = &link.name {
        words += &if link.who.is_some() { format!(", {name}") } else { format!(" {name}") };
    }
    words += &match (&link.who, &link.wait) {
        _ if link.deadlock => ", which waits in front of it: a deadlock".to_owned(),
        (_, Some(wait)) => format!(": waits for {}", words::wait(wait)),
        (Some(who), None) => format!(": {}", words::state(who)),
        (None, None) => String::new(),
    };
    page.wrapped(Style::new(), &lead, &words);
    if let Some(who) = link.who.as_ref().filter(|_| !link.deadlock) {
        details(page, indent + 2, who, link.wait.as_ref().and_then(words::place), known);
    }
}

/// Where a task waits, and its cgroup, unless that is `known`.
fn details(page: &mut Page, indent: usize, who: &Who, place: Option<String>, known: Option<&str>) {
    let indent = " ".repeat(indent);
    let cgroup = who.cgroup.as_deref().filter(|&cgroup| cgroup != "/" && Some(cgroup) != known);
    let words: Vec<String> =
        place.into_iter().chain(cgroup.map(|cgroup| format!("in cgroup {cgroup}"))).collect();
    if !words.is_empty() {
        page.wrapped(Style::new(), &indent, &words.join(", "));
    }
    if !who.stack.is_empty() {
        let end = who.stack.iter().position(|function| ENTRY.contains(&function.as_str()));
        let told = &who.stack[..end.unwrap_or(who.stack.len())];
        page.wrapped(bar::FAINT, &format!("{indent}in "), &text::stack(told, FRAMES));
    }
}

/// Who is in a group: one by name, of more the names and how many.
fn crowd(group: &Group, longest: &StuckTask, tasks: u64) -> String {
    if group.tasks == 1 {
        return words::name(&longest.who);
    }
    let names: Vec<String> = group
        .comms
        .iter()
        .take(3)
        .map(|comm| {
            if comm.tasks == 1 {
                comm.comm.clone()
            } else {
                format!("{} x{}", comm.comm, units::count(comm.tasks))
            }
        })
        .collect();
    let more = if group.comms.len() > names.len() { ", …" } else { "" };
    format!("{} ({}{more})", units::counted(tasks, "task"), names.join(", "))
}

fn complaints(page: &mut Page, watchdogs: &[Complaint]) {
    for complaint in watchdogs {
        let lead = format!("kernel's {} watchdog: ", complaint.watchdog);
        page.wrapped(bar::WARNING, &text::for_terminal(&lead), &complaint.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        output::terminal::Screen,
        tools::hung::sample::{chain, crowd_of, nothing, report},
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
        tangled.who.comm = "evil\x1b]0;x\x07".into();
        let second =
            tangled.behind.as_mut().and_then(|behind| behind.behind.as_mut()).expect("a chain of three");
        (second.behind, second.deadlock) = (None, true);
        tasks.push(tangled);
        let text = whole(&report(tasks));
        assert!(!text.contains(['\x1b', '\x07']), "{text:?}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn nothing_is_stuck() {
        insta::assert_snapshot!(whole(&nothing()));
    }

    #[test]
    fn events_and_intervals_are_short() {
        let mut tasks = vec![chain()];
        let mut gone = chain();
        gone.resolved = Some(report(vec![]).record.envelope.end);
        gone.behind = None;
        tasks.push(gone);
        let report = report(tasks);
        insta::assert_snapshot!(page(|page| event(page, &report)) + &page(|page| interval(page, &report)));
    }
}

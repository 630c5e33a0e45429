//! The CPUs: how busy each was, and how long one waited for it.

use anstyle::AnsiColor;

use crate::{
    output::{bar, page::Page, units},
    tools::runq::record::CpuTime,
};

/// CPUs with a line at most: the worst.
const LINES: usize = 8;
/// Columns of the bar that shows how busy a CPU was.
const BUSY: usize = 18;

/// Draws a table.
pub(super) fn draw(page: &mut Page, cpus: &[CpuTime]) {
    let mut shown: Vec<&CpuTime> = cpus.iter().collect();
    if shown.len() > LINES {
        shown.sort_by_key(|cpu| (std::cmp::Reverse(cpu.delay.sum_ns), cpu.cpu));
        shown.truncate(LINES);
        shown.sort_by_key(|cpu| cpu.cpu);
    }
    if shown.is_empty() {
        return;
    }
    page.gap();
    let head = format!(
        "  {:>4}  {:<BUSY$}  {:>5} {:>11} {:>8} {:>8} {:>8} {:>6}",
        "CPU", "busy", "", "waits", "p50", "p99", "max", "steal"
    );
    page.line(&page.paint(bar::FAINT, &head));
    for cpu in &shown {
        let full = (cpu.busy_share * BUSY as f64).round() as usize;
        let bar = page.paint(bar::on(AnsiColor::Green), &"#".repeat(full.min(BUSY)));
        let padding = BUSY - full.min(BUSY);
        let whole = (cpu.busy_ns + cpu.idle_ns).max(1) as f64;
        let steal = cpu.steal_ns.map_or_else(|| "–".to_owned(), |ns| units::percent(ns as f64 / whole));
        let times = match cpu.delay.count {
            0 => [String::new(), String::new(), String::new()],
            _ => [cpu.delay.p50_ns, cpu.delay.p99_ns, cpu.delay.max_ns].map(units::time_or_dash),
        };
        let [p50, p99, max] = times;
        page.line(&format!(
            "  {:>4}  {bar}{:padding$}  {:>5} {:>11} {p50:>8} {p99:>8} {max:>8} {steal:>6}",
            cpu.cpu,
            "",
            units::percent(cpu.busy_share),
            units::count(cpu.delay.count),
        ));
    }
    let others = cpus.len() - shown.len();
    if others > 0 {
        let busy: f64 = cpus.iter().map(|cpu| cpu.busy_share).sum::<f64>() / cpus.len() as f64;
        let words = format!(
            "and {}, for which tasks waited less; all together were {} busy",
            units::counted(others as u64, "more CPU"),
            units::percent(busy)
        );
        page.wrapped(bar::FAINT, "  ", &words);
    }
}

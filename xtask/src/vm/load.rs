//! What each kernel takes of what osdiag has for it, and which fields, tracepoints and functions it lacks: a line for each kernel, and
//! the table of all of them.

use std::fmt::Write;
use std::time::Instant;

use super::kernel::{self, Kernel};
use super::machine::Purpose;
use super::series::Series;
use super::{Bench, Heard, say};
use crate::test::Outcome;

/// What one kernel took.
#[derive(Debug, Default, PartialEq, Eq)]
struct Row {
    kernel: &'static str,
    release: String,
    /// Tool, kind of hooks, number of programs.
    loaded: Vec<(String, String, String)>,
    fields: Vec<String>,
    tracepoints: Vec<String>,
    functions: Vec<String>,
    /// What was wrong, a line each; what is not a failure of its own explains the one before it.
    troubles: Vec<String>,
}

/// Loads every tool on each kernel and prints the table.
pub(super) fn run(bench: &Bench, series: &[&'static Series]) -> Outcome {
    let mut total = Outcome::default();
    let mut rows = Vec::new();
    for series in series {
        let start = Instant::now();
        match kernel::ensure(&bench.directory, series) {
            Ok(kernel) => {
                let row = boot(bench, series.name, kernel);
                say(format!("{}, {} s", row.line(), start.elapsed().as_secs()));
                row.troubles.iter().for_each(|trouble| say(format!("{}:   {trouble}", row.kernel)));
                total += row.outcome();
                rows.push(row);
            }
            Err(error) => {
                say(format!("{}: SKIPPED: {error:#}", series.name));
                total += Outcome::SKIPPED;
            }
        }
    }
    if !rows.is_empty() {
        println!("\n{}", table(&rows));
    }
    total
}

fn boot(bench: &Bench, name: &'static str, kernel: Kernel) -> Row {
    let heard = bench.guest(&format!("{name}-load"), &kernel, Purpose::Loading);
    let mut row = Row { kernel: name, release: kernel.release, ..Row::default() };
    match heard {
        Ok(Heard { lines, complaints }) => {
            lines.iter().for_each(|line| row.hear(line));
            if let Some((why, console)) = complaints.split_first() {
                row.troubles.push(format!("failed console: {why}"));
                row.troubles.extend_from_slice(console);
            }
        }
        Err(error) => row.troubles.push(format!("failed guest: {error:#}")),
    }
    row
}

impl Row {
    /// Takes a line of the judge's.
    fn hear(&mut self, line: &str) {
        match line.split('\t').collect::<Vec<_>>()[..] {
            ["loaded", tool, hook, programs] => {
                self.loaded.push((tool.to_owned(), hook.to_owned(), programs.to_owned()));
            }
            ["field", name] => self.fields.push(name.to_owned()),
            ["tracepoint", name] => self.tracepoints.push(name.to_owned()),
            ["function", name] => self.functions.push(name.to_owned()),
            _ => self.troubles.push(line.to_owned()),
        }
    }

    fn outcome(&self) -> Outcome {
        let failed = self.troubles.iter().filter(|trouble| trouble.starts_with("failed ")).count();
        Outcome { passed: self.loaded.len(), failed, skipped: 0 }
    }

    /// The kernel in one line.
    fn line(&self) -> String {
        let verdict = if self.outcome().failed == 0 { "ok" } else { "FAILED" };
        let Self { kernel, release, .. } = self;
        let tools = self.tools().iter().map(|tool| format!("{tool} {}", self.cell(tool))).collect::<Vec<_>>();
        let lacks =
            [("fields", &self.fields), ("tracepoints", &self.tracepoints), ("functions", &self.functions)];
        let lacks = lacks.iter().filter(|(_, names)| !names.is_empty());
        let lacks = lacks
            .fold(String::new(), |text, (what, names)| text + &format!("; no {what} {}", names.join(", ")));
        format!("{kernel}: {verdict}: {release}: {}{lacks}", tools.join(", "))
    }

    /// The tools, each once.
    fn tools(&self) -> Vec<&str> {
        let mut tools: Vec<&str> = self.loaded.iter().map(|(tool, ..)| tool.as_str()).collect();
        tools.dedup();
        tools
    }

    /// How many programs of each kind of hooks a tool has; whichever its target, there are as many.
    fn cell(&self, tool: &str) -> String {
        let of_tool = self.loaded.iter().filter(|(name, ..)| name == tool);
        let mut runs: Vec<_> = of_tool.map(|(_, hook, programs)| format!("{programs} {hook}")).collect();
        runs.dedup();
        runs.join(" + ")
    }
}

/// The rows as a table of Markdown.
fn table(rows: &[Row]) -> String {
    let mut tools: Vec<&str> = Vec::new();
    for tool in rows.iter().flat_map(Row::tools) {
        if !tools.contains(&tool) {
            tools.push(tool);
        }
    }
    let mut text =
        format!("| kernel | {} | no such field | no such tracepoint or function |\n", tools.join(" | "));
    text += &format!("| --- {}| --- | --- |\n", "| --- ".repeat(tools.len()));
    let names =
        |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    for row in rows {
        let cells = tools.iter().map(|tool| match row.cell(tool) {
            cell if cell.is_empty() => "none".to_owned(),
            cell => cell,
        });
        let cells = cells.collect::<Vec<_>>().join(" | ");
        let (fields, hooks) = (names(&row.fields), names(&[&row.tracepoints[..], &row.functions].concat()));
        writeln!(text, "| {} | {cells} | {fields} | {hooks} |", row.release).ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_a_line_and_a_row() {
        let mut row = Row { kernel: "6.8", release: "6.8.0-1-generic".to_owned(), ..Row::default() };
        for line in [
            "loaded\tiolat\ttp_btf\t20",
            "loaded\tiolat\ttp_btf\t20",
            "loaded\tiolat\traw_tp\t19",
            "loaded\tlock\traw_tp\t4",
            "field\tRQ_IRQ",
            "tracepoint\tcsd_queue_cpu",
            "function\t__down",
        ] {
            row.hear(line);
        }
        assert_eq!(row.outcome(), Outcome { passed: 4, failed: 0, skipped: 0 });
        assert_eq!(
            row.line(),
            "6.8: ok: 6.8.0-1-generic: iolat 20 tp_btf + 19 raw_tp, lock 4 raw_tp; no fields RQ_IRQ; no tracepoints csd_queue_cpu; no functions __down"
        );
        let cells =
            "| 6.8.0-1-generic | 20 tp_btf + 19 raw_tp | 4 raw_tp | `RQ_IRQ` | `csd_queue_cpu`, `__down` |\n";
        assert!(table(&[row]).ends_with(cells));
    }

    #[test]
    fn what_is_refused_is_a_failure() {
        let mut row = Row::default();
        row.hear("failed iolat raw hooks: x is not loaded: R1 invalid mem access");
        row.hear("iolat raw hooks stderr: so it is");
        assert_eq!(row.outcome(), Outcome::FAILED);
        assert!(row.line().contains("FAILED"));
    }
}

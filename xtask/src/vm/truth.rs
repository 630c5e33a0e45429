//! The table of truth: which faults osdiag names, by kernel and hierarchy of cgroups.

use std::fmt::Write;
use std::time::Instant;

use super::kernel;
use super::machine::Purpose;
use super::series::Series;
use super::{Bench, Heard, say};
use crate::test::Outcome;

/// The hierarchies, each with a guest of its own.
const HIERARCHIES: [&str; 2] = ["v1", "v2"];

/// Faults that are known to be misnamed: the fault, the place, the kernel's series, and the issue that mends it, or what tells of it.
const KNOWN: &[(&str, &str, &str, &str)] = &[
    ("iolat block.throttle", "none", "5.10", DRIFT),
    ("delays block.throttle", "none", "5.10", DRIFT),
    ("delays block.throttle", "none", "6.1", DRIFT),
    ("delays block.throttle", "none", "6.12", DRIFT),
    ("delays block.throttle", "none", "7", DRIFT),
];

/// The drift that docs/principles.md has.
const DRIFT: &str = "drift";

/// What osdiag made of a fault on one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    Right,
    Wrong,
    /// The kernel cannot have the fault.
    NotPossible,
    /// The fault was not made, so nothing is known.
    Broken,
}

impl Judgement {
    const ALL: [(&str, Self); 4] = [
        ("right", Self::Right),
        ("wrong", Self::Wrong),
        ("not possible", Self::NotPossible),
        ("broken", Self::Broken),
    ];
}

/// A cell of the table.
#[derive(Debug, PartialEq, Eq)]
struct Cell {
    fault: String,
    place: String,
    kernel: &'static str,
    judgement: Judgement,
    /// What shows the fault, and what osdiag said; or why not.
    seen: String,
}

impl Cell {
    /// Reads a line of the judge's.
    fn read(line: &str, kernel: &'static str) -> Option<Self> {
        let mut parts = line.splitn(4, '\t');
        let (fault, place, judgement, seen) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let (_, judgement) = Judgement::ALL.into_iter().find(|(name, _)| *name == judgement)?;
        Some(Self {
            fault: fault.to_owned(),
            place: place.to_owned(),
            kernel,
            judgement,
            seen: seen.to_owned(),
        })
    }

    /// The issue that mends it, if it is known to be wrong.
    fn known(&self) -> Option<&'static str> {
        let is_it = |&&(fault, place, kernel, _): &&(&str, &str, &str, &str)| {
            (fault, place, kernel) == (&self.fault, &self.place, self.kernel)
        };
        KNOWN.iter().find(is_it).map(|&(.., issue)| issue)
    }

    /// A wrong one that is known is what is expected, and one that is not wrong any more has to be unmarked.
    fn outcome(&self) -> Outcome {
        match (self.judgement, self.known()) {
            (Judgement::Right, None) | (Judgement::Wrong, Some(_)) => Outcome::PASSED,
            (Judgement::NotPossible, _) => Outcome::SKIPPED,
            _ => Outcome::FAILED,
        }
    }

    fn text(&self) -> String {
        let name = Judgement::ALL.iter().find(|(_, it)| *it == self.judgement).map_or("", |(name, _)| name);
        match self.known() {
            Some(issue) if self.judgement == Judgement::Wrong => format!("{name} ({issue})"),
            Some(issue) => format!("{name}, no longer wrong ({issue})"),
            None => (*name).to_owned(),
        }
    }
}

/// Makes all faults on each kernel and prints the table.
pub(super) fn run(bench: &Bench, series: &[&'static Series]) -> Outcome {
    let mut total = Outcome::default();
    let mut cells = Vec::new();
    for series in series {
        let name = series.name;
        match kernel::ensure(&bench.directory, series) {
            Ok(kernel) => {
                for hierarchy in HIERARCHIES {
                    let start = Instant::now();
                    let heard =
                        bench.guest(&format!("{name}-{hierarchy}"), &kernel, Purpose::Faults(hierarchy));
                    let took = start.elapsed().as_secs();
                    say(format!("{name}: faults, cgroup {hierarchy}: {}, {took} s", kernel.release));
                    total += hear(name, heard, &mut cells);
                }
            }
            Err(error) => {
                say(format!("{name}: SKIPPED: {error:#}"));
                total += Outcome::SKIPPED;
            }
        }
    }
    let kernels: Vec<_> = series.iter().map(|series| series.name).collect();
    println!("\n{}", table(&cells, &kernels));
    cells.iter().for_each(|cell| total += cell.outcome());
    total
}

/// Takes the cells from what came of a guest, and says the rest.
fn hear(kernel: &'static str, heard: anyhow::Result<Heard>, cells: &mut Vec<Cell>) -> Outcome {
    let mut outcome = Outcome::default();
    match heard {
        Ok(Heard { lines, complaints }) => {
            for line in lines {
                match Cell::read(&line, kernel) {
                    Some(cell) => cells.push(cell),
                    None => {
                        if line.starts_with("failed ") {
                            outcome += Outcome::FAILED;
                        }
                        say(format!("{kernel}:   {line}"));
                    }
                }
            }
            if !complaints.is_empty() {
                outcome += Outcome::FAILED;
                complaints.iter().for_each(|complaint| say(format!("{kernel}:   {complaint}")));
            }
        }
        Err(error) => {
            say(format!("{kernel}:   {error:#}"));
            outcome += Outcome::FAILED;
        }
    }
    outcome
}

/// The cells as a table of Markdown, a row for each fault and place; what was seen stands below.
fn table(cells: &[Cell], kernels: &[&str]) -> String {
    let mut rows: Vec<(&str, &str)> = Vec::new();
    for cell in cells {
        let row = (cell.fault.as_str(), cell.place.as_str());
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    let mut text = format!("| tool and cause | cgroup | {} |\n", kernels.join(" | "));
    text += &format!("| --- | --- {}|\n", "| --- ".repeat(kernels.len()));
    let of_row = |(fault, place): (&str, &str)| {
        let fault = fault.to_owned();
        let place = place.to_owned();
        cells.iter().filter(move |cell| cell.fault == fault && cell.place == place)
    };
    for &row in &rows {
        let column = |kernel: &&str| {
            let cell = of_row(row).find(|cell| cell.kernel == *kernel);
            cell.map_or("not run".to_owned(), Cell::text)
        };
        let columns: Vec<_> = kernels.iter().map(column).collect();
        writeln!(text, "| `{}` | {} | {} |", row.0, row.1, columns.join(" | ")).ok();
    }
    for &row in &rows {
        for cell in of_row(row) {
            let Cell { fault, place, kernel, seen, .. } = cell;
            write!(text, "\n{fault}, {place}, {kernel}: {}: {seen}", cell.text()).ok();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_a_line_of_the_judge() {
        let cell = Cell::read("iolat block.device\tnone\tright\t300 reads: so it is", "6.1").unwrap();
        assert_eq!((cell.judgement, cell.seen.as_str()), (Judgement::Right, "300 reads: so it is"));
        assert_eq!(cell.outcome(), Outcome::PASSED);
        assert_eq!(Cell::read("failed report: it is broken", "6.1"), None);
    }

    #[test]
    fn the_table_has_a_row_for_each_fault_and_place() {
        let lines = [("a\tv1\tright\tx", "6.1"), ("a\tv2\twrong\ty", "6.1"), ("a\tv1\tnot possible\tz", "7")];
        let cells: Vec<_> = lines.iter().filter_map(|(line, kernel)| Cell::read(line, kernel)).collect();
        let table = table(&cells, &["6.1", "7"]);
        assert!(
            table.contains("| `a` | v1 | right | not possible |\n| `a` | v2 | wrong | not run |\n"),
            "{table}"
        );
        assert!(table.contains("\na, v2, 6.1: wrong: y"), "{table}");
    }
}

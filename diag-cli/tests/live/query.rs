//! The query of docs/records.md, on records that were just taken.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    Outcome, Test,
    lab::{Lab, fault::Hogs, image::PlainDisk, python},
    osdiag::{Session, tool},
    workload::{Call, Desk, Job, Step},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[("query_of_two_tools_in_duckdb", two_tools)];

/// Reads a query, and writes its rows as a list of objects.
const PROGRAM: &str = "
import duckdb, json, sys
result = duckdb.connect().execute(sys.stdin.read())
names = [column[0] for column in result.description]
json.dump([dict(zip(names, row)) for row in result.fetchall()], sys.stdout)
";

/// What stands between the markers, without the fence around it.
fn query() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/records.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let marked = page.split_once("<!-- duckdb -->").and_then(|(_, rest)| rest.split_once("<!-- /duckdb -->"));
    let (fenced, _) = marked.expect("the page has a query between its markers");
    fenced.lines().filter(|line| !line.starts_with("```")).collect::<Vec<_>>().join("\n")
}

/// The rows of a query on the files in a directory.
fn rows(python: &Path, directory: &Path, query: &str) -> Vec<Value> {
    let mut child = Command::new(python)
        .args(["-c", PROGRAM])
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    child.stdin.take().expect("a pipe").write_all(query.as_bytes()).expect("python listens");
    let output = child.wait_with_output().expect("python ends");
    assert!(output.status.success(), "DuckDB refuses the query");
    serde_json::from_slice(&output.stdout).expect("python writes JSON")
}

fn two_tools() -> Outcome {
    const CALLS: u64 = 500;
    let python = python::with("duckdb==2.0.1", "duckdb")?;
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 8 << 20);
    let desk = Desk::new(&lab);
    let step = Step::Transfer {
        call: Call::Pwrite,
        block: 4096,
        span: 8 << 20,
        random: true,
        evict: false,
        sync: Some(Call::Fsync),
    };
    let plan = desk.plan(vec![Job::new(&file, step, CALLS)]);
    let hogs = Hogs::on(1, 2);
    let runq = Session::tracing(tool("runq", &["--json", "--no-hdr"]));
    let mut iolat = tool("iolat", &["--json", "--no-hdr", "--"]);
    iolat.arg(std::env::current_exe().expect("the tests have a path")).args(plan.arguments());
    let mut iolat = Session::start(iolat);
    iolat.workload(&desk).through();
    let (iolat, runq) = (iolat.finish(), runq.interrupt());
    drop(hogs);
    // Each of them also has to be a record by its own schema.
    iolat.summary();
    runq.summary();
    fs::write(lab.path("records.ndjson"), [iolat.out, runq.out].concat()).expect("a lab takes a file");

    let rows = rows(&python, lab.path("").as_path(), &query());
    let all = || rows.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let row = |what: &str, who: &str| {
        let row = rows.iter().find(|row| row["what"] == what && row["who"] == who);
        row.unwrap_or_else(|| panic!("no row of {what} {who}:\n{}", all()))
    };
    for call in ["pwrite64", "fsync"] {
        let row = row("operation", &format!("{call} on {}", disk.device.name()));
        assert_eq!(row["times"], CALLS, "{row}");
        assert!(row["p99_ns"].as_u64() > Some(0) && row["cause"].is_string(), "{row}");
    }
    let hog = row("run queue", "sh");
    assert!(hog["times"].as_u64() > Some(10), "two that share a CPU wait: {hog}");
    let sorted: Vec<u64> = rows.iter().filter_map(|row| row["p99_ns"].as_u64()).collect();
    assert!(sorted.is_sorted_by(|one, next| one >= next), "{}", all());
    Ok(())
}

//! What people see, and the exit status.

use super::scene::Scene;
use crate::{
    Outcome, Test,
    osdiag::{Finished, Session, tool},
    runq::runner::{Kind, Order},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[("diagnose_is_one_page_and_ends_as_asked", page)];

fn look(pid: u32, flags: &[&str]) -> Finished {
    let pid = pid.to_string();
    Session::start(tool("diagnose", &[flags, &["-d", "1s", "-p", &pid]].concat())).finish()
}

fn lines(finished: &Finished) -> Vec<String> {
    String::from_utf8_lossy(&finished.out).lines().map(str::to_owned).collect()
}

/// The course on standard error from the first moment on, one page on standard output; the status that was asked for.
fn page() -> Outcome {
    let scene = Scene::new()?;
    let limit = scene.quota();
    if limit.set("cpu.cfs_quota_us", "20000").is_err() {
        limit.set("cpu.max", "20000 100000")?;
    }
    let mut runner = Scene::runner(&scene.victim(), &Kind { comm: "held".to_owned(), ..Kind::default() });
    let quiet = look(runner.pid, &["--fail-on", "finding"]);
    assert_eq!(quiet.status.code(), Some(0), "{quiet:?}");

    runner.order(&Order::Spin(20_000));
    let found = look(runner.pid, &["--fail-on", "finding"]);
    assert_eq!(found.status.code(), Some(4), "{found:?}");
    let page = lines(&found);
    assert!(page[0].starts_with("Verdict: ") && page.len() <= 40, "{page:#?}");
    assert!(page.iter().all(|line| line.chars().count() <= 80), "{page:#?}");
    for heading in ["Evidence", "Ruled out", "Could not see", "Next"] {
        assert!(page.iter().any(|line| line == heading), "{heading}: {page:#?}");
    }
    let said: Vec<&str> = found.err.lines().collect();
    assert!(said[0].starts_with("osdiag diagnose: reading ") && said[1].contains(": tracing "), "{said:#?}");

    let with_summary = look(runner.pid, &["-v"]);
    assert_eq!(with_summary.status.code(), Some(0), "without --fail-on a finding is no failure");
    let page = lines(&with_summary);
    let place = |words: &str| page.iter().position(|line| line.contains(words));
    assert!(place(", by container") < place("Verdict: "), "{page:#?}");
    let unread =
        Session::start(tool("diagnose", &["-d", "1s", "--fail-on", "finding", "--", "false"])).finish();
    assert_eq!(unread.status.code(), Some(1), "a command has its own status");
    Ok(())
}

//! The target filter: what is in the target is there to the last call, and a noisy neighbour adds nothing.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    Outcome, Skip, Test,
    lab::{Lab, cgroup::Cgroup, image::PlainDisk},
    osdiag::{Finished, Session, iolat, tool, trace},
    record::{device_of, number},
    workload::{Call, Desk, Job, Plan, Report, Step, Visitor},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("target_v1_cgroup_and_its_children", v1_cgroup),
    ("target_v2_cgroup_and_its_children", v2_cgroup),
    ("target_cgroup_by_id", cgroup_by_id),
    ("target_cgroup_removed", cgroup_removed),
    ("target_pid_and_its_children", pid_and_children),
    ("target_pid_that_ends", pid_that_ends),
    ("target_comm", comm),
    ("target_command_and_its_children", command_and_children),
    ("target_command_status", command_status),
    ("target_system", system),
    ("target_cgroup_that_lives_shorter_has_its_name", short_lived_cgroup),
];

const CALLS: u64 = 400;

/// A disk with two files: one for those in the target, one for a neighbour that never rests.
struct Scene {
    desk: Desk,
    disk: PlainDisk,
    files: [PathBuf; 2],
    lab: Lab,
}

impl Scene {
    fn new() -> Outcome<Scene> {
        let lab = Lab::new();
        let disk = PlainDisk::new(&lab, 64 << 20)?;
        let files = ["mine", "theirs"].map(|name| disk.mount.file(name, 4 << 20));
        Ok(Scene { desk: Desk::new(&lab), disk, files, lab })
    }

    /// A workload of [`CALLS`] reads.
    fn mine(&self) -> Plan {
        self.desk.plan(vec![Job::new(&self.files[0], Step::transfer(Call::Pread, 4096, 4 << 20), CALLS)])
    }

    /// A workload with other calls on the same device, which lasts for so long.
    fn neighbour(&self) -> Visitor {
        let step = Step::transfer(Call::Read, 64 << 10, 64 << 10);
        let job = Job::new(&self.files[1], step, 0).lasting(Duration::from_millis(600));
        let mut neighbour = self.desk.start(&self.desk.plan(vec![job]));
        neighbour.go();
        neighbour
    }

    /// Lets a workload and its child do theirs beside the neighbour, until all have ended.
    fn let_a_family_work(&self, mut parent: Visitor) {
        let mut neighbour = self.neighbour();
        parent.go();
        self.desk.receive().through();
        parent.report();
        neighbour.report();
        parent.end();
        neighbour.end();
    }

    fn device(&self) -> String {
        device_of(self.disk.mount.path())
    }

    /// That so many reads of the target are in the summary, and nothing of the neighbour.
    fn assert_mine(&self, finished: &Finished, calls: u64) {
        let summary = finished.summary();
        summary.assert_complete();
        let on = summary.on(&self.device());
        let counts: Vec<_> = on.iter().map(|operation| (operation.call(), operation.count())).collect();
        assert_eq!(counts, [("pread64", calls)], "{}", summary.outline());
    }

    /// Traces with some flags while workloads that are already there, and a neighbour, do their work.
    fn attached(&self, flags: &[String], workloads: Vec<Visitor>) -> (Finished, Vec<Report>) {
        let mut all = vec!["--json".to_owned()];
        all.extend_from_slice(flags);
        let session = Session::tracing(iolat(&all));
        let mut neighbour = self.neighbour();
        let reports = workloads.into_iter().map(Visitor::through).collect();
        assert!(!neighbour.report().samples.is_empty(), "the neighbour is noisy");
        neighbour.end();
        (session.interrupt(), reports)
    }
}

/// Two workloads: one in the group, one in a group below it.
fn in_cgroup(scene: &Scene, group: &Cgroup, name: &str) -> Outcome {
    let child = group.child("below")?;
    let there = |path: &Path| scene.desk.start(&Plan { cgroups: vec![path.to_owned()], ..scene.mine() });
    let workloads = vec![there(group.path()), there(child.path())];
    let (finished, reports) = scene.attached(&["--cgroup".to_owned(), name.to_owned()], workloads);
    assert_eq!(reports.len(), 2);
    scene.assert_mine(&finished, 2 * CALLS);
    let target = &finished.summary().0["target"];
    assert_eq!(target["kind"], "cgroup");
    assert_eq!(target["cgroup_id"], group.id());
    Ok(())
}

fn v1_cgroup() -> Outcome {
    let scene = Scene::new()?;
    let group = Cgroup::v1(&scene.lab, "memory")?;
    in_cgroup(&scene, &group, &group.path().to_string_lossy())
}

fn v2_cgroup() -> Outcome {
    let scene = Scene::new()?;
    let group = Cgroup::v2(&scene.lab)?;
    in_cgroup(&scene, &group, &group.path().to_string_lossy())
}

fn cgroup_by_id() -> Outcome {
    let scene = Scene::new()?;
    let group = Cgroup::v2(&scene.lab)?;
    in_cgroup(&scene, &group, &group.id().to_string())
}

/// A session on a cgroup ends with it, and still says what was.
fn cgroup_removed() -> Outcome {
    let scene = Scene::new()?;
    let group = Cgroup::v1(&scene.lab, "memory")?;
    let workload = scene.desk.start(&Plan { cgroups: vec![group.path().to_owned()], ..scene.mine() });
    let path = group.path().to_string_lossy().into_owned();
    let session = Session::tracing(iolat(&["--json", "--cgroup", &path]));
    workload.through();
    drop(group);
    scene.assert_mine(&session.finish(), CALLS);
    Ok(())
}

fn pid_and_children() -> Outcome {
    let scene = Scene::new()?;
    let plan = Plan { child: Some(Box::new(scene.mine())), ..scene.mine() };
    let parent = scene.desk.start(&plan);
    let session = Session::tracing(iolat(&["--json", "-p", &parent.pid.to_string()]));
    scene.let_a_family_work(parent);
    let finished = session.finish();
    scene.assert_mine(&finished, 2 * CALLS);
    Ok(())
}

/// A session on processes ends with the last of them.
fn pid_that_ends() -> Outcome {
    let scene = Scene::new()?;
    let [first, second] = [(); 2].map(|()| scene.desk.start(&scene.mine()));
    let pids = [first.pid.to_string(), second.pid.to_string()];
    let session = Session::tracing(iolat(&["--json", "-p", &pids[0], "--pid", &pids[1]]));
    first.through();
    second.through();
    let finished = session.finish();
    assert!(finished.waited < Duration::from_secs(3), "ended {:?} after its processes", finished.waited);
    scene.assert_mine(&finished, 2 * CALLS);
    Ok(())
}

fn comm() -> Outcome {
    let scene = Scene::new()?;
    let workload = scene.desk.start(&Plan { comm: Some(b"osdiag-mine".to_vec()), ..scene.mine() });
    let alike = scene.desk.start(&Plan { comm: Some(b"osdiag-mine-not".to_vec()), ..scene.mine() });
    let flags = ["--comm".to_owned(), "osdiag-mine".to_owned()];
    let (finished, _) = scene.attached(&flags, vec![workload, alike]);
    scene.assert_mine(&finished, CALLS);
    Ok(())
}

fn command_and_children() -> Outcome {
    let scene = Scene::new()?;
    let plan = Plan { child: Some(Box::new(scene.mine())), ..scene.mine() };
    let mut command = iolat(&["--json", "--"]);
    command.arg(std::env::current_exe().expect("the tests have a path")).args(plan.arguments());
    let mut session = Session::start(command);
    let parent = session.workload(&scene.desk);
    scene.let_a_family_work(parent);
    scene.assert_mine(&session.finish(), 2 * CALLS);
    Ok(())
}

/// The command's exit status is osdiag's, as is the way in which a signal ended it.
fn command_status() -> Outcome {
    let scene = Scene::new()?;
    let traced = trace(&scene.desk, &[], &Plan { exit: 42, ..scene.mine() });
    assert_eq!(traced.finished.status.code(), Some(42), "{}", traced.finished.err);
    let records = traced.finished.any_records();
    assert_eq!(records.last().map(|record| record.text("type")), Some("summary"));
    let killed = Session::start(iolat(&["--json", "--", "sh", "-c", "kill -9 $$"])).finish();
    assert_eq!(killed.status.code(), Some(128 + libc::SIGKILL), "{}", killed.err);
    let missing = Session::start(iolat(&["--json", "--", "/nonexistent/command"])).finish();
    assert_eq!(missing.status.code(), Some(2), "{}", missing.err);
    assert_eq!(missing.err.trim().lines().count(), 1, "{}", missing.err);
    Ok(())
}

fn system() -> Outcome {
    let scene = Scene::new()?;
    let workload = scene.desk.start(&scene.mine());
    let (finished, _) = scene.attached(&[], vec![workload]);
    let summary = finished.summary();
    assert_eq!(summary.0["target"]["kind"], "system");
    assert_eq!(summary.operation("pread64", &scene.device()).count(), CALLS);
    assert!(summary.operation("read", &scene.device()).count() > 0, "the neighbour counts, too");
    Ok(())
}

/// A cgroup that is made, does its work, and is removed while the session traces, as a CI job's: the culprit that one looks for.
fn short_lived_cgroup() -> Outcome {
    let lab = Lab::new();
    let session = Session::counting(tool("runq", &["--json", "--by", "cgroup"]));
    // In each hierarchy: which of them the session names tasks by is not for this test to know.
    let made = [Cgroup::v1(&lab, "memory"), Cgroup::v1(&lab, "cpu"), Cgroup::v2(&lab)];
    let groups: Vec<Cgroup> = made.into_iter().flatten().collect();
    let path = format!("/{}", groups.first().ok_or_else(|| Skip::because("no cgroup can be made"))?.name());
    let join: String =
        groups.iter().map(|group| format!("echo $$ > {}/cgroup.procs; ", group.path().display())).collect();
    let work = format!("{join} i=0; while [ $i -lt 30000 ]; do i=$((i + 1)); done");
    let status = Command::new("sh").args(["-c", &work]).status().expect("a shell");
    assert!(status.success(), "{status}");
    let ids: Vec<u64> = groups.iter().map(Cgroup::id).collect();
    drop(groups);
    let summary = session.interrupt().summary();
    let listed = summary.0["groups"].as_array().expect("groups is a list");
    let own = listed.iter().find(|group| ids.iter().any(|&id| group["group"]["cgroup_id"] == id));
    let own = own.unwrap_or_else(|| panic!("none of {ids:?} is in {}", summary.0["groups"]));
    assert_eq!(own["group"]["cgroup"], path, "{}", own["group"]);
    assert_eq!(number(&summary.0["lost"]["cgroup_names"]), 0);
    Ok(())
}

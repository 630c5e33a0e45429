//! Which cgroup names a task, on a machine with hierarchies of v1 beside that of v2: ids are held against the directories' inodes.

use std::{path::PathBuf, thread, time::Duration};

use serde_json::{Value, json};

use crate::{
    Outcome, Test,
    hung::hung,
    lab::{Lab, cgroup::Cgroup, fault::Frozen, image::PlainDisk, wait_until},
    lock::work::{self, Work, Worker},
    osdiag::{Session, iolat, tool},
    record::Record,
    runq::runner::{Kind, Order, Runner},
    workload::{Call, Desk, Job, Plan, Step, Visitor},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("home_of_v2_else_of_the_cpu_controller", of_the_machine),
    ("home_in_the_hierarchy_of_the_target", of_the_target),
    ("home_of_those_who_wait_for_locks", of_waiters),
    ("home_that_is_gone_at_the_end", gone_at_the_end),
];

const MS: Duration = Duration::from_millis(1);

/// A container's id, and so its cgroup's name.
const CONTAINER: &str = "abadcafe0123456789abcdefabadcafe0123456789abcdefabadcafe01234567";

/// A file system that is frozen, and tasks that wait for it. It thaws first, for they cannot end before.
struct Scene {
    frozen: Option<Frozen>,
    writers: Vec<Visitor>,
    desk: Desk,
    disk: PlainDisk,
    lab: Lab,
}

impl Scene {
    fn new() -> Outcome<Scene> {
        let lab = Lab::new();
        let disk = PlainDisk::new(&lab, 64 << 20)?;
        Ok(Scene { frozen: None, writers: Vec::new(), desk: Desk::new(&lab), disk, lab })
    }

    /// Adds a writer in some cgroups; its number.
    fn writer(&mut self, cgroups: &[&Cgroup]) -> u32 {
        let file = self.disk.mount.file(&format!("file-{}", self.writers.len()), 4096);
        let job = Job::new(&file, Step::transfer(Call::Pwrite, 4096, 4096), 1);
        let cgroups: Vec<PathBuf> = cgroups.iter().map(|cgroup| cgroup.path().to_owned()).collect();
        self.writers.push(self.desk.start(&Plan { cgroups, ..self.desk.plan(vec![job]) }));
        self.writers.last().map_or(0, |writer| writer.pid)
    }

    /// Has all of them wait.
    fn freeze(&mut self) -> Outcome {
        self.frozen = Some(Frozen::new(self.disk.mount.path())?);
        self.writers.iter_mut().for_each(Visitor::go);
        let asleep = |writer: &Visitor| crate::hung::asleep(writer.pid) > 0;
        assert!(wait_until(Duration::from_secs(10), || self.writers.iter().all(asleep)), "a writer writes");
        // Longer than the threshold of `hung`.
        thread::sleep(400 * MS);
        Ok(())
    }

    /// Lets all of them go on and end.
    fn thaw(&mut self) {
        self.frozen = None;
        for mut writer in self.writers.drain(..) {
            writer.report();
            writer.end();
        }
    }
}

/// A cgroup's path in its hierarchy, as it is typed.
fn path(cgroup: &Cgroup) -> String {
    format!("/{}", cgroup.name())
}

/// The cgroups of a process's tasks in a list of objects that have one each.
fn of_tasks(list: &Value, pid: u32) -> Vec<&str> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let tasks = list.iter().map(|one| &one["task"]).filter(|task| task["pid"] == pid);
    tasks.map(|task| task["cgroup"].as_str().unwrap_or("null")).collect()
}

/// That a list has a process's tasks, all of them by this cgroup.
fn assert_named(what: &str, list: &Value, pid: u32, cgroup: &str) {
    let found = of_tasks(list, pid);
    assert!(
        !found.is_empty() && found.iter().all(|&found| found == cgroup),
        "{what}: {found:?}, not {cgroup}"
    );
}

/// The group of a cgroup's id and path.
fn group<'a>(summary: &'a Record, cgroup: &str, id: u64) -> Option<&'a Value> {
    let groups = summary.0["groups"].as_array().expect("groups is a list");
    groups
        .iter()
        .map(|group| &group["group"])
        .find(|group| group["cgroup_id"] == id && group["cgroup"] == cgroup)
}

fn delays(flags: &[&str]) -> Record {
    let all = [&["--json", "-d", "500ms", "--top", "200"], flags].concat();
    Session::start(tool("delays", &all)).finish().summary()
}

fn of_the_machine() -> Outcome {
    let mut scene = Scene::new()?;
    let (cpu, memory) = (Cgroup::v1(&scene.lab, "cpu")?, Cgroup::v1(&scene.lab, "memory")?);
    let (unified, container) = (Cgroup::v2(&scene.lab)?, cpu.child(CONTAINER)?);
    let within = unified.child("service")?;
    let (service, inner) = (format!("{}/service", path(&unified)), format!("{}/{CONTAINER}", path(&cpu)));
    let known = [
        (scene.writer(&[&cpu, &memory]), path(&cpu), cpu.id()),
        (scene.writer(&[&unified, &memory]), path(&unified), unified.id()),
        (scene.writer(&[&within, &cpu]), service, within.id()),
        // Its engine makes no cgroups of v2.
        (scene.writer(&[&within, &container]), inner.clone(), container.id()),
        (scene.writer(&[&memory]), "/".to_owned(), 1),
    ];
    scene.freeze()?;
    let stuck = Session::start(hung(&["-d", "300ms"])).finish().summary();
    let pending = Session::start(iolat(&["--json", "-d", "300ms"])).finish().summary();
    let [by_cgroup, by_container] = ["cgroup", "container"].map(|by| delays(&["--by", by]));
    scene.thaw();
    for (pid, cgroup, id) in &known {
        assert_named("hung", &json!(stuck.stuck()), *pid, cgroup);
        assert_named("iolat", &pending.0["pending"], *pid, cgroup);
        let found =
            group(&by_cgroup, cgroup, *id).unwrap_or_else(|| panic!("{id} {cgroup}: {}", by_cgroup.0));
        assert_eq!(found["type"], "cgroup");
    }
    let found = group(&by_container, &inner, container.id()).expect("the container is a group");
    assert_eq!((&found["type"], &found["container"]["id"]), (&json!("container"), &json!(CONTAINER)));
    Ok(())
}

/// Slow operations of a target in a hierarchy of v1: outside of v2, they are named in that one.
fn of_the_target() -> Outcome {
    let mut scene = Scene::new()?;
    let (cpu, memory) = (Cgroup::v1(&scene.lab, "cpu")?, Cgroup::v1(&scene.lab, "memory")?);
    let unified = Cgroup::v2(&scene.lab)?;
    let (inner, name) = (memory.child("inner")?, format!("{}/inner", path(&memory)));
    let known = [
        (scene.writer(&[&inner, &cpu]), name.clone(), inner.id()),
        (scene.writer(&[&inner, &unified]), path(&unified), unified.id()),
    ];
    let target = memory.path().to_string_lossy().into_owned();
    let mine = ["--cgroup", target.as_str()];
    let session = Session::tracing(iolat(&[&["--json", "--slowest", "100"], &mine[..]].concat()));
    scene.freeze()?;
    let by_cgroup = delays(&[&["--by", "cgroup"], &mine[..]].concat());
    let stuck = Session::start(hung(&[&["-d", "300ms"], &mine[..]].concat())).finish().summary();
    scene.thaw();
    let slow = session.interrupt().summary();
    for (pid, cgroup, id) in &known {
        assert_named("hung", &json!(stuck.stuck()), *pid, cgroup);
        assert_named("iolat", &slow.0["slowest"], *pid, cgroup);
        assert!(group(&by_cgroup, cgroup, *id).is_some(), "{id} {cgroup}: {}", by_cgroup.0["groups"]);
    }
    Ok(())
}

fn of_waiters() -> Outcome {
    let lab = Lab::new();
    let (cpu, unified) = (Cgroup::v1(&lab, "cpu")?, Cgroup::v2(&lab)?);
    let mut workers = [&cpu, &unified].map(|cgroup| {
        let cgroups = vec![cgroup.path().to_owned()];
        Worker::planned(&work::Plan { work: Work::Mmap, millis: 800, cgroups })
    });
    let session = Session::tracing(tool("lock", &["--json", "--top", "200"]));
    for worker in &mut workers {
        worker.work();
    }
    let summary = session.interrupt().summary();
    let locks = summary.0["locks"].as_array().expect("locks is a list");
    for (worker, cgroup) in workers.iter().zip([&cpu, &unified]) {
        let waited = locks.iter().find(|lock| !of_tasks(&lock["waiters"], worker.pid).is_empty());
        let lock = waited.unwrap_or_else(|| panic!("{} waited for nothing", worker.pid));
        for side in ["waiters", "owners"] {
            assert_named(side, &lock[side], worker.pid, &path(cgroup));
        }
    }
    Ok(())
}

/// A cgroup that was there before the session, and is removed before anything asks for its name.
fn gone_at_the_end() -> Outcome {
    let lab = Lab::new();
    let cgroup = Cgroup::of(&lab, "cpu")?;
    let (id, name) = (cgroup.id(), path(&cgroup));
    let cgroup_path = Some(cgroup.path().to_owned());
    let mut worker = Runner::start(&Kind { comm: "gone".to_owned(), cgroup: cgroup_path, ..Kind::default() });
    let sessions = ["delays", "runq"]
        .map(|of| Session::counting(tool(of, &["--json", "--by", "cgroup", "--top", "200"])));
    worker.order(&Order::Spin(300));
    worker.answer();
    drop(worker);
    drop(cgroup);
    for session in sessions {
        let summary = session.interrupt().summary();
        assert!(group(&summary, &name, id).is_some(), "{id} {name}: {}", summary.0["groups"]);
    }
    Ok(())
}

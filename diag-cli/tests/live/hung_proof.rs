//! `osdiag hung` where the nearest guess would be wrong: what it says, and what it advises, is what is proven.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{PipeReader, Write as _},
    os::fd::AsRawFd as _,
    path::Path,
    process::Command,
    thread,
};

use serde_json::Value;

use crate::{
    Outcome, Skip, Test,
    hung::{MS, hung_of, writer_on_a_disk},
    lab::{
        Lab,
        cgroup::Cgroup,
        crowd::Unanswered,
        disk::SlowDisk,
        fault::Frozen,
        image::{Loop, Mounted, PlainDisk},
        run,
        stuck::FrozenCgroup,
        wait_until,
    },
    osdiag::{Session, binary},
    record::{Record, number},
    stuck::{cause, chain, links, word},
    workload::{Call, Desk, Job, Open, Step},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("hung_end_with_the_session", end_with_the_session),
    ("hung_page_fault_in_a_call", page_fault_in_a_call),
    ("hung_behind_a_frozen_server_v1", behind_a_frozen_server_v1),
    ("hung_behind_a_frozen_server_v2", behind_a_frozen_server_v2),
    ("hung_mount_point_with_a_space", mount_point_with_a_space),
    ("hung_without_the_right_to_trace", without_the_right_to_trace),
    ("hung_behind_the_log_of_an_xfs", behind_the_log_of_an_xfs),
    ("hung_crowd_behind_sleeping_holders", crowd_behind_sleeping_holders),
];

/// The rules of a record's advice, and their texts.
fn advice(record: &Record) -> Vec<(&str, &str)> {
    let advice = record.0["verdict"]["advice"].as_array().map(Vec::as_slice).unwrap_or_default();
    advice.iter().map(|advice| (word(advice, "rule"), word(advice, "text"))).collect()
}

/// A process that is stuck, goes on and ends, which ends the session: the summary knows that it went on.
fn end_with_the_session() -> Outcome {
    let lab = Lab::new();
    let (disk, _, _desk, mut writer) = writer_on_a_disk(&lab)?;
    let pid = writer.pid;
    let mut session = hung_of(pid);
    let frozen = Frozen::new(disk.mount.path())?;
    writer.go();
    session.wait_for(|record| !record.stuck_of(pid).is_empty());
    drop(frozen);
    writer.report();
    writer.end();
    let summary = session.finish().summary();
    assert_eq!((summary.stuck_of(pid).len(), summary.went_on(pid).len()), (0, 1), "{}", summary.0);
    let statement = word(&summary.0["verdict"], "statement");
    assert!(statement.contains("has gone on"), "{statement}");
    Ok(())
}

/// A read of one file into a mapped page of another, whose file system is frozen: the call's file is not where it waits.
fn page_fault_in_a_call() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let page = disk.mount.file("page", 4096);
    let source = lab.path("source");
    fs::write(&source, [7; 4096]).expect("a lab takes a file");
    let (word, go) = std::io::pipe().expect("pipes exist");
    let pid = reader_into_mapping(&source, &page, &word);
    let mut session = hung_of(pid);
    let frozen = Frozen::new(disk.mount.path())?;
    (&go).write_all(b"!").expect("the reader listens");
    let event = session.wait_for(|record| !record.stuck_of(pid).is_empty());
    drop(frozen);
    // SAFETY: a number, and no status.
    unsafe { libc::waitpid(pid.cast_signed(), std::ptr::null_mut(), 0) };
    session.interrupt();
    let task = event.stuck_of(pid)[0];
    println!("{task:#}");
    assert_eq!(cause(task), "filesystem.freeze");
    for key in ["file", "device", "filesystem", "mount"] {
        assert_eq!(task[key], Value::Null, "{key}: {task}");
    }
    let advice = advice(&event);
    assert!(advice.iter().all(|(_, text)| !text.contains("fsfreeze")), "{advice:?}");
    assert!(advice.iter().any(|(rule, _)| *rule == "mapped-page"), "{advice:?}");
    Ok(())
}

/// A process that waits for a word, and then reads a page of `source` into the first page of a shared mapping of `into`. Not
/// a thread of the tests: a fault can hold the lock of its process's memory, and then the test, which needs memory, would
/// never come to thaw what the fault waits for.
fn reader_into_mapping(source: &Path, into: &Path, word: &PipeReader) -> u32 {
    let source = File::open(source).expect("it is there");
    let into = File::options().read(true).write(true).open(into).expect("it is there");
    // SAFETY: the child makes system calls alone, with descriptors that are open, and a new mapping of one page of a file
    // that has one.
    let child = unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            let mut byte = [0u8];
            libc::read(word.as_raw_fd(), byte.as_mut_ptr().cast(), 1);
            let rights = libc::PROT_READ | libc::PROT_WRITE;
            let page = libc::mmap(std::ptr::null_mut(), 4096, rights, libc::MAP_SHARED, into.as_raw_fd(), 0);
            libc::read(source.as_raw_fd(), page, 4096);
            libc::_exit(0);
        }
        child
    };
    assert!(child > 0, "no process: {}", std::io::Error::last_os_error());
    child.cast_unsigned()
}

/// A disk over a file of a FUSE server which `freeze` has frozen until the guard is dropped.
fn behind_a_frozen_server<G>(freeze: impl FnOnce(&Lab, u32) -> Outcome<G>) -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 1 << 20);
    let desk = Desk::new(&lab);
    let open = Open { direct: true, ..Open::default() };
    let job = Job::new(&file, Step::transfer(Call::Pread, 4096, 4096), 1).open(open);
    let mut reader = desk.start(&desk.plan(vec![job]));
    let pid = reader.pid;
    let mut session = hung_of(pid);
    let frozen = freeze(&lab, disk.server())?;
    reader.go();
    let event = session.wait_for(|record| !record.stuck_of(pid).is_empty());
    drop(frozen);
    reader.report();
    reader.end();
    session.finish();
    let task = event.stuck_of(pid)[0];
    let chain = chain(task);
    println!("{chain:#?}");
    let server = links(task).last().expect("there is a chain");
    assert_eq!(server["task"]["pid"], disk.server(), "{chain:?}");
    assert_eq!((word(server, "state"), cause(server).as_str()), ("frozen", "stopped.freezer"), "{server}");
    assert_eq!(task["via"], "stopped.freezer");
    let advice = advice(&event);
    assert_eq!(advice[0].0, "frozen", "{advice:?}");
    assert!(advice.iter().all(|(_, text)| !text.contains("strace") && !text.contains("kill")), "{advice:?}");
    Ok(())
}

/// A server that was put into a frozen cgroup; it is put back and goes on when this is dropped.
struct FrozenServer<T>(u32, T, fn(&T) -> &Cgroup);

impl<T> FrozenServer<T> {
    fn new(server: u32, frozen: T, group: fn(&T) -> &Cgroup) -> Outcome<FrozenServer<T>> {
        group(&frozen).set("cgroup.procs", &server.to_string())?;
        Ok(FrozenServer(server, frozen, group))
    }
}

impl<T> Drop for FrozenServer<T> {
    fn drop(&mut self) {
        let group = (self.2)(&self.1);
        for (file, value) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
            if group.path().join(file).exists() {
                group.release(file, value);
            }
        }
        let above = group.path().parent().expect("a cgroup is in a hierarchy").join("cgroup.procs");
        // A v1 cgroup lets its tasks go only once they have thawed.
        wait_until(5000 * MS, || fs::write(&above, self.0.to_string()).is_ok());
    }
}

fn behind_a_frozen_server_v1() -> Outcome {
    behind_a_frozen_server(|lab, server| {
        let group = FrozenCgroup(Cgroup::v1(lab, "freezer")?);
        let frozen = FrozenServer::new(server, group, |group| &group.0)?;
        frozen.1.freeze()?;
        Ok(frozen)
    })
}

fn behind_a_frozen_server_v2() -> Outcome {
    behind_a_frozen_server(|lab, server| {
        let frozen = FrozenServer::new(server, Cgroup::v2(lab)?, |group| group)?;
        frozen.1.set("cgroup.freeze", "1")?;
        assert!(wait_until(5000 * MS, || frozen.1.stat("cgroup.events", "frozen").is_ok_and(|is| is == 1)));
        Ok(frozen)
    })
}

/// A disk over a file on a file system whose mount point has a space, and which is frozen: the end of the chain is there, and
/// not on the file system that holds the mount point.
fn mount_point_with_a_space() -> Outcome {
    let lab = Lab::new();
    let outer = Loop::over_file(&lab, "outer.img", 192 << 20)?;
    let plain = Mounted::ext4(&lab, &outer)?;
    let below = Mounted::mount(lab.directory("m sp"), &["--bind", &plain.path().to_string_lossy()])?;
    let inner = Loop::attach(&below.file("inner", 64 << 20))?;
    let upper = Mounted::ext4(&lab, &inner)?;
    let file = upper.file("data", 4096);
    let desk = Desk::new(&lab);
    let open = Open { direct: true, ..Open::default() };
    let job = Job::new(&file, Step::transfer(Call::Pwrite, 4096, 4096), 1).open(open);
    let mut writer = desk.start(&desk.plan(vec![job]));
    let pid = writer.pid;
    let mut session = hung_of(pid);
    let frozen = Frozen::new(below.path())?;
    writer.go();
    let event = session.wait_for(|record| !record.stuck_of(pid).is_empty());
    drop(frozen);
    writer.report();
    writer.end();
    session.finish();
    let task = event.stuck_of(pid)[0];
    println!("{task:#}");
    let end = links(task).last().expect("there is a chain");
    let point = below.path().to_string_lossy();
    assert_eq!(cause(end), "filesystem.freeze", "{end}");
    assert_eq!((word(end, "mount"), word(&end["device"], "name")), (&*point, outer.name()), "{end}");
    assert_eq!(word(end, "file"), below.path().join("inner").to_string_lossy(), "{end}");
    let advice = advice(&event);
    assert!(
        advice.contains(&("thaw", &format!("if whoever froze it is gone: fsfreeze -u '{point}'"))),
        "{advice:?}"
    );
    Ok(())
}

/// As nobody with what the page says is enough: the task is found, and that its file cannot be is said.
fn without_the_right_to_trace() -> Outcome {
    let lab = Lab::new();
    let (disk, _, _desk, mut writer) = writer_on_a_disk(&lab)?;
    let pid = writer.pid;
    let frozen = Frozen::new(disk.mount.path())?;
    writer.go();
    thread::sleep(600 * MS);
    let copy = lab.path("osdiag");
    fs::copy(binary(), &copy).expect("a lab takes a binary");
    let rights = "-all,+bpf,+perfmon,+syslog";
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.args(["inh-caps", "ambient-caps", "bounding-set"].map(|set| format!("--{set}={rights}")));
    command.arg(&copy).args([
        "hung",
        "--json",
        "--threshold",
        "300ms",
        "-d",
        "300ms",
        "-p",
        &pid.to_string(),
    ]);
    let finished = Session::start(command).finish();
    drop(frozen);
    writer.report();
    writer.end();
    if finished.err.contains("setpriv:") {
        return Err(Skip::because(finished.err));
    }
    let summary = finished.summary();
    let task = summary.stuck_of(pid)[0];
    println!("{task:#}");
    assert_eq!((cause(task).as_str(), &task["file"]), ("filesystem.freeze", &Value::Null), "{task}");
    let unavailable = summary.0["unavailable"].as_array().expect("unavailable is a list");
    assert!(unavailable.iter().any(|missing| missing["name"] == "open-files"), "{unavailable:?}");
    let advice = advice(&summary);
    assert!(advice.iter().all(|(_, text)| !text.contains("fsfreeze")), "{advice:?}");
    Ok(())
}

/// `sync` of an xfs on a disk that is a file on a frozen ext4: the jbd2 of that one, which is idle, has nothing to do with it.
fn behind_the_log_of_an_xfs() -> Outcome {
    let lab = Lab::new();
    let below = PlainDisk::new(&lab, 512 << 20)?;
    let device = Loop::attach(&below.mount.file("inner", 320 << 20))?;
    run("mkfs.xfs", &["-q", &device.node().to_string_lossy()])?;
    let node = device.node().to_string_lossy().into_owned();
    let upper = Mounted::mount(lab.directory("xfs"), &["-t", "xfs", &node])?;
    for number in 0..100 {
        fs::create_dir(upper.path().join(number.to_string())).expect("xfs takes a folder");
    }
    let frozen = Frozen::new(below.mount.path())?;
    let mut sync = Command::new("sync").arg("-f").arg(upper.path()).spawn().expect("sync starts");
    let pid = sync.id();
    let mut session = hung_of(pid);
    let event = session.wait_for(|record| !record.stuck_of(pid).is_empty());
    drop(frozen);
    sync.wait().expect("sync ends");
    session.finish();
    let task = event.stuck_of(pid)[0];
    println!("{task:#}");
    let chain = chain(task);
    assert!(chain.iter().all(|link| !link.contains("jbd2")), "{chain:?}");
    assert_eq!(word(&task["device"], "name"), device.name(), "{task}");
    let end = links(task).last().expect("there is a chain");
    assert_eq!(word(end, "mount"), below.mount.path().to_string_lossy(), "{end}");
    assert_eq!(cause(end), "filesystem.freeze", "{end}");
    Ok(())
}

/// Many threads that each wait for a file position whose holder sleeps interruptibly, in a read that its server does not answer:
/// all of them are told of, each with its own holder.
fn crowd_behind_sleeping_holders() -> Outcome {
    const PAIRS: u64 = 300;
    let lab = Lab::new();
    let scene = Unanswered::new(&lab)?;
    // Before the files are open: exec would wait for the server to close them.
    let session = hung_of(std::process::id());
    let crowd = scene.crowd(PAIRS);
    let asleep = crowd.is_asleep();
    thread::sleep(1000 * MS);
    let summary = session.interrupt().summary();
    let server = scene.server();
    crowd.end();
    assert!(asleep, "one thread of each pair is in uninterruptible sleep");
    assert_eq!(number(&summary.0["task_count"]), PAIRS, "{}", summary.0["verdict"]);
    let holders: BTreeSet<u64> =
        summary.stuck().iter().map(|task| number(&links(task)[0]["task"]["tid"])).collect();
    assert_eq!(holders.len(), summary.stuck().len(), "each has a holder of its own");
    for task in summary.stuck() {
        let chain = chain(task);
        assert!(chain[0].contains(" sleeping filesystem.server"), "{chain:?}");
        assert_eq!(links(task).last().expect("a chain")["task"]["pid"], server, "{chain:?}");
    }
    Ok(())
}

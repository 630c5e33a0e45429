//! What a user can choose - names of threads, cgroups and files, lists of containers - through every tool.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs,
    os::unix::{ffi::OsStrExt, fs::FileExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    Outcome, Test,
    lab::{
        Lab,
        cgroup::Cgroup,
        fault::{Frozen, die_with_parent},
        image::PlainDisk,
        wait_until,
    },
    osdiag::{Finished, Session, binary, tool},
    workload::set_comm,
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("hostile_thread_names_in_all_tools", thread_names),
    ("hostile_cgroup_names", cgroup_names),
    ("hostile_lists_of_containers", lists_of_containers),
];

/// What makes the tests the workload of this room.
pub(crate) const FLAG: &str = "--lab-hostile";

/// A name as 15 bytes cut it within a character, with ESC, a newline, what reads as an escape, and a control character in
/// UTF-8.
const NAME: &[u8] = b"w\x1b\n\\xe5\xc2\x9b\xc3\xa9\xe5\xa5";
/// The same in records, by the contract.
const SHOWN: &str = "w\\x1b\\x0a\\x5cxe5\\xc2\\x9bé\\xe5\\xa5";

const BRIEFLY: [&str; 3] = ["--json", "-d", "400ms"];

/// A process of that name that does a bit of everything; it is killed when this is dropped.
struct Workload(Child);

impl Workload {
    fn start(file: &Path) -> Workload {
        let child = Command::new(std::env::current_exe().expect("the tests have a path"))
            .arg(FLAG)
            .arg(file)
            .stdin(Stdio::null())
            .spawn()
            .expect("the tests can start themselves");
        let comm = format!("/proc/{}/comm", child.id());
        let named = || fs::read(&comm).is_ok_and(|comm| comm.strip_suffix(b"\n") == Some(NAME));
        let workload = Workload(child);
        assert!(wait_until(Duration::from_secs(5), named), "it has no name");
        workload
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The workload: two threads that write to one file and so contend for it, two that run, one that sleeps.
pub(crate) fn main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    die_with_parent();
    set_comm(NAME);
    let path = PathBuf::from(arguments.next().expect("a file"));
    let write = move || {
        let file = fs::OpenOptions::new().write(true).open(&path).expect("the file is there");
        let block = vec![7; 1 << 20];
        loop {
            file.write_all_at(&block, 0).expect("it can be written");
            file.sync_data().expect("it can be written");
        }
    };
    let spin = || loop {
        std::hint::spin_loop();
    };
    let sleep = || loop {
        thread::sleep(Duration::from_millis(1));
    };
    // A thread has the name of the one that started it.
    thread::spawn(write.clone());
    thread::spawn(write);
    thread::spawn(spin);
    thread::spawn(spin);
    thread::spawn(sleep).join().ok();
    ExitCode::FAILURE
}

/// The names that a record gives to threads, wherever it does.
fn comms(record: &Value, into: &mut BTreeSet<String>) {
    match record {
        Value::Array(list) => list.iter().for_each(|value| comms(value, into)),
        Value::Object(object) => {
            for (key, value) in object {
                match value.as_str() {
                    Some(name) if key.ends_with("comm") => {
                        into.insert(name.to_owned());
                    }
                    _ => comms(value, into),
                }
            }
        }
        _ => {}
    }
}

/// That these records name threads, the workload's by the name that it has, and no other of its kind.
fn assert_named(name: &str, finished: &Finished) {
    let mut found = BTreeSet::new();
    for record in finished.records() {
        comms(&record.0, &mut found);
    }
    let alike: Vec<&String> =
        found.iter().filter(|comm| comm.starts_with('w') && comm.contains('é')).collect();
    assert_eq!(alike, [SHOWN], "{name}: {found:?}");
    assert!(found.iter().all(|comm| !comm.contains(char::is_control)), "{name}: {found:?}");
}

fn thread_names() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 1 << 20);
    let workload = Workload::start(&file);
    let pid = workload.pid().to_string();
    let run = |name: &str, flags: &[&str]| {
        Session::start(tool(name, &[BRIEFLY.as_slice(), flags].concat())).finish()
    };
    for name in ["iolat", "runq", "lock", "vmexit"] {
        assert_named(name, &run(name, &["--comm", SHOWN]));
        assert_named(name, &run(name, &["-p", &pid]));
    }
    // The bytes themselves are accepted, too.
    let mut command = tool("runq", &BRIEFLY);
    command.arg("--comm").arg(OsStr::from_bytes(NAME));
    assert_named("runq", &Session::start(command).finish());
    // And stuck: in what has happened, and in what does not return.
    let frozen = Frozen::new(disk.mount.path())?;
    let asleep = |task: &fs::DirEntry| {
        let stat = fs::read(task.path().join("stat")).unwrap_or_default();
        stat.rsplit(|byte| *byte == b')').next().is_some_and(|rest| rest.starts_with(b" D"))
    };
    let tasks = || fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    assert!(wait_until(Duration::from_secs(5), || tasks().any(|task| asleep(&task))), "nothing is stuck");
    for flags in [["--comm", SHOWN], ["-p", &pid]] {
        assert_named("hung", &run("hung", &[["--threshold", "200ms"], flags].concat()));
        let finished = run("iolat", &flags);
        let pending = &finished.summary().0["pending"];
        let stuck = pending.as_array().expect("a list").iter().filter(|task| task.to_string().contains(&pid));
        assert!(stuck.count() >= 1, "none of its operations is pending: {pending}");
        assert_named("iolat", &finished);
    }
    drop(frozen);
    drop(workload);
    Ok(())
}

fn cgroup_names() -> Outcome {
    let lab = Lab::new();
    // In the hierarchy by which runq names cgroups.
    let parent = Cgroup::of(&lab, "cpu")?;
    let name = OsStr::from_bytes(b"g\xff\x1b\\x1b\\x2d");
    let shown = format!("/{}/g\\xff\\x1b\\x5cx1b\\x2d", lab.name());
    let folder = parent.path().join(name);
    // It goes with its parent.
    fs::create_dir(&folder).expect("a cgroup may have any name without a newline");
    let mut child = Command::new("sh")
        .args(["-c", "while :; do sleep 0.01; done"])
        .stdin(Stdio::null())
        .spawn()
        .expect("a shell can be started");
    fs::write(folder.join("cgroup.procs"), child.id().to_string()).expect("a process can move");
    let typed = [OsString::from(&shown), folder.clone().into_os_string()];
    for cgroup in typed {
        let mut command = tool("runq", &BRIEFLY);
        command.args(["--by", "cgroup", "--cgroup"]).arg(&cgroup);
        let finished = Session::start(command).finish();
        let record = finished.summary().0;
        let target = record["target"].to_string();
        let quoted = Value::from(shown.as_str()).to_string();
        assert!(target.contains(&quoted), "{target} does not name {quoted}");
        assert!(record["groups"].to_string().contains(&quoted), "{}", record["groups"]);
    }
    child.kill().expect("it runs");
    child.wait().expect("it can be waited for");
    Ok(())
}

/// In homes of a mount namespace's own.
fn lists_of_containers() -> Outcome {
    const LIST: &str = "storage=$home/.local/share/containers/storage/overlay-containers; \
                        mkdir -p $storage; list=$storage/containers.json; ";
    for make in ["mkfifo $list", "ln -s /dev/zero $list", "truncate -s 1T $list", "mkdir $list"] {
        let script =
            format!("mount -t tmpfs homes /home && home=/home/osdiag-lab; {LIST} {make}; exec \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", &script, "sh"]).arg(binary());
        command.args(["iolat", "--json", "-d", "1s", "--container", "osdiag-lab-web"]);
        let start = Instant::now();
        let finished = Session::start(command).finish();
        if finished.err.contains("unshare:") || finished.err.contains("mount:") {
            return Err(crate::Skip::because(finished.err.trim()));
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{make}: it took {:?}", start.elapsed());
        assert_eq!(finished.status.code(), Some(2), "{make}: {}", finished.err);
        assert_eq!(finished.err.lines().count(), 1, "{make}: {}", finished.err);
        assert!(finished.err.contains("containers.json: "), "{make}: {}", finished.err);
    }
    Ok(())
}

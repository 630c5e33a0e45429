//! Operations whose tasks are killed in the midst of them, and never come back to user mode. How many there were is known from
//! the disk's server, which answered each of them once.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::{
    Outcome, Skip, Test,
    lab::{Lab, cgroup::Cgroup, disk::SlowDisk, wait_until},
    osdiag::{Session, iolat},
    record::{device_of, number},
};

/// The tests of this file.
pub(crate) const TESTS: &[Test] = &[
    ("killed_by_a_signal", by_a_signal),
    ("killed_by_another_thread_that_exits", by_exit_group),
    ("killed_by_the_oom_killer", by_the_oom_killer),
];

/// Reads in flight when their tasks are killed.
const READS: u64 = 8;
/// How long the disk takes for each; it answers one after the other.
const DELAY: Duration = Duration::from_millis(60);
const PATIENCE: Duration = Duration::from_secs(20);

/// Threads that read a block each past the page cache; then the process does what follows.
const READERS: &str = "
import os, sys, mmap, threading, time
def read(at):
    fd = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
    os.preadv(fd, [mmap.mmap(-1, 4096)], at * 4096)
for at in range(int(sys.argv[2])):
    threading.Thread(target=read, args=(at,), daemon=True).start()
time.sleep(0.1)
";

fn python(device: &Path, rest: &str) -> Outcome<Child> {
    Command::new("python3")
        .args(["-c", &format!("{READERS}{rest}")])
        .arg(device)
        .arg(READS.to_string())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| Skip::because(format!("python3: {error}")))
}

/// Traces while `start` starts readers and `kill` kills them; every read that the disk answered must be counted.
fn killed(start: impl FnOnce(&Path) -> Outcome<Vec<Child>>, kill: impl FnOnce(&mut Vec<Child>)) -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let node = disk.device.node().to_owned();
    disk.delay(DELAY);
    let session = Session::counting(iolat(&["--json", "-d", "30s"]));
    let before = disk.served().requests;
    let mut children = start(&node)?;
    thread::sleep(2 * DELAY);
    kill(&mut children);
    for mut child in children {
        let status = child.wait().expect("a child can be waited for");
        assert_ne!(status.code(), Some(1), "the readers failed by themselves");
    }
    assert!(wait_until(PATIENCE, || disk.served().requests >= before + READS), "the disk answers every read");
    let finished = session.interrupt();
    let served = disk.served().requests - before;
    let summary = finished.summary();
    let on = summary.on(&device_of(&node));
    let counted: u64 = on.iter().map(|operation| operation.count()).sum();
    let lost = number(&summary.0["lost"]["missed_runs"]) + number(&summary.0["lost"]["task_state"]);
    assert!(counted + lost >= READS && counted <= served, "{counted} of {READS}: {}", summary.outline());
    let shortest = on.iter().map(|operation| operation.latency("min_ns")).min().unwrap_or_default();
    assert!(u128::from(shortest) >= DELAY.as_nanos() / 2, "none was cut off: {}", summary.outline());
    Ok(())
}

fn by_a_signal() -> Outcome {
    let start = |node: &Path| {
        let reader = |at: u64| {
            Command::new("dd")
                .arg(format!("if={}", node.display()))
                .args(["of=/dev/null", "bs=4k", "count=1", "iflag=direct", "status=none"])
                .arg(format!("skip={at}"))
                .spawn()
                .expect("dd can be started")
        };
        Ok((0..READS).map(reader).collect())
    };
    killed(start, |children| children.iter_mut().for_each(|child| child.kill().expect("it is a child")))
}

fn by_exit_group() -> Outcome {
    killed(|node| Ok(vec![python(node, "os._exit(0)\n")?]), |_| ())
}

fn by_the_oom_killer() -> Outcome {
    let lab = Lab::new();
    let group = Cgroup::v1(&lab, "memory")?;
    group.set("memory.limit_in_bytes", "64M")?;
    let procs = group.path().join("cgroup.procs");
    let rest =
        format!("open({procs:?}, 'w').write(str(os.getpid()))\nwaste = bytearray(1 << 28)\ntime.sleep(9)\n");
    killed(|node| Ok(vec![python(node, &rest)?]), |_| ())?;
    assert!(group.stat("memory.oom_control", "oom_kill")? > 0, "the OOM killer did it");
    Ok(())
}

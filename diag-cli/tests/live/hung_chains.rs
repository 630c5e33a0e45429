//! `osdiag hung` where somebody is behind those that are stuck: holders, servers, children, and themselves.

use std::{process::Command, thread, time::Duration};

use serde_json::Value;

use crate::{
    Outcome, Test,
    hung::{MS, Weather, assert_lasted, hung, hung_of, one_write},
    lab::{
        Lab,
        disk::SlowDisk,
        fault::Frozen,
        image::{Loop, Mounted, PlainDisk},
        stuck::{ChildrenOf, Stopped, Vforking},
    },
    osdiag::Session,
    record::Record,
    stuck::{cause, chain, links, word},
    workload::{Call, Desk, Job, Open, Plan, Step},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("hung_chain_of_three", chain_of_three),
    ("hung_loop_device_over_stopped_fuse_server", loop_over_stopped_server),
    ("hung_behind_the_journal", behind_the_journal),
    ("hung_fuse_server_that_stops_answering", stopped_server),
    ("hung_fuse_wait_after_a_signal", fuse_wait_after_a_signal),
    ("hung_vfork", vfork),
    ("hung_deadlock", deadlock),
];

/// Two writers of one file on a disk that is a file on a frozen file system: one waits for the other's inode lock, that
/// one for the disk, the disk's worker for the frozen file system.
fn chain_of_three() -> Outcome {
    let lab = Lab::new();
    let below = PlainDisk::new(&lab, 192 << 20)?;
    let image = below.mount.file("upper.img", 64 << 20);
    let device = Loop::attach(&image)?;
    let upper = Mounted::ext4(&lab, &device)?;
    let file = upper.file("data", 0);
    let desk = Desk::new(&lab);
    let open = Open { direct: true, append: true, ..Open::default() };
    let job = Job::new(&file, Step::transfer(Call::Write, 4096, 4096), 1).open(open).threads(2);
    let mut writers = desk.start(&desk.plan(vec![job]));
    let pid = writers.pid;
    let mut session = hung_of(pid);
    let frozen = Frozen::new(below.mount.path())?;
    writers.go();
    let is_behind =
        |record: &Record| record.stuck_of(pid).iter().any(|task| cause(task) == "filesystem.inode-lock");
    let event = session.wait_for(is_behind);
    let stuck = event.stuck_of(pid);
    let task = *stuck.iter().find(|task| cause(task) == "filesystem.inode-lock").expect("it was there");
    let chain = chain(task);
    println!("{chain:#?}");
    drop(frozen);
    writers.report();
    writers.end();
    session.finish().summary().assert_complete();
    assert_eq!(word(task, "file"), file.to_string_lossy());
    let [holder, worker] = &chain[..] else { panic!("a chain of two behind it, not {chain:?}: {task}") };
    assert!(holder.starts_with("holder ") && holder.ends_with(" uninterruptible block.wait"), "{holder}");
    assert!(
        worker.starts_with("loop-worker kworker/") && worker.ends_with(" uninterruptible filesystem.freeze"),
        "{worker}"
    );
    assert_eq!(task["via"], "filesystem.freeze");
    let [holder, frozen] = links(task) else { unreachable!("there are two") };
    assert_eq!(holder["task"]["pid"], pid);
    assert_eq!(word(&holder["device"], "name"), device.name());
    assert_eq!(
        word(frozen, "mount"),
        below.mount.path().to_string_lossy(),
        "what is frozen is below: {frozen}"
    );
    Ok(())
}

/// A disk whose requests never complete: a loop device over a file of a FUSE server that is stopped.
fn loop_over_stopped_server() -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 1 << 20);
    let desk = Desk::new(&lab);
    let open = Open { direct: true, ..Open::default() };
    let mut reader =
        desk.start(&desk.plan(vec![Job::new(&file, Step::transfer(Call::Pread, 4096, 4096), 1).open(open)]));
    let pid = reader.pid;
    let mut session = hung_of(pid);
    let stopped = Stopped::new(disk.server());
    reader.go();
    let event = session.wait_for(|record| !record.stuck_of(pid).is_empty());
    drop(stopped);
    reader.report();
    reader.end();
    session.finish().summary().assert_complete();
    let task = event.stuck_of(pid)[0];
    let chain = chain(task);
    println!("{chain:#?}");
    assert_eq!(
        (cause(task).as_str(), word(&task["device"], "name")),
        ("block.wait", disk.device.name()),
        "{task}"
    );
    let server = chain.last().map(String::as_str).unwrap_or_default();
    assert!(server.starts_with("fuse-server ") && server.ends_with(" stopped stopped.signal"), "{chain:?}");
    assert!(chain[0].starts_with("loop-"), "{chain:?}");
    assert_eq!(links(task).last().expect("there is a chain")["task"]["pid"], disk.server(), "{task}");
    assert_eq!(task["via"], "stopped.signal", "{task}");
    Ok(())
}

/// A change of attributes that only the journal has to write, on a disk whose requests do not complete: the caller waits
/// for jbd2, and that for the disk.
fn behind_the_journal() -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 4096);
    let desk = Desk::new(&lab);
    let mut changer = desk.start(&desk.plan(vec![Job::new(&file, Step::Touch, 1)]));
    let pid = changer.pid;
    let mut session = hung_of(pid);
    let stopped = Stopped::new(disk.server());
    changer.go();
    let is_behind = |record: &Record| record.stuck_of(pid).iter().any(|task| !links(task).is_empty());
    let event = session.wait_for(is_behind);
    drop(stopped);
    changer.report();
    changer.end();
    session.finish().summary().assert_complete();
    let task = event.stuck_of(pid)[0];
    let chain = chain(task);
    println!("{chain:#?}");
    assert_eq!(
        (cause(task).as_str(), word(&task["device"], "name")),
        ("filesystem.journal", disk.device.name()),
        "{task}"
    );
    let journal = format!("journal-thread jbd2/{}-8 uninterruptible block.wait", disk.device.name());
    assert_eq!(chain[0], journal, "{task}");
    assert!(chain.last().is_some_and(|server| server.starts_with("fuse-server ")), "{chain:?}");
    Ok(())
}

/// Two writers of one file that a stopped FUSE server serves: the one that waits for the server does so interruptibly, and is
/// no alarm; the one that waits for the other's lock is.
fn stopped_server() -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let desk = Desk::new(&lab);
    let plan = Plan { comm: Some(b"two-writers".to_vec()), ..desk.plan(vec![one_write(&disk.file(), 2)]) };
    let mut writers = desk.start(&plan);
    let pid = writers.pid;
    let mut session = hung_of(pid);
    // Slow first, so that the file is open and the first write under way when the server stops.
    disk.delay(2000 * MS);
    writers.go();
    thread::sleep(100 * MS);
    let stopped = Stopped::new(disk.server());
    let event = session.wait_for(|record| !record.stuck_of(pid).is_empty());
    drop(stopped);
    disk.delay(Duration::ZERO);
    writers.report();
    writers.end();
    session.finish().summary().assert_complete();
    let tasks = event.stuck_of(pid);
    let chain = chain(tasks[0]);
    println!("{chain:#?}");
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    assert!(["filesystem.lock", "filesystem.inode-lock", "lock.kernel"].contains(&cause(tasks[0]).as_str()));
    assert!(
        matches!(&chain[..], [holder, server]
        if holder == "holder two-writers sleeping filesystem.server"
            && server.starts_with("fuse-server ") && server.ends_with(" stopped stopped.signal")),
        "{chain:?}"
    );
    let [holder, server] = links(tasks[0]) else { unreachable!("there are two") };
    assert_eq!(word(holder, "file"), disk.file().to_string_lossy());
    assert_eq!(server["task"]["pid"], disk.server());
    Ok(())
}

/// Who waits for a FUSE server and has got a signal can only be killed any more.
fn fuse_wait_after_a_signal() -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let stopped = Stopped::new(disk.server());
    let file = disk.file();
    let mut reader = Command::new("sh")
        .args(["-c", "trap : USR1; read line <\"$0\""])
        .arg(&file)
        .spawn()
        .expect("a shell can be started");
    let pid = reader.id();
    let mut session = hung_of(pid);
    thread::sleep(300 * MS);
    // SAFETY: kill takes two numbers; the process has not been waited for.
    unsafe { libc::kill(pid.cast_signed(), libc::SIGUSR1) };
    let event = session.wait_for(|record| !record.stuck_of(pid).is_empty());
    reader.kill().ok();
    drop(stopped);
    reader.wait().ok();
    session.finish();
    let task = event.stuck_of(pid)[0];
    println!("{task:#}");
    assert_eq!(
        (cause(task).as_str(), &task["killable"]),
        ("filesystem.server", &Value::Bool(true)),
        "{task}"
    );
    let chain = chain(task);
    assert!(chain.len() == 1 && chain[0].starts_with("fuse-server "), "{chain:?}");
    assert_eq!(links(task)[0]["task"]["pid"], disk.server());
    Ok(())
}

/// A parent in vfork, whose child waits for something else before exec.
fn vfork() -> Outcome {
    let lab = Lab::new();
    let weather = Weather::watch();
    let pid = std::process::id();
    let mut session = hung_of(pid);
    let vforking = Vforking::new(&lab)?;
    let event = session.wait_for(|record| !record.stuck_of(pid).is_empty());
    let took = vforking.end();
    let resolved = session.wait_for(|record| !record.went_on(pid).is_empty());
    session.interrupt();
    let task = event.stuck_of(pid)[0];
    let chain = chain(task);
    println!("{chain:#?}");
    assert_eq!(cause(task), "ipc.child", "{task}");
    assert!(
        chain.len() == 1 && chain[0].starts_with("vfork-child ") && chain[0].ends_with(" sleeping ipc.pipe"),
        "{chain:?}"
    );
    let child = &links(task)[0];
    assert_ne!(child["task"]["pid"], pid, "the child is a process of its own");
    let open = child["stack"].as_array().expect("a stack").iter().any(|f| f == "fifo_open");
    assert!(open, "the child waits at the FIFO: {task}");
    assert_lasted(resolved.went_on(pid)[0], took, weather.worst());
    Ok(())
}

/// A FUSE server whose only thread is in vfork, and whose child opens a file that the same thread serves.
fn deadlock() -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 1 << 20);
    let desk = Desk::new(&lab);
    let server = disk.server();
    let mut session = Session::tracing(hung(&[]));
    disk.tangle();
    let untangle = ChildrenOf(server);
    let open = Open { direct: true, ..Open::default() };
    let mut reader =
        desk.start(&desk.plan(vec![Job::new(&file, Step::transfer(Call::Pread, 4096, 4096), 1).open(open)]));
    reader.go();
    let event = session.wait_for(|record| !record.stuck_of(server).is_empty());
    drop(untangle);
    reader.report();
    reader.end();
    let summary = session.interrupt().summary();
    let task = event.stuck_of(server)[0];
    let chain = chain(task);
    println!("{chain:#?}");
    assert!(
        matches!(&chain[..], [child, itself]
        if child.starts_with("vfork-child ") && child.ends_with(" sleeping filesystem.server")
            && itself.starts_with("fuse-server ")),
        "{chain:?}"
    );
    let itself = &links(task)[1];
    assert_eq!(itself["deadlock"], true, "{task}");
    assert_eq!(itself["task"]["tid"], task["task"]["tid"], "{task}");
    let verdict = &summary.0["verdict"];
    assert_eq!(verdict["advice"][0]["rule"], "deadlock", "{verdict}");
    assert!(word(verdict, "statement").contains("deadlock"), "{verdict}");
    Ok(())
}

//! What the one who ended a wait was itself waiting for: a journal behind a slow disk, and a lock's holder behind it.

use std::{
    fs,
    io::Write as _,
    os::{fd::AsFd as _, unix::fs::OpenOptionsExt as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::{
    culprits::{culprits, time_of},
    record::{Time, path},
    trace,
    waits::named,
};
use crate::{
    Outcome, Test,
    lab::{Lab, disk::SlowDisk},
    record::number,
    workload::{Buffer, Call, make},
};

/// The tests of this file.
pub(crate) const TESTS: &[Test] = &[
    ("delays_journal_behind_a_disk", journal_behind_a_disk),
    ("delays_lock_behind_a_disk", lock_behind_a_disk),
];

/// The time of a cause, and that of it behind `block.device`, ns.
fn behind_the_device(time: Time<'_>, cause: &str) -> (u64, u64) {
    let of_cause = || time.list("causes").iter().filter(|found| path(found) == cause);
    let behind = of_cause().filter(|found| found["via"] == "block.device");
    (of_cause().map(|found| number(&found["ns"])).sum(), behind.map(|found| number(&found["ns"])).sum())
}

/// Who waits for a commit of the journal waits for the disk: jbd2 itself does nothing else in that time.
fn journal_behind_a_disk() -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let path = disk.mount.file("data", 4096);
    disk.delay(Duration::from_millis(5));
    let end = Arc::new(AtomicBool::new(false));
    let writer = named("dr-writer", {
        let end = Arc::clone(&end);
        move || {
            while !end.load(Ordering::Relaxed) {
                let mut file = fs::OpenOptions::new().append(true).open(&path).expect("the file opens");
                file.write_all(&[1; 512]).expect("it is written to");
                file.sync_all().expect("it is synced");
            }
        }
    });
    let session = trace(&["--by", "comm"]);
    thread::sleep(Duration::from_millis(2_000));
    let summary = session.interrupt().summary();
    end.store(true, Ordering::Relaxed);
    disk.delay(Duration::ZERO);
    writer.join().ok();
    let group = summary.time("dr-writer");
    let (journal, behind) = behind_the_device(group, "filesystem.journal");
    assert!(journal >= 500_000_000, "it waited {journal} ns for the journal: {}", group.0.0);
    assert!(behind >= journal / 10 * 8, "{behind} of {journal} ns behind the device: {}", group.0.0);
    Ok(())
}

/// Two threads write to one file, past the cache: while one waits for the disk with the inode's lock, the other waits for that lock, and
/// for the one who has it.
fn lock_behind_a_disk() -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let path = disk.mount.file("data", 1 << 20);
    disk.delay(Duration::from_millis(5));
    let end = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = [("dr-one", 0), ("dr-two", 1)]
        .map(|(name, place)| {
            let (end, path) = (Arc::clone(&end), path.clone());
            named(name, move || {
                let mut options = fs::OpenOptions::new();
                let file = options.write(true).custom_flags(libc::O_DIRECT | libc::O_SYNC).open(path);
                let file = file.expect("the file opens");
                let mut page = Buffer::new(4096);
                while !end.load(Ordering::Relaxed) {
                    // Beyond the end: a write that makes the file longer has the lock for itself.
                    let end = file.metadata().expect("it is there").len();
                    let at = end.next_multiple_of(8192) + place * 4096;
                    make(Call::Pwrite, file.as_fd(), &mut page, at).expect("it is written to");
                }
            })
        })
        .into_iter()
        .collect();
    let session = trace(&["--by", "comm"]);
    thread::sleep(Duration::from_millis(2_000));
    let summary = session.interrupt().summary();
    end.store(true, Ordering::Relaxed);
    disk.delay(Duration::ZERO);
    for writer in writers {
        writer.join().ok();
    }
    for (name, rival) in [("dr-one", "dr-two"), ("dr-two", "dr-one")] {
        let group = summary.time(name);
        let (waited, behind) = behind_the_device(group, "filesystem.inode-lock");
        assert!(waited >= 200_000_000, "{name} waited {waited} ns for the lock: {}", group.0.0);
        // On a busy machine the one who has the lock also waits for a CPU.
        assert!(behind >= waited / 2, "{behind} of {waited} ns behind the device: {}", group.0.0);
        let culprits = culprits(group, "lock");
        // Where the lock is on its way to a waiter, it has no owner: beside other work, for as long as that waits for a CPU.
        let had = time_of(&culprits, rival);
        assert!(had >= waited / 4, "{rival} had the lock for {had} of {waited} ns: {culprits:?}");
        let all: u64 = culprits.iter().map(|(_, ns)| ns).sum();
        // A wait that goes on at either end of the session has its culprit when it ends, and then for the whole of it.
        assert!(all.abs_diff(waited) <= waited / 20, "culprits have {all} of {waited} ns: {culprits:?}");
        let named: Vec<&String> = culprits.iter().filter_map(|(name, _)| name.as_ref()).collect();
        assert_eq!(named, [rival], "{culprits:?}");
    }
    Ok(())
}

//! What the kernel's own watchdogs say, from its log.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::fs::OpenOptionsExt as _,
};

use super::record::{Complaint, Watchdog};
use crate::output::{text::escape, time::Timestamp};

/// The kernel's log.
pub(super) const LOG: &str = "/dev/kmsg";

/// A line is at most this long, with what it says of itself (`PRINTK_MESSAGE_MAX`, kernel/printk/internal.h, 6.18).
const LINE_BYTES: usize = 8192;

/// Lines that one look reads: a log storm, which a sick machine may have, must not keep the session from its time and its
/// signals. At a look each 50 ms that is 20,000 lines a second; a log of 1 MiB holds some 10,000.
const LINES_A_LOOK: usize = 1000;

/// What watchdogs say, and which of them it is.
const SAYINGS: &[(&str, Watchdog)] = &[
    // kernel/hung_task.c, 6.18; "blocked in I/O wait for" from 7.1 on
    ("INFO: task ", Watchdog::HungTask),
    // kernel/watchdog.c, 6.18
    ("BUG: soft lockup", Watchdog::SoftLockup),
    ("hard LOCKUP on cpu", Watchdog::HardLockup),
    // kernel/rcu/tree_stall.h, tree_exp.h, 6.18
    ("detected stalls on CPUs", Watchdog::RcuStall),
    ("self-detected stall on CPU", Watchdog::RcuStall),
    ("detected expedited stalls", Watchdog::RcuStall),
    // kernel/workqueue.c, 6.18
    ("BUG: workqueue lockup", Watchdog::Workqueue),
];

/// The kernel's log from now on.
pub(super) struct Log(Option<File>);

impl Log {
    /// Opens it; where that is not allowed, it stays silent.
    pub(super) fn open() -> Log {
        let open = || {
            let mut log =
                OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(LOG)?;
            log.seek(SeekFrom::End(0))?;
            std::io::Result::Ok(log)
        };
        Log(open().ok())
    }

    /// Whether it can be read.
    pub(super) fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// What watchdogs have said since the last call, as far as one look goes.
    pub(super) fn complaints(&mut self) -> Vec<Complaint> {
        let mut complaints = Vec::new();
        let Some(log) = &mut self.0 else { return complaints };
        let mut line = [0; LINE_BYTES];
        for _ in 0..LINES_A_LOOK {
            match log.read(&mut line) {
                Ok(0) => break,
                Ok(length) => complaints.extend(complaint(&line[..length])),
                // Lines were overwritten before they were read: the next call has the oldest that is left.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(_) => break,
            }
        }
        complaints
    }
}

/// What a line of the log says, if a watchdog of the kernel says it: `PRIORITY,NUMBER,TIME,FLAGS;TEXT` (the format is
/// Documentation/ABI/testing/dev-kmsg). Lines of other facilities than the kernel's are somebody else's.
fn complaint(line: &[u8]) -> Option<Complaint> {
    let end = line.iter().position(|&byte| byte == b'\n').unwrap_or(line.len());
    let at = line.iter().position(|&byte| byte == b';')?;
    let priority: u32 = str::from_utf8(line[..at].split(|&byte| byte == b',').next()?).ok()?.parse().ok()?;
    if priority >> 3 != 0 {
        return None;
    }
    let text = line.get(at + 1..end)?;
    let says = |saying: &str| text.windows(saying.len()).any(|part| part == saying.as_bytes());
    let &(_, watchdog) = SAYINGS.iter().find(|(saying, _)| says(saying))?;
    Some(Complaint { watchdog, at: Timestamp::now(), text: escape(text) })
}

/// What the log says, and khungtaskd of these threads of the target. Its lines of other threads are left out unless the target is
/// the `whole` system; the other watchdogs' are the machine's.
pub(super) fn of_target(mut said: Vec<Complaint>, tids: &[u32], whole: bool) -> Vec<Complaint> {
    let is_of = |line: &Complaint, tid: u32| {
        line.watchdog == Watchdog::HungTask && line.text.contains(&format!(":{tid} "))
    };
    said.retain(|line| {
        whole || line.watchdog != Watchdog::HungTask || tids.iter().any(|&tid| is_of(line, tid))
    });
    // The log has a line for a thread as well, as long as the kernel has not had enough of that.
    for &tid in tids {
        if !said.iter().any(|line| is_of(line, tid)) {
            let text = format!("task {tid} has been blocked for longer than kernel.hung_task_timeout_secs");
            said.push(Complaint { watchdog: Watchdog::HungTask, at: Timestamp::now(), text });
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watchdog(line: &str) -> Option<Watchdog> {
        complaint(line.as_bytes()).map(|complaint| complaint.watchdog)
    }

    #[test]
    fn the_kernels_watchdogs_are_known_by_what_they_say() {
        let lines = [
            ("3,801,5,-;INFO: task dd:812 blocked for more than 120 seconds.\n", Watchdog::HungTask),
            (
                "0,90,5,-;watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [dd:81]\n SUBSYSTEM=x\n",
                Watchdog::SoftLockup,
            ),
            ("3,7,1,-;rcu: INFO: rcu_preempt self-detected stall on CPU\n", Watchdog::RcuStall),
        ];
        for (line, expected) in lines {
            assert_eq!(watchdog(line), Some(expected), "{line}");
        }
    }

    #[test]
    fn what_others_write_into_the_log_is_no_watchdog() {
        assert_eq!(watchdog("12,801,5,-;INFO: task dd:812 blocked for more than 120 seconds.\n"), None);
        assert_eq!(watchdog("6,801,5,-;EXT4-fs (loop0): mounted filesystem\n"), None);
        assert_eq!(watchdog("no log line"), None);
    }

    #[test]
    fn the_text_alone_is_kept() {
        let complaint = complaint(b"0,9,5,-;BUG: soft lockup - CPU#1\n SUBSYSTEM=x\n").unwrap();
        assert_eq!(complaint.text, "BUG: soft lockup - CPU#1");
    }

    #[test]
    fn complaints_of_tasks_outside_the_target_are_left_out() {
        let line = |watchdog, text: &str| Complaint { watchdog, at: Timestamp::now(), text: text.into() };
        let said = || {
            vec![
                line(Watchdog::HungTask, "INFO: task dd:812 blocked for more than 10 seconds."),
                line(Watchdog::HungTask, "INFO: task dd:81 blocked for more than 10 seconds."),
                line(Watchdog::SoftLockup, "BUG: soft lockup - CPU#1 stuck for 26s! [dd:900]"),
            ]
        };
        let texts = |tids: &[u32], whole| -> Vec<String> {
            let told = of_target(said(), tids, whole).into_iter();
            told.map(|line| line.text.split_whitespace().take(4).collect::<Vec<_>>().join(" ")).collect()
        };
        assert_eq!(texts(&[812], false), ["INFO: task dd:812 blocked", "BUG: soft lockup -"]);
        assert_eq!(texts(&[], false), ["BUG: soft lockup -"]);
        assert_eq!(texts(&[812], true).len(), 3);
        assert_eq!(texts(&[7], false), ["BUG: soft lockup -", "task 7 has been"]);
    }
}

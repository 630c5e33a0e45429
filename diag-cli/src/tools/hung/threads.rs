//! Threads by what they work for: journal threads, flushers, workers of loop devices, FUSE servers.

use std::fs;

use procfs::process::Process;

use super::{
    place::KTHREADD,
    servers::{self, Server},
};
use crate::kernel::task_files;

/// The machine's kernel threads that work for others, as they are at one look; each list is read when it is first asked for.
#[derive(Default)]
pub(super) struct Threads {
    kernel: Option<Vec<(u32, String)>>,
    servers: Option<Vec<Server>>,
}

impl Threads {
    /// The thread that writes the journal of the file system on `device`; where that is not known, the only one there is.
    pub(super) fn journal(&mut self, device: Option<&str>) -> Option<u32> {
        let prefix = device.map_or("jbd2/".to_owned(), |device| format!("jbd2/{device}-"));
        self.only(|name| name.starts_with(&prefix))
    }

    /// The worker that writes back what is dirty on the device of this number.
    pub(super) fn flusher(&mut self, number: Option<&str>) -> Option<u32> {
        let end = format!("flush-{}", number?);
        self.only(|name| name.starts_with("kworker/") && name.ends_with(&end))
    }

    /// The worker of a loop device, while it works.
    pub(super) fn loop_worker(&mut self, device: &str) -> Option<u32> {
        // `+` while it works, `-` for the last work of one that is idle (wq_worker_comm, kernel/workqueue.c, 6.18).
        let end = format!("+{device}");
        self.only(|name| name.starts_with("kworker/") && name.ends_with(&end))
    }

    /// The processes that serve FUSE file systems.
    pub(super) fn fuse_servers(&mut self) -> &[Server] {
        self.servers.get_or_insert_with(servers::all)
    }

    /// The name of a thread, as procfs has it: of a worker with its work.
    pub(super) fn name(pid: u32, tid: u32) -> Option<Vec<u8>> {
        task_files::comm(pid, tid)
    }

    fn only(&mut self, wanted: impl Fn(&str) -> bool) -> Option<u32> {
        let mut found = self.kernel_threads().iter().filter(|(_, name)| wanted(name));
        let (tid, _) = found.next()?;
        found.next().is_none().then_some(*tid)
    }

    fn kernel_threads(&mut self) -> &[(u32, String)] {
        self.kernel.get_or_insert_with(|| {
            let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
            let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
            let named = pids.filter_map(|pid| Some((pid, String::from_utf8(Threads::name(pid, pid)?).ok()?)));
            let works = named.filter(|(_, name)| name.starts_with("jbd2/") || name.starts_with("kworker/"));
            works.filter(|&(pid, _)| is_kernel_thread(pid)).collect()
        })
    }
}

/// Whether it is one: anybody may have any name.
fn is_kernel_thread(pid: u32) -> bool {
    let process = i32::try_from(pid).ok().and_then(|pid| Process::new(pid).ok());
    process.and_then(|process| process.stat().ok()).is_some_and(|stat| stat.ppid.cast_unsigned() == KTHREADD)
}

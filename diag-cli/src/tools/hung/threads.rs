//! Threads by what they work for: journal threads, flushers, workers of loop devices, FUSE servers.

use super::{
    place::{KTHREADD, XFS_LOG},
    servers::{self, Server},
};
use crate::kernel::procfs::{self, Reader};

/// The machine's kernel threads that work for others, as they are at one look; each list is read when it is first asked for.
#[derive(Default)]
pub(super) struct Threads {
    kernel: Option<Vec<(u32, String)>>,
    servers: Option<Vec<Server>>,
}

impl Threads {
    /// A machine with these kernel threads.
    #[cfg(test)]
    pub(super) fn of(threads: &[(u32, &str)]) -> Threads {
        let kernel = threads.iter().map(|&(tid, name)| (tid, name.to_owned())).collect();
        Threads { kernel: Some(kernel), servers: Some(Vec::new()) }
    }

    /// The thread of jbd2 that writes the journal of the file system on `device`; where that is not known, the only one there is.
    pub(super) fn journal(&mut self, device: Option<&str>) -> Option<u32> {
        let prefix = device.map_or("jbd2/".to_owned(), |device| format!("jbd2/{device}-"));
        self.only(|name| name.starts_with(&prefix))
    }

    /// The worker that writes the log of the xfs on `device`, while it works.
    pub(super) fn xfs_log_worker(&mut self, device: &str) -> Option<u32> {
        let ends: Vec<String> = XFS_LOG.iter().map(|queue| format!("+{queue}/{device}")).collect();
        self.only(|name| name.starts_with("kworker/") && ends.iter().any(|end| name.ends_with(end)))
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
    pub(super) fn fuse_servers(&mut self, reader: &mut Reader) -> &[Server] {
        self.servers.get_or_insert_with(|| servers::all(reader))
    }

    fn only(&mut self, wanted: impl Fn(&str) -> bool) -> Option<u32> {
        let mut found = self.kernel_threads().iter().filter(|(_, name)| wanted(name));
        let (tid, _) = found.next()?;
        found.next().is_none().then_some(*tid)
    }

    fn kernel_threads(&mut self) -> &[(u32, String)] {
        self.kernel.get_or_insert_with(|| {
            let named = procfs::processes().filter_map(|pid| {
                Some((pid.cast_unsigned(), String::from_utf8(procfs::name(pid, pid)?).ok()?))
            });
            let works = named.filter(|(_, name)| name.starts_with("jbd2/") || name.starts_with("kworker/"));
            works.filter(|&(pid, _)| is_kernel_thread(pid)).collect()
        })
    }
}

/// Whether it is one: anybody may have any name.
fn is_kernel_thread(pid: u32) -> bool {
    let pid = pid.cast_signed();
    procfs::status(pid, pid).is_some_and(|status| status.parent == KTHREADD)
}

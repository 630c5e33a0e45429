//! What `/proc/PID/task/TID` says of a thread whose name, or cgroup, may be any bytes: procfs reads `status` and `cgroup`
//! as UTF-8 and refuses them whole, and makes the name in `stat` lossy.

use std::fs;

use procfs::{FromRead as _, process::Stat};

/// What `stat` says of a thread.
pub(crate) struct TaskStat {
    /// Its name, at most 15 bytes; of a worker also its work.
    pub(crate) comm: Vec<u8>,
    /// Everything else; the name in it is not to be used.
    pub(crate) stat: Stat,
}

/// What `stat` says; none where the thread is gone.
pub(crate) fn stat(pid: i32, tid: i32) -> Option<TaskStat> {
    let bytes = fs::read(format!("/proc/{pid}/task/{tid}/stat")).ok()?;
    Some(TaskStat { comm: comm_in_stat(&bytes)?.to_vec(), stat: Stat::from_read(bytes.as_slice()).ok()? })
}

/// The name between the outermost parentheses: it may have some itself (`do_task_stat`, fs/proc/array.c, 6.18, escapes
/// nothing).
fn comm_in_stat(stat: &[u8]) -> Option<&[u8]> {
    let begin = stat.iter().position(|&byte| byte == b'(')? + 1;
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    stat.get(begin..end)
}

/// The name in `comm`: of a worker with its work.
pub(crate) fn comm(pid: u32, tid: u32) -> Option<Vec<u8>> {
    let mut name = fs::read(format!("/proc/{pid}/task/{tid}/comm")).ok()?;
    name.pop_if(|last| *last == b'\n');
    Some(name)
}

/// The lines of `status`.
pub(crate) struct TaskStatus(Vec<u8>);

impl TaskStatus {
    /// What `status` says; none where the thread is gone.
    pub(crate) fn read(pid: u32, tid: u32) -> Option<TaskStatus> {
        fs::read(format!("/proc/{pid}/task/{tid}/status")).ok().map(TaskStatus)
    }

    /// The same of the thread with this number, whichever process it belongs to.
    pub(crate) fn of_thread(tid: u32) -> Option<TaskStatus> {
        fs::read(format!("/proc/{tid}/status")).ok().map(TaskStatus)
    }

    /// A line's number, such as that of `Tgid`. No name can imitate a line: a newline in it is escaped
    /// (`proc_task_name`, fs/proc/array.c, 6.18).
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        let value = self
            .0
            .split(|&byte| byte == b'\n')
            .find_map(|line| line.strip_prefix(key.as_bytes())?.strip_prefix(b":"))?;
        str::from_utf8(value.trim_ascii()).ok()?.parse().ok()
    }
}

/// The paths of a process's cgroups, one for each hierarchy. No name of a cgroup has a newline in it (`cgroup_mkdir`,
/// kernel/cgroup/cgroup.c, 6.18).
pub(crate) fn cgroup_paths(pid: i32) -> Vec<Vec<u8>> {
    let text = fs::read(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let lines = text.split(|&byte| byte == b'\n');
    lines.filter_map(|line| Some(line.splitn(3, |&byte| byte == b':').nth(2)?.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    #[test]
    fn a_name_in_parentheses_is_read_to_its_end() {
        assert_eq!(comm_in_stat(b"7 (a) R (b\n) S 1 7"), Some(&b"a) R (b\n"[..]));
        assert_eq!(comm_in_stat(b"7 \xff"), None);
    }

    /// As 15 bytes cut a name in Chinese, with a line that looks like one of `status` before it.
    #[test]
    fn a_thread_whose_name_is_no_text_is_read_like_any_other() {
        let name = c"\nTgid:\t1\n\xe5\xe5";
        let (ready, is_ready) = mpsc::channel();
        let (end, is_over) = mpsc::channel::<()>();
        let named = thread::spawn(move || {
            rustix::thread::set_name(name).unwrap();
            ready.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
            is_over.recv().ok();
        });
        let (pid, tid) = (std::process::id(), is_ready.recv().unwrap());
        let read = stat(pid.cast_signed(), tid).unwrap();
        assert_eq!((read.comm.as_slice(), read.stat.pid), (name.to_bytes(), tid));
        assert_eq!(comm(pid, tid.cast_unsigned()).unwrap(), name.to_bytes());
        let status = TaskStatus::read(pid, tid.cast_unsigned()).unwrap();
        assert_eq!(status.number("Tgid"), Some(pid.into()));
        assert!(status.number("voluntary_ctxt_switches").is_some());
        assert_eq!(status.number("Name"), None);
        assert_eq!(TaskStatus::of_thread(tid.cast_unsigned()).unwrap().number("Pid"), Some(tid as u64));
        assert!(cgroup_paths(pid.cast_signed()).iter().all(|path| path.starts_with(b"/")));
        drop(end);
        named.join().unwrap();
    }
}

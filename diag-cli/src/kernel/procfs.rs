//! What `/proc` says of a thread, read so that a thread which is stuck cannot make its reader stick as well.
//!
//! `/proc/PID/task/TID/syscall` and `stack` take the lock that a process holds while exec replaces its memory
//! (`exec_update_lock`: `lock_trace`, fs/proc/base.c, and fs/exec.c, 6.18). Exec closes files under it, and a file whose
//! server does not answer holds it as long. Whoever waits for that lock can be killed, so a reader that is left behind does
//! not keep the process.

use std::{
    fs, io,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError},
    thread,
    time::Duration,
};

use crate::output::record::Unavailable;

/// How long a reader may sleep before it is left behind.
const PATIENCE: Duration = Duration::from_millis(100);
/// Readers that are left behind at most; after that nothing is read any more.
const MOST: usize = 8;

/// Functions in which a task holds the lock (fs/exec.c, 5.10 to 6.18).
const IN_EXEC: &[&str] = &["begin_new_exec", "exec_mmap"];

/// Whether a task whose stack this is holds the lock that reading of it takes.
pub(crate) fn is_in_exec(functions: &[String]) -> bool {
    functions.iter().any(|function| IN_EXEC.contains(&function.as_str()))
}

/// A system call that a thread is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// Its number.
    pub(crate) number: i64,
    /// Its arguments, its stack and its instruction pointer: the same as long as it is the same call.
    pub(crate) words: [u64; 8],
}

impl Call {
    /// Its first argument.
    pub(crate) fn first(&self) -> u64 {
        self.words[0]
    }

    /// From the line that `/proc/PID/syscall` has: `running`, or a number and eight words, or -1 and two outside of a call
    /// (Documentation/filesystems/proc.rst, fs/proc/base.c, 6.18).
    fn parse(line: &str) -> Option<Call> {
        let mut words = line.split_whitespace();
        let number = words.next()?.parse().ok()?;
        let mut call = Call { number, words: [0; 8] };
        for word in &mut call.words {
            *word = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
        }
        Some(call)
    }
}

/// What the scheduler has counted of a thread: how long it ran and waited for a CPU, and how often it ran. Reading it
/// takes no lock.
pub(crate) fn schedstat(pid: i32, tid: i32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat")).ok()
}

/// Reads files that can make their reader wait, in a thread that is left behind where one does.
#[derive(Default)]
pub(crate) struct Reader {
    worker: Option<Worker>,
    /// Those that wait, each with the process that it waits for.
    stuck: Vec<(i32, Worker)>,
    unread: u64,
}

struct Worker {
    tid: i32,
    paths: Sender<String>,
    answers: Receiver<io::Result<String>>,
}

impl Worker {
    fn start() -> io::Result<Worker> {
        let (paths, asked) = mpsc::channel::<String>();
        let (answer, answers) = mpsc::channel();
        let (name, named) = mpsc::channel();
        let work = move || {
            name.send(rustix::thread::gettid().as_raw_nonzero().get()).ok();
            for path in asked {
                if answer.send(fs::read_to_string(path)).is_err() {
                    break;
                }
            }
        };
        thread::Builder::new().name("procfs".to_owned()).spawn(work)?;
        let tid = named.recv().map_err(io::Error::other)?;
        Ok(Worker { tid, paths, answers })
    }

    /// What it read; an error where it sleeps instead, and not because its turn on a busy CPU has not come.
    fn answer(&self) -> Result<io::Result<String>, RecvTimeoutError> {
        loop {
            match self.answers.recv_timeout(PATIENCE) {
                Err(RecvTimeoutError::Timeout) if self.wants_to_run() => {}
                answer => return answer,
            }
        }
    }

    fn wants_to_run(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/self/task/{}/stat", self.tid)).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('R'))
    }
}

impl Reader {
    /// The system call that a thread sleeps in.
    pub(crate) fn call(&mut self, pid: i32, tid: i32) -> Option<Call> {
        Call::parse(&self.read(pid, format!("/proc/{pid}/task/{tid}/syscall"))?)
    }

    /// Where a thread sleeps, innermost function first: `[<0>] jbd2_log_wait_commit+0xe6/0x150`.
    pub(crate) fn stack(&mut self, pid: i32, tid: i32) -> Vec<String> {
        let function = |line: &str| Some(line.split_once("] ")?.1.split('+').next()?.to_owned());
        let stack = self.read(pid, format!("/proc/{pid}/task/{tid}/stack"));
        stack.unwrap_or_default().lines().filter_map(function).collect()
    }

    /// What could not be read, and what the answer lacks because of it.
    pub(crate) fn unavailable(&self, effect: &str) -> Option<Unavailable> {
        (self.unread > 0).then(|| Unavailable {
            name: "procfs".to_owned(),
            why: format!(
                "{} times reading the system call or the stack of a thread had to be given up; its process is stuck in exec",
                self.unread
            ),
            effect: effect.to_owned(),
        })
    }

    fn read(&mut self, pid: i32, path: String) -> Option<String> {
        // A worker that has an answer after all is no longer stuck; it ends when nobody asks it any more.
        self.stuck.retain(|(_, worker)| matches!(worker.answers.try_recv(), Err(TryRecvError::Empty)));
        if self.stuck.len() >= MOST || self.stuck.iter().any(|&(stuck, _)| stuck == pid) {
            self.unread += 1;
            return None;
        }
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => Worker::start().ok()?,
        };
        worker.paths.send(path).ok()?;
        match worker.answer() {
            Ok(read) => {
                self.worker = Some(worker);
                read.ok()
            }
            Err(RecvTimeoutError::Timeout) => {
                self.stuck.push((pid, worker));
                self.unread += 1;
                None
            }
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::CString, fs::OpenOptions, time::Instant};

    use super::*;

    #[test]
    fn a_call_is_read_from_its_line() {
        let call = Call::parse("1 0x1f 0x7f 0x1000 0x0 0x0 0x0 0x7ffc 0x7f0\n").unwrap();
        assert_eq!((call.number, call.first(), call.words[7]), (1, 0x1f, 0x7f0));
        assert_eq!(Call::parse("running\n"), None);
        assert_eq!(Call::parse("-1 0x7ffc 0x7f0\n"), None);
        assert_eq!(Call::parse(""), None);
    }

    #[test]
    fn a_file_that_does_not_answer_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = |name: &str| {
            let path = folder.path().join(name).into_os_string().into_string().unwrap();
            let name = CString::new(path.as_str()).unwrap();
            // SAFETY: the path ends with a zero.
            assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
            path
        };
        let file = folder.path().join("file").into_os_string().into_string().unwrap();
        fs::write(&file, "here").unwrap();
        let (first, second) = (fifo("first"), fifo("second"));
        let mut reader = Reader::default();
        assert_eq!(reader.read(1, file.clone()).as_deref(), Some("here"));
        assert!(reader.unavailable("").is_none());
        assert_eq!(reader.read(2, first.clone()), None);
        let again = Instant::now();
        assert_eq!(reader.read(2, file.clone()), None, "of the same process nothing is read");
        assert!(again.elapsed() < PATIENCE);
        assert_eq!(reader.read(1, file.clone()).as_deref(), Some("here"), "others are");
        assert_eq!(reader.read(3, second.clone()), None);
        assert!(reader.unavailable("").unwrap().why.starts_with("3 times"));
        for path in [first, second] {
            drop(OpenOptions::new().write(true).open(path).unwrap());
        }
        while reader.read(2, file.clone()).is_none() {
            thread::yield_now();
        }
    }

    #[test]
    fn not_more_than_a_few_readers_are_left_behind() {
        let (_answer, answers) = mpsc::channel();
        let mut reader = Reader::default();
        let (paths, _asked) = mpsc::channel();
        reader.stuck.push((9, Worker { tid: 0, paths, answers }));
        assert!(reader.read(8, "/proc/version".to_owned()).is_some());
        let mut kept = Vec::new();
        for pid in 10..10 + MOST as i32 {
            let (paths, _) = mpsc::channel();
            let (answer, answers) = mpsc::channel();
            kept.push(answer);
            reader.stuck.push((pid, Worker { tid: 0, paths, answers }));
        }
        assert_eq!(reader.read(8, "/proc/version".to_owned()), None);
    }

    #[test]
    fn the_stack_of_exec_is_known() {
        let functions = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert!(is_in_exec(&functions(&["fuse_flush", "filp_close", "do_close_on_exec", "begin_new_exec"])));
        assert!(!is_in_exec(&functions(&["fuse_flush", "filp_close", "__x64_sys_close"])));
    }
}

//! What `/proc` says of threads, read so that a thread which is stuck cannot make its reader stick as well.
//!
//! While exec replaces a process' memory it holds a lock (`exec_update_lock`, fs/exec.c), and it closes files under it: a
//! file whose server does not answer holds the lock as long. `/proc/PID/syscall` and `stack` take it on all kernels
//! (`lock_trace`, fs/proc/base.c, 5.10 to 6.18); later ones, and stable series of 6.18, take it wherever they ask whether the
//! reader may trace the process: for `stat`, `wchan`, and the links `fd/N`, `exe`, `cwd`, `root` and `ns/*`. `status`,
//! `comm`, `schedstat`, `cgroup`, `mountinfo`, `fdinfo/N` and lists of `task` and `fd` take it nowhere (each tried on
//! 6.18.44).
//!
//! Whoever waits for that lock can be killed, so a reader that is left behind does not keep this process from its end.

use std::{
    fs, io,
    str::FromStr,
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

/// What `/proc/PID/task/TID/status` says of a thread, as far as it is wanted here. Reading it takes no lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// Its state, as ps(1) shows it.
    pub(crate) state: char,
    /// Its process.
    pub(crate) process: u32,
    /// The parent of its process.
    pub(crate) parent: u32,
    /// How often it has gone to sleep.
    pub(crate) slept: Option<u64>,
    /// How often it has left a CPU, asleep or not.
    pub(crate) switches: Option<u64>,
}

impl Status {
    /// From the lines of the file, one of which has the name: bytes that anybody may have chosen.
    fn parse(text: &[u8]) -> Option<Status> {
        let text = String::from_utf8_lossy(text);
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        let slept = value("voluntary_ctxt_switches:").and_then(|count| count.parse::<u64>().ok());
        let preempted = value("nonvoluntary_ctxt_switches:").and_then(|count| count.parse::<u64>().ok());
        Some(Status {
            state: value("State:")?.chars().next()?,
            process: value("Tgid:")?.parse().ok()?,
            parent: value("PPid:")?.parse().ok()?,
            slept,
            switches: slept.zip(preempted).map(|(slept, preempted)| slept + preempted),
        })
    }
}

/// The status of a thread; none where there is no such thread.
pub(crate) fn status(pid: i32, tid: i32) -> Option<Status> {
    Status::parse(&fs::read(format!("/proc/{pid}/task/{tid}/status")).ok()?)
}

/// The same of the thread with this number, whichever process it belongs to.
pub(crate) fn status_of_thread(tid: u32) -> Option<Status> {
    Status::parse(&fs::read(format!("/proc/{tid}/status")).ok()?)
}

/// The name of a thread; of a worker of the kernel with its work. Reading it takes no lock.
pub(crate) fn name(pid: i32, tid: i32) -> Option<Vec<u8>> {
    let mut name = fs::read(format!("/proc/{pid}/task/{tid}/comm")).ok()?;
    name.pop_if(|last| *last == b'\n');
    Some(name)
}

/// What the scheduler has counted of a thread: how long it ran and waited for a CPU, and how often it ran. Reading it
/// takes no lock.
pub(crate) fn schedstat(pid: i32, tid: i32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat")).ok()
}

/// All processes.
pub(crate) fn processes() -> impl Iterator<Item = i32> {
    numbers("/proc")
}

/// The threads of a process.
pub(crate) fn threads(pid: i32) -> impl Iterator<Item = i32> {
    numbers(&format!("/proc/{pid}/task"))
}

fn numbers<T: FromStr>(folder: &str) -> impl Iterator<Item = T> + use<T> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Reads files that can make their reader wait, in a thread that is left behind where one does.
#[derive(Default)]
pub(crate) struct Reader {
    worker: Option<Worker>,
    /// Those that wait, each with the process that it waits for.
    stuck: Vec<(i32, Worker)>,
    unread: u64,
    /// Something was not allowed to be read.
    pub(crate) denied: bool,
}

/// What a reader is asked for.
enum Question {
    File(String),
    Link(String),
}

struct Worker {
    tid: i32,
    questions: Sender<Question>,
    answers: Receiver<io::Result<Vec<u8>>>,
}

impl Worker {
    fn start() -> io::Result<Worker> {
        let (questions, asked) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        let (name, named) = mpsc::channel();
        let work = move || {
            name.send(rustix::thread::gettid().as_raw_nonzero().get()).ok();
            for question in asked {
                let read = match question {
                    Question::File(path) => fs::read(path),
                    Question::Link(path) => {
                        fs::read_link(path).map(|target| target.into_os_string().into_encoded_bytes())
                    }
                };
                if answer.send(read).is_err() {
                    break;
                }
            }
        };
        thread::Builder::new().name("procfs".to_owned()).spawn(work)?;
        let tid = named.recv().map_err(io::Error::other)?;
        Ok(Worker { tid, questions, answers })
    }

    /// What it read; an error where it sleeps instead, and not because its turn on a busy CPU has not come.
    fn answer(&self) -> Result<io::Result<Vec<u8>>, RecvTimeoutError> {
        loop {
            match self.answers.recv_timeout(PATIENCE) {
                Err(RecvTimeoutError::Timeout) if self.wants_to_run() => {}
                answer => return answer,
            }
        }
    }

    fn wants_to_run(&self) -> bool {
        let me = std::process::id().cast_signed();
        status(me, self.tid).is_some_and(|status| status.state == 'R')
    }
}

impl Reader {
    /// The system call that a thread sleeps in.
    pub(crate) fn call(&mut self, pid: i32, tid: i32) -> Option<Call> {
        Call::parse(&self.file(pid, format!("/proc/{pid}/task/{tid}/syscall"))?)
    }

    /// Where a thread sleeps, innermost function first: `[<0>] jbd2_log_wait_commit+0xe6/0x150`.
    pub(crate) fn stack(&mut self, pid: i32, tid: i32) -> Vec<String> {
        let function = |line: &str| Some(line.split_once("] ")?.1.split('+').next()?.to_owned());
        let stack = self.file(pid, format!("/proc/{pid}/task/{tid}/stack"));
        stack.unwrap_or_default().lines().filter_map(function).collect()
    }

    /// The CPU on which a thread is, or was last.
    pub(crate) fn cpu(&mut self, pid: i32, tid: i32) -> Option<u32> {
        // `processor` is the 39th field, and the name in the second may have anything in it (proc_pid_stat(5)).
        let stat = self.file(pid, format!("/proc/{pid}/task/{tid}/stat"))?;
        stat.rsplit_once(") ")?.1.split(' ').nth(36)?.parse().ok()
    }

    /// The cgroups of a thread: the lines of `/proc/PID/cgroup`.
    pub(crate) fn cgroups(&mut self, pid: i32, tid: i32) -> Option<Vec<u8>> {
        self.read(pid, Question::File(format!("/proc/{pid}/task/{tid}/cgroup")))
    }

    /// The descriptors of a process.
    pub(crate) fn descriptors(&mut self, pid: i32) -> impl Iterator<Item = u64> + use<> {
        let folder = format!("/proc/{pid}/fd");
        self.denied |=
            fs::read_dir(&folder).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
        numbers(&folder)
    }

    /// What a descriptor of a thread stands for, as `/proc/PID/fd` shows it.
    pub(crate) fn descriptor(&mut self, pid: i32, tid: i32, fd: u64) -> Option<Vec<u8>> {
        self.read(pid, Question::Link(format!("/proc/{pid}/task/{tid}/fd/{fd}")))
    }

    /// What could not be read, and what the answer lacks because of it.
    pub(crate) fn unavailable(&self, effect: &str) -> Option<Unavailable> {
        (self.unread > 0).then(|| Unavailable {
            name: "procfs".to_owned(),
            why: format!(
                "{} times reading of a thread in /proc had to be given up, since its process is stuck in exec",
                self.unread
            ),
            effect: effect.to_owned(),
        })
    }

    fn file(&mut self, pid: i32, path: String) -> Option<String> {
        let bytes = self.read(pid, Question::File(path))?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn read(&mut self, pid: i32, question: Question) -> Option<Vec<u8>> {
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
        worker.questions.send(question).ok()?;
        match worker.answer() {
            Ok(read) => {
                self.worker = Some(worker);
                self.denied |=
                    read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
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
    fn a_name_that_is_no_text_does_not_hide_a_thread() {
        let text = b"Name:\tx\xe5\nState:\tD (disk sleep)\nTgid:\t5\nPPid:\t7\nvoluntary_ctxt_switches:\t3\nnonvoluntary_ctxt_switches:\t2\n";
        let status = Status { state: 'D', process: 5, parent: 7, slept: Some(3), switches: Some(5) };
        assert_eq!(Status::parse(text), Some(status));
        assert_eq!(Status::parse(b"Name:\tx\n"), None);
    }

    #[test]
    fn this_thread_is_read() {
        let (pid, tid) = (std::process::id().cast_signed(), rustix::thread::gettid().as_raw_nonzero().get());
        assert!(processes().any(|process| process == pid) && threads(pid).any(|thread| thread == tid));
        assert_eq!(status(pid, tid).unwrap().state, 'R');
        let mut reader = Reader::default();
        assert!(reader.cpu(pid, tid).is_some());
        let file = fs::File::open("/proc/version").unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file) as u64;
        assert_eq!(reader.descriptor(pid, tid, fd).as_deref(), Some(&b"/proc/version"[..]));
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
        assert_eq!(reader.file(1, file.clone()).as_deref(), Some("here"));
        assert!(reader.unavailable("").is_none());
        assert_eq!(reader.file(2, first.clone()), None);
        let again = Instant::now();
        assert_eq!(reader.file(2, file.clone()), None, "of the same process nothing is read");
        assert!(again.elapsed() < PATIENCE);
        assert_eq!(reader.file(1, file.clone()).as_deref(), Some("here"), "others are");
        assert_eq!(reader.file(3, second.clone()), None);
        assert!(reader.unavailable("").unwrap().why.starts_with("3 times"));
        for path in [first, second] {
            drop(OpenOptions::new().write(true).open(path).unwrap());
        }
        while reader.file(2, file.clone()).is_none() {
            thread::yield_now();
        }
    }

    #[test]
    fn not_more_than_a_few_readers_are_left_behind() {
        let (_answer, answers) = mpsc::channel();
        let mut reader = Reader::default();
        let (questions, _asked) = mpsc::channel();
        reader.stuck.push((9, Worker { tid: 0, questions, answers }));
        assert!(reader.file(8, "/proc/version".to_owned()).is_some());
        let mut kept = Vec::new();
        for pid in 10..10 + MOST as i32 {
            let (questions, _) = mpsc::channel();
            let (answer, answers) = mpsc::channel();
            kept.push(answer);
            reader.stuck.push((pid, Worker { tid: 0, questions, answers }));
        }
        assert_eq!(reader.file(8, "/proc/version".to_owned()), None);
    }

    #[test]
    fn the_stack_of_exec_is_known() {
        let functions = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert!(is_in_exec(&functions(&["fuse_flush", "filp_close", "do_close_on_exec", "begin_new_exec"])));
        assert!(!is_in_exec(&functions(&["fuse_flush", "filp_close", "__x64_sys_close"])));
    }
}

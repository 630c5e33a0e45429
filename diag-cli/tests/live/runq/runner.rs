//! A process that runs, sleeps and waits on command, and knows by the scheduler's own account how long it did each.

use std::{
    ffi::OsString,
    fs,
    io::{BufRead, BufReader, Lines, Read, Write},
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio},
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::lab::fault::{die_with_parent, pin};

/// What makes the tests this process.
pub(crate) const FLAG: &str = "--lab-runner";

/// What a runner is.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Kind {
    /// Its name.
    pub(crate) comm: String,
    /// The CPU that it is bound to.
    pub(crate) cpu: Option<usize>,
    /// The number of its policy, and its priority; `SCHED_OTHER` without.
    pub(crate) policy: Option<(i32, i32)>,
    /// The cgroup that it enters first.
    pub(crate) cgroup: Option<std::path::PathBuf>,
    /// How many threads follow commands; 0 for one.
    pub(crate) threads: usize,
    /// Whether it begins a session of its own.
    pub(crate) session: bool,
}

/// What its threads are to do.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Order {
    /// Run for so long by the wall clock, ms.
    Spin(u64),
    /// Sleep for so long, µs, so often.
    Sleep(u64, u64),
    /// Wait in a futex for so long, ms.
    Park(u64),
    /// Take another name, and then run for so long, ms.
    Rename(String, u64),
    /// Have two threads that wake each other through pipes for so long, ms: runs of some microseconds each.
    PingPong(u64),
    /// Run for so long, µs, and sleep for so long, µs, so often.
    Serve(u64, u64, u64),
    /// Start as many processes that do nothing and end.
    Fork(u64),
    /// Become another program of this name, and then run for so long, ms.
    Exec(String, u64),
}

/// What the scheduler says of a thread.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Account {
    /// The thread.
    pub(crate) tid: u32,
    /// Time that it ran, ns.
    pub(crate) run_ns: u64,
    /// Time that it waited, ns.
    pub(crate) delay_ns: u64,
    /// How often it was given a CPU.
    pub(crate) slices: u64,
}

impl Account {
    /// Of a thread, since it began.
    pub(crate) fn read(pid: u32, tid: u32) -> Account {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat")).unwrap_or_default();
        let mut numbers = text.split_whitespace().map(|number| number.parse().expect("a number"));
        let mut next = || numbers.next().unwrap_or_default();
        Account { tid, run_ns: next(), delay_ns: next(), slices: next() }
    }

    fn of_this_thread() -> Account {
        // SAFETY: no preconditions.
        let tid = unsafe { libc::gettid() }.cast_unsigned();
        Account::read(std::process::id(), tid)
    }

    /// What came after `before`.
    pub(crate) fn since(self, before: Account) -> Account {
        Account {
            tid: self.tid,
            run_ns: self.run_ns - before.run_ns,
            delay_ns: self.delay_ns - before.delay_ns,
            slices: self.slices - before.slices,
        }
    }
}

/// A runner, in the hands of a test. It is killed when this is dropped.
pub(crate) struct Runner {
    /// Its process, which is its first thread.
    pub(crate) pid: u32,
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Runner {
    /// Starts one, which then sleeps until it is told something.
    pub(crate) fn start(kind: &Kind) -> Runner {
        let mut child = Command::new(std::env::current_exe().expect("the tests have a path"))
            .args([FLAG, &serde_json::to_string(kind).expect("plain data")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the tests can start themselves");
        let orders = child.stdin.take().expect("a pipe");
        let mut answers = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        answers.next().expect("it says that it is ready").expect("a line");
        Runner { pid: child.id(), child, orders, answers }
    }

    /// Gives an order, without waiting for what comes of it.
    pub(crate) fn order(&mut self, order: &Order) {
        let line = serde_json::to_string(order).expect("plain data");
        writeln!(self.orders, "{line}").expect("it listens");
    }

    /// Waits until its order is carried out; what each thread had of it.
    pub(crate) fn answer(&mut self) -> Vec<Account> {
        let line = self.answers.next().expect("it answers").expect("a line");
        serde_json::from_str(&line).expect("accounts")
    }

    /// Waits until it is another program.
    pub(crate) fn answer_to_exec(&mut self) {
        self.answers.next().expect("it says that it is ready").expect("a line");
    }

    /// Kills it, without waiting for its end.
    pub(crate) fn kill(&self) {
        // SAFETY: two numbers; the child has not been waited for.
        unsafe { libc::kill(self.child.id().cast_signed(), libc::SIGKILL) };
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Lets each carry out the same order at once; the account of the first thread of each.
pub(crate) fn all(runners: &mut [Runner], order: &Order) -> Vec<Account> {
    runners.iter_mut().for_each(|runner| runner.order(order));
    runners.iter_mut().map(|runner| runner.answer()[0]).collect()
}

/// Binds a thread of somebody to another CPU.
pub(crate) fn move_to(tid: u32, cpu: usize) {
    // SAFETY: cpu_set_t is an array of integers, for which all zeroes is a value; the set is valid.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(tid.cast_signed(), size_of_val(&set), &set)
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// The runner's process.
pub(crate) fn main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    die_with_parent();
    let text = arguments.next().expect("a kind");
    let kind: Kind = serde_json::from_str(text.to_str().expect("text")).expect("a kind");
    if let Some(cgroup) = &kind.cgroup {
        fs::write(cgroup.join("cgroup.procs"), "0").expect("a process can move");
    }
    if kind.session {
        // SAFETY: no preconditions.
        assert!(unsafe { libc::setsid() } > 0, "{}", std::io::Error::last_os_error());
    }
    crate::workload::set_comm(kind.comm.as_bytes());
    if let Some(cpu) = kind.cpu {
        pin(cpu);
    }
    if let Some((policy, priority)) = kind.policy {
        let parameter = libc::sched_param { sched_priority: priority };
        // SAFETY: the parameter is valid; 0 is the calling thread.
        let result = unsafe { libc::sched_setscheduler(0, policy, &parameter) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }
    println!("ready");
    if let Some(ms) = arguments.next() {
        let ms = ms.to_str().and_then(|ms| ms.parse().ok()).expect("a number");
        let account = carry_out(&Order::Spin(ms), &kind);
        println!("{}", serde_json::to_string(&vec![account]).expect("plain data"));
    }
    for line in std::io::stdin().lines() {
        let order: Order = serde_json::from_str(&line.expect("a line")).expect("an order");
        let threads = kind.threads.max(1);
        let accounts =
            if threads == 1 { vec![carry_out(&order, &kind)] } else { crowd(threads, &order, &kind) };
        println!("{}", serde_json::to_string(&accounts).expect("plain data"));
    }
    ExitCode::SUCCESS
}

fn crowd(threads: usize, order: &Order, kind: &Kind) -> Vec<Account> {
    let barrier = Arc::new(Barrier::new(threads));
    let start = || {
        let (order, kind, barrier) = (order.clone(), kind.clone(), Arc::clone(&barrier));
        let body = move || {
            barrier.wait();
            carry_out(&order, &kind)
        };
        thread::Builder::new().stack_size(64 << 10).spawn(body).expect("a thread")
    };
    let all: Vec<_> = (0..threads).map(|_| start()).collect();
    all.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
}

fn spin(ms: u64) {
    let end = Instant::now() + Duration::from_millis(ms);
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// What both threads had together.
fn ping_pong(ms: u64) -> Account {
    let (mut there, mut ours) = std::io::pipe().expect("pipes exist");
    let (mut theirs, mut back) = std::io::pipe().expect("pipes exist");
    let other = thread::spawn(move || {
        let before = Account::of_this_thread();
        let mut byte = [0];
        while there.read(&mut byte).expect("a pipe works") == 1 {
            back.write_all(&byte).expect("a pipe works");
        }
        Account::of_this_thread().since(before)
    });
    let before = Account::of_this_thread();
    let end = Instant::now() + Duration::from_millis(ms);
    let mut byte = [0];
    while Instant::now() < end {
        ours.write_all(&byte).expect("a pipe works");
        theirs.read_exact(&mut byte).expect("a pipe works");
    }
    let mine = Account::of_this_thread().since(before);
    drop(ours);
    let others = other.join().expect("no thread panics");
    Account {
        run_ns: mine.run_ns + others.run_ns,
        delay_ns: mine.delay_ns + others.delay_ns,
        slices: mine.slices + others.slices,
        ..mine
    }
}

fn fork_and_wait() {
    // SAFETY: the child calls nothing but _exit, and the parent waits for it.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::_exit(0);
        }
        assert!(child > 0 && libc::waitpid(child, std::ptr::null_mut(), 0) == child, "no process");
    }
}

fn carry_out(order: &Order, kind: &Kind) -> Account {
    let before = Account::of_this_thread();
    match order {
        Order::Spin(ms) => spin(*ms),
        Order::Rename(comm, ms) => {
            crate::workload::set_comm(comm.as_bytes());
            spin(*ms);
        }
        Order::Sleep(us, times) => (0..*times).for_each(|_| thread::sleep(Duration::from_micros(*us))),
        Order::Park(ms) => {
            let end = Instant::now() + Duration::from_millis(*ms);
            while Instant::now() < end {
                thread::park_timeout(end.saturating_duration_since(Instant::now()));
            }
        }
        Order::PingPong(ms) => return ping_pong(*ms),
        Order::Serve(run_us, sleep_us, times) => (0..*times).for_each(|_| {
            let end = Instant::now() + Duration::from_micros(*run_us);
            while Instant::now() < end {
                std::hint::spin_loop();
            }
            thread::sleep(Duration::from_micros(*sleep_us));
        }),
        Order::Fork(processes) => (0..*processes).for_each(|_| fork_and_wait()),
        Order::Exec(comm, ms) => {
            let kind = Kind { comm: comm.clone(), ..kind.clone() };
            let error = Command::new(std::env::current_exe().expect("the tests have a path"))
                .args([FLAG, &serde_json::to_string(&kind).expect("plain data"), &ms.to_string()])
                .exec();
            panic!("{error}");
        }
    }
    Account::of_this_thread().since(before)
}

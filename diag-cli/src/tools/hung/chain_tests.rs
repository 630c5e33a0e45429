//! Chains over machines that are made up.

use diag_common::hung::{BLOCKED, MUTEX, RWSEM_READ, RWSEM_WRITE};

use crate::output::record::parties::Device;

use super::*;

/// A machine with these tasks, and nothing else.
#[derive(Default)]
struct Machine(HashMap<u32, Described>, Threads, Files);

impl Witness for Machine {
    fn describe(&mut self, tid: u32) -> Option<Described> {
        self.0.get(&tid).cloned()
    }
    fn stuck_thread_of(&mut self, _pid: u32) -> Option<u32> {
        None
    }
    fn vforked_by(&mut self, tid: u32) -> Option<u32> {
        self.0.values().find(|task| task.sleeper.parent == tid).map(|task| task.sleeper.pid)
    }
    fn files(&mut self) -> &mut Files {
        &mut self.2
    }
    fn threads(&mut self) -> &mut Threads {
        &mut self.1
    }
    fn fuse_servers(&mut self) -> &[Server] {
        &[]
    }
}

fn task(tid: u32, sleeper: Sleeper, stack: &str) -> (u32, Described) {
    let waits = sleeper.flags & BLOCKED != 0;
    let described = Described {
        sleeper: Sleeper { pid: tid, tgid: tid, task: u64::from(tid) << 8, ..sleeper },
        task: Task { tid: Some(tid), ..Task::default() },
        state: if waits { TaskState::Uninterruptible } else { TaskState::Running },
        killable: false,
        stack: vec![stack.to_owned()],
        cause: waits.then_some(Cause::KernelLock),
        served: None,
        place: Place::default(),
    };
    (tid, described)
}

fn nobody() -> Sleeper {
    // SAFETY: all of its fields are integers.
    unsafe { std::mem::zeroed() }
}

fn waits_for(owner: u32, kind: u32, flags: u32) -> Sleeper {
    let flags = BLOCKED | flags;
    Sleeper {
        lock: 0x1000,
        lock_kind: kind,
        owner: u64::from(owner) << 8,
        owner_pid: owner,
        flags,
        ..nobody()
    }
}

fn chain_of(tid: u32, tasks: Vec<(u32, Described)>) -> Vec<Link> {
    let mut machine = Machine(tasks.into_iter().collect(), Threads::default(), Files::default());
    let first = machine.0[&tid].clone();
    behind(&first, &mut machine)
}

fn short(links: &[Link]) -> Vec<(Relation, Option<u32>, bool)> {
    let tid = |link: &Link| link.task.as_ref().and_then(|task| task.tid);
    links.iter().map(|link| (link.relation, tid(link), link.deadlock)).collect()
}

#[test]
fn holders_are_followed_to_one_that_does_not_wait() {
    let links = chain_of(
        1,
        vec![
            task(1, waits_for(2, MUTEX, 0), "fdget_pos"),
            task(2, waits_for(3, RWSEM_READ, READER_OWNED), "down_read"),
            task(3, nobody(), "busy"),
        ],
    );
    assert_eq!(short(&links), [(Relation::Holder, Some(2), false), (Relation::Reader, Some(3), false)]);
    assert_eq!(links[1].keys, CauseOrNull(None));
}

#[test]
fn a_circle_is_a_deadlock_and_ends() {
    let tasks = vec![task(1, waits_for(2, MUTEX, 0), "a"), task(2, waits_for(1, MUTEX, 0), "b")];
    assert_eq!(
        short(&chain_of(1, tasks)),
        [(Relation::Holder, Some(2), false), (Relation::Holder, Some(1), true)]
    );
}

#[test]
fn a_reader_makes_no_deadlock_wherever_it_stands_in_the_circle() {
    let reader = |owner| waits_for(owner, RWSEM_WRITE, READER_OWNED);
    let writer = |owner| waits_for(owner, RWSEM_WRITE, 0);
    let circle = |one, two| {
        let links = chain_of(1, vec![task(1, one, "a"), task(2, two, "b")]);
        links.iter().map(|link| link.deadlock).collect::<Vec<_>>()
    };
    assert_eq!(circle(writer(2), writer(1)), [false, true]);
    assert_eq!(circle(writer(2), reader(1)), [false, false]);
    assert_eq!(circle(reader(2), writer(1)), [false, false]);
    // What leads to a circle is not part of it.
    let tasks = vec![task(1, reader(2), "a"), task(2, writer(3), "b"), task(3, writer(2), "c")];
    let links = chain_of(1, tasks);
    assert_eq!(links.iter().map(|link| link.deadlock).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn a_log_that_is_not_jbd2s_is_nothing_to_jbd2() {
    let at = |stack: &str, device: Option<&str>| {
        let (_, mut described) = task(1, Sleeper { flags: BLOCKED, ..nobody() }, "");
        described.cause = Some(Cause::Journal);
        described.stack = stack.split(' ').map(str::to_owned).collect();
        described.place.device = device.map(|name| Device { id: "7:2".into(), name: Some(name.into()) });
        let threads = Threads::of(&[
            (70, "jbd2/loop0-8"),
            (71, "kworker/u4:1+xfs-cil/loop2"),
            (72, "kworker/u4:2-xfs-cil/loop3"),
        ]);
        let (_, worker) = task(71, nobody(), "");
        let (_, jbd2) = task(70, nobody(), "");
        let mut machine = Machine([(71, worker), (70, jbd2)].into(), threads, Files::default());
        short(&behind(&described, &mut machine))
    };
    let of_xfs = "__flush_workqueue xlog_cil_push_now xfs_log_force xfs_fs_sync_fs";
    assert_eq!(at(of_xfs, None), []);
    assert_eq!(at(of_xfs, Some("loop2")), [(Relation::JournalThread, Some(71), false)]);
    assert_eq!(at(of_xfs, Some("vdb")), []);
    let of_jbd2 = "jbd2_log_wait_commit ext4_sync_fs sync_filesystem";
    assert_eq!(at(of_jbd2, None), [(Relation::JournalThread, Some(70), false)]);
    assert_eq!(at(of_jbd2, Some("loop0")), [(Relation::JournalThread, Some(70), false)]);
    assert_eq!(at(of_jbd2, Some("vdb")), []);
}

#[test]
fn a_thread_that_has_the_id_of_an_owner_that_is_gone_is_not_taken_for_it() {
    let mut stale = waits_for(2, MUTEX, 0);
    stale.owner = 0xdead_0000;
    assert_eq!(chain_of(1, vec![task(1, stale, "a"), task(2, nobody(), "b")]), []);
}

#[test]
fn a_parent_in_vfork_waits_for_its_child() {
    let parent = Sleeper { flags: BLOCKED, ..nobody() };
    let child = Sleeper { parent: 1, ..nobody() };
    let links = chain_of(1, vec![task(1, parent, "wait_for_vfork_done"), task(2, child, "fifo_open")]);
    assert_eq!(short(&links), [(Relation::VforkChild, Some(2), false)]);
}

#[test]
fn all_of_a_chain_wait_at_last_for_what_its_end_waits_for() {
    let (_, mut end) = task(3, nobody(), "get_signal");
    end.cause = Some(Cause::StoppedSignal);
    let (_, middle) = task(2, waits_for(3, MUTEX, 0), "b");
    let mut links = vec![
        link(Relation::Holder, None, Some(middle), false),
        link(Relation::Holder, None, Some(end), false),
    ];
    tell_vias(&mut links);
    let vias: Vec<_> = links.iter().map(|link| link.keys.0.unwrap().via).collect();
    assert_eq!(vias, [Some(Cause::StoppedSignal), None]);
    assert_eq!(via(Cause::InodeLock, &links), Some(Cause::StoppedSignal));
}

//! Looking up what the kernel side keeps of a task, from the user side.

use std::{
    io,
    marker::PhantomData,
    mem::MaybeUninit,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    slice,
};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, Pod,
    maps::{Map, MapData},
};
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open};

use super::{knobs, syscall};
use crate::kernel::btf::Btf;

/// The map of an object that has a state for each task.
pub(super) const STATES: &str = "TASKS";
/// `PIDFD_THREAD`, which 6.9 added; before, only a process has a descriptor, which stands for its first thread.
const THREAD: PidfdFlags = PidfdFlags::from_bits_retain(libc::O_EXCL.cast_unsigned());

/// The states of an object, in task storage or in a hash by thread. aya has no type for the former.
pub(crate) struct States<T> {
    map: MapData,
    by_thread_id: bool,
    state: PhantomData<T>,
}

impl<T: Pod> States<T> {
    /// Takes the map out of an object.
    pub(crate) fn of(ebpf: &mut Ebpf) -> Result<States<T>> {
        let (map, by_thread_id) = match ebpf.take_map(STATES).context("the object has no map TASKS")? {
            Map::HashMap(map) => (map, true),
            Map::Unsupported(map) => (map, false),
            _ => anyhow::bail!("the map TASKS is of another kind"),
        };
        anyhow::ensure!(
            map.info()?.value_size() as usize == size_of::<T>(),
            "the states are of another size"
        );
        Ok(States { map, by_thread_id, state: PhantomData })
    }

    /// The state of a thread, where it has one and this kernel lets it be looked up.
    pub(crate) fn get(&self, tid: u32) -> Option<T> {
        if self.by_thread_id {
            return self.look_up(tid);
        }
        let descriptor = descriptor(tid)?;
        self.look_up(descriptor.as_raw_fd().cast_unsigned())
    }

    fn look_up(&self, key: u32) -> Option<T> {
        let mut value = MaybeUninit::<T>::zeroed();
        // SAFETY: the bytes are those of `value`, all of which are initialised.
        let bytes = unsafe { slice::from_raw_parts_mut(value.as_mut_ptr().cast::<u8>(), size_of::<T>()) };
        syscall::look_up(self.map.fd().as_fd(), key, bytes).ok()?;
        // SAFETY: any bytes are a `T`.
        Some(unsafe { value.assume_init() })
    }
}

/// Whether the kernel gives a task storage: it is tried with this one. A kernel may take the map and every program, and
/// then have no memory for a state: 7.3 allocates it without locks, which needs a CPU with cmpxchg16b
/// (`kmalloc_nolock_noprof`, mm/slub.c).
pub(super) fn try_storage(ebpf: &Ebpf) -> Result<()> {
    if let Some(why) = knobs::without(knobs::TASK_STORAGE) {
        anyhow::bail!("the kernel has no storage for a task: {why}");
    }
    let Some(Map::Unsupported(map)) = ebpf.map(STATES) else { return Ok(()) };
    let zero = vec![0; map.info()?.value_size() as usize];
    let me = pidfd_open(getpid(), PidfdFlags::empty()).context("this process has no descriptor")?;
    let (map, key) = (map.fd().as_fd(), me.as_raw_fd().cast_unsigned());
    let tried: io::Result<()> = syscall::update(map, key, &zero).and_then(|()| syscall::delete(map, key));
    tried.context("the kernel has no storage for a task")
}

/// Why programs on the scheduler's tracepoints must not make task storage on this kernel; none where they may.
///
/// They run with a run queue locked. Up to 6.3 a state comes from `kmalloc(GFP_ATOMIC)` (`bpf_selem_alloc`,
/// kernel/bpf/bpf_local_storage.c), which may wake kswapd, and with that take the same lock: under memory pressure the CPU
/// waits for itself. 6.4 allocates from caches that are filled elsewhere (`selem_ma`), 7.0 without locks
/// (`use_kmalloc_nolock`); each shows as a member of the map. 7.3 does the latter always, and shows it by the state that
/// an element has since it can be unlinked without locks.
pub(super) fn unsafe_storage(types: &Btf) -> Result<Option<&'static str>> {
    for (holder, safe) in [
        ("bpf_local_storage_map", "selem_ma"),
        ("bpf_local_storage_map", "use_kmalloc_nolock"),
        ("bpf_local_storage_elem", "state"),
    ] {
        if types.member(holder, safe)?.is_some() {
            return Ok(None);
        }
    }
    Ok(Some("this kernel allocates task storage in a way that is not safe in the scheduler (before 6.4)"))
}

fn descriptor(tid: u32) -> Option<OwnedFd> {
    let tid = Pid::from_raw(tid.cast_signed())?;
    pidfd_open(tid, THREAD).or_else(|_| pidfd_open(tid, PidfdFlags::empty())).ok()
}

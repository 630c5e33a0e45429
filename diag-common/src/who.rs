//! Who a number belongs to: a process or a thread, by its ids, its name and its cgroup. Shared by every tool that counts by
//! task; each is kept once, under a number.

/// A process, or one of its threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Who {
    /// The thread's name, its bytes as they lie in memory.
    pub comm: [u64; 2],
    /// Its cgroup in the session's hierarchy; 0 for none.
    pub cgroup: u64,
    /// The process.
    pub tgid: u32,
    /// The thread; 0 where all threads of the process that have this name are one.
    pub tid: u32,
}

impl Who {
    /// The number to try first.
    #[inline(always)]
    pub fn number(&self) -> u32 {
        let words =
            [self.comm[0], self.comm[1], self.cgroup, u64::from(self.tgid) << 32 | u64::from(self.tid)];
        let mut hash = 0x9e37_79b9_7f4a_7c15u64;
        for word in words {
            hash = (hash ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
            hash ^= hash >> 32;
        }
        hash as u32 | 1
    }

    /// The name, up to its first zero.
    #[cfg(feature = "user")]
    pub fn name(&self) -> Vec<u8> {
        name(self.comm)
    }
}

/// A thread's name from its two halves, up to its first zero.
#[cfg(feature = "user")]
pub fn name(comm: [u64; 2]) -> Vec<u8> {
    let bytes = comm.iter().flat_map(|half| half.to_ne_bytes());
    bytes.take_while(|&byte| byte != 0).collect()
}

#[cfg(feature = "user")]
// SAFETY: plain integers without padding.
unsafe impl aya::Pod for Who {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_never_nobodys() {
        let who = Who { comm: [1, 2], cgroup: 3, tgid: 4, tid: 5 };
        assert_ne!(who.number(), 0);
        assert_ne!(who.number(), Who { tid: 6, ..who }.number());
    }

    #[cfg(feature = "user")]
    #[test]
    fn a_name_ends_at_its_zero() {
        let comm = [u64::from_ne_bytes(*b"kworker/"), u64::from_ne_bytes(*b"0:1\0xyz\0")];
        assert_eq!(Who { comm, ..Who::default() }.name(), b"kworker/0:1");
    }
}

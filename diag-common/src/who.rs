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
    /// The number to try first. It is odd, and none of [`crate::runs::who`].
    #[inline(always)]
    pub fn number(&self) -> u32 {
        let words =
            [self.comm[0], self.comm[1], self.cgroup, u64::from(self.tgid) << 32 | u64::from(self.tid)];
        let mut hash = 0x9e37_79b9_7f4a_7c15u64;
        for word in words {
            hash = (hash ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
            hash ^= hash >> 32;
        }
        (hash as u32 | 1).max(crate::runs::who::FIRST)
    }

    /// The name, up to its first zero.
    #[cfg(feature = "user")]
    pub fn name(&self) -> Vec<u8> {
        name(self.comm)
    }
}

/// A thread's name without what lies behind its first zero: before 5.17 the rest of a longer name that it had before stays
/// there (`__set_task_comm`, fs/exec.c, 5.10).
#[inline(always)]
pub fn until_zero([low, high]: [u64; 2]) -> [u64; 2] {
    // The highest bit of each byte that is zero, exact for the first, which is the lowest.
    let zeros = |half: u64| half.wrapping_sub(0x0101_0101_0101_0101) & !half & 0x8080_8080_8080_8080;
    // All bits below the lowest, or all where there is none.
    let before = |zeros: u64| (zeros & zeros.wrapping_neg()).wrapping_sub(1);
    let ends = zeros(low);
    let rest = if ends == 0 { high & before(zeros(high)) } else { 0 };
    [low & before(ends), rest]
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

    #[test]
    fn what_lies_behind_a_zero_is_no_part_of_a_name() {
        let halves = |name: &[u8]| {
            [0, 8]
                .map(|at| u64::from_le_bytes(core::array::from_fn(|byte| *name.get(at + byte).unwrap_or(&0))))
        };
        for (stale, clean) in [
            (&b"web\0er-threads"[..], &b"web"[..]),
            (b"\x01\0\x01\xff\0kworker/0", b"\x01"),
            (b"kworker/0\0\xff-rest", b"kworker/0"),
            (b"eight-by\0e-rest", b"eight-by"),
            (
                b"\x80\xff\x01\xff\x80\xff\x01\xff\x80\xff\x80\xff\x01\xff\x80",
                b"\x80\xff\x01\xff\x80\xff\x01\xff\x80\xff\x80\xff\x01\xff\x80",
            ),
            (b"\0rest-of-a-name", b""),
        ] {
            assert_eq!(until_zero(halves(stale)), halves(clean), "{stale:?}");
        }
    }

    #[cfg(feature = "user")]
    #[test]
    fn a_name_ends_at_its_zero() {
        let comm = [u64::from_ne_bytes(*b"kworker/"), u64::from_ne_bytes(*b"0:1\0xyz\0")];
        assert_eq!(Who { comm, ..Who::default() }.name(), b"kworker/0:1");
    }
}

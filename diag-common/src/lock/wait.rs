//! A wait for a sleeping lock that is under way, and who held the lock meanwhile.

use super::doing;

/// Holders of which a wait keeps how long it was for them.
pub const HOLDERS: usize = 3;

/// Who held a lock for a part of a wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Held {
    /// How long, ns.
    pub ns: u64,
    /// The owner's number; 0 for none.
    pub owner: u32,
    /// The owner's stack; 0 for none.
    pub stack: u32,
    /// [`doing`]; [`doing::UNKNOWN`] where there is none.
    pub doing: u8,
    /// Zero.
    pub reserved: [u8; 7],
}

/// A contention that is under way.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Wait {
    /// The lock's address; 0 where there is none.
    pub lock: u64,
    /// When it began, ns of the monotonic clock.
    pub since: u64,
    /// From when on it is for the present owner.
    pub held_since: u64,
    /// What it was for before; the last part of it is put there when it ends.
    pub held: [Held; HOLDERS],
    /// The owner's number; 0 for none.
    pub owner: u32,
    /// The owner's stack; 0 for none.
    pub owner_stack: u32,
    /// [`crate::contention::Kind`]
    pub kind: u8,
    /// [`super::class`]
    pub class: u8,
    /// [`doing`]
    pub doing: u8,
    /// Whether the kernel said last that the waiter spins.
    pub spinning: u8,
    /// Zero.
    pub reserved: u32,
}

impl Wait {
    /// Ends a part of the wait: what has gone by since the last one is the present owner's. Of more holders than there is room for
    /// those are kept that had most; what others had has no owner, as where none is known.
    #[inline(always)]
    pub fn split(&mut self, now: u64) {
        let ns = now.saturating_sub(self.held_since);
        self.held_since = now;
        let (owner, stack, doing) = (self.owner, self.owner_stack, self.doing);
        if doing == doing::UNKNOWN {
            return;
        }
        let [a, b, c] = &mut self.held;
        let same = |held: &Held| held.doing == doing && held.owner == owner;
        let place = if same(a) {
            a
        } else if same(b) {
            b
        } else if same(c) {
            c
        } else {
            let least = if a.ns <= b.ns && a.ns <= c.ns {
                a
            } else if b.ns <= c.ns {
                b
            } else {
                c
            };
            if least.doing != doing::UNKNOWN && least.ns >= ns {
                return;
            }
            *least = Held { ns: 0, owner, stack: 0, doing, reserved: [0; 7] };
            least
        };
        place.ns += ns;
        if stack != 0 {
            place.stack = stack;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_has_no_padding() {
        assert_eq!(size_of::<Held>(), 24);
        assert_eq!(size_of::<Wait>(), 112);
    }

    #[test]
    fn a_wait_is_split_among_those_who_held_the_lock() {
        let mut wait = Wait { lock: 1, since: 100, held_since: 100, ..Wait::default() };
        let mut until = |owner, doing, stack, now| {
            (wait.owner, wait.doing, wait.owner_stack) = (owner, doing, stack);
            wait.split(now);
            wait.held.map(|held| (held.owner, held.doing, held.ns, held.stack))
        };
        let none = (0, doing::UNKNOWN, 0, 0);
        // Readers for a moment, and then a writer: nearly all of it is the writer's.
        assert_eq!(until(0, doing::READERS, 0, 103), [(0, doing::READERS, 3, 0), none, none]);
        assert_eq!(until(7, doing::IO, 5, 1003)[1], (7, doing::IO, 900, 5));
        // What is not known is no holder's.
        assert_eq!(until(0, doing::UNKNOWN, 0, 2003)[2], none);
        // The same one again, of whom no stack was taken this time.
        assert_eq!(until(7, doing::IO, 0, 2103)[1], (7, doing::IO, 1000, 5));
        // As something else it is another part; without room the smallest gives way.
        assert_eq!(until(7, doing::RUNNING, 0, 2113)[2], (7, doing::RUNNING, 10, 0));
        let full = until(8, doing::IO, 0, 2123);
        assert_eq!(full[0], (8, doing::IO, 10, 0));
        assert_eq!(until(9, doing::IO, 0, 2124), full);
        assert!(full.iter().map(|held| held.2).sum::<u64>() <= 2124 - wait.since);
    }
}

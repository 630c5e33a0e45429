//! The rising threshold of what is slow enough to be sent, shared by the kernel side of every tool that sends its slowest.

use crate::hist;

/// The rising threshold of slow operations, kept twice like everything else. The user side lays a fresh one for the
/// epoch that comes.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Threshold {
    /// How many slow operations the user wants.
    pub wanted: u32,
    /// Operations sent so far whose bucket is at or above `bucket`.
    pub above: u32,
    /// The bucket below which an operation is not sent.
    pub bucket: u32,
    /// Zero.
    pub reserved: u32,
    /// How many were sent, by bucket.
    pub sent: [u32; hist::BUCKETS as usize],
}

impl Threshold {
    /// One of an epoch in which nothing was sent yet: from `bucket` on, everything is among the slowest.
    pub const fn fresh(wanted: u32, bucket: u32) -> Threshold {
        Threshold { wanted, above: 0, bucket, reserved: 0, sent: [0; hist::BUCKETS as usize] }
    }

    /// Lets the threshold rise for an operation that is to be sent: at least as many as are wanted have been sent at or above it, so none
    /// of the slowest is missed. `add` adds to a word that other CPUs add to meanwhile; `place` bounds a bucket.
    ///
    /// Of two CPUs that raise it at once, both may take off what was sent below it: then it counts too few and rises late, or no more in this
    /// epoch. It never rises early but by operations that are being sent at this moment.
    ///
    /// # Safety
    /// `threshold` is aligned, and written by this function alone.
    #[inline(always)]
    pub unsafe fn raise(
        threshold: *mut Threshold,
        bucket: u32,
        add: impl Fn(*mut u32, u32),
        place: impl Fn(u32) -> usize,
    ) {
        // SAFETY: the caller's; the places are within the buckets.
        unsafe {
            let (above, lowest_of) = (&raw mut (*threshold).above, &raw mut (*threshold).bucket);
            let sent = (&raw mut (*threshold).sent).cast::<u32>();
            add(sent.add(place(bucket)), 1);
            add(above, 1);
            for _ in 0..16 {
                let lowest = lowest_of.read_volatile();
                if lowest >= hist::BUCKETS {
                    return;
                }
                let at = sent.add(place(lowest)).read_volatile();
                // Signed: taken off twice, it may be below zero.
                if (above.read_volatile().wrapping_sub(at) as i32) < (*threshold).wanted as i32 {
                    return;
                }
                add(above, 0u32.wrapping_sub(at));
                lowest_of.write_volatile(lowest + 1);
            }
        }
    }
}

#[cfg(feature = "user")]
// SAFETY: `#[repr(C)]`, of integers alone, without padding, and valid for every bit pattern.
unsafe impl aya::Pod for Threshold {}

#[cfg(test)]
mod tests {
    use super::*;

    fn raise(threshold: &mut Threshold, bucket: u32) {
        let place = |bucket: u32| bucket.min(hist::BUCKETS - 1) as usize;
        // SAFETY: one thread alone, and its words are within it.
        let add = |word: *mut u32, value| unsafe { *word = (*word).wrapping_add(value) };
        // SAFETY: as above.
        unsafe { Threshold::raise(threshold, bucket, add, place) };
    }

    const FRESH: Threshold = Threshold::fresh(4, 0);

    #[test]
    fn the_threshold_rises_to_the_slowest() {
        let mut threshold = FRESH;
        for bucket in (100..200).chain(100..200) {
            if bucket >= threshold.bucket {
                raise(&mut threshold, bucket);
            }
        }
        assert!((190..=198).contains(&threshold.bucket), "{}", threshold.bucket);
    }

    /// Two CPUs at once have taken off what was sent below the threshold, each of them. As a number without a sign the rest was so large
    /// that each event let the threshold rise, and nothing was sent any more.
    #[test]
    fn the_threshold_does_not_run_away() {
        let mut threshold = Threshold { above: 0u32.wrapping_sub(40), bucket: 100, ..FRESH };
        for _ in 0..100 {
            raise(&mut threshold, 150);
        }
        assert!(threshold.bucket <= 151, "{}", threshold.bucket);
    }
}

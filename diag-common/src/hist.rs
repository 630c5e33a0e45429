//! Log-linear buckets: 32 steps to an octave, so a bucket is at most 1/32 (3.1 %) of its lower bound wide.

const STEP_BITS: u32 = 5;
const STEPS: u32 = 1 << STEP_BITS;

/// How many buckets there are. The last one takes everything from 2^40 ns (18 minutes) on.
pub const BUCKETS: u32 = 36 * STEPS;

/// The last of them, as the bound of an index.
pub const LAST: i32 = BUCKETS as i32 - 1;

/// The bucket that `value` falls into.
#[inline(always)]
pub fn bucket(value: u64) -> u32 {
    // Values below the first octave are their own buckets: a shift of 0.
    let shift = 63 - (value | u64::from(STEPS)).leading_zeros() - STEP_BITS;
    let index = shift * STEPS + (value >> shift) as u32;
    if index < BUCKETS { index } else { BUCKETS - 1 }
}

/// The smallest value of a bucket.
pub fn lowest(bucket: u32) -> u64 {
    if bucket < 2 * STEPS {
        return u64::from(bucket);
    }
    let shift = bucket / STEPS - 1;
    u64::from(bucket % STEPS + STEPS) << shift
}

/// The largest value of a bucket; the last bucket, which is open, ends where its step would.
pub fn highest(bucket: u32) -> u64 {
    if bucket < 2 * STEPS {
        return u64::from(bucket);
    }
    lowest(bucket) + (1 << (bucket / STEPS - 1)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_between_the_bounds_of_its_bucket() {
        for exponent in 0..40 {
            for offset in [0u64, 1, 7, 1 << 3, 12345] {
                let value = (1u64 << exponent).saturating_add(offset).min((1 << 40) - 1);
                let b = bucket(value);
                assert!(lowest(b) <= value && value <= highest(b), "{value} in {b}");
            }
        }
    }

    #[test]
    fn buckets_are_contiguous_and_no_wider_than_a_step() {
        for b in 1..BUCKETS {
            assert_eq!(highest(b - 1) + 1, lowest(b), "bucket {b}");
            let width = highest(b) - lowest(b);
            assert!(width * 32 <= lowest(b), "bucket {b} is {width} wide");
        }
    }

    #[test]
    fn beyond_the_range_is_the_last_bucket() {
        assert_eq!(bucket(1 << 40), BUCKETS - 1);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }
}

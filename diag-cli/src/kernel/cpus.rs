//! The CPUs that there may be.

use std::fs;

use anyhow::{Context as _, Result};

/// Where the kernel says which CPUs there may be, such as `0-3` or `0,2-5`.
const POSSIBLE: &str = "/sys/devices/system/cpu/possible";

/// One more than the highest number that a CPU may have.
pub(crate) fn numbers() -> Result<u32> {
    let text = fs::read_to_string(POSSIBLE).with_context(|| format!("cannot read {POSSIBLE}"))?;
    after_last(&text).with_context(|| format!("{POSSIBLE} says {text:?}"))
}

fn after_last(ranges: &str) -> Option<u32> {
    let last = ranges.trim().rsplit([',', '-']).next()?;
    last.parse::<u32>().ok()?.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_may_have_holes() {
        assert_eq!(after_last("0\n"), Some(1));
        assert_eq!(after_last("0-127\n"), Some(128));
        assert_eq!(after_last("0-3,8-11\n"), Some(12));
        assert_eq!(after_last("0-3,9\n"), Some(10));
        assert_eq!(after_last(""), None);
        assert_eq!(after_last("0-4294967295"), None);
    }
}

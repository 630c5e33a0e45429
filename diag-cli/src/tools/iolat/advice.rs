//! What to look at next where a cause dominates the tail of an operation.

use diag_common::cause::Cause;

use crate::output::{advice::Adviser, cause_advice, record::verdict::Advice};

/// What to look at next when `cause`, reached through `via`, dominates on `device`.
pub(super) fn advice(cause: Cause, via: Option<Cause>, device: &str) -> Vec<Advice> {
    let gaps = [("device", Some(device.to_owned())), ("list", Some("slowest".to_owned()))];
    let mut adviser = Adviser::new(&gaps);
    cause_advice::add(&mut adviser, cause, via);
    adviser.finish()
}

#[cfg(test)]
mod tests {
    use diag_common::cause::COUNTED;

    use super::*;

    #[test]
    fn every_cause_that_operations_can_have_has_advice() {
        for &cause in &Cause::ALL[..COUNTED] {
            let advice = advice(cause, None, "vda");
            assert!(!advice.is_empty(), "{cause:?}");
            assert!(advice.iter().all(|advice| !advice.text.contains('{')), "{advice:?}");
        }
    }

    #[test]
    fn the_root_comes_before_the_cause() {
        let advice = advice(Cause::Journal, Some(Cause::Device), "vda");
        assert!(advice[0].text.starts_with("iostat -x vda 1"), "{advice:?}");
        assert!(advice.iter().any(|advice| advice.text.contains("jbd2")), "{advice:?}");
    }

    #[test]
    fn what_fits_the_pair_comes_first() {
        let advice = advice(Cause::Reclaim, Some(Cause::Device), "vda");
        assert_eq!(advice[0].rule, "reclaim-of-the-disk");
    }
}

//! Latency histograms: from the kernel side's log-linear bins to HdrHistogram, which every language can merge.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use diag_common::hist;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};
use schemars::JsonSchema;
use serde::Serialize;

use super::units;

/// The range of every payload, ns: one day. The same everywhere, so that any two can be added.
const HIGHEST_NS: u64 = 86_400 * 1_000_000_000;
/// Significant decimal digits of a payload.
const DIGITS: u8 = 3;

/// A latency histogram. Where `count` is 0, minimum, maximum, mean and percentiles are null.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Histogram {
    /// How many values there are.
    pub(crate) count: u64,
    /// Their exact sum, ns.
    pub(crate) sum_ns: u64,
    /// The smallest, ns.
    pub(crate) min_ns: Option<u64>,
    /// The largest, ns.
    pub(crate) max_ns: Option<u64>,
    /// Their mean, ns, rounded down.
    pub(crate) mean_ns: Option<u64>,
    /// The median, ns; like all percentiles within 3 % of the true value.
    pub(crate) p50_ns: Option<u64>,
    /// The value that 90 % do not exceed, ns.
    pub(crate) p90_ns: Option<u64>,
    /// The value that 99 % do not exceed, ns.
    pub(crate) p99_ns: Option<u64>,
    /// The value that 99.9 % do not exceed, ns.
    pub(crate) p999_ns: Option<u64>,
    /// The same values in buckets that any database can add: ascending, not cumulative, without empty ones. Their counts add up
    /// to `count`.
    pub(crate) buckets: Vec<Bucket>,
    /// The whole histogram: HdrHistogram's V2 compressed payload, in base64, from 1 ns to one day with 3 significant digits,
    /// so that any two can be added; values above one day stand as one day. Null with `--no-hdr`.
    pub(crate) hdr: Option<String>,
}

/// Values from half of `le_ns` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Bucket {
    /// The bucket's upper end, ns: a power of two. The values are below it, and not below half of it.
    pub(crate) le_ns: u64,
    /// How many values there are in it.
    pub(crate) count: u64,
}

/// What a bin of a cause's own part holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartBin {
    /// Values in it.
    pub(crate) count: u64,
    /// Their sum, ns.
    pub(crate) sum_ns: u64,
}

impl Histogram {
    /// `p50 12 µs  p90 …  max 17 ms`, for people.
    pub(crate) fn percentiles(&self) -> String {
        let time = units::time_or_dash;
        format!(
            "p50 {}  p90 {}  p99 {}  p99.9 {}  max {}",
            time(self.p50_ns),
            time(self.p90_ns),
            time(self.p99_ns),
            time(self.p999_ns),
            time(self.max_ns),
        )
    }

    /// From `(bucket, count)` pairs of [`hist::bucket`], in any order, each bucket any number of times, with what is
    /// known exactly of the values.
    ///
    /// A bucket's values stand at its middle, but for one at the exact minimum and one at the exact maximum.
    pub(crate) fn from_bins(
        bins: impl IntoIterator<Item = (u32, u64)>,
        sum_ns: u64,
        min_ns: u64,
        max_ns: u64,
    ) -> Self {
        let bins: Vec<(u32, u64)> = bins.into_iter().filter(|&(_, count)| count > 0).collect();
        let count: u64 = bins.iter().map(|&(_, count)| count).sum();
        let max_ns = max_ns.max(min_ns);
        let buckets = octaves(bins.iter().map(|&(bucket, count)| (hist::lowest(bucket), count)));
        let mut values = empty();
        let (mut at_min, mut at_max) = (u64::from(count > 1), u64::from(count > 0));
        values.saturating_record_n(min_ns, at_min);
        values.saturating_record_n(max_ns, at_max);
        for (bucket, mut count) in bins {
            for (exact_ns, owed) in [(min_ns, &mut at_min), (max_ns, &mut at_max)] {
                if *owed > 0 && count > 0 && bucket == hist::bucket(exact_ns) {
                    count -= 1;
                    *owed = 0;
                }
            }
            values.saturating_record_n(middle(bucket).clamp(min_ns, max_ns), count);
        }
        Self::summarise(&values, buckets, count, sum_ns, min_ns, max_ns)
    }

    /// From bins whose values' minimum and maximum nobody kept: each bucket's values stand at their mean, and so do
    /// the minimum and the maximum, within 3 % of the true ones.
    pub(crate) fn from_part_bins(bins: impl IntoIterator<Item = PartBin>) -> Self {
        let mut values = empty();
        let mut means = Vec::new();
        let (mut count, mut sum_ns, mut min_ns, mut max_ns) = (0, 0, u64::MAX, 0);
        for bin in bins.into_iter().filter(|bin| bin.count > 0) {
            let mean_ns = bin.sum_ns / bin.count;
            means.push((mean_ns, bin.count));
            values.saturating_record_n(mean_ns, bin.count);
            count += bin.count;
            sum_ns += bin.sum_ns;
            min_ns = mean_ns.min(min_ns);
            max_ns = mean_ns.max(max_ns);
        }
        Self::summarise(&values, octaves(means.into_iter()), count, sum_ns, min_ns.min(max_ns), max_ns)
    }

    fn summarise(
        values: &hdrhistogram::Histogram<u64>,
        buckets: Vec<Bucket>,
        count: u64,
        sum_ns: u64,
        min_ns: u64,
        max_ns: u64,
    ) -> Self {
        let known = |ns| (count > 0).then_some(ns);
        let quantile = |q| (count > 0).then(|| values.value_at_quantile(q).clamp(min_ns, max_ns));
        Self {
            count,
            sum_ns,
            min_ns: known(min_ns),
            max_ns: known(max_ns),
            mean_ns: sum_ns.checked_div(count),
            p50_ns: quantile(0.5),
            p90_ns: quantile(0.9),
            p99_ns: quantile(0.99),
            p999_ns: quantile(0.999),
            buckets,
            hdr: Some(payload(values)),
        }
    }
}

/// Buckets of a power of two each, from values and how often they occur.
fn octaves(values: impl Iterator<Item = (u64, u64)>) -> Vec<Bucket> {
    let mut octaves = [0_u64; 64];
    for (ns, count) in values {
        octaves[(64 - ns.leading_zeros() as usize).min(62)] += count;
    }
    let held = (0..).zip(octaves).filter(|&(_, count)| count > 0);
    held.map(|(octave, count)| Bucket { le_ns: 1 << octave, count }).collect()
}

/// The middle of a bucket, ns.
fn middle(bucket: u32) -> u64 {
    hist::lowest(bucket).midpoint(hist::highest(bucket))
}

fn empty() -> hdrhistogram::Histogram<u64> {
    hdrhistogram::Histogram::new_with_bounds(1, HIGHEST_NS, DIGITS).expect("bounds that the crate accepts")
}

fn payload(values: &hdrhistogram::Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(values, &mut bytes).expect("counts below i64::MAX, into memory");
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hdrhistogram::serialization::Deserializer;
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> Histogram {
        let bins = values.iter().map(|&value| (hist::bucket(value), 1));
        let (min, max) = (values.iter().min(), values.iter().max());
        Histogram::from_bins(bins, values.iter().sum(), *min.unwrap_or(&0), *max.unwrap_or(&0))
    }

    fn parts_of(values: &[u64]) -> Histogram {
        let mut bins = BTreeMap::new();
        for &value in values {
            let bin = bins.entry(hist::bucket(value)).or_insert((0, 0));
            *bin = (bin.0 + 1, bin.1 + value);
        }
        let part = |(_, (count, sum_ns))| PartBin { count, sum_ns };
        Histogram::from_part_bins(bins.into_iter().map(part))
    }

    fn decode(histogram: &Histogram) -> hdrhistogram::Histogram<u64> {
        let bytes = STANDARD.decode(histogram.hdr.as_ref().unwrap()).unwrap();
        Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap()
    }

    /// Latencies from 1 ns to 18 minutes, as likely in each octave.
    fn latencies() -> impl Strategy<Value = Vec<u64>> {
        let latency = (0u32..40, any::<u64>()).prop_map(|(octave, r)| (1 << octave) + r % (1u64 << octave));
        proptest::collection::vec(latency, 1..300)
    }

    fn percentiles(histogram: &Histogram) -> [(f64, u64); 4] {
        let Histogram { p50_ns, p90_ns, p99_ns, p999_ns, .. } = *histogram;
        [(0.5, p50_ns), (0.9, p90_ns), (0.99, p99_ns), (0.999, p999_ns)].map(|(at, ns)| (at, ns.unwrap()))
    }

    proptest! {
        #[test]
        fn percentiles_are_within_three_percent(mut values in latencies()) {
            let (whole, parts) = (of(&values), parts_of(&values));
            values.sort_unstable();
            for histogram in [&whole, &parts] {
                for (quantile, got) in percentiles(histogram) {
                    let rank = ((quantile * values.len() as f64).ceil() as usize).max(1);
                    let exact = values[rank - 1];
                    prop_assert!(got.abs_diff(exact) as f64 <= exact as f64 * 0.03 + 1.0, "{got} for {exact}");
                    prop_assert!(histogram.min_ns.unwrap() <= got && got <= histogram.max_ns.unwrap());
                }
            }
        }

        #[test]
        fn the_payload_keeps_every_count_and_the_percentiles(values in latencies()) {
            for histogram in [of(&values), parts_of(&values)] {
                let decoded = decode(&histogram);
                prop_assert_eq!(decoded.len(), values.len() as u64);
                prop_assert!(decoded.equivalent(decoded.max(), histogram.max_ns.unwrap()));
                prop_assert!(decoded.equivalent(decoded.min(), histogram.min_ns.unwrap()));
                for (quantile, got) in percentiles(&histogram) {
                    prop_assert!(decoded.equivalent(decoded.value_at_quantile(quantile), got));
                }
            }
        }
    }

    #[test]
    fn one_value_is_all_percentiles() {
        let one = of(&[123_456]);
        assert_eq!((one.count, [one.min_ns, one.p50_ns, one.p999_ns, one.max_ns]), (1, [Some(123_456); 4]));
    }

    #[test]
    fn nothing_is_null_and_still_decodes() {
        for none in [of(&[]), parts_of(&[])] {
            assert_eq!(Histogram { hdr: None, ..none.clone() }, Histogram::default());
            assert_eq!(decode(&none).len(), 0);
        }
    }

    #[test]
    fn longer_than_a_day_is_kept_as_a_count() {
        let long = of(&[1000, 100 * HIGHEST_NS]);
        assert_eq!((long.count, long.max_ns), (2, Some(100 * HIGHEST_NS)));
        assert_eq!(decode(&long).len(), 2);
    }

    proptest! {
        #[test]
        fn buckets_hold_every_value_once(values in latencies()) {
            for histogram in [of(&values), parts_of(&values)] {
                for bucket in &histogram.buckets {
                    let within = values.iter().filter(|&&value| value < bucket.le_ns && value >= bucket.le_ns / 2);
                    prop_assert_eq!(bucket.count, within.count() as u64);
                    prop_assert!(bucket.le_ns.is_power_of_two());
                }
                prop_assert_eq!(histogram.buckets.iter().map(|bucket| bucket.count).sum::<u64>(), histogram.count);
            }
        }
    }

    #[test]
    fn payloads_add_up() {
        let (mut a, b) = (decode(&of(&[1000, 2000])), decode(&of(&[3_000_000_000])));
        a.add(b).unwrap();
        assert_eq!(a.len(), 3);
    }
}

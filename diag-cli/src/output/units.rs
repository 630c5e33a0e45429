//! Numbers as people read them: two or three digits and a unit.

/// A time, from ns: `850 ns`, `3.1 µs`, `38 ms`, `1.2 s`, `75 s`, `31 min`.
pub(crate) fn time(ns: u64) -> String {
    let ns = ns as f64;
    for (unit, size) in [("ns", 1.0), ("µs", 1e3), ("ms", 1e6)] {
        if ns / size < 999.5 {
            return number(ns / size, unit);
        }
    }
    if ns / 1e9 < 599.5 { number(ns / 1e9, "s") } else { number(ns / 60e9, "min") }
}

/// The same, or a dash where there is none.
pub(crate) fn time_or_dash(ns: Option<u64>) -> String {
    ns.map_or_else(|| "–".to_owned(), time)
}

/// Time of threads in each second, of which many can have more than a second together: `320 ms/s`, `12 s/s`.
pub(crate) fn per_second(ns: u64, duration_ns: u64) -> String {
    format!("{}/s", time((ns as f64 * 1e9 / duration_ns.max(1) as f64).round() as u64))
}

/// An amount of data, in powers of 1024: `512 B`, `4.0 KiB`, `128 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    scaled(bytes as f64, 1024.0, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"])
}

/// A rate of data in powers of 1000, as storage is sold: `4.2 MB/s`.
pub(crate) fn byte_rate(bytes: u64, duration_ns: u64) -> String {
    let per_second = bytes as f64 * 1e9 / duration_ns.max(1) as f64;
    scaled(per_second, 1000.0, ["B/s", "kB/s", "MB/s", "GB/s", "TB/s", "PB/s"])
}

/// A count: `12,345`, and from ten million on `12 M`.
pub(crate) fn count(count: u64) -> String {
    if count >= 10_000_000 {
        return scaled(count as f64, 1000.0, ["", "k", "M", "G", "T", "P"]);
    }
    let digits = count.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count of things, of which `thing` is one: `1 operation`, `12,345 operations`.
pub(crate) fn counted(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", count(number), if number == 1 { "" } else { "s" })
}

/// `ns` of `total_ns`, 0 to 1, to six digits; 0 of nothing.
pub(crate) fn share(ns: u64, total_ns: u64) -> f64 {
    if total_ns == 0 { 0.0 } else { (ns as f64 / total_ns as f64 * 1e6).round() / 1e6 }
}

/// A share of 0 to 1 as a percentage that never rounds something to nothing, nor nearly all to all.
pub(crate) fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent <= 0.0 => "0 %".to_owned(),
        percent if percent < 1.0 => "<1 %".to_owned(),
        percent if percent < 100.0 => format!("{:.0} %", percent.min(99.0)),
        _ => "100 %".to_owned(),
    }
}

/// The same for shares that are small and matter: with a decimal below 10 %.
pub(crate) fn fine_percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent <= 0.0 => "0 %".to_owned(),
        percent if percent < 0.1 => "<0.1 %".to_owned(),
        percent if percent < 9.95 => format!("{percent:.1} %"),
        _ => percent(share),
    }
}

fn scaled(value: f64, step: f64, units: [&str; 6]) -> String {
    let mut value = value;
    for unit in units {
        if value < step - 0.5 || unit == units[5] {
            // Whole units have no fraction.
            return if unit == units[0] { format!("{value:.0} {unit}") } else { number(value, unit) };
        }
        value /= step;
    }
    String::new()
}

/// Two digits at least.
fn number(value: f64, unit: &str) -> String {
    let decimals = usize::from(value < 9.95 && unit != "ns");
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_two_or_three_digits() {
        let cases = [
            (0, "0 ns"),
            (850, "850 ns"),
            (999, "999 ns"),
            (1_000, "1.0 µs"),
            (9_949, "9.9 µs"),
            (9_960, "10 µs"),
            (999_600, "1.0 ms"),
            (38_400_000, "38 ms"),
            (1_234_000_000, "1.2 s"),
            (75_000_000_000, "75 s"),
            (1_860_000_000_000, "31 min"),
        ];
        for (ns, text) in cases {
            assert_eq!(time(ns), text);
        }
    }

    #[test]
    fn many_threads_have_more_than_a_second_in_each() {
        assert_eq!(per_second(3_200_000_000, 10_000_000_000), "320 ms/s");
        assert_eq!(per_second(120_000_000_000, 10_000_000_000), "12 s/s");
        assert_eq!(per_second(0, 0), "0 ns/s");
    }

    #[test]
    fn amounts_and_rates_have_their_units() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(4096), "4.0 KiB");
        assert_eq!(bytes(128 << 20), "128 MiB");
        assert_eq!(bytes(u64::MAX), "16384 PiB");
        assert_eq!(byte_rate(42_000_000, 10_000_000_000), "4.2 MB/s");
        assert_eq!(byte_rate(1, 0), "1.0 GB/s");
    }

    #[test]
    fn small_shares_keep_a_decimal() {
        let cases = [(0.0, "0 %"), (1e-5, "<0.1 %"), (0.0012, "0.1 %"), (0.0994, "9.9 %"), (0.0996, "10 %")];
        for (share, text) in cases {
            assert_eq!(fine_percent(share), text);
        }
        assert_eq!(fine_percent(0.42), "42 %");
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(9_999_999), "9,999,999");
        assert_eq!(count(12_345_678), "12 M");
        assert_eq!(counted(1, "operation"), "1 operation");
        assert_eq!(counted(0, "operation"), "0 operations");
    }

    #[test]
    fn a_percentage_is_neither_nothing_nor_all_by_rounding() {
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(percent(0.0001), "<1 %");
        assert_eq!(percent(0.914), "91 %");
        assert_eq!(percent(0.999), "99 %");
        assert_eq!(percent(1.0), "100 %");
    }
}

//! The lines of kernels that are tested, of each of which the newest is taken.

use anyhow::{Context, Result};

/// A line of kernels.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Series {
    /// What it is asked for by.
    pub(super) name: &'static str,
    /// The first parts of its version.
    pub(super) version: &'static str,
    /// How its releases end.
    pub(super) flavour: &'static str,
    /// Whose it is.
    pub(super) vendor: Vendor,
    /// The suites that may have it, the likeliest first.
    pub(super) suites: &'static [&'static str],
    /// Whether it is one of the few on which everything is tried; the others only have to load what osdiag has for them.
    pub(super) whole: bool,
}

/// Whose archive a kernel is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vendor {
    Debian,
    Ubuntu,
}

/// Where Ubuntu keeps the kernels that a release of its had over the years; of those for particular machines (`oem`) only some
/// have BTF.
const FOCAL: &[&str] = &["focal-updates", "focal-security"];
const JAMMY: &[&str] = &["jammy-updates", "jammy-security"];
const NOBLE: &[&str] = &["noble-updates", "noble-security"];
const TRIXIE: &[&str] = &["trixie-backports"];

/// All of them, by version.
const ALL: [Series; 25] = [
    whole("5.10", &["bullseye-security", "bullseye"]),
    ubuntu("5.11", "generic", FOCAL),
    ubuntu("5.13", "generic", FOCAL),
    ubuntu("5.15", "generic", JAMMY),
    ubuntu("5.17", "oem", JAMMY),
    ubuntu("5.19", "generic", JAMMY),
    ubuntu("6.0", "oem", JAMMY),
    whole("6.1", &["bookworm-security", "bookworm"]),
    real_time("6.1-rt", "6.1", &["bookworm-security", "bookworm"]),
    ubuntu("6.2", "generic", JAMMY),
    ubuntu("6.5", "generic", JAMMY),
    ubuntu("6.8", "generic", JAMMY),
    ubuntu("6.11", "generic", NOBLE),
    whole("6.12", &["bookworm-backports", "trixie"]),
    real_time("6.12-rt", "6.12", &["trixie"]),
    ubuntu("6.14", "generic", NOBLE),
    debian("6.16", TRIXIE),
    debian("6.17", TRIXIE),
    debian("6.18", TRIXIE),
    debian("6.19", TRIXIE),
    debian("7.0", TRIXIE),
    debian("7.1", TRIXIE),
    debian("7.2", TRIXIE),
    whole("7", &["trixie-backports", "sid"]),
    real_time("7-rt", "7", TRIXIE),
];

const fn debian(version: &'static str, suites: &'static [&'static str]) -> Series {
    Series { name: version, version, flavour: "cloud-amd64", vendor: Vendor::Debian, suites, whole: false }
}

const fn whole(version: &'static str, suites: &'static [&'static str]) -> Series {
    Series { whole: true, ..debian(version, suites) }
}

/// `CONFIG_PREEMPT_RT`, whose locks are other types.
const fn real_time(name: &'static str, version: &'static str, suites: &'static [&'static str]) -> Series {
    Series { name, flavour: "rt-amd64", ..debian(version, suites) }
}

const fn ubuntu(version: &'static str, flavour: &'static str, suites: &'static [&'static str]) -> Series {
    Series { flavour, vendor: Vendor::Ubuntu, ..debian(version, suites) }
}

/// What kernels are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// Steps and faults.
    Everything,
    /// Loading what osdiag has.
    Loading,
}

/// The kernels asked for, or all that there are for this.
pub(super) fn chosen(names: &[String], what: For) -> Result<Vec<&'static Series>> {
    let all: Vec<_> = ALL.iter().filter(|series| series.whole || what == For::Loading).collect();
    if names.is_empty() {
        return Ok(all);
    }
    let find = |name: &String| {
        all.iter().copied().find(|series| series.name == name).with_context(|| {
            let names: Vec<_> = all.iter().map(|series| series.name).collect();
            format!("no kernel {name} to test: it is one of {}", names.join(", "))
        })
    };
    names.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_asked_for_by_series() {
        let names = |names: &[&str], what| {
            chosen(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>(), what)
        };
        let only = |names: Vec<&Series>| names.iter().map(|series| series.name).collect::<Vec<_>>();
        assert_eq!(only(names(&["6.1"], For::Everything).unwrap()), ["6.1"]);
        assert_eq!(only(names(&[], For::Everything).unwrap()), ["5.10", "6.1", "6.12", "7"]);
        assert_eq!(only(names(&["6.1-rt", "5.15"], For::Loading).unwrap()), ["6.1-rt", "5.15"]);
        assert_eq!(names(&[], For::Loading).unwrap().len(), ALL.len());
        for (name, what) in [("2.4", For::Loading), ("5.15", For::Everything)] {
            assert!(names(&[name], what).unwrap_err().to_string().contains("one of 5.10, "));
        }
    }

    #[test]
    fn a_name_stands_for_one_series() {
        for (at, series) in ALL.iter().enumerate() {
            assert!(ALL[at + 1..].iter().all(|other| other.name != series.name), "{}", series.name);
        }
    }
}

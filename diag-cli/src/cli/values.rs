//! How values on the command line are read. Each error says what would have been right.

use std::{ffi::OsString, os::unix::ffi::OsStrExt as _, time::Duration};

use crate::output::text::{escape, unescape};

/// Characters that the kernel keeps of a thread's name (`TASK_COMM_LEN` without its zero, include/linux/sched.h).
const COMM_BYTES: usize = 15;

/// The longest time that a session may be asked for.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// A time above zero.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    time_or_zero(text)
        .ok()
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "expected a time above zero and its unit, such as 10s, 500ms or 1m30s".to_owned())
}

/// A time, which may be zero.
pub(crate) fn time_or_zero(text: &str) -> Result<Duration, String> {
    // Zero is zero in every unit.
    let parsed = if text == "0" { Ok(Duration::ZERO) } else { humantime::parse_duration(text) };
    parsed
        .ok()
        .filter(|&time| time <= LONGEST)
        .ok_or_else(|| "expected a time and its unit, such as 1ms, 500us or 2s".to_owned())
}

/// A share above 0 and up to 100 %, with or without the sign.
pub(crate) fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim_end().parse::<f64>();
    number
        .ok()
        .filter(|&percent| percent > 0.0 && percent <= 100.0)
        .ok_or_else(|| "expected a share above 0 and up to 100, in percent, such as 1 or 0.1".to_owned())
}

/// A process id; at most `PID_MAX_LIMIT` (include/linux/threads.h).
pub(crate) fn pid(text: &str) -> Result<u32, String> {
    let pid = text.parse().ok().filter(|pid| (1..=4 << 20).contains(pid));
    pid.ok_or_else(|| "expected a process id, a number above 0".to_owned())
}

/// A name or path, which is not empty: as records show it, so that bytes that are no text are escaped.
pub(crate) fn named(text: &OsString) -> Result<String, String> {
    if text.is_empty() { Err("expected a name, which is not empty".to_owned()) } else { Ok(name(text)) }
}

/// The bytes of a thread's name: as they are, or escaped as records show them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Comm(pub(crate) Vec<u8>);

/// A thread's name, as long as the kernel keeps it.
pub(crate) fn comm(text: &OsString) -> Result<Comm, String> {
    let name = as_escaped(text).map_or(text.as_bytes().to_vec(), |text| unescape(text.as_bytes()));
    match name.len() {
        1..=COMM_BYTES if name.contains(&0) => {
            Err("expected a thread's name, which ends before a zero byte".to_owned())
        }
        1..=COMM_BYTES => Ok(Comm(name)),
        bytes => Err(format!(
            "expected a thread's name as 'ps -L -o comm' or a record shows it, of 1 to {COMM_BYTES} bytes; this has \
             {bytes}"
        )),
    }
}

/// A name that may hold any bytes, as records show it.
pub(crate) fn name(text: &OsString) -> String {
    as_escaped(text).map_or_else(|| escape(text.as_bytes()), str::to_owned)
}

/// `text` where it can be what records show; other bytes are those of the name itself.
fn as_escaped(text: &OsString) -> Option<&str> {
    text.to_str().filter(|text| !text.contains(char::is_control))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(time("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(time("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(time("500us"), Ok(Duration::from_micros(500)));
        for wrong in ["", "10", "0", "0s", "-1s", "ten", "1e9s", "99999999999years", "2 years", "nan"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
        assert_eq!(time_or_zero("0"), Ok(Duration::ZERO));
        assert_eq!(time_or_zero("0ms"), Ok(Duration::ZERO));
    }

    #[test]
    fn percents_are_shares_of_something() {
        assert_eq!(percent("1"), Ok(1.0));
        assert_eq!(percent("0.1%"), Ok(0.1));
        assert_eq!(percent("100 %"), Ok(100.0));
        for wrong in ["", "0", "-1", "101", "NaN", "inf", "1%%"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn process_ids_are_positive() {
        assert_eq!(pid("1"), Ok(1));
        for wrong in ["", "0", "-1", "self", "4194305", "99999999999"] {
            assert!(pid(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_fit_the_kernel() {
        let comm = |text: &[u8]| comm(&OsString::from_vec(text.to_vec()));
        assert!(comm(b"fifteen-bytes-!").is_ok());
        for wrong in ["sixteen-bytes-!!", "", "a\\x00b"] {
            assert!(comm(wrong.as_bytes()).is_err(), "{wrong}");
        }
        // Cut within a character, as it is and as records show it.
        let cut = b"fourteen-chars\xe5";
        assert_eq!(comm(cut), Ok(Comm(cut.to_vec())));
        assert_eq!(comm(escape(cut).as_bytes()), Ok(Comm(cut.to_vec())));
        assert_eq!(comm(b"a\\x5cx1b"), Ok(Comm(b"a\\x1b".to_vec())));
        assert_eq!(comm(b"\n\\x1b"), Ok(Comm(b"\n\\x1b".to_vec())));
    }

    #[test]
    fn names_that_are_no_text_become_some() {
        assert_eq!(name(&OsString::from_vec(b"/a\xff".to_vec())), "/a\\xff");
        assert_eq!(name(&"/a\\x2db\\xc3".into()), "/a\\x2db\\xc3");
    }
}

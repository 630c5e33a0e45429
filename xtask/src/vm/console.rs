//! What the guest's kernel said on its console.

/// What a healthy kernel does not print.
const TROUBLE: [&str; 9] = [
    "BUG:",
    "Oops",
    "Kernel panic",
    "WARNING:",
    "Call Trace",
    "general protection fault",
    "soft lockup",
    "hard LOCKUP",
    "rcu: INFO",
];

/// How much of a console is shown.
const SHOWN: usize = 25;

/// The lines to show: those from the first trouble on, or the last ones of a guest that had to be stopped.
pub(super) fn complaints(console: &str, stopped: bool) -> Vec<String> {
    let lines: Vec<_> = console.lines().map(plain).collect();
    let trouble = lines.iter().position(|line| TROUBLE.iter().any(|trouble| line.contains(trouble)));
    let shown = match trouble {
        Some(first) => &lines[first..lines.len().min(first + SHOWN)],
        None if stopped => &lines[lines.len().saturating_sub(SHOWN)..],
        None => return Vec::new(),
    };
    let why = if stopped { "stopped after its time limit" } else { "the kernel complains" };
    let quoted = shown.iter().map(|line| format!("console: {line}"));
    std::iter::once(why.to_owned()).chain(quoted).collect()
}

/// A line without what would move the cursor of the terminal that shows it.
fn plain(line: &str) -> String {
    line.chars().filter(|character| !character.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_console_is_no_complaint() {
        assert!(complaints("init\r\nreboot: Power down\r\n", false).is_empty());
    }

    #[test]
    fn an_oops_is_shown_from_its_start() {
        let shown = complaints("fine\r\n[ 1.2] BUG: unable to handle\r\n[ 1.2] Oops: 0002\r\n", false);
        assert_eq!(
            shown,
            ["the kernel complains", "console: [ 1.2] BUG: unable to handle", "console: [ 1.2] Oops: 0002"]
        );
    }

    #[test]
    fn a_guest_that_hung_shows_its_last_words() {
        let console = (0..100).map(|number| format!("line {number}\n")).collect::<String>();
        let shown = complaints(&console, true);
        assert_eq!(shown.len(), SHOWN + 1);
        assert_eq!(shown.last().map(String::as_str), Some("console: line 99"));
    }
}

//! Text that comes from a traced process: data, whatever is in it.

use std::{borrow::Cow, fmt::Write as _};

use unicode_width::UnicodeWidthChar;

/// `bytes` as text for a record, from which they can be told exactly.
///
/// What is UTF-8 stays as it is. A byte that is not becomes `\xHH` in lower case, which is then always `\x80` to
/// `\xff`; a backslash that stands before what would read as such an escape becomes `\x5c`, and no other is
/// touched. So to get the bytes back, replace `\x5c` and `\x80`…`\xff`, and nothing else.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        for (at, c) in valid.char_indices() {
            if c == '\\' && reads_as_escape(&valid.as_bytes()[at + 1..]) {
                text.push_str("\\x5c");
            } else {
                text.push(c);
            }
        }
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").ok();
        }
    }
    text
}

/// Whether what follows a backslash would make it an escape.
fn reads_as_escape(rest: &[u8]) -> bool {
    matches!(rest, [b'x', b'8' | b'9' | b'a'..=b'f', b'0'..=b'9' | b'a'..=b'f', ..] | [b'x', b'5', b'c', ..])
}

/// `text` without anything that a terminal would act on: control characters, and those that change the direction
/// of what follows or show nothing, become visible escapes.
pub(crate) fn for_terminal(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\t' => safe.push_str("\\t"),
            '\r' => safe.push_str("\\r"),
            c if !acts(c) => safe.push(c),
            c if (c as u32) < 0x100 => {
                write!(safe, "\\x{:02x}", c as u32).ok();
            }
            c => {
                write!(safe, "\\u{{{:x}}}", c as u32).ok();
            }
        }
    }
    Cow::Owned(safe)
}

/// Whether a terminal would do something on `c` other than show it: C0, DEL and C1 controls; line and paragraph
/// separators; directional and invisible format characters (Unicode 16, general category Cf, the common ones).
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Columns that `text` takes on a terminal.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// `text` in at most `columns`, its middle replaced by `…` where it is longer; the end, which tells more of a
/// path, gets two thirds.
pub(crate) fn shorten(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let room = columns.saturating_sub(1);
    let head = take(text.chars(), room / 3);
    let tail: String = take(text.chars().rev(), room - width(&head)).chars().rev().collect();
    Cow::Owned(format!("{head}…{tail}"))
}

/// As many characters as fit.
fn take(chars: impl Iterator<Item = char>, columns: usize) -> String {
    let mut used = 0;
    chars
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= columns
        })
        .collect()
}

/// A stack in one line, innermost function first, of which `most` are shown: `a < b < …`.
pub(crate) fn stack(functions: &[String], most: usize) -> String {
    let more = if functions.len() > most { " < …" } else { "" };
    let shown: Vec<&str> = functions.iter().take(most).map(String::as_str).collect();
    format!("{}{more}", shown.join(" < "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The bytes that an escaped text stands for.
    fn unescape(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((&first, after)) = rest.split_first() {
            if first == b'\\' && reads_as_escape(after) {
                let digits = std::str::from_utf8(&after[1..3]).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                rest = &after[3..];
            } else {
                bytes.push(first);
                rest = after;
            }
        }
        bytes
    }

    #[test]
    fn text_stays_readable() {
        assert_eq!(escape("/srv/größe".as_bytes()), "/srv/größe");
        assert_eq!(escape(b"/system.slice/dev-disk\\x2dvda.swap"), "/system.slice/dev-disk\\x2dvda.swap");
        assert_eq!(escape(b"a\xffb\xc3"), "a\\xffb\\xc3");
        assert_eq!(escape(b"a\\xff"), "a\\x5cxff");
    }

    #[test]
    fn a_terminal_gets_no_escape_sequence() {
        assert_eq!(for_terminal("evil\x1b]0;x\x07\u{202e}\u{9b}"), "evil\\x1b]0;x\\x07\\u{202e}\\x9b");
        assert_eq!(for_terminal("two\nlines"), "two\\nlines");
    }

    #[test]
    fn the_end_of_a_path_is_kept() {
        assert_eq!(shorten("/var/lib/postgresql/base/16384/2619", 20), "/var/l…se/16384/2619");
        assert_eq!(shorten("short", 20), "short");
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes in "[\\\\x58acf\u{e9}]{0,12}", raw in proptest::collection::vec(any::<u8>(), 0..12)) {
            let all = [bytes.as_bytes(), &raw, bytes.as_bytes()].concat();
            prop_assert_eq!(unescape(&escape(&all)), all);
        }

        #[test]
        fn nothing_that_a_terminal_acts_on_is_left(text in any::<String>()) {
            prop_assert!(!for_terminal(&text).contains(acts));
        }

        #[test]
        fn shortened_text_fits(text in any::<String>(), columns in 1usize..40) {
            prop_assert!(width(&shorten(&text, columns)) <= columns);
        }
    }
}

//! Text that comes from a traced process: data, whatever is in it.

use std::{borrow::Cow, fmt::Write as _};

use unicode_width::UnicodeWidthChar;

/// `bytes` as text for a record, from which [`unescape`] gets them back.
///
/// UTF-8 stays as it is, but for control characters (C0, DEL, and C1 as U+0080 to U+009F). Each byte of those, and each
/// byte that is not UTF-8, becomes `\xHH` in lower case: `\x00` to `\x1f`, `\x7f`, or `\x80` to `\xff`. A backslash
/// that stands before what would read as one of these, or as `\x5c`, becomes `\x5c`; no other backslash is touched, so
/// that the names of systemd's units (`dev-disk\x2dvda.swap`) stay as systemd shows them.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let hex = |text: &mut String, bytes: &[u8]| {
        for byte in bytes {
            write!(text, "\\x{byte:02x}").ok();
        }
    };
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        for (at, c) in valid.char_indices() {
            if c.is_control() || (c == '\\' && escaped_byte(&valid.as_bytes()[at + 1..]).is_some()) {
                hex(&mut text, &valid.as_bytes()[at..at + c.len_utf8()]);
            } else {
                text.push(c);
            }
        }
        hex(&mut text, chunk.invalid());
    }
    text
}

/// The bytes that a text of [`escape`] stands for.
pub(crate) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        match escaped_byte(after).filter(|_| first == b'\\') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}

/// The byte for which what follows a backslash stands, where that is one that [`escape`] writes.
fn escaped_byte(after: &[u8]) -> Option<u8> {
    let [b'x', high @ (b'0'..=b'9' | b'a'..=b'f'), low @ (b'0'..=b'9' | b'a'..=b'f'), ..] = after else {
        return None;
    };
    let digit = |c: &u8| if c.is_ascii_digit() { c - b'0' } else { c - b'a' + 10 };
    let byte = digit(high) << 4 | digit(low);
    (!(b' '..0x7f).contains(&byte) || byte == b'\\').then_some(byte)
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

    #[test]
    fn text_stays_readable() {
        assert_eq!(escape("/srv/größe".as_bytes()), "/srv/größe");
        assert_eq!(escape(b"/system.slice/dev-disk\\x2dvda.swap"), "/system.slice/dev-disk\\x2dvda.swap");
        assert_eq!(escape(b"a\xffb\xc3"), "a\\xffb\\xc3");
        assert_eq!(escape(b"a\\xff"), "a\\x5cxff");
    }

    #[test]
    fn control_characters_are_escaped_by_their_bytes() {
        assert_eq!(escape(b"a\x1b[2J\n\t\x7f\0b"), "a\\x1b[2J\\x0a\\x09\\x7f\\x00b");
        // U+009B, which terminals take for ESC [.
        assert_eq!(escape("a\u{9b}".as_bytes()), "a\\xc2\\x9b");
        assert_eq!(escape(b"a\\x1b"), "a\\x5cx1b");
    }

    #[test]
    fn what_nothing_would_write_stands_for_itself() {
        for text in ["\\x2d", "\\x41", "\\xFF", "\\xf", "\\x", "\\", "\\\\"] {
            assert_eq!(unescape(text.as_bytes()), text.as_bytes(), "{text}");
        }
        assert_eq!(unescape(b"w-\\xe5"), b"w-\xe5");
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
        fn bytes_come_back(bytes in "[\\\\x0157acf\u{1}\u{e9}]{0,12}", raw in proptest::collection::vec(any::<u8>(), 0..12)) {
            let all = [bytes.as_bytes(), &raw, bytes.as_bytes()].concat();
            let escaped = escape(&all);
            prop_assert!(!escaped.contains(char::is_control));
            prop_assert_eq!(unescape(escaped.as_bytes()), all);
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

//! A page of text for people: lines within the screen's width, styled where the screen shows colour.

use anstyle::Style;

use super::{terminal::Screen, text};

/// Text under construction.
pub(crate) struct Page {
    screen: Screen,
    text: String,
}

impl Page {
    /// An empty page.
    pub(crate) fn new(screen: Screen) -> Self {
        Self { screen, text: String::new() }
    }

    /// Columns that a line may take.
    pub(crate) fn columns(&self) -> usize {
        self.screen.columns
    }

    /// `text` in `style`, where the screen shows colour.
    pub(crate) fn paint(&self, style: Style, text: &str) -> String {
        if self.screen.colour && !text.is_empty() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    /// Adds a line, of which the caller has seen to it that it fits.
    pub(crate) fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// Adds an empty line.
    pub(crate) fn gap(&mut self) {
        self.text.push('\n');
    }

    /// Adds `words` in as many lines as they need, the first after `lead`, the others as far from the margin. What
    /// a terminal would act on is made visible.
    pub(crate) fn wrapped(&mut self, style: Style, lead: &str, words: &str) {
        let indent = text::width(lead);
        let room = self.screen.columns.saturating_sub(indent).max(20);
        let mut lead = lead.to_owned();
        for line in wrap(&text::for_terminal(words), room) {
            let line = format!("{lead}{}", self.paint(style, &line));
            self.line(&line);
            lead = " ".repeat(indent);
        }
    }

    /// The page.
    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

/// `words` in lines of at most `room` columns; a single longer word is shortened.
fn wrap(words: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    // A space that no line may break at, as between a number and its unit, is U+00A0.
    for word in words.split(' ').filter(|word| !word.is_empty()) {
        let word = text::shorten(word, room);
        let width = text::width(&word);
        if used > 0 && used + 1 + width > room {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        line.push_str(&word.replace('\u{a0}', " "));
        used += width;
    }
    if used > 0 || lines.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_only() {
        assert_eq!(wrap("one two three four", 9), ["one two", "three", "four"]);
        assert_eq!(wrap("38\u{a0}ms on average", 8), ["38 ms on", "average"]);
        assert_eq!(wrap("a/very/long/path/name", 10), ["a/v…h/name"]);
        assert_eq!(wrap("", 10), [""]);
    }

    #[test]
    fn colour_is_left_out_where_it_is_not_wanted() {
        let screen = Screen { columns: 80, colour: false };
        assert_eq!(Page::new(screen).paint(Style::new().bold(), "x"), "x");
        let screen = Screen { columns: 80, colour: true };
        assert_eq!(Page::new(screen).paint(Style::new().bold(), "x"), "\x1b[1mx\x1b[0m");
    }
}

//! The terminal that people read on: how wide it is, whether it shows colour.

use std::io;

use anstream::{AutoStream, ColorChoice};
use terminal_size::{Width, terminal_size_of};

/// Columns of a terminal that does not tell, and of a file.
const DEFAULT_COLUMNS: u16 = 80;
/// Columns below which lines are left to wrap, and beyond which they would be hard to follow.
const COLUMNS: (u16, u16) = (80, 120);

/// Where a picture is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Screen {
    /// Columns that a line may take.
    pub(crate) columns: usize,
    /// Whether to use colour.
    pub(crate) colour: bool,
}

impl Screen {
    /// A screen that nothing is known of.
    pub(crate) fn plain() -> Self {
        Screen { columns: usize::from(DEFAULT_COLUMNS), colour: false }
    }

    /// Standard output: colour on a terminal only, and not where `NO_COLOR` is set (<https://no-color.org>).
    pub(crate) fn of_stdout() -> Self {
        let stdout = io::stdout();
        let (least, most) = COLUMNS;
        let columns = terminal_size_of(&stdout).map_or(DEFAULT_COLUMNS, |(Width(columns), _)| columns);
        Self {
            columns: columns.clamp(least, most).into(),
            colour: AutoStream::choice(&stdout) != ColorChoice::Never,
        }
    }
}

//! What follows from a session: a record of another schema than its summary's, a page, and an exit status.

use std::process::ExitCode;

use anyhow::Result;

use crate::{
    cli::SessionArgs,
    output::{page::Page, record::Envelope, streams, terminal::Screen, writer::Writer},
    target::CgroupNames,
};

/// What a tool concludes.
pub(crate) trait Conclusion {
    /// The record as JSON, without HdrHistogram payloads where `hdr` is false.
    fn json(&self, hdr: bool) -> serde_json::Result<serde_json::Value>;

    /// What people see.
    fn draw(&self, page: &mut Page);

    /// The status to end with, unless a command has one.
    fn status(&self) -> ExitCode;
}

/// A conclusion without the kernel side, made when the time of its envelope is over.
pub(crate) type Untraced = Box<dyn FnOnce(Envelope, Option<&mut CgroupNames>) -> Box<dyn Conclusion>>;

/// Writes a conclusion, as a record or as a page.
pub(super) fn print(conclusion: &dyn Conclusion, args: &SessionArgs, out: &Writer) -> Result<()> {
    if args.json {
        return Ok(out.push(streams::line_of(&conclusion.json(!args.no_hdr)?)?)?);
    }
    let mut page = Page::new(Screen::of_stdout());
    conclusion.draw(&mut page);
    streams::notes_first();
    Ok(out.push(page.into_text().into_bytes())?)
}

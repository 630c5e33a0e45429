//! What a session says: notes, records, pictures.

use anyhow::Result;

use super::{Report, Reporter, Tool};
use crate::{
    ebpf::probes::one_line,
    output::{
        closing,
        page::Page,
        record::{self, Kind, target::Ended},
        streams,
        terminal::Screen,
    },
};

impl<T: Tool> Reporter<'_, T> {
    /// What `-v` asks for.
    pub(super) fn say_what_is_attached(&self) {
        if self.scene.args.verbose == 0 {
            return;
        }
        let hooks = self.object.hooks;
        match &self.object.fallback {
            None => streams::note(format_args!("hooks: {hooks}, the cheapest kind that there is")),
            Some(why) => streams::note(format_args!("hooks: {hooks}, because {}", one_line(why))),
        }
        streams::note(format_args!("preemption: {}", self.scene.preemption));
        for probe in &self.scene.attached.probes {
            streams::note(format_args!("attached: {} ({})", probe.name, probe.hook));
        }
        for missing in &self.scene.attached.unavailable {
            streams::note(format_args!(
                "not attached: {}: {}: {}",
                missing.name, missing.why, missing.effect
            ));
        }
        for field in &self.object.fields {
            streams::note(format_args!("field: {} = {}, {}", field.global, field.value as i32, field.from));
        }
    }

    /// Why the session ended before its time, if its target has ended it.
    pub(super) fn say_how_the_target_ended(&self, ended: Ended) {
        if let Some(why) = closing::ended(ended, &self.scene.target) {
            streams::note(format_args!("osdiag: {why}"));
        }
    }

    /// Writes a record, or its picture.
    pub(super) fn print(&self, report: &Report<T>) -> Result<()> {
        if self.scene.args.json {
            let record = record::json(&report.record, !self.scene.args.no_hdr)?;
            return Ok(self.out.push(streams::line_of(&record)?)?);
        }
        let mut page = Page::new(Screen::of_stdout());
        match report.record.envelope.kind {
            Kind::Summary if T::CONCLUDES && self.scene.args.verbose == 0 => return Ok(()),
            Kind::Summary => {
                self.tool.draw_summary(&mut page, report);
                closing::draw(&mut page, &report.record.envelope);
                self.tool.draw_verdict(&mut page, report);
            }
            Kind::Interval => {
                self.tool.draw_interval(&mut page, report);
                closing::interval_losses(&mut page, &report.record.envelope);
            }
            Kind::Event => self.tool.draw_event(&mut page, report),
        }
        streams::notes_first();
        Ok(self.out.push(page.into_text().into_bytes())?)
    }
}

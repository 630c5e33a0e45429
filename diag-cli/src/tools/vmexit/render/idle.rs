//! How long idle CPUs halt: a row for each range of times.

use diag_common::hist;

use crate::{
    output::{
        bar,
        page::Page,
        spectrum::{Part, Rows, names},
        units,
    },
    tools::vmexit::record::Vmexit,
};

/// Draws the spectrum of halts; nothing where no CPU halted.
pub(super) fn draw(page: &mut Page, body: &Vmexit, halted: &[(u32, u64)], duration_ns: u64) {
    let idle = &body.idle;
    let polls = idle.poll_count.unwrap_or(0);
    if idle.halted.count == 0 && polls == 0 {
        return;
    }
    let rate = idle.halted.count as f64 * 1e9 / duration_ns.max(1) as f64;
    let rate = if rate < 1.0 { "less than 1".to_owned() } else { units::count(rate.round() as u64) };
    let mut words = format!("{rate} halts a second");
    if let Some(typical_ns) = idle.halted.p50_ns {
        words += &format!(", half of them shorter than {}", units::time(typical_ns).replace(' ', "\u{a0}"));
    }
    words += &format!("; {}", polling(body));
    page.gap();
    page.wrapped(bar::STRONG, "Idle CPUs: ", &words);
    rows(page, halted);
}

/// Whether idle CPUs poll before they halt.
fn polling(body: &Vmexit) -> String {
    let idle = &body.idle;
    if let Some((polls, ns)) = idle.poll_count.zip(idle.polling_ns).filter(|&(polls, _)| polls > 0) {
        let polled = units::time(ns).replace(' ', "\u{a0}");
        return format!("{} by polling instead, {polled} long", units::counted(polls, "time"));
    }
    match idle.halt_poll_ns {
        Some(0) => "no polling before (haltpoll with guest_halt_poll_ns=0)".to_owned(),
        Some(ns) => format!("haltpoll may poll for {} before, and did not", units::time(ns)),
        None => "no polling before (no haltpoll)".to_owned(),
    }
}

/// How often CPUs halted for times of a range: what an exit costs counts each time, however long it was.
#[derive(Clone, Copy, Default)]
struct Halts(u64);

impl Part for Halts {
    fn count(&self) -> u64 {
        self.0
    }

    fn weight(&self) -> u64 {
        self.0
    }

    fn add(&mut self, more: &Halts) {
        self.0 += more.0;
    }
}

fn rows(page: &mut Page, halted: &[(u32, u64)]) {
    let middle = |bucket| hist::lowest(bucket).midpoint(hist::highest(bucket));
    let halts = halted.iter().map(|&(bucket, count)| (middle(bucket), Halts(count)));
    let Some(rows) = Rows::of(halts) else { return };
    page.line(&page.paint(bar::FAINT, &names("halted for", "times", "share")));
    rows.draw(page, |_| ' ', |page, _, cells| bar::solid(page, cells));
}

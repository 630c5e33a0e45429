//! What an exit costs here, and what the guest is.

use anstyle::Style;

use crate::{
    output::{bar, page::Page, record::Envelope, units},
    tools::vmexit::record::{Feature, Vmexit},
};

/// What an exit costs, and what all of them take.
pub(super) fn cost(page: &mut Page, body: &Vmexit) {
    let Some(cost) = body.exit_cost_ns else { return };
    let [min, p50, p99] = [cost.min, cost.p50, cost.p99].map(|ns| units::time(ns).replace(' ', "\u{a0}"));
    let mut words = format!("an exit costs about {p50} here (CPUID: {min} at best, 99 % below {p99})");
    if let (Some(all), Some(certain)) = (body.vcpu_share, body.vcpu_share_certain) {
        let [all, certain] = [all, certain].map(units::fine_percent);
        words += &format!(
            "; estimated share of CPU time: {certain} by exits that happen, {all} with those that may"
        );
    }
    page.wrapped(Style::new(), "", &words.replace(" %", "\u{a0}%"));
}

/// The hypervisor and its features, steal, and what is not visible.
pub(super) fn draw(page: &mut Page, envelope: &Envelope, body: &Vmexit) {
    let features = &body.features;
    page.gap();
    page.wrapped(Style::new(), "guest: ", &machine(body));
    let of = |wanted: fn(&Feature) -> bool| {
        features.paravirtual.iter().filter(|feature| wanted(feature)).map(|f| f.name).collect::<Vec<_>>()
    };
    let lists: [(&str, Vec<&str>); 4] = [
        ("in use: ", of(|f| f.offered && f.used == Some(true))),
        ("offered: ", of(|f| f.offered && f.used.is_none())),
        ("offered, not used: ", of(|f| f.offered && f.used == Some(false))),
        ("not offered: ", of(|f| !f.offered)),
    ];
    for (lead, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
        page.wrapped(Style::new(), &format!("  {lead}"), &names.join(", "));
    }
    let all_ns = envelope.duration_ns * u64::from(envelope.host.cpus);
    let steal = units::fine_percent(body.steal_ns as f64 / all_ns.max(1) as f64);
    page.line(&format!("  steal: {steal} of CPU time"));
    let hidden: Vec<&str> = body.not_visible.iter().map(|hidden| hidden.what).collect();
    page.wrapped(bar::FAINT, "not visible to a guest: ", &hidden.join("; "));
}

/// `KVM on AMD, clock tsc, timer lapic-deadline, 250 ticks a second`.
fn machine(body: &Vmexit) -> String {
    let features = &body.features;
    let maker = match features.cpu {
        "intel" => " on Intel",
        "amd" => " on AMD",
        _ => "",
    };
    let mut words = match features.hypervisor.as_str() {
        "none" => format!("no virtual machine{maker}"),
        name => format!("{name}{maker}"),
    };
    for (what, name) in [("clock", &features.clocksource), ("timer", &features.timer)] {
        if !name.is_empty() {
            words += &format!(", {what} {name}");
        }
    }
    if let Some(hz) = features.hz {
        words += &format!(", {hz} ticks a second when busy");
    }
    words
}

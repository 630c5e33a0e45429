//! What an exit costs here, and what the guest is.

use anstyle::Style;

use crate::{
    output::{bar, page::Page, units},
    tools::vmexit::{
        Report,
        record::{Feature, Vendor, Vmexit},
    },
};

/// What an exit costs, and what all of them take.
pub(super) fn cost(page: &mut Page, body: &Vmexit) {
    let Some(cost) = body.exit_cost else { return };
    let [min, p50, p99] =
        [cost.min_ns, cost.p50_ns, cost.p99_ns].map(|ns| units::time(ns).replace(' ', "\u{a0}"));
    let mut words = format!("an exit costs about {p50} here (CPUID: {min} at best, 99 % below {p99})");
    if let (Some(all), Some(certain), Some(idle)) =
        (body.cpu_share, body.cpu_share_certain, body.cpu_share_idle)
    {
        let [all, certain, idle] = [all, certain, idle].map(units::fine_percent);
        words += &format!(
            "; estimated share of CPU time: {certain} by exits that happen, {all} with those that may; idle CPUs: {idle}"
        );
    }
    page.wrapped(Style::new(), "", &words.replace(" %", "\u{a0}%"));
}

/// The hypervisor and its features, steal, and what is not visible.
pub(super) fn draw(page: &mut Page, report: &Report) {
    let (envelope, body) = (&report.record.envelope, &report.record.body);
    page.gap();
    page.wrapped(Style::new(), "guest: ", &machine(report));
    let of = |wanted: fn(&Feature) -> bool| {
        let features = body.features.paravirtual_features.iter();
        features.filter(|feature| wanted(feature)).map(|feature| feature.name).collect::<Vec<_>>()
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
    if let Some((steal_ns, cpus)) = body.steal_ns.zip(envelope.host.cpus) {
        let all_ns = envelope.duration_ns * u64::from(cpus);
        let steal = units::fine_percent(steal_ns as f64 / all_ns.max(1) as f64);
        page.line(&format!("  steal: {steal} of CPU time"));
    }
    let hidden: Vec<&str> = body.invisible_exits.iter().map(|hidden| hidden.what).collect();
    page.wrapped(bar::FAINT, "not visible to a guest: ", &hidden.join("; "));
}

/// `KVM on AMD, clock tsc, timer lapic-deadline, 250 ticks a second`.
fn machine(report: &Report) -> String {
    let features = &report.record.body.features;
    let maker = match features.cpu_vendor {
        Vendor::Intel => " on Intel",
        Vendor::Amd => " on AMD",
        Vendor::Other => "",
    };
    let name = report.picture.hypervisor.as_deref().unwrap_or("no virtual machine");
    let mut words = format!("{name}{maker}");
    for (what, name) in [("clock", &features.clocksource), ("timer", &features.timer_device)] {
        if let Some(name) = name {
            words += &format!(", {what} {name}");
        }
    }
    if let Some(hz) = features.hz {
        words += &format!(", {hz} ticks a second when busy");
    }
    words
}

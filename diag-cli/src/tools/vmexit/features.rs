//! What the hypervisor and the CPU offer, and what shows that the kernel uses it.

use super::{
    collect::Harvest,
    guest::{Guest, offers::Offer},
    record::{Activity, Feature, Features},
};

/// The features, and what is known of their use.
pub(super) fn features(guest: &Guest, harvest: &Harvest, activities: &[Activity]) -> Features {
    let feature = |offer: &&'static Offer| {
        let offered = guest.cpu.offers(offer.name);
        let used = if offered { used(offer, guest, harvest, activities) } else { None };
        Feature { name: offer.name, offered, used }
    };
    Features {
        signatures: guest.cpu.signatures.clone(),
        cpu_vendor: guest.cpu.vendor,
        paravirtual_features: guest.cpu.known.iter().map(feature).collect(),
        clocksource: guest.kernel.clocksource.clone(),
        timer_device: guest.kernel.timer.clone(),
        hz: guest.kernel.hz,
    }
}

/// Whether the kernel uses a feature that is offered, by what shows it; none where nothing does.
fn used(offer: &Offer, guest: &Guest, harvest: &Harvest, activities: &[Activity]) -> Option<bool> {
    let kernel = &guest.kernel;
    if offer.of.is_some() && kernel.shuns_paravirt {
        return Some(false);
    }
    let if_so = |shown: bool| shown.then_some(true);
    let ipis = |counts: fn(&Activity) -> bool| -> u64 {
        let ipis = activities.iter().filter(|activity| activity.activity.is_ipi());
        ipis.filter(|activity| counts(activity)).map(|activity| activity.event_count).sum()
    };
    let (clocksource, timer) = (kernel.clocksource.as_deref(), kernel.timer.as_deref());
    match offer.name {
        "x2APIC" => if_so(activities.iter().any(|activity| activity.msr.is_some_and(|msr| msr >> 8 == 8))),
        "TSC_DEADLINE" => timer.map(|timer| timer == "lapic-deadline"),
        "POLL_CONTROL" => Some(kernel.has_haltpoll_driver()),
        "STEAL_TIME" => if_so(harvest.steal_goes_on),
        "PV_SEND_IPI" | "HV_CLUSTER_IPI" => if_so(ipis(|ipi| ipi.msr.is_none()) > ipis(|_| true) / 50),
        "CLOCKSOURCE2" => if_so(clocksource == Some("kvm-clock")),
        "HV_REFERENCE_TSC" => if_so(clocksource == Some("hyperv_clocksource_tsc_page")),
        "HV_SYNTHETIC_TIMER" => if_so(timer == Some("Hyper-V clockevent")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use diag_common::vmexit::{CellKey, Kind, NOT_BY_MSR};

    use super::*;
    use crate::tools::vmexit::{
        guest::recorded,
        sample::{FLUSH, body, busy, guest, key},
    };

    #[test]
    fn use_is_told_where_something_shows_it() {
        let features =
            |guest: &Guest, harvest: &Harvest| body(guest, None, harvest).features.paravirtual_features;
        let used = |features: &[Feature], name: &str| {
            features.iter().find(|feature| feature.name == name).and_then(|feature| feature.used)
        };
        let quiet = features(&guest(), &Harvest::default());
        assert_eq!((used(&quiet, "x2APIC"), used(&quiet, "PV_SEND_IPI")), (None, None));
        assert_eq!((used(&quiet, "TSC_DEADLINE"), used(&quiet, "POLL_CONTROL")), (Some(true), Some(true)));
        let mut harvest = busy();
        let by_hypercall = CellKey { via: NOT_BY_MSR, ..key(Kind::IpiCall, FLUSH, b"java", 1) };
        harvest.counts.insert(by_hypercall, 1);
        assert_eq!(used(&features(&guest(), &harvest), "PV_SEND_IPI"), None, "one may be chance");
        harvest.counts.insert(by_hypercall, 100_000);
        let loud = features(&guest(), &harvest);
        for name in ["x2APIC", "PV_SEND_IPI", "STEAL_TIME"] {
            assert_eq!(used(&loud, name), Some(true), "{name}");
        }
        let mut shunning = guest();
        shunning.kernel.shuns_paravirt = true;
        assert_eq!(used(&features(&shunning, &harvest), "PV_EOI"), Some(false));
        assert_eq!(used(&features(&recorded::guest(&recorded::BARE), &harvest), "PV_EOI"), None);
    }
}

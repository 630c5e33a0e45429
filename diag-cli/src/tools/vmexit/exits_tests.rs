use super::*;
use crate::tools::vmexit::guest::recorded::{self, Machine, guest};

fn answer(machine: &Machine, act: Act) -> (Exits, &'static str) {
    let answer = exits(&guest(machine), act);
    assert!(!answer.reason.is_empty() && answer.why.chars().count() <= 32, "{answer:?}");
    (answer.exits, answer.why)
}

const ACTS: [Act; 9] = [
    Act::Write(TSC_DEADLINE),
    Act::Write(0x830),
    Act::Write(0xc000_0100),
    Act::Read(0x3b),
    Act::IpiByRegister,
    Act::IpiOtherwise,
    Act::Timer,
    Act::Halt,
    Act::ReadCounter,
];

#[test]
fn without_a_virtual_machine_nothing_exits() {
    for act in ACTS {
        assert_eq!(answer(&recorded::BARE, act), (Exits::No, "no virtual machine"));
        assert_eq!(answer(&recorded::TCG, act), (Exits::No, "emulated"));
    }
}

#[test]
fn kvm_on_amd() {
    let on = |act| answer(&recorded::KVM_AMD, act);
    assert_eq!(on(Act::Write(TSC_DEADLINE)), (Exits::Yes, "intercepted"));
    assert_eq!(on(Act::IpiByRegister), (Exits::Depends, "unless x2AVIC"));
    assert_eq!(on(Act::IpiOtherwise), (Exits::Yes, "a hypercall"));
    assert_eq!(on(Act::Halt), (Exits::Yes, "intercepted"));
    assert_eq!(on(Act::Write(0xc000_0100)), (Exits::No, "passed through"));
    for msr in 0xc000_0081..=0xc000_0084 {
        assert_eq!(on(Act::Write(msr)), (Exits::No, "passed through"));
        assert_eq!(answer(&recorded::KVM_INTEL, Act::Write(msr)), (Exits::Yes, "intercepted"));
    }
    assert_eq!(on(Act::Write(0xc000_0080)), (Exits::Yes, "intercepted"));
    assert_eq!(on(Act::Read(0x3b)), (Exits::Yes, "intercepted"));
    assert_eq!(on(Act::Write(0x80b)), (Exits::Depends, "unless APICv or AVIC"));
    assert_eq!(on(Act::Read(0x839)), (Exits::Depends, "unless APICv or AVIC"));
    assert_eq!(on(Act::Write(0x4b56_4d05)), (Exits::Yes, "the hypervisor's own"));
    assert_eq!(on(Act::ReadCounter).0, Exits::Depends);
    assert_eq!(on(Act::Write(0xc001_0201)).1, "unless the counters are mediated");
    assert_eq!(on(Act::Timer), (Exits::Depends, "unless halted or posted"));
}

#[test]
fn kvm_on_intel_and_on_dedicated_cpus() {
    assert_eq!(answer(&recorded::KVM_INTEL, Act::IpiByRegister).1, "unless IPI virtualisation");
    assert_eq!(answer(&recorded::KVM_INTEL, Act::Halt).0, Exits::Yes);
    assert_eq!(answer(&recorded::KVM_INTEL, Act::Read(TIME_STAMP_COUNTER)).0, Exits::No);
    assert_eq!(answer(&recorded::KVM_AMD, Act::Read(TIME_STAMP_COUNTER)).0, Exits::Yes);
    assert_eq!(answer(&recorded::KVM_INTEL, Act::Read(0xe7)), (Exits::Depends, "unless passed through"));
    assert_eq!(answer(&recorded::KVM_DEDICATED, Act::Halt), (Exits::Depends, "unless CPUs are dedicated"));
}

#[test]
fn others() {
    assert_eq!(answer(&recorded::HYPER_V, Act::IpiOtherwise), (Exits::Yes, "a hypercall"));
    assert_eq!(answer(&recorded::HYPER_V, Act::Write(0x4000_00b0)).0, Exits::Yes);
    assert_eq!(answer(&recorded::HYPER_V, Act::Write(TSC_DEADLINE)), (Exits::Depends, "the host decides"));
    assert_eq!(answer(&recorded::XEN, Act::IpiOtherwise), (Exits::Yes, "a hypercall"));
    assert_eq!(answer(&recorded::VMWARE, Act::IpiOtherwise).0, Exits::Depends);
    assert_eq!(answer(&recorded::UNKNOWN, Act::Halt).0, Exits::Yes);
    assert_eq!(answer(&recorded::UNKNOWN, Act::IpiByRegister), (Exits::Depends, "the host decides"));
}

#[test]
fn every_rule_decides_something() {
    let machines = [
        recorded::KVM_AMD,
        recorded::KVM_INTEL,
        recorded::KVM_DEDICATED,
        recorded::HYPER_V,
        recorded::XEN,
        recorded::VMWARE,
        recorded::TCG,
        recorded::BARE,
    ];
    let registers = [0x3b, 0x48, 0xc1, 0x80b, 0x4b56_4d00, 0xc000_0082];
    let reads = [TIME_STAMP_COUNTER, 0xe7].map(Act::Read);
    let acts: Vec<Act> = ACTS.into_iter().chain(registers.map(Act::Write)).chain(reads).collect();
    for (number, rule) in RULES.iter().enumerate() {
        let decides = machines.iter().any(|machine| {
            let guest = guest(machine);
            acts.iter().any(|&act| {
                RULES.iter().position(|rule| (rule.about)(act) && (rule.on)(&guest)) == Some(number)
            })
        });
        assert!(decides, "rule {number}, {}", rule.reason);
    }
}

//! Model-specific registers of x86: their names, and groups of which hypervisors treat all alike. Data: each group of names stands
//! below its source, whose names they are. Only x86 kernels report registers.

/// The time-stamp counter.
pub(crate) const TIME_STAMP_COUNTER: u32 = 0x10;
/// The local timer's deadline.
pub(crate) const TSC_DEADLINE: u32 = 0x6e0;

/// The x2APIC's interrupt command register.
pub(crate) const X2APIC_ICR: u32 = 0x830;

/// FS, GS and kernel GS base, and the SYSENTER registers.
pub(crate) const SEGMENTS: &[(u32, u32)] = &[(0xc000_0100, 0xc000_0102), (0x174, 0x176)];
/// `STAR`, `LSTAR`, `CSTAR` and `SYSCALL_MASK`.
pub(crate) const SYSTEM_CALLS: &[(u32, u32)] = &[(0xc000_0081, 0xc000_0084)];
/// `SPEC_CTRL`, `PRED_CMD`, `FLUSH_CMD`, `XFD`, `XFD_ERR`.
pub(crate) const PASSED_ON_USE: &[(u32, u32)] = &[(0x48, 0x49), (0x10b, 0x10b), (0x1c4, 0x1c5)];
/// `MPERF` and `APERF`, and how long CPUs were in deep idle states.
pub(crate) const PASSED_ON_REQUEST: &[(u32, u32)] = &[(0xe7, 0xe8), (0x3fc, 0x3fe), (0x660, 0x660)];
/// Performance counters and their controls, of Intel and AMD.
pub(crate) const COUNTERS: &[(u32, u32)] = &[
    (0xc1, 0xc8),
    (0x186, 0x18d),
    (0x309, 0x30c),
    (0x38d, 0x391),
    (0x4c1, 0x4c8),
    (0xc000_0300, 0xc000_0302),
    (0xc001_0000, 0xc001_0007),
    (0xc001_0200, 0xc001_020b),
];
/// The x2APIC: EOI, TPR and self-IPI, which processors can virtualise in full.
pub(crate) const APIC_VIRTUALISED: &[(u32, u32)] = &[(0x808, 0x808), (0x80b, 0x80b), (0x83f, 0x83f)];
/// All of it.
pub(crate) const APIC: &[(u32, u32)] = &[(0x800, 0x8ff)];
/// Registers that a hypervisor made up.
pub(crate) const SYNTHETIC: &[(u32, u32)] = &[(0x4000_0000, 0x4000_01ff), (0x4b56_4d00, 0x4b56_4dff)];

/// A register, or several in a row: their names in turn, in which `#` stands for how often they have come round.
struct Name {
    first: u32,
    count: u32,
    names: &'static [&'static str],
}

const fn row(first: u32, count: u32, names: &'static [&'static str]) -> Name {
    Name { first, count, names }
}

/// The name of a register; none where it has none here.
pub(crate) fn name(msr: u32) -> Option<String> {
    let Name { first, names, .. } =
        NAMES.iter().find(|name| (name.first..name.first + name.count).contains(&msr))?;
    let (at, each) = ((msr - first) as usize, names.len());
    Some(names[at % each].replace('#', &(at / each).to_string()))
}

const NAMES: &[Name] = &[
    // Intel SDM vol. 4, table 2-2, "IA-32 Architectural MSRs".
    row(TIME_STAMP_COUNTER, 1, &["IA32_TIME_STAMP_COUNTER"]),
    row(0x1b, 1, &["IA32_APIC_BASE"]),
    row(0x3a, 1, &["IA32_FEATURE_CONTROL"]),
    row(0x3b, 1, &["IA32_TSC_ADJUST"]),
    row(0x48, 1, &["IA32_SPEC_CTRL"]),
    row(0x49, 1, &["IA32_PRED_CMD"]),
    row(0x79, 1, &["IA32_BIOS_UPDT_TRIG"]),
    row(0x8b, 1, &["IA32_BIOS_SIGN_ID"]),
    row(0xc1, 8, &["IA32_PMC#"]),
    row(0xcf, 1, &["IA32_CORE_CAPABILITIES"]),
    row(0xe1, 1, &["IA32_UMWAIT_CONTROL"]),
    row(0xe7, 1, &["IA32_MPERF"]),
    row(0xe8, 1, &["IA32_APERF"]),
    row(0xfe, 1, &["IA32_MTRRCAP"]),
    row(0x10a, 1, &["IA32_ARCH_CAPABILITIES"]),
    row(0x10b, 1, &["IA32_FLUSH_CMD"]),
    row(0x122, 1, &["IA32_TSX_CTRL"]),
    row(0x174, 1, &["IA32_SYSENTER_CS"]),
    row(0x175, 1, &["IA32_SYSENTER_ESP"]),
    row(0x176, 1, &["IA32_SYSENTER_EIP"]),
    row(0x179, 1, &["IA32_MCG_CAP"]),
    row(0x17a, 1, &["IA32_MCG_STATUS"]),
    row(0x17b, 1, &["IA32_MCG_CTL"]),
    row(0x186, 8, &["IA32_PERFEVTSEL#"]),
    row(0x198, 1, &["IA32_PERF_STATUS"]),
    row(0x199, 1, &["IA32_PERF_CTL"]),
    row(0x19a, 1, &["IA32_CLOCK_MODULATION"]),
    row(0x19b, 1, &["IA32_THERM_INTERRUPT"]),
    row(0x19c, 1, &["IA32_THERM_STATUS"]),
    row(0x1a0, 1, &["IA32_MISC_ENABLE"]),
    row(0x1b0, 1, &["IA32_ENERGY_PERF_BIAS"]),
    row(0x1b1, 1, &["IA32_PACKAGE_THERM_STATUS"]),
    row(0x1c4, 1, &["IA32_XFD"]),
    row(0x1c5, 1, &["IA32_XFD_ERR"]),
    row(0x1d9, 1, &["IA32_DEBUGCTL"]),
    row(0x277, 1, &["IA32_PAT"]),
    row(0x2ff, 1, &["IA32_MTRR_DEF_TYPE"]),
    row(0x309, 4, &["IA32_FIXED_CTR#"]),
    row(0x345, 1, &["IA32_PERF_CAPABILITIES"]),
    row(0x38d, 1, &["IA32_FIXED_CTR_CTRL"]),
    row(0x38e, 1, &["IA32_PERF_GLOBAL_STATUS"]),
    row(0x38f, 1, &["IA32_PERF_GLOBAL_CTRL"]),
    row(0x390, 1, &["IA32_PERF_GLOBAL_OVF_CTRL"]),
    row(0x391, 1, &["IA32_PERF_GLOBAL_STATUS_SET"]),
    row(0x3f1, 1, &["IA32_PEBS_ENABLE"]),
    row(0x400, 128, &["IA32_MC#_CTL", "IA32_MC#_STATUS", "IA32_MC#_ADDR", "IA32_MC#_MISC"]),
    row(0x4c1, 8, &["IA32_A_PMC#"]),
    row(0x600, 1, &["IA32_DS_AREA"]),
    row(0x6a0, 1, &["IA32_U_CET"]),
    row(0x6a2, 1, &["IA32_S_CET"]),
    row(TSC_DEADLINE, 1, &["IA32_TSC_DEADLINE"]),
    row(0x6e1, 1, &["IA32_PKRS"]),
    row(0x770, 1, &["IA32_PM_ENABLE"]),
    row(0x771, 1, &["IA32_HWP_CAPABILITIES"]),
    row(0x774, 1, &["IA32_HWP_REQUEST"]),
    row(0xda0, 1, &["IA32_XSS"]),
    // Linux, arch/x86/include/asm/msr-index.h (6.8): of Intel's models, what monitoring reads.
    row(0x34, 1, &["MSR_SMI_COUNT"]),
    row(0xce, 1, &["MSR_PLATFORM_INFO"]),
    row(0x1a2, 1, &["MSR_IA32_TEMPERATURE_TARGET"]),
    row(0x1ad, 1, &["MSR_TURBO_RATIO_LIMIT"]),
    row(0x3f8, 3, &["MSR_PKG_C3_RESIDENCY", "MSR_PKG_C6_RESIDENCY", "MSR_PKG_C7_RESIDENCY"]),
    row(0x3fc, 3, &["MSR_CORE_C3_RESIDENCY", "MSR_CORE_C6_RESIDENCY", "MSR_CORE_C7_RESIDENCY"]),
    row(0x606, 1, &["MSR_RAPL_POWER_UNIT"]),
    row(0x610, 1, &["MSR_PKG_POWER_LIMIT"]),
    row(0x611, 1, &["MSR_PKG_ENERGY_STATUS"]),
    row(0x619, 1, &["MSR_DRAM_ENERGY_STATUS"]),
    row(0x639, 1, &["MSR_PP0_ENERGY_STATUS"]),
    row(0x641, 1, &["MSR_PP1_ENERGY_STATUS"]),
    row(0x64d, 1, &["MSR_PLATFORM_ENERGY_STATUS"]),
    // Intel SDM vol. 3, "Local APIC Register Address Map Supported by x2APIC".
    row(0x802, 1, &["x2APIC_ID"]),
    row(0x803, 1, &["x2APIC_VERSION"]),
    row(0x808, 1, &["x2APIC_TPR"]),
    row(0x80a, 1, &["x2APIC_PPR"]),
    row(0x80b, 1, &["x2APIC_EOI"]),
    row(0x80d, 1, &["x2APIC_LDR"]),
    row(0x80f, 1, &["x2APIC_SIVR"]),
    row(0x810, 8, &["x2APIC_ISR#"]),
    row(0x818, 8, &["x2APIC_TMR#"]),
    row(0x820, 8, &["x2APIC_IRR#"]),
    row(0x828, 1, &["x2APIC_ESR"]),
    row(0x82f, 1, &["x2APIC_LVT_CMCI"]),
    row(0x830, 1, &["x2APIC_ICR"]),
    row(0x832, 1, &["x2APIC_LVT_TIMER"]),
    row(0x833, 1, &["x2APIC_LVT_THERMAL"]),
    row(0x834, 1, &["x2APIC_LVT_PMI"]),
    row(0x835, 1, &["x2APIC_LVT_LINT0"]),
    row(0x836, 1, &["x2APIC_LVT_LINT1"]),
    row(0x837, 1, &["x2APIC_LVT_ERROR"]),
    row(0x838, 1, &["x2APIC_INIT_COUNT"]),
    row(0x839, 1, &["x2APIC_CUR_COUNT"]),
    row(0x83e, 1, &["x2APIC_DIV_CONF"]),
    row(0x83f, 1, &["x2APIC_SELF_IPI"]),
    // Intel SDM vol. 4, table 2-2; AMD has the same (Linux, arch/x86/include/asm/msr-index.h, 6.8).
    row(0xc000_0080, 1, &["IA32_EFER"]),
    row(0xc000_0081, 1, &["IA32_STAR"]),
    row(0xc000_0082, 1, &["IA32_LSTAR"]),
    row(0xc000_0083, 1, &["IA32_CSTAR"]),
    row(0xc000_0084, 1, &["IA32_FMASK"]),
    row(0xc000_0100, 1, &["IA32_FS_BASE"]),
    row(0xc000_0101, 1, &["IA32_GS_BASE"]),
    row(0xc000_0102, 1, &["IA32_KERNEL_GS_BASE"]),
    row(0xc000_0103, 1, &["IA32_TSC_AUX"]),
    // Linux, arch/x86/include/asm/msr-index.h (6.8): AMD's.
    row(0xc000_00e9, 1, &["MSR_F17H_IRPERF"]),
    row(0xc000_0300, 1, &["MSR_AMD64_PERF_CNTR_GLOBAL_STATUS"]),
    row(0xc000_0301, 1, &["MSR_AMD64_PERF_CNTR_GLOBAL_CTL"]),
    row(0xc000_0302, 1, &["MSR_AMD64_PERF_CNTR_GLOBAL_STATUS_CLR"]),
    row(0xc001_0000, 4, &["MSR_K7_EVNTSEL#"]),
    row(0xc001_0004, 4, &["MSR_K7_PERFCTR#"]),
    row(0xc001_0010, 1, &["MSR_AMD64_SYSCFG"]),
    row(0xc001_0015, 1, &["MSR_K7_HWCR"]),
    row(0xc001_0062, 1, &["MSR_AMD_PERF_CTL"]),
    row(0xc001_0063, 1, &["MSR_AMD_PERF_STATUS"]),
    row(0xc001_0117, 1, &["MSR_VM_HSAVE_PA"]),
    row(0xc001_011f, 1, &["MSR_AMD64_VIRT_SPEC_CTRL"]),
    row(0xc001_0200, 12, &["MSR_F15H_PERF_CTL#", "MSR_F15H_PERF_CTR#"]),
    row(0xc001_0299, 1, &["MSR_AMD_RAPL_POWER_UNIT"]),
    row(0xc001_029a, 1, &["MSR_AMD_CORE_ENERGY_STATUS"]),
    row(0xc001_029b, 1, &["MSR_AMD_PKG_ENERGY_STATUS"]),
    // Linux, arch/x86/include/uapi/asm/kvm_para.h (6.1 and 6.18).
    row(0x11, 1, &["MSR_KVM_WALL_CLOCK"]),
    row(0x12, 1, &["MSR_KVM_SYSTEM_TIME"]),
    row(0x4b56_4d00, 1, &["MSR_KVM_WALL_CLOCK_NEW"]),
    row(0x4b56_4d01, 1, &["MSR_KVM_SYSTEM_TIME_NEW"]),
    row(0x4b56_4d02, 1, &["MSR_KVM_ASYNC_PF_EN"]),
    row(0x4b56_4d03, 1, &["MSR_KVM_STEAL_TIME"]),
    row(0x4b56_4d04, 1, &["MSR_KVM_PV_EOI_EN"]),
    row(0x4b56_4d05, 1, &["MSR_KVM_POLL_CONTROL"]),
    row(0x4b56_4d06, 1, &["MSR_KVM_ASYNC_PF_INT"]),
    row(0x4b56_4d07, 1, &["MSR_KVM_ASYNC_PF_ACK"]),
    row(0x4b56_4d08, 1, &["MSR_KVM_MIGRATION_CONTROL"]),
    // Linux, include/hyperv/hvgdk_mini.h (6.17).
    row(0x4000_0000, 1, &["HV_X64_MSR_GUEST_OS_ID"]),
    row(0x4000_0001, 1, &["HV_X64_MSR_HYPERCALL"]),
    row(0x4000_0002, 1, &["HV_X64_MSR_VP_INDEX"]),
    row(0x4000_0010, 1, &["HV_X64_MSR_VP_RUNTIME"]),
    row(0x4000_0020, 1, &["HV_X64_MSR_TIME_REF_COUNT"]),
    row(0x4000_0021, 1, &["HV_X64_MSR_REFERENCE_TSC"]),
    row(0x4000_0070, 1, &["HV_X64_MSR_EOI"]),
    row(0x4000_0071, 1, &["HV_X64_MSR_ICR"]),
    row(0x4000_0072, 1, &["HV_X64_MSR_TPR"]),
    row(0x4000_0080, 1, &["HV_X64_MSR_SCONTROL"]),
    row(0x4000_0084, 1, &["HV_X64_MSR_EOM"]),
    row(0x4000_0090, 16, &["HV_X64_MSR_SINT#"]),
    row(0x4000_00b0, 8, &["HV_X64_MSR_STIMER#_CONFIG", "HV_X64_MSR_STIMER#_COUNT"]),
    row(0x4000_00f0, 1, &["HV_X64_MSR_GUEST_IDLE"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_have_their_names() {
        for (msr, expected) in [
            (0x6e0, "IA32_TSC_DEADLINE"),
            (0x830, "x2APIC_ICR"),
            (0x3b, "IA32_TSC_ADJUST"),
            (0x188, "IA32_PERFEVTSEL2"),
            (0xc000_0102, "IA32_KERNEL_GS_BASE"),
            (0x404, "IA32_MC1_CTL"),
            (0x407, "IA32_MC1_MISC"),
            (0xc001_0203, "MSR_F15H_PERF_CTR1"),
            (0x4000_00b6, "HV_X64_MSR_STIMER3_CONFIG"),
            (0x4b56_4d03, "MSR_KVM_STEAL_TIME"),
        ] {
            assert_eq!(name(msr).as_deref(), Some(expected));
        }
        assert_eq!((name(0xdead_beef), name(u32::MAX)), (None, None));
    }

    #[test]
    fn no_register_has_two_names_and_no_name_two_registers() {
        for (at, a) in NAMES.iter().enumerate() {
            assert_eq!(a.count as usize % a.names.len(), 0, "{:?}", a.names);
            assert_eq!(a.count as usize > a.names.len(), a.names[0].contains('#'), "{:?}", a.names);
            for b in &NAMES[at + 1..] {
                assert!(a.names.iter().all(|name| !b.names.contains(name)), "{:?}", a.names);
                let apart = a.first + a.count <= b.first || b.first + b.count <= a.first;
                assert!(apart, "{:?} and {:?}", a.names, b.names);
            }
        }
    }
}

//! Names of model-specific registers: data. Each group stands below its source.

use std::borrow::Cow;

/// The local timer's deadline.
pub(super) const TSC_DEADLINE: u32 = 0x6e0;

/// A register, or several in a row of which each has its number after the name.
struct Name {
    first: u32,
    count: u32,
    name: &'static str,
}

const fn one(first: u32, name: &'static str) -> Name {
    Name { first, count: 1, name }
}

const fn row(first: u32, count: u32, name: &'static str) -> Name {
    Name { first, count, name }
}

/// The name of a register; its number where it has none here.
pub(super) fn name(msr: u32) -> Cow<'static, str> {
    let found = NAMES.iter().find(|name| (name.first..name.first + name.count).contains(&msr));
    match found {
        None => format!("{msr:#x}").into(),
        Some(Name { count: 1, name, .. }) => (*name).into(),
        Some(Name { first, name, .. }) => format!("{name}{}", msr - first).into(),
    }
}

const NAMES: &[Name] = &[
    // Intel SDM vol. 4, table 2-2: architectural registers.
    one(0x10, "IA32_TIME_STAMP_COUNTER"),
    one(0x1b, "IA32_APIC_BASE"),
    one(0x3a, "IA32_FEATURE_CONTROL"),
    one(0x3b, "IA32_TSC_ADJUST"),
    one(0x48, "IA32_SPEC_CTRL"),
    one(0x49, "IA32_PRED_CMD"),
    one(0x79, "IA32_BIOS_UPDT_TRIG"),
    one(0x8b, "IA32_BIOS_SIGN_ID"),
    row(0xc1, 8, "IA32_PMC"),
    one(0xcf, "IA32_CORE_CAPABILITIES"),
    one(0xe1, "IA32_UMWAIT_CONTROL"),
    one(0xe7, "IA32_MPERF"),
    one(0xe8, "IA32_APERF"),
    one(0xfe, "IA32_MTRRCAP"),
    one(0x10a, "IA32_ARCH_CAPABILITIES"),
    one(0x10b, "IA32_FLUSH_CMD"),
    one(0x122, "IA32_TSX_CTRL"),
    one(0x174, "IA32_SYSENTER_CS"),
    one(0x175, "IA32_SYSENTER_ESP"),
    one(0x176, "IA32_SYSENTER_EIP"),
    one(0x179, "IA32_MCG_CAP"),
    one(0x17a, "IA32_MCG_STATUS"),
    one(0x17b, "IA32_MCG_CTL"),
    row(0x186, 8, "IA32_PERFEVTSEL"),
    one(0x198, "IA32_PERF_STATUS"),
    one(0x199, "IA32_PERF_CTL"),
    one(0x19a, "IA32_CLOCK_MODULATION"),
    one(0x19b, "IA32_THERM_INTERRUPT"),
    one(0x19c, "IA32_THERM_STATUS"),
    one(0x1a0, "IA32_MISC_ENABLE"),
    one(0x1b0, "IA32_ENERGY_PERF_BIAS"),
    one(0x1b1, "IA32_PACKAGE_THERM_STATUS"),
    one(0x1c4, "IA32_XFD"),
    one(0x1c5, "IA32_XFD_ERR"),
    one(0x1d9, "IA32_DEBUGCTL"),
    one(0x277, "IA32_PAT"),
    one(0x2ff, "IA32_MTRR_DEF_TYPE"),
    row(0x309, 4, "IA32_FIXED_CTR"),
    one(0x345, "IA32_PERF_CAPABILITIES"),
    one(0x38d, "IA32_FIXED_CTR_CTRL"),
    one(0x38e, "IA32_PERF_GLOBAL_STATUS"),
    one(0x38f, "IA32_PERF_GLOBAL_CTRL"),
    one(0x390, "IA32_PERF_GLOBAL_OVF_CTRL"),
    one(0x391, "IA32_PERF_GLOBAL_STATUS_SET"),
    one(0x3f1, "IA32_PEBS_ENABLE"),
    row(0x400, 128, "IA32_MC_BANK_REGISTER_"),
    row(0x4c1, 8, "IA32_A_PMC"),
    one(0x600, "IA32_DS_AREA"),
    one(0x6a0, "IA32_U_CET"),
    one(0x6a2, "IA32_S_CET"),
    one(TSC_DEADLINE, "IA32_TSC_DEADLINE"),
    one(0x6e1, "IA32_PKRS"),
    one(0x770, "IA32_PM_ENABLE"),
    one(0x771, "IA32_HWP_CAPABILITIES"),
    one(0x774, "IA32_HWP_REQUEST"),
    one(0xda0, "IA32_XSS"),
    // Intel SDM vol. 4, tables 2-12 and on: of models, energy and temperature.
    one(0x34, "MSR_SMI_COUNT"),
    one(0xce, "MSR_PLATFORM_INFO"),
    one(0x1a2, "MSR_TEMPERATURE_TARGET"),
    one(0x1ad, "MSR_TURBO_RATIO_LIMIT"),
    row(0x3f8, 3, "MSR_PKG_RESIDENCY_"),
    row(0x3fc, 3, "MSR_CORE_RESIDENCY_"),
    one(0x606, "MSR_RAPL_POWER_UNIT"),
    one(0x610, "MSR_PKG_POWER_LIMIT"),
    one(0x611, "MSR_PKG_ENERGY_STATUS"),
    one(0x619, "MSR_DRAM_ENERGY_STATUS"),
    one(0x639, "MSR_PP0_ENERGY_STATUS"),
    one(0x641, "MSR_PP1_ENERGY_STATUS"),
    one(0x64d, "MSR_PLATFORM_ENERGY_COUNTER"),
    // Intel SDM vol. 3, table 12-6: the x2APIC's registers.
    one(0x802, "x2APIC_ID"),
    one(0x803, "x2APIC_VERSION"),
    one(0x808, "x2APIC_TPR"),
    one(0x80a, "x2APIC_PPR"),
    one(0x80b, "x2APIC_EOI"),
    one(0x80d, "x2APIC_LDR"),
    one(0x80f, "x2APIC_SIVR"),
    row(0x810, 8, "x2APIC_ISR"),
    row(0x818, 8, "x2APIC_TMR"),
    row(0x820, 8, "x2APIC_IRR"),
    one(0x828, "x2APIC_ESR"),
    one(0x830, "x2APIC_ICR"),
    one(0x832, "x2APIC_LVT_TIMER"),
    one(0x833, "x2APIC_LVT_THERMAL"),
    one(0x834, "x2APIC_LVT_PMI"),
    one(0x835, "x2APIC_LVT_LINT0"),
    one(0x836, "x2APIC_LVT_LINT1"),
    one(0x837, "x2APIC_LVT_ERROR"),
    one(0x838, "x2APIC_INIT_COUNT"),
    one(0x839, "x2APIC_CUR_COUNT"),
    one(0x83e, "x2APIC_DIV_CONF"),
    one(0x83f, "x2APIC_SELF_IPI"),
    // AMD APM vol. 2, appendix A; Intel SDM vol. 4, table 2-2.
    one(0xc000_0080, "IA32_EFER"),
    one(0xc000_0081, "IA32_STAR"),
    one(0xc000_0082, "IA32_LSTAR"),
    one(0xc000_0083, "IA32_CSTAR"),
    one(0xc000_0084, "IA32_FMASK"),
    one(0xc000_0100, "IA32_FS_BASE"),
    one(0xc000_0101, "IA32_GS_BASE"),
    one(0xc000_0102, "IA32_KERNEL_GS_BASE"),
    one(0xc000_0103, "IA32_TSC_AUX"),
    // AMD APM vol. 2, appendix A.
    one(0xc000_00e7, "MPERF_READ_ONLY"),
    one(0xc000_00e8, "APERF_READ_ONLY"),
    one(0xc000_00e9, "IRPERF"),
    one(0xc000_0300, "PERF_CNTR_GLOBAL_STATUS"),
    one(0xc000_0301, "PERF_CNTR_GLOBAL_CTL"),
    one(0xc000_0302, "PERF_CNTR_GLOBAL_STATUS_CLR"),
    row(0xc001_0000, 4, "PERF_LEGACY_CTL"),
    row(0xc001_0004, 4, "PERF_LEGACY_CTR"),
    one(0xc001_0010, "SYSCFG"),
    one(0xc001_0015, "HWCR"),
    one(0xc001_0062, "PSTATE_CTL"),
    one(0xc001_0063, "PSTATE_STATUS"),
    one(0xc001_0117, "VM_HSAVE_PA"),
    one(0xc001_011f, "VIRT_SPEC_CTRL"),
    one(0xc001_0299, "RAPL_POWER_UNIT"),
    one(0xc001_029a, "CORE_ENERGY_STAT"),
    one(0xc001_029b, "PKG_ENERGY_STAT"),
    // AMD APM vol. 2, 13.2: control and counter in turn.
    row(0xc001_0200, 12, "PERF_CTL_CTR"),
    // Linux, Documentation/virt/kvm/x86/msr.rst (6.18).
    one(0x11, "MSR_KVM_WALL_CLOCK"),
    one(0x12, "MSR_KVM_SYSTEM_TIME"),
    one(0x4b56_4d00, "MSR_KVM_WALL_CLOCK_NEW"),
    one(0x4b56_4d01, "MSR_KVM_SYSTEM_TIME_NEW"),
    one(0x4b56_4d02, "MSR_KVM_ASYNC_PF_EN"),
    one(0x4b56_4d03, "MSR_KVM_STEAL_TIME"),
    one(0x4b56_4d04, "MSR_KVM_EOI_EN"),
    one(0x4b56_4d05, "MSR_KVM_POLL_CONTROL"),
    one(0x4b56_4d06, "MSR_KVM_ASYNC_PF_INT"),
    one(0x4b56_4d07, "MSR_KVM_ASYNC_PF_ACK"),
    one(0x4b56_4d08, "MSR_KVM_MIGRATION_CONTROL"),
    // Hyper-V TLFS; Linux, include/hyperv/hvgdk_mini.h (6.18).
    one(0x4000_0000, "HV_X64_MSR_GUEST_OS_ID"),
    one(0x4000_0001, "HV_X64_MSR_HYPERCALL"),
    one(0x4000_0002, "HV_X64_MSR_VP_INDEX"),
    one(0x4000_0010, "HV_X64_MSR_VP_RUNTIME"),
    one(0x4000_0020, "HV_X64_MSR_TIME_REF_COUNT"),
    one(0x4000_0021, "HV_X64_MSR_REFERENCE_TSC"),
    one(0x4000_0070, "HV_X64_MSR_EOI"),
    one(0x4000_0071, "HV_X64_MSR_ICR"),
    one(0x4000_0072, "HV_X64_MSR_TPR"),
    one(0x4000_0080, "HV_X64_MSR_SCONTROL"),
    one(0x4000_0084, "HV_X64_MSR_EOM"),
    row(0x4000_0090, 16, "HV_X64_MSR_SINT"),
    one(0x4000_00b0, "HV_X64_MSR_STIMER0_CONFIG"),
    one(0x4000_00b1, "HV_X64_MSR_STIMER0_COUNT"),
    one(0x4000_00f0, "HV_X64_MSR_GUEST_IDLE"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_have_their_names() {
        assert_eq!(name(0x6e0), "IA32_TSC_DEADLINE");
        assert_eq!(name(0x830), "x2APIC_ICR");
        assert_eq!(name(0x3b), "IA32_TSC_ADJUST");
        assert_eq!(name(0x188), "IA32_PERFEVTSEL2");
        assert_eq!(name(0xc000_0102), "IA32_KERNEL_GS_BASE");
        assert_eq!(name(0x4b56_4d03), "MSR_KVM_STEAL_TIME");
        assert_eq!(name(0xdead_beef), "0xdeadbeef");
        assert_eq!(name(u32::MAX), "0xffffffff");
    }

    #[test]
    fn no_register_has_two_names_and_no_name_two_registers() {
        for (at, a) in NAMES.iter().enumerate() {
            assert!(!a.name.is_empty() && a.count > 0);
            for b in &NAMES[at + 1..] {
                assert_ne!(a.name, b.name);
                let apart = a.first + a.count <= b.first || b.first + b.count <= a.first;
                assert!(apart, "{} and {}", a.name, b.name);
            }
        }
    }
}

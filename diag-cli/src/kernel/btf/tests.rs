use proptest::prelude::*;

use super::query::Member;
use super::{Btf, BtfError, Sameness};
use crate::kernel::fields::{ABSENT, By, Field, Source, at, difference, optional, required, resolve};

/// Writes BTF, one type after the other; a call's result is the new type's id.
struct Writer {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

impl Writer {
    fn new() -> Writer {
        Writer { types: Vec::new(), strings: vec![0], count: 0 }
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        at
    }

    fn add(&mut self, name: &str, kind: u32, flag: bool, count: u32, size_or_type: u32, body: &[u32]) -> u32 {
        let name = self.string(name);
        let info = u32::from(flag) << 31 | kind << 24 | count;
        for word in [name, info, size_or_type].iter().chain(body) {
            self.types.extend_from_slice(&word.to_le_bytes());
        }
        self.count += 1;
        self.count
    }

    fn int(&mut self, name: &str, bytes: u32) -> u32 {
        self.add(name, 1, false, 0, bytes, &[bytes * 8])
    }

    fn structure(
        &mut self,
        kind: u32,
        name: &str,
        flag: bool,
        bytes: u32,
        members: &[(&str, u32, u32)],
    ) -> u32 {
        let mut body = Vec::new();
        for &(name, type_id, place) in members {
            body.extend([self.string(name), type_id, place]);
        }
        self.add(name, kind, flag, members.len() as u32, bytes, &body)
    }

    fn function(&mut self, params: &[(&str, u32)]) -> u32 {
        let mut body = Vec::new();
        for &(name, type_id) in params {
            body.extend([self.string(name), type_id]);
        }
        self.add("", 13, false, params.len() as u32, 0, &body)
    }

    fn bytes(&self, layout: &[u8]) -> Vec<u8> {
        let header: u32 = if layout.is_empty() { 24 } else { 32 };
        let mut out = vec![0x9f, 0xeb, 1, 0];
        let types = self.types.len() as u32;
        let strings = self.strings.len() as u32;
        let words = [header, 0, types, types, strings, types + strings, layout.len() as u32];
        for word in &words[..header as usize / 4 - 1] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.types);
        out.extend_from_slice(&self.strings);
        out.extend_from_slice(layout);
        out
    }
}

/// One of everything that a query looks at.
fn sample() -> Writer {
    let mut w = Writer::new();
    let int = w.int("unsigned int", 4);
    let constant = w.add("", 10, false, 0, int, &[]);
    let typedef = w.add("u32", 8, false, 0, constant, &[]);
    let array = w.add("", 3, false, 0, 0, &[typedef, int, 6]);
    let anonymous = w.structure(5, "", false, 24, &[("words", array, 0), ("first", typedef, 0)]);
    let inner = w.structure(4, "inner", false, 8, &[("low", int, 0), ("high", int, 32)]);
    let outer = w.structure(
        4,
        "outer",
        true,
        40,
        &[("flag", int, 1 << 24 | 3), ("wide", int, 12 << 24 | 4), ("", anonymous, 64), ("in", inner, 256)],
    );
    w.structure(4, "twice", false, 8, &[("same", int, 0), ("moved", int, 32)]);
    w.structure(4, "twice", false, 8, &[("same", int, 0), ("moved", int, 0), ("only", int, 32)]);
    let names = [w.string("ONE"), w.string("MINUS")];
    w.add("count", 6, true, 2, 4, &[names[0], 1, names[1], u32::MAX]);
    let name = w.string("NAMELESS");
    w.add("", 6, false, 1, 4, &[name, 7]);
    let name = w.string("WIDE");
    w.add("", 19, false, 1, 8, &[name, 1, 1]);
    let pointer = w.add("", 2, false, 0, outer, &[]);
    let nameless = w.function(&[("", 0), ("", pointer), ("", typedef)]);
    let pointer_to = w.add("", 2, false, 0, nameless, &[]);
    w.add("btf_trace_event", 8, false, 0, pointer_to, &[]);
    w.add("btf_trace_old", 8, false, 0, pointer_to, &[]);
    let named = w.function(&[("__data", 0), ("o", pointer), ("n", typedef)]);
    w.add("__traceiter_event", 12, false, 0, named, &[]);
    w
}

fn btf() -> Btf {
    Btf::parse(sample().bytes(&[])).unwrap()
}

fn place(name: &str, path: &str) -> Option<Member> {
    btf().member(name, path).unwrap()
}

fn whole(offset: u32, size: u32) -> Option<Member> {
    Some(Member { offset, size, bits: None })
}

fn bits(offset: u32, size: u32, bits: (u32, u32)) -> Option<Member> {
    Some(Member { offset, size, bits: Some(bits) })
}

#[test]
fn members_are_found_through_anonymous_and_embedded_structs() {
    assert_eq!(place("outer", "words"), whole(8, 24));
    assert_eq!(place("outer", "first"), whole(8, 4));
    assert_eq!(place("outer", "in.high"), whole(36, 4));
    assert_eq!(place("outer", "in"), whole(32, 8));
    assert_eq!(place("outer", "flag"), bits(0, 4, (3, 1)));
    assert_eq!(place("outer", "wide"), bits(0, 4, (4, 12)));
    for (name, path) in
        [("outer", "low"), ("outer", "in.none"), ("outer", "first.x"), ("outer", ""), ("none", "x")]
    {
        assert_eq!(place(name, path), None, "{name}.{path}");
    }
}

#[test]
fn a_name_that_occurs_twice_answers_where_its_types_agree() {
    assert_eq!(place("twice", "same"), whole(0, 4));
    assert_eq!(place("twice", "only"), whole(4, 4));
    assert!(matches!(btf().member("twice", "moved"), Err(BtfError::Ambiguous(..))));
}

#[test]
fn constants_have_their_sign_and_width() {
    let btf = btf();
    assert_eq!(btf.enum_value("count", "ONE").unwrap(), Some(1));
    assert_eq!(btf.enum_value("count", "MINUS").unwrap(), Some(-1));
    assert_eq!(btf.enum_value("count", "NAMELESS").unwrap(), None);
    assert_eq!(btf.enum_value("", "NAMELESS").unwrap(), Some(7));
    assert_eq!(btf.enum_value("", "WIDE").unwrap(), Some(1 << 32 | 1));
}

#[test]
fn a_prototype_takes_its_names_from_a_function() {
    let params = btf().prototype("event").unwrap().unwrap();
    assert_eq!(params.len(), 2);
    assert_eq!(
        (params[0].name.as_deref(), &*params[0].type_name, params[0].pointer),
        (Some("o"), "outer", true)
    );
    assert_eq!(
        (params[1].name.as_deref(), &*params[1].type_name, params[1].pointer),
        (Some("n"), "u32", false)
    );
    let params = btf().prototype("old").unwrap().unwrap();
    assert_eq!((params[1].name.as_deref(), &*params[1].type_name), (None, "u32"));
    assert_eq!(btf().prototype("none").unwrap(), None);
}

#[test]
fn a_kind_of_later_kernels_is_skipped_by_its_layout() {
    let mut w = Writer::new();
    w.add("later", 21, false, 2, 0, &[0, 0, 0]);
    let int = w.int("int", 4);
    w.structure(4, "s", false, 4, &[("x", int, 0)]);
    assert!(Btf::parse(w.bytes(&[])).is_err());
    let mut layout = [0; 22 * 4];
    layout[21 * 4..].copy_from_slice(&[4, 4, 0, 0]);
    let btf = Btf::parse(w.bytes(&layout)).unwrap();
    assert_eq!(btf.member("s", "x").unwrap().map(|m| m.offset), Some(0));
}

#[test]
fn a_table_resolves_to_the_first_candidate() {
    const TABLE: &[Field] = &[
        required("A", Source::Offset(&[at("outer", "renamed", "9.0"), at("outer", "in.high", "up to 8.0")])),
        required("B", Source::Bits { mask: "B_MASK", candidates: &[at("outer", "flag", "all")] }),
        optional("C", Source::Bits { mask: "C_MASK", candidates: &[at("outer", "wide", "all")] }),
        required("D", Source::Size(&[at("outer", "words", "all")])),
        required("F", Source::Argument { event: "event", by: By::Name("n", &[]) }),
        required("G", Source::Argument { event: "old", by: By::Name("n", &[(2, 1)]) }),
        optional("H", Source::Argument { event: "none", by: By::Type("u32") }),
    ];
    let resolved = resolve(&btf(), TABLE).unwrap();
    let values: Vec<(&str, u32)> = resolved.iter().map(|r| (r.global, r.value)).collect();
    let expected = [
        ("A", 36),
        ("B", 0),
        ("B_MASK", 8),
        ("C", ABSENT),
        ("C_MASK", ABSENT),
        ("D", 24),
        ("F", 1),
        ("G", 1),
        ("H", ABSENT),
    ];
    assert_eq!(values, expected);
    assert_eq!(resolved[0].from, "outer.in.high (up to 8.0)");
    const MISSING: &[Field] =
        &[required("A", Source::Offset(&[at("outer", "gone", "9.0"), at("old", "gone", "5.0")]))];
    let error = resolve(&btf(), MISSING).unwrap_err().to_string();
    assert_eq!(error, "this kernel's types have no outer.gone or old.gone; it cannot be traced");
}

/// Asks everything; what matters is that it returns.
fn ask(bytes: Vec<u8>) {
    let Ok(btf) = Btf::parse(bytes) else { return };
    for path in ["flag", "wide", "words", "first", "in.high", "in.none", "moved", "only"] {
        let _ = btf.member("outer", path);
        let _ = btf.member("twice", path);
    }
    let _ = btf.enum_value("count", "MINUS");
    let _ = btf.enum_value("", "WIDE");
    let _ = btf.prototype("event");
    let _ = btf.prototype("old");
}

#[test]
fn every_truncation_is_an_error_or_an_answer() {
    let bytes = sample().bytes(&[]);
    for length in 0..bytes.len() {
        ask(bytes[..length].to_vec());
        assert!(Btf::parse(bytes[..length].to_vec()).is_err(), "{length} bytes");
    }
}

#[test]
fn a_struct_that_holds_itself_is_malformed() {
    let mut w = Writer::new();
    w.structure(4, "outer", false, 4, &[("", 1, 0), ("", 1, 0), ("", 1, 0)]);
    let btf = Btf::parse(w.bytes(&[])).unwrap();
    assert!(matches!(btf.member("outer", "x"), Err(BtfError::Malformed(_))));
}

proptest! {
    #[test]
    fn damage_never_panics(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut bytes = sample().bytes(&[]);
        for (index, value) in damage {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        ask(bytes);
    }

    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut bytes = sample().bytes(&[]);
        bytes.truncate(24);
        bytes[8..24].copy_from_slice(&[0, 0, 0, 0, 200, 0, 0, 0, 200, 0, 0, 0, 200, 0, 0, 0]);
        bytes.extend_from_slice(&noise);
        bytes.resize(24 + 400, 0);
        ask(bytes);
    }
}

/// 6.1 and 6.15 have the counter as a variable, 6.12 as a member of another one, 5.10 in no list at all.
#[test]
fn per_cpu_variables_are_found_by_their_section() {
    const TABLE: &[Field] = &[optional(
        "COUNT",
        Source::PerCpu {
            from: "runqueues",
            candidates: &[at("__preempt_count", "", "some"), at("pcpu_hot", "preempt_count", "others")],
            mask: "BITS",
            by_size: &[(4, 0xf0)],
        },
    )];
    let values = |bytes| {
        let btf = Btf::parse(bytes).unwrap();
        resolve(&btf, TABLE).unwrap().iter().map(|resolved| resolved.value).collect::<Vec<_>>()
    };
    let kernel = |name: &str, wrapped: bool, bytes: u32| {
        let mut writer = Writer::new();
        let int = writer.int("int", bytes);
        let hot = writer.structure(4, "pcpu_hot", false, 16, &[("task", int, 0), ("preempt_count", int, 64)]);
        let queue = writer.structure(4, "rq", false, 64, &[("nr", int, 0)]);
        let other = writer.add(name, 14, false, 0, if wrapped { hot } else { int }, &[1]);
        let queues = writer.add("runqueues", 14, false, 0, queue, &[1]);
        let size = if wrapped { 16 } else { bytes };
        writer.add(".data..percpu", 15, false, 2, 1000, &[other, 100, size, queues, 500, 64]);
        writer.bytes(&[])
    };
    let back = |bytes: u32| 0u32.wrapping_sub(bytes);
    assert_eq!(values(kernel("__preempt_count", false, 4)), [back(400), 0xf0]);
    assert_eq!(values(kernel("pcpu_hot", true, 4)), [back(392), 0xf0]);
    assert_eq!(values(kernel("__preempt_count", false, 8)), [ABSENT, ABSENT], "a layout that nobody knows");
    assert_eq!(values(kernel("elsewhere", false, 4)), [ABSENT, ABSENT]);
    let mut writer = Writer::new();
    writer.int("int", 4);
    assert_eq!(values(writer.bytes(&[])), [ABSENT, ABSENT]);
}

#[test]
fn a_field_that_is_not_read_may_be_missing() {
    const TABLE: &[Field] = &[
        required("LOW", Source::Offset(&[at("inner", "low", "all")])),
        required("GONE", Source::Offset(&[at("inner", "gone", "all")])),
    ];
    let resolved = resolve(&btf(), &TABLE[..1]).unwrap();
    assert_eq!(resolved[0].value, 0);
    let error = resolve(&btf(), TABLE).unwrap_err().to_string();
    assert!(error.contains("no inner.gone"), "{error}");
}

#[test]
fn types_of_another_kernel_differ_in_what_is_read() {
    const TABLE: &[Field] = &[required("HIGH", Source::Offset(&[at("inner", "high", "all")]))];
    let with = |place: u32| {
        let mut writer = Writer::new();
        let int = writer.int("int", 4);
        writer.structure(4, "inner", false, 16, &[("high", int, place)]);
        Btf::parse(writer.bytes(&[])).unwrap()
    };
    assert_eq!(difference(&with(32), &with(32), TABLE.iter()).unwrap(), None);
    let said = difference(&with(32), &with(64), TABLE.iter()).unwrap();
    assert_eq!(said.as_deref(), Some("HIGH is 0x8 there, and 0x4 here"));
}

#[test]
fn symbols_tell_types_of_another_kernel() {
    let mut writer = Writer::new();
    let int = writer.int("int", 4);
    let function = writer.function(&[("__data", 0)]);
    writer.add("__traceiter_open", 12, false, 0, function, &[]);
    let queues = writer.add("runqueues", 14, false, 0, int, &[1]);
    writer.add(".data..percpu", 15, false, 1, 1000, &[queues, 0x100, 4]);
    let btf = Btf::parse(writer.bytes(&[])).unwrap();
    let says = |symbols: &str| btf.compare_with_symbols(symbols.as_bytes()).unwrap();
    let event = "ffff8000 T __traceiter_open\n";
    let variables = |at: u32| format!("{event}ffff9000 D __per_cpu_start\nffff9{at:03x} d runqueues\n");
    assert_eq!(says(&variables(0x100)), Sameness::Same);
    assert!(matches!(says(&variables(0x140)), Sameness::Other(why) if why.contains("runqueues")));
    assert!(matches!(says(event), Sameness::Untold(_)));
    assert!(matches!(says(""), Sameness::Untold(_)));
    let hidden = "0 T __traceiter_open\n0 D __per_cpu_start\n0 d runqueues\n";
    assert!(matches!(says(hidden), Sameness::Untold(_)));
    let newer = format!("{event}ffff8010 T __traceiter_close\n");
    assert!(matches!(says(&newer), Sameness::Other(why) if why.contains("has a tracepoint close")));
    let of_a_module = format!("{event}ffffc010 t __traceiter_close\t[module]\n");
    assert!(matches!(says(&of_a_module), Sameness::Untold(_)));
}

#[test]
fn the_running_kernels_types_fit_its_symbols() {
    let (Ok(types), Ok(symbols)) = (Btf::running(), std::fs::File::open("/proc/kallsyms")) else {
        println!("SKIPPED: this kernel has no BTF or no symbols");
        return;
    };
    let told = types.compare_with_symbols(std::io::BufReader::new(symbols)).unwrap();
    assert!(!matches!(told, Sameness::Other(_)), "{told:?}");
}

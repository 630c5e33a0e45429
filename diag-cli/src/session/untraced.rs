//! A session on a kernel that cannot be traced: its time passes, and what a tool reads from files is all that it says.

use std::{process::ExitCode, time::Duration};

use anyhow::{Error, Result};
use uuid::Uuid;

use super::{
    Command, Session, Step, conclusion,
    run::{cgroup_names, settings},
    signals::Signals,
    tool::Tool,
};
use crate::{
    ebpf::clock,
    exit::Failure,
    output::{
        cost::{SelfCost, cpu_ns, rss_bytes},
        host::Host,
        record::{Envelope, Kind, Lost, Unavailable},
        streams,
        time::Timestamp,
    },
    target::{Roots, Target},
};

/// In `unavailable` where nothing could be attached at all.
pub(crate) const TRACING: &str = "tracing";

/// Lets the session's time pass, and says what the tool concludes without the kernel side. Fails with `error`, which says why the
/// kernel cannot be traced, where that is a failure of another kind, where the tool has nothing to say, or where a command
/// was to be traced, which has not begun then.
pub(super) fn watch<T: Tool>(
    args: &T::Args,
    target: &Target,
    roots: &Roots,
    signals: Signals,
    error: Error,
) -> Result<ExitCode> {
    let is_unsupported = matches!(error.downcast_ref(), Some(Failure::Unsupported(_)));
    if !is_unsupported || matches!(target, Target::Command(_)) {
        return Err(error);
    }
    let Some(conclude) = T::untraced(args) else { return Err(error) };
    let session_args = T::session_args(args);
    streams::note(format_args!("osdiag: {error:#}"));
    let time = session_args
        .duration
        .map_or_else(String::new, |time| format!(" for {}", humantime::format_duration(time)));
    streams::note(format_args!("osdiag {}: reading files alone{time}; Ctrl-C ends it sooner", T::NAME));
    let out = streams::writer()?;
    let (start, cpu_before, began) = (Timestamp::now(), cpu_ns(), clock::now());
    let mut session = Session::new(began, session_args, target.watch()?, Command::None, signals);
    let end = loop {
        if let Step::End(end) = session.next(&out)? {
            break end;
        }
    };
    let lasted = Duration::from_nanos(clock::now() - began);
    let (mut cgroups, no_cgroups) = cgroup_names(target, T::CONTROLLER, roots);
    let mut recorded = target.record(None);
    recorded.ended = end.ended();
    let untraced = Unavailable {
        name: TRACING.to_owned(),
        why: format!("{error:#}"),
        effect: "where the time of threads goes is not known: the answer is of files alone".to_owned(),
    };
    let envelope = Envelope {
        version: env!("CARGO_PKG_VERSION"),
        session: Uuid::now_v7().to_string(),
        sequence: 0,
        kind: Kind::Summary,
        host: Host::read(),
        start,
        end: start + lasted,
        duration_ns: lasted.as_nanos() as u64,
        settings: settings::<T>(args),
        target: recorded,
        probes: Vec::new(),
        unavailable: std::iter::once(untraced).chain(no_cgroups).collect(),
        lost: Lost::default(),
        cost: SelfCost {
            run_ns: None,
            events: None,
            cpu_ns: cpu_ns() - cpu_before,
            rss_bytes: rss_bytes(),
            kernel_bytes: None,
        },
    };
    let conclusion = conclude(envelope, cgroups.as_mut());
    conclusion::print(conclusion.as_ref(), session_args, &out)?;
    out.finish(|| session.signals.first().is_some())?;
    Ok(conclusion.status())
}

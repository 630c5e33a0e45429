//! Containers whose names are still to be looked for.
//!
//! An engine forgets a container's name together with the container: `docker run --rm`, a job's pod. So names are looked for while
//! cgroups are there, a few at each look at the session, and again for a while where the engine has not written one down yet.

use std::{
    collections::VecDeque,
    rc::Rc,
    time::{Duration, Instant},
};

use super::identity::ContainerNames;

/// How long one look may take.
const AT_ONCE: Duration = Duration::from_millis(5);
/// How often a name is looked for that is not there.
const AGAIN: Duration = Duration::from_secs(1);
const TIMES: u32 = 10;

/// Cgroups that may be containers, by their paths.
#[derive(Default)]
pub(super) struct Unnamed {
    /// In the order in which they are to be looked for.
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    path: Rc<str>,
    /// None for at once.
    from: Option<Instant>,
    tries: u32,
}

impl Unnamed {
    pub(super) fn add(&mut self, path: Rc<str>) {
        self.waiting.push_front(Waiting { path, from: None, tries: TIMES });
    }

    /// Looks for names until that took [`AT_ONCE`].
    pub(super) fn name(&mut self, containers: &mut ContainerNames) {
        let begun = Instant::now();
        while begun.elapsed() < AT_ONCE
            && let Some(next) = self.waiting.pop_front_if(|next| next.from.is_none_or(|from| from <= begun))
        {
            if !containers.is_named(&next.path) && next.tries > 1 {
                self.waiting.push_back(Waiting { from: Some(begun + AGAIN), tries: next.tries - 1, ..next });
            }
        }
    }
}

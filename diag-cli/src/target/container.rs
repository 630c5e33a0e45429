//! A container as a target: recognised by what container engines call their cgroups, without asking any daemon.

use anyhow::Result;

use super::cgroup::{Cgroup, Place, pick, places, shortlist};
use super::hierarchy::{Hierarchies, Roots};
use super::identity;
use super::label::{Label, is_id, label};
use super::names::{KnownNames, Names};
use crate::exit::Failure;
use crate::output::record::parties;

/// How many characters of an id tell a container.
const SHORTEST_PREFIX: usize = 4;
/// How many characters of an id are shown, as engines do.
const SHORT_ID: usize = 12;

/// A container that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    /// Which one it is.
    pub(crate) identity: parties::Container,
    /// Its cgroup.
    pub(crate) cgroup: Cgroup,
}

/// A container, and its folders in all hierarchies.
struct Found<'a> {
    label: Label,
    names: Names,
    /// The user who can have made its cgroup; none where only root can.
    maker: Option<u32>,
    places: Vec<Place<'a>>,
}

impl Found<'_> {
    fn describe(&self) -> String {
        let id: String = self.label.id.chars().take(SHORT_ID).collect();
        let user = self.maker.map(|uid| format!("of user {uid}"));
        let words: Vec<&str> = self.names.own.first().into_iter().chain(&user).map(String::as_str).collect();
        if words.is_empty() { id } else { format!("{id} ({})", words.join(", ")) }
    }

    fn goes_by(&self, wanted: &str) -> bool {
        self.label.id == wanted || self.names.own.iter().any(|name| name == wanted)
    }
}

impl Container {
    /// Finds `--container NAME|ID-PREFIX`; [`Failure::Usage`] if there is none, or several.
    ///
    /// A name is one of the engine's, a container's within its pod (`nginx`, `web-7d4b9/nginx`), or a pod's by name or
    /// uid, which means all its containers.
    pub(crate) fn find(hierarchies: &Hierarchies, roots: &Roots, wanted: &str) -> Result<Container> {
        if wanted.is_empty() {
            return Err(Failure::Usage("--container: expected a name or the start of an id".into()).into());
        }
        let mut known = KnownNames::read(roots);
        let running = running(hierarchies, &mut known);
        let named: Vec<&Found<'_>> = running.iter().filter(|found| found.goes_by(wanted)).collect();
        if !named.is_empty() {
            return only(&named, wanted);
        }
        if let Some(pod) = pod_of(&running, wanted) {
            return only(&[pod], wanted);
        }
        let prefix = wanted.to_ascii_lowercase();
        let matches = |found: &&Found<'_>| is_id(&found.label.id) && found.label.id.starts_with(&prefix);
        let by_id: Vec<&Found<'_>> = running.iter().filter(matches).collect();
        if !by_id.is_empty() && prefix.len() >= SHORTEST_PREFIX {
            return only(&by_id, wanted);
        }
        Err(Failure::Usage(missing(&running, &known, wanted)).into())
    }
}

/// The containers and pods that run here. Cgroups of one id that different users can have made are different containers.
fn running<'a>(hierarchies: &'a Hierarchies, known: &mut KnownNames) -> Vec<Found<'a>> {
    let mut running: Vec<Found<'a>> = Vec::new();
    let system = known.system();
    for place in places(hierarchies, |folder, _| label(folder).is_some()) {
        let Some(label) = label(&place.folder) else { continue };
        let maker = identity::maker(place.hierarchy, &place.folder, system);
        let same = |found: &&mut Found<'_>| found.label.id == label.id && found.maker == maker;
        match running.iter_mut().find(same) {
            Some(found) => found.places.push(place),
            None => {
                let names = identity::names(known, &label, maker);
                running.push(Found { label, names, maker, places: vec![place] });
            }
        }
    }
    running
}

/// The pod of this name: the folder above that of a container which says that it belongs to the pod.
fn pod_of<'r, 'a>(running: &'r [Found<'a>], wanted: &str) -> Option<&'r Found<'a>> {
    let member = running.iter().find(|found| found.names.pod.iter().any(|pod| pod == wanted))?;
    let pod = member.places.iter().find_map(|place| place.folder.ancestors().skip(1).find_map(label))?;
    running.iter().find(|found| found.label == pod && found.maker == member.maker)
}

fn only(found: &[&Found<'_>], wanted: &str) -> Result<Container> {
    let [one] = found else {
        let described: Vec<String> = found.iter().map(|f| f.describe()).collect();
        return Err(
            Failure::Usage(format!("container {wanted} is ambiguous: {}", shortlist(&described))).into()
        );
    };
    Ok(Container {
        identity: identity::container(&one.label, &one.names),
        cgroup: pick(&one.places, &format!("container {wanted}"))?,
    })
}

fn missing(running: &[Found<'_>], known: &KnownNames, wanted: &str) -> String {
    let described: Vec<String> = running.iter().map(Found::describe).collect();
    let seen = if described.is_empty() {
        "no cgroup here looks like a container's".to_owned()
    } else {
        format!("running are {}", shortlist(&described))
    };
    let refused: Vec<String> = known.refused().map(str::to_owned).collect();
    let unread =
        if refused.is_empty() { String::new() } else { format!("; not read: {}", shortlist(&refused)) };
    format!(
        "no container {wanted}: expected a name or at least {SHORTEST_PREFIX} characters of an id; {seen}{unread}"
    )
}

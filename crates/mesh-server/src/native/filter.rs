//! What of a thread's log a subscription wants. Pure.

use mesh_graph::Mode;
use mesh_protocol::socket::Follow;
use mesh_runtime::log::Entry;
use uuid::Uuid;

use crate::refusal::Refusal;

/// Places that one filter may name.
pub(super) const NAMESPACES_MAX: usize = 64;

/// What a subscription wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    modes: Option<Vec<&'static str>>,
    places: Option<Vec<String>>,
    depth: Option<usize>,
    run: Option<Uuid>,
}

impl Filter {
    /// What a client asks for. `at` is where in its call that stands.
    ///
    /// # Errors
    /// [`Refusal`] with a pointer to a mode that there is not, or one place too many.
    pub(super) fn new(follow: &Follow, at: &str) -> Result<Self, Refusal> {
        let mode = |(index, name): (usize, &String)| {
            let known = Mode::ALL.into_iter().map(Mode::name).find(|known| known == name);
            known.ok_or_else(|| {
                let names = Mode::ALL.map(Mode::name).join(", ");
                let pointer = format!("{at}/modes/{index}");
                let detail = format!("{pointer}: `{name}` is no mode; expected one of {names}");
                Refusal::invalid(Some(pointer), detail)
            })
        };
        let modes = follow.modes.as_ref().map(|names| names.iter().enumerate().map(mode).collect());
        let places = follow.namespaces.clone();
        if let Some(count) = places.as_ref().map(Vec::len).filter(|count| *count > NAMESPACES_MAX) {
            let pointer = format!("{at}/namespaces");
            let detail = format!("{pointer}: {count} places, expected at most {NAMESPACES_MAX}");
            return Err(Refusal::invalid(Some(pointer), detail));
        }
        Ok(Self {
            modes: modes.transpose()?,
            places,
            depth: follow.depth.map(|depth| depth as usize),
            run: follow.run_id,
        })
    }

    /// Whether an entry is wanted. What is of a run or the thread as a whole always is.
    pub(super) fn takes(&self, entry: &Entry) -> bool {
        if self.run.is_some_and(|run| run != entry.run) {
            return false;
        }
        let Some(mode) = entry.kind.mode() else { return true };
        if self.modes.as_ref().is_some_and(|modes| !modes.contains(&mode.name())) {
            return false;
        }
        match (&self.places, self.depth) {
            (None, None) => true,
            (None, Some(depth)) => lies_in("", &entry.ns, Some(depth)),
            (Some(places), depth) => places.iter().any(|place| lies_in(place, &entry.ns, depth)),
        }
    }
}

/// Whether a namespace is at a place or at most so many levels below it.
fn lies_in(place: &str, ns: &str, depth: Option<usize>) -> bool {
    let mut levels = levels(ns);
    for wanted in self::levels(place) {
        let Some(level) = levels.next() else { return false };
        let node = level.split(':').next().unwrap_or_default();
        if wanted != level && (wanted.contains(':') || wanted != node) {
            return false;
        }
    }
    depth.is_none_or(|depth| levels.count() <= depth)
}

fn levels(ns: &str) -> impl Iterator<Item = &str> {
    ns.split('|').filter(|level| !level.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{Filter, Follow, NAMESPACES_MAX, lies_in};

    #[test]
    fn a_place_takes_what_is_below_it_as_deep_as_was_asked_for() {
        let ns = "outer:1|inner:2";
        for (place, depth, lies) in [
            ("", None, true),
            ("", Some(2), true),
            ("", Some(1), false),
            ("outer", None, true),
            ("outer", Some(0), false),
            ("outer:1", Some(1), true),
            ("outer:3", None, false),
            ("outer|inner", Some(0), true),
            ("outer:1|inner:2", Some(0), true),
            ("outer|inner|more", None, false),
            ("out", None, false),
        ] {
            assert_eq!(lies_in(place, ns, depth), lies, "{place} {depth:?}");
        }
        assert!(lies_in("", "", Some(0)));
    }

    #[test]
    fn a_mode_that_there_is_not_is_refused_by_its_place() {
        let modes = Some(vec!["values".to_owned(), "Values".to_owned()]);
        let follow = Follow { modes, ..Follow::default() };
        let refusal = Filter::new(&follow, "/follow").unwrap_err();
        assert_eq!(refusal.code(), "invalid_request");
        assert!(refusal.to_string().starts_with("/follow/modes/1: `Values` is no mode"));
    }

    #[test]
    fn one_place_too_many_is_refused() {
        let follow = Follow {
            namespaces: Some(vec![String::new(); NAMESPACES_MAX + 1]),
            ..Follow::default()
        };
        assert!(Filter::new(&follow, "/follow").is_err());
    }
}

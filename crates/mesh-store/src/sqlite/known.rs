//! What the writer knows of places without asking SQLite: their numbers, and their newest
//! checkpoints. Nobody else writes to the file, so it stays true until the writer changes it.
//!
//! Only operations on the writing connection look here or change anything, so it is as the
//! transaction under way sees the file. Whatever takes rows back makes it forget, and so does
//! every change of a place's row, whoever makes it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mesh_graph::{CheckpointId, checkpoint::Place};
use rusqlite::{Connection, hooks::Action};

/// Places that are remembered. One more, and all are forgotten: those that are written to come
/// back by themselves.
const PLACES_MAX: usize = 4096;

/// The places that were written to lately.
#[derive(Default)]
pub(super) struct Known(Mutex<Places>);

#[derive(Default)]
struct Places {
    standing: HashMap<Place, Standing>,
    by_number: HashMap<i64, Place>,
}

/// A place in the file.
#[derive(Clone, Copy)]
pub(super) struct Standing {
    /// Its number.
    pub(super) place: i64,
    /// Its newest checkpoint; none before the first.
    pub(super) head: Option<CheckpointId>,
}

impl Known {
    /// Forgets places of which the writing connection changes or removes the row.
    pub(super) fn watch(self: &Arc<Self>, connection: &mut Connection) -> rusqlite::Result<()> {
        let known = Arc::clone(self);
        connection.update_hook(Some(move |action: Action, _: &str, table: &str, place: i64| {
            if table == "places" && action != Action::SQLITE_INSERT {
                let mut places = known.places();
                if let Some(gone) = places.by_number.remove(&place) {
                    places.standing.remove(&gone);
                }
            }
        }))
    }

    pub(super) fn get(&self, place: &Place) -> Option<Standing> {
        self.places().standing.get(place).copied()
    }

    pub(super) fn learn(&self, place: &Place, standing: Standing) {
        let mut places = self.places();
        if let Some(known) = places.standing.get_mut(place) {
            *known = standing;
            return;
        }
        if places.standing.len() >= PLACES_MAX {
            *places = Places::default();
        }
        places.standing.insert(place.clone(), standing);
        places.by_number.insert(standing.place, place.clone());
    }

    /// Forgets everything.
    pub(super) fn forget(&self) {
        *self.places() = Places::default();
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

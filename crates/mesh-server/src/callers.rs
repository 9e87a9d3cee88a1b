//! Connections by who has them: one caller must not take all places.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Who has how many connections busy: requests that are being answered, streams and sockets. A
/// connection carries one request at a time, so that is the number of the connections that are
/// used. Callers that have none take no room here.
#[derive(Debug)]
pub(crate) struct Callers {
    max: usize,
    busy: Mutex<HashMap<Arc<str>, usize>>,
}

impl Callers {
    /// So many for each caller.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, busy: Mutex::default() })
    }

    /// How many each caller may have.
    pub(crate) fn max(&self) -> usize {
        self.max
    }

    /// One more connection of a caller, until what is returned is dropped; none if it has all that
    /// it may have.
    pub(crate) fn enter(self: &Arc<Self>, identity: &str) -> Option<Busy> {
        let mut busy = self.busy();
        let who = match busy.get_mut(identity) {
            Some(count) if *count >= self.max => return None,
            Some(count) => {
                *count += 1;
                let known = busy.get_key_value(identity);
                known.map_or_else(|| Arc::from(identity), |(who, _)| Arc::clone(who))
            }
            None => {
                let who: Arc<str> = Arc::from(identity);
                busy.insert(Arc::clone(&who), 1);
                who
            }
        };
        drop(busy);
        Some(Busy { callers: Arc::clone(self), who })
    }

    fn busy(&self) -> MutexGuard<'_, HashMap<Arc<str>, usize>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that a caller has busy.
#[derive(Debug)]
pub(crate) struct Busy {
    callers: Arc<Callers>,
    who: Arc<str>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut busy = self.callers.busy();
        if let Some(count) = busy.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                busy.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Callers;

    #[test]
    fn each_caller_has_so_many_and_gets_them_back() {
        let callers = Callers::new(2);
        let (first, second) = (callers.enter("ada"), callers.enter("ada"));
        assert!(first.is_some() && second.is_some());
        assert!(callers.enter("ada").is_none());
        assert!(callers.enter("bob").is_some(), "others have their own");
        drop(first);
        assert!(callers.enter("ada").is_some());
        drop(second);
        assert!(callers.busy().is_empty(), "nobody is remembered who has none");
    }
}

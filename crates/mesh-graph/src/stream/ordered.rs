//! Events in task order: a task's events are held back until the tasks before it have ended.
//!
//! A run whose nodes are deterministic then tells the same events in the same order every time,
//! however its tasks were scheduled.

use std::collections::{HashMap, VecDeque};

use crate::checkpoint::TaskId;

use super::event::{Body, Event};

/// Events that may be held back. A run that has more than these waiting behind one task tells them
/// as they came and goes on in order with the next superstep.
pub const ORDERED_HELD_MAX: usize = 65_536;

/// Holds events back until it is their turn.
#[derive(Default)]
pub(super) struct Order {
    /// The superstep that runs in each graph, by the tasks the graph runs below.
    groups: HashMap<Vec<TaskId>, Group>,
    ready: VecDeque<Event>,
    held: usize,
}

/// The tasks of one superstep.
struct Group {
    tasks: Vec<TaskId>,
    /// The task whose events pass.
    head: usize,
    held: Vec<Vec<Event>>,
}

/// An event, and how many graphs from the root have let it pass.
type Travelling = (Event, usize);

impl Order {
    /// The next event whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    /// Takes an event. When too many are held it lets all of them go and says how many.
    pub(super) fn take(&mut self, event: Event) -> Option<usize> {
        self.pass(VecDeque::from([(event, 0)]));
        (self.held > ORDERED_HELD_MAX).then(|| self.flush())
    }

    /// Lets everything go, in task order as far as it is known, and says how much that was.
    pub(super) fn flush(&mut self) -> usize {
        let held = self.held;
        // Outer graphs first: what they held may belong to inner ones.
        while let Some(outermost) = self.groups.keys().min_by_key(|key| key.len()).cloned() {
            let released = self.close(&outermost);
            self.pass(released);
        }
        held
    }

    fn close(&mut self, key: &[TaskId]) -> VecDeque<Travelling> {
        let held = self.groups.remove(key).map(|group| group.held).unwrap_or_default();
        let released: VecDeque<Travelling> =
            held.into_iter().flatten().map(|event| (event, key.len())).collect();
        self.held -= released.len();
        released
    }

    fn pass(&mut self, mut work: VecDeque<Travelling>) {
        while let Some((event, depth)) = work.pop_front() {
            let released = self.step(event, depth);
            for travelling in released.into_iter().rev() {
                work.push_front(travelling);
            }
        }
    }

    /// Moves an event on from the graph at `depth`; returns the events that this releases.
    fn step(&mut self, event: Event, mut depth: usize) -> VecDeque<Travelling> {
        loop {
            let own = depth == event.within().len();
            let key = &event.within()[..depth];
            let task = if own { event.task_id } else { Some(event.within()[depth]) };
            match (self.groups.get_mut(key), task) {
                // The graph itself speaks, so whatever its tasks said comes before.
                (Some(_), None) => {
                    let key = key.to_vec();
                    let mut released = self.close(&key);
                    released.push_back((event, depth));
                    return released;
                }
                (Some(group), Some(task)) => {
                    let place = group.tasks.iter().position(|known| *known == task);
                    if let Some(place) = place.filter(|place| *place > group.head) {
                        group.held[place].push(event);
                        self.held += 1;
                        return VecDeque::new();
                    }
                    let ends = own && matches!(event.body, Body::Ended);
                    if ends && place == Some(group.head) {
                        group.head += 1;
                        let Some(held) = group.held.get_mut(group.head) else {
                            let key = key.to_vec();
                            return self.close(&key);
                        };
                        let released: VecDeque<Travelling> =
                            std::mem::take(held).into_iter().map(|event| (event, depth)).collect();
                        self.held -= released.len();
                        return released;
                    }
                }
                (None, _) => {
                    if let (true, Body::Step(tasks)) = (own, &event.body) {
                        let held = tasks.iter().map(|_| Vec::new()).collect();
                        let group = Group { tasks: tasks.to_vec(), head: 0, held };
                        self.groups.insert(key.to_vec(), group);
                        return VecDeque::new();
                    }
                }
            }
            if own {
                self.ready.push_back(event);
                return VecDeque::new();
            }
            depth += 1;
        }
    }
}

//! Reducers: pure functions `(current, updates) -> new` of a channel.
//!
//! All values of one superstep are folded in apply order, never in order of completion. A reducer
//! owns its left value; when somebody still looks at it, it is copied first.
//! Semantics: LangGraph's reducers; a typed channel always starts from its default.

pub(crate) mod json;

use std::{
    any::{Any, type_name},
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, Hash},
    marker::PhantomData,
    ops::AddAssign,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::{
    ids::Ids,
    value::{Datum, Value},
};

/// A reducer could not combine its values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReduceError {
    /// A value has another Rust type than the channel.
    #[error("expected a value of type {expected}")]
    Type {
        /// The Rust type of the channel.
        expected: &'static str,
    },
    /// The reducer does not take this update.
    #[error("{reason}")]
    Refused {
        /// What is wrong with the update, in one sentence.
        reason: String,
    },
    /// The reducer panicked.
    #[error("the reducer panicked: {message}")]
    Panicked {
        /// The panic message.
        message: String,
    },
}

/// Folds the updates of one superstep into a channel.
pub trait Reduce: Any + Send + Sync {
    /// The value to start from when nothing was ever written. Without one the first write is
    /// stored as it is; typed reducers always have one.
    fn initial(&self) -> Option<Value>;

    /// Folds `updates`, in apply order, into `current`.
    ///
    /// # Errors
    /// [`ReduceError`]; the superstep is then not applied.
    fn fold(&self, current: Value, updates: Vec<Value>) -> Result<Value, ReduceError>;

    /// Makes one write ready to be stored and shown, in the task that gives it: a list of messages
    /// takes ids for those that have none. `overwrite` says that the write will replace the value.
    ///
    /// # Errors
    /// [`ReduceError`]; the task has then failed. So does a task whose overwrite is no value.
    fn prepare(
        &self,
        _write: &mut Value,
        _overwrite: bool,
        _ids: &mut Ids<'_>,
    ) -> Result<(), ReduceError> {
        Ok(())
    }

    /// What it does, in a word for people.
    fn name(&self) -> &'static str {
        "function"
    }

    /// Whether its channels hold chat messages; see [`crate::channel::Channel::messages`].
    fn holds_messages(&self) -> bool {
        false
    }

    /// Whether folding values of the channel's own type always succeeds. If not, the old value is
    /// kept until the whole superstep is known to stand, which costs a copy of it.
    fn cannot_fail(&self) -> bool {
        false
    }

    /// Whether folding the same updates in smaller or larger batches gives the same value, so that
    /// a checkpoint may store the updates instead of the result.
    fn batches_freely(&self) -> bool;
}

/// Whether two reducers are known to do the same: one and the same, or of a type that holds
/// nothing, as every function and every closure without captures has a type of its own.
pub(crate) fn same(a: &Arc<dyn Reduce>, b: &Arc<dyn Reduce>) -> bool {
    let of = |reducer: &Arc<dyn Reduce>| (&**reducer as &dyn Any).type_id();
    Arc::ptr_eq(a, b) || (size_of_val(&**a) == 0 && of(a) == of(b))
}

fn own<T: Clone + Send + Sync + 'static>(value: Value) -> Result<Arc<T>, ReduceError> {
    value.downcast::<T>().map_err(|_| ReduceError::Type { expected: type_name::<T>() })
}

fn take<T: Clone>(value: Arc<T>) -> T {
    Arc::try_unwrap(value).unwrap_or_else(|shared| (*shared).clone())
}

/// Appends lists: `current ++ update ++ update …`. LangGraph's `operator.add` on lists.
pub fn append<T: Datum>() -> Arc<dyn Reduce> {
    Arc::new(Append::<T>(PhantomData))
}

struct Append<T>(PhantomData<fn() -> T>);

impl<T: Datum> Reduce for Append<T> {
    fn name(&self) -> &'static str {
        "append"
    }

    fn initial(&self) -> Option<Value> {
        Some(Arc::new(Vec::<T>::new()))
    }

    fn fold(&self, current: Value, updates: Vec<Value>) -> Result<Value, ReduceError> {
        let mut list = own::<Vec<T>>(current)?;
        let items = Arc::make_mut(&mut list);
        for update in updates {
            match Arc::try_unwrap(own::<Vec<T>>(update)?) {
                Ok(new) => items.extend(new),
                Err(shared) => items.extend(shared.iter().cloned()),
            }
        }
        Ok(list)
    }

    fn cannot_fail(&self) -> bool {
        true
    }

    fn batches_freely(&self) -> bool {
        true
    }
}

/// Adds numbers (or anything with `+=`): `current + update + update …`.
pub fn add<T: Datum + Default + AddAssign>() -> Arc<dyn Reduce> {
    Arc::new(Add::<T>(PhantomData))
}

struct Add<T>(PhantomData<fn() -> T>);

impl<T: Datum + Default + AddAssign> Reduce for Add<T> {
    fn name(&self) -> &'static str {
        "add"
    }

    fn initial(&self) -> Option<Value> {
        Some(Arc::new(T::default()))
    }

    fn fold(&self, current: Value, updates: Vec<Value>) -> Result<Value, ReduceError> {
        let mut sum = own::<T>(current)?;
        for update in updates {
            *Arc::make_mut(&mut sum) += take(own::<T>(update)?);
        }
        Ok(sum)
    }

    // A sum is small: storing it is cheaper than storing its parts.
    fn batches_freely(&self) -> bool {
        false
    }
}

/// A map whose updates are merged key by key, later ones winning.
pub trait Mergeable: Datum + Default {
    /// Takes over every entry of `update`.
    fn merge(&mut self, update: Self);
}

impl<K: Datum + Ord, V: Datum> Mergeable for BTreeMap<K, V> {
    fn merge(&mut self, update: Self) {
        self.extend(update);
    }
}

impl<K: Datum + Eq + Hash, V: Datum, H: BuildHasher> Mergeable for HashMap<K, V, H>
where
    Self: Datum + Default,
{
    fn merge(&mut self, update: Self) {
        self.extend(update);
    }
}

/// Merges maps key by key; of two updates of one key the later in apply order wins.
pub fn merge<T: Mergeable>() -> Arc<dyn Reduce> {
    Arc::new(Merge::<T>(PhantomData))
}

struct Merge<T>(PhantomData<fn() -> T>);

impl<T: Mergeable> Reduce for Merge<T> {
    fn name(&self) -> &'static str {
        "merge"
    }

    fn initial(&self) -> Option<Value> {
        Some(Arc::new(T::default()))
    }

    fn fold(&self, current: Value, updates: Vec<Value>) -> Result<Value, ReduceError> {
        let mut map = own::<T>(current)?;
        for update in updates {
            Arc::make_mut(&mut map).merge(take(own::<T>(update)?));
        }
        Ok(map)
    }

    fn cannot_fail(&self) -> bool {
        true
    }

    fn batches_freely(&self) -> bool {
        true
    }
}

/// A user's reducer `fn(current, update) -> new`, called once per update in apply order.
///
/// The function must be pure: a replay calls it again and must get the same value.
pub fn custom<T, F>(reduce: F) -> Arc<dyn Reduce>
where
    T: Datum + Default,
    F: Fn(T, T) -> T + Send + Sync + 'static,
{
    Arc::new(Custom { reduce, value: PhantomData })
}

struct Custom<T, F> {
    reduce: F,
    value: PhantomData<fn() -> T>,
}

impl<T, F> Reduce for Custom<T, F>
where
    T: Datum + Default,
    F: Fn(T, T) -> T + Send + Sync + 'static,
{
    fn initial(&self) -> Option<Value> {
        Some(Arc::new(T::default()))
    }

    fn fold(&self, current: Value, updates: Vec<Value>) -> Result<Value, ReduceError> {
        let mut value = take(own::<T>(current)?);
        for update in updates {
            let update = take(own::<T>(update)?);
            value = (self.reduce)(value, update);
        }
        Ok(Arc::new(value))
    }

    fn batches_freely(&self) -> bool {
        false
    }
}

/// Folds, and makes an error of a panic: every reducer calls code of its user, if only `Clone`,
/// `Ord` or `+=`.
///
/// Without a current value it starts from the reducer's own, or else from the first update.
pub(crate) fn fold(
    reducer: &dyn Reduce,
    current: Option<Value>,
    mut updates: Vec<Value>,
) -> Result<Value, ReduceError> {
    let folded = catch_unwind(AssertUnwindSafe(|| match current.or_else(|| reducer.initial()) {
        Some(current) => reducer.fold(current, updates),
        None if updates.is_empty() => {
            Err(ReduceError::Refused { reason: "expected an update".to_owned() })
        }
        None => {
            let first = updates.remove(0);
            if updates.is_empty() { Ok(first) } else { reducer.fold(first, updates) }
        }
    }));
    folded.unwrap_or_else(|panic| Err(ReduceError::Panicked { message: panic_message(&*panic) }))
}

/// The text of a caught panic.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}

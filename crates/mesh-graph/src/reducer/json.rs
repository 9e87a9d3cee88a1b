//! Reducers of keys whose values are JSON.

use std::sync::Arc;

use serde_json::{Number, Value as Json};

use super::{Reduce, ReduceError, own, take};
use crate::value::Value;

/// A reducer of JSON values made of a plain function, called once per update in apply order.
pub(crate) fn function<F>(reduce: F) -> Arc<dyn Reduce>
where
    F: Fn(Json, Json) -> Json + Send + Sync + 'static,
{
    Arc::new(Function(reduce))
}

struct Function<F>(F);

impl<F: Fn(Json, Json) -> Json + Send + Sync + 'static> Reduce for Function<F> {
    // What a JSON value starts from is not known here, so the first write stands as it is.
    fn initial(&self) -> Option<Value> {
        None
    }

    fn fold(&self, current: Value, updates: Vec<Value>) -> Result<Value, ReduceError> {
        let mut value = take(own::<Json>(current)?);
        for update in updates {
            value = (self.0)(value, take(own::<Json>(update)?));
        }
        Ok(Arc::new(value))
    }

    fn batches_freely(&self) -> bool {
        false
    }
}

/// Appends lists. The key's codec lets nothing but lists in, so folding cannot fail.
pub(crate) struct Append;

impl Reduce for Append {
    fn name(&self) -> &'static str {
        "append"
    }

    fn initial(&self) -> Option<Value> {
        Some(Arc::new(Json::Array(Vec::new())))
    }

    fn fold(&self, current: Value, updates: Vec<Value>) -> Result<Value, ReduceError> {
        let mut list = own::<Json>(current)?;
        let Json::Array(items) = Arc::make_mut(&mut list) else { return Err(not("lists")) };
        for update in updates {
            let Json::Array(new) = take(own::<Json>(update)?) else { return Err(not("lists")) };
            items.extend(new);
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

/// Merges objects key by key, the later one winning. The key's codec lets nothing but objects in.
pub(crate) struct Merge;

impl Reduce for Merge {
    fn name(&self) -> &'static str {
        "merge"
    }

    fn initial(&self) -> Option<Value> {
        Some(Arc::new(Json::Object(serde_json::Map::new())))
    }

    fn fold(&self, current: Value, updates: Vec<Value>) -> Result<Value, ReduceError> {
        let mut object = own::<Json>(current)?;
        let Json::Object(entries) = Arc::make_mut(&mut object) else { return Err(not("objects")) };
        for update in updates {
            let Json::Object(new) = take(own::<Json>(update)?) else { return Err(not("objects")) };
            entries.extend(new);
        }
        Ok(object)
    }

    fn cannot_fail(&self) -> bool {
        true
    }

    fn batches_freely(&self) -> bool {
        true
    }
}

/// Adds numbers; whole numbers stay whole.
pub(crate) struct Add;

impl Reduce for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn initial(&self) -> Option<Value> {
        Some(Arc::new(Json::from(0)))
    }

    fn fold(&self, current: Value, updates: Vec<Value>) -> Result<Value, ReduceError> {
        let mut sum = take(own::<Json>(current)?);
        for update in updates {
            let update = own::<Json>(update)?;
            let added = sum.as_number().zip(update.as_number()).and_then(|(a, b)| plus(a, b));
            sum = Json::Number(added.ok_or_else(|| not("numbers whose sum fits 64 bits"))?);
        }
        Ok(Arc::new(sum))
    }

    // A sum is small: storing it is cheaper than storing its parts.
    fn batches_freely(&self) -> bool {
        false
    }
}

fn not(expected: &str) -> ReduceError {
    ReduceError::Refused { reason: format!("expected {expected}") }
}

fn plus(a: &Number, b: &Number) -> Option<Number> {
    if let (Some(a), Some(b)) = (a.as_i128(), b.as_i128()) {
        return Number::from_i128(a.checked_add(b)?);
    }
    Number::from_f64(a.as_f64()? + b.as_f64()?)
}

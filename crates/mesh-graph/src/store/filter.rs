//! Filters over values: what a search accepts.

use std::cmp::Ordering;

use serde_json::{Number, Value as Json};

use super::{Error, Object};

/// What the value of an item has to hold.
///
/// A JSON object; every entry is about one key of the value and all have to hold. A plain value
/// means equality, in which numbers are equal by value (`1` and `1.0`), objects have to match
/// entry by entry (others may be there besides) and lists position by position. An object of
/// operators means all of them: `$eq`, `$ne`, `$gt`, `$gte`, `$lt`, `$lte`, `$in` (a list) and
/// `$exists` (true or false).
///
/// A key that is missing matches nothing but `{"$exists": false}`, and an order holds only between
/// two numbers or two texts; LangGraph's stores differ from each other here. `$in` and `$exists`
/// are additions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter(Vec<(String, Test)>);

#[derive(Debug, Clone, PartialEq)]
enum Test {
    /// Equality with a value that is no object.
    Is(Json),
    /// All of these, position by position.
    List(Vec<Test>),
    /// An object that matches entry by entry.
    Entries(Filter),
    /// All operators hold.
    Operators(Vec<(Operator, Json)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Eq,
    Ne,
    Gt,
    Gte,
    Lt,
    Lte,
    In,
    Exists,
}

impl Operator {
    fn parse(name: &str) -> Result<Self, Error> {
        Ok(match name {
            "$eq" => Self::Eq,
            "$ne" => Self::Ne,
            "$gt" => Self::Gt,
            "$gte" => Self::Gte,
            "$lt" => Self::Lt,
            "$lte" => Self::Lte,
            "$in" => Self::In,
            "$exists" => Self::Exists,
            other => return Err(Error::UnknownOperator { operator: other.to_owned() }),
        })
    }

    fn holds(self, found: Option<&Json>, operand: &Json) -> bool {
        if self == Self::Exists {
            return operand.as_bool() == Some(found.is_some());
        }
        let Some(found) = found else { return false };
        let ordered = |wanted: fn(Ordering) -> bool| order(found, operand).is_some_and(wanted);
        match self {
            Self::Eq => equal(found, operand),
            Self::Ne => !equal(found, operand),
            Self::Gt => ordered(Ordering::is_gt),
            Self::Gte => ordered(Ordering::is_ge),
            Self::Lt => ordered(Ordering::is_lt),
            Self::Lte => ordered(Ordering::is_le),
            Self::In => operand
                .as_array()
                .is_some_and(|list| list.iter().any(|candidate| equal(found, candidate))),
            Self::Exists => true,
        }
    }
}

impl Filter {
    /// The filter of its JSON form.
    ///
    /// # Errors
    /// [`Error::UnknownOperator`], or [`Error::Operand`] for a filter that is no object, a `$in`
    /// without a list or a `$exists` without a truth value.
    pub fn new(json: &Json) -> Result<Self, Error> {
        match json {
            Json::Object(entries) => Self::of(entries),
            _ => Err(Error::Operand { operator: "filter", expected: "an object" }),
        }
    }

    fn of(entries: &Object) -> Result<Self, Error> {
        let test = |(key, value): (&String, &Json)| Ok((key.clone(), Test::new(value)?));
        entries.iter().map(test).collect::<Result<_, _>>().map(Self)
    }

    /// Whether everything holds of this value.
    pub fn matches(&self, value: &Object) -> bool {
        self.0.iter().all(|(key, test)| test.holds(value.get(key)))
    }
}

impl Test {
    fn new(json: &Json) -> Result<Self, Error> {
        Ok(match json {
            Json::Object(entries) if entries.keys().any(|key| key.starts_with('$')) => {
                let mut operators = Vec::with_capacity(entries.len());
                for (name, operand) in entries {
                    let operator = Operator::parse(name)?;
                    match operator {
                        Operator::In if !operand.is_array() => {
                            return Err(Error::Operand { operator: "$in", expected: "a list" });
                        }
                        Operator::Exists if !operand.is_boolean() => {
                            let expected = "true or false";
                            return Err(Error::Operand { operator: "$exists", expected });
                        }
                        _ => operators.push((operator, operand.clone())),
                    }
                }
                Self::Operators(operators)
            }
            Json::Object(entries) => Self::Entries(Filter::of(entries)?),
            Json::Array(items) => {
                Self::List(items.iter().map(Self::new).collect::<Result<_, _>>()?)
            }
            other => Self::Is(other.clone()),
        })
    }

    fn holds(&self, found: Option<&Json>) -> bool {
        match (self, found) {
            (Self::Operators(operators), found) => {
                operators.iter().all(|(operator, operand)| operator.holds(found, operand))
            }
            (Self::Is(wanted), Some(found)) => equal(found, wanted),
            (Self::List(tests), Some(Json::Array(items))) => {
                tests.len() == items.len()
                    && tests.iter().zip(items).all(|(test, item)| test.holds(Some(item)))
            }
            (Self::Entries(filter), Some(Json::Object(value))) => filter.matches(value),
            _ => false,
        }
    }
}

/// Equality of JSON, with numbers by value.
fn equal(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => order_numbers(a, b) == Some(Ordering::Equal),
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        (a, b) => a == b,
    }
}

/// The order of two numbers or two texts; nothing else has one.
fn order(a: &Json, b: &Json) -> Option<Ordering> {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => order_numbers(a, b),
        (Json::String(a), Json::String(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// Whole numbers are compared as such: beyond 2^53 a float would confuse neighbours.
fn order_numbers(a: &Number, b: &Number) -> Option<Ordering> {
    let whole = |n: &Number| n.as_i64().map(i128::from).or_else(|| n.as_u64().map(i128::from));
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

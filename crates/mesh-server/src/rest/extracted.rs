//! Parts of threads that a search picks out by their paths: `values.messages[-1].content`.

use serde_json::Value as Json;

/// Members of a thread that a path may begin with.
const ROOTS: [&str; 4] = ["config", "interrupts", "metadata", "values"];

/// A path that begins where it may. What it names need not be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    root: &'static str,
    /// None for a path that leads nowhere, such as one with `[*]`.
    steps: Option<Vec<Step>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    /// Counted from the end below zero.
    Index(i64),
}

/// A path that begins with no member that it may begin with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Extract path '{0}' must start with one of: {roots}", roots = ROOTS.join(", "))]
pub(super) struct BadRoot(String);

impl Path {
    /// Reads a path.
    pub(super) fn parse(text: &str) -> Result<Self, BadRoot> {
        let end = text.find(['.', '[']).unwrap_or(text.len());
        let (root, rest) = text.split_at(end);
        let root = ROOTS.into_iter().find(|known| *known == root);
        let root = root.ok_or_else(|| BadRoot(text.to_owned()))?;
        Ok(Self { root, steps: steps(rest) })
    }

    /// Whether it leads into the values of a thread.
    pub(super) fn is_in_values(&self) -> bool {
        self.root == "values"
    }

    /// What is there in a thread, or null.
    pub(super) fn of(&self, thread: &Json) -> Json {
        let Some(steps) = &self.steps else { return Json::Null };
        let found = steps.iter().try_fold(&thread[self.root], |at, step| match step {
            Step::Key(key) => at.get(key),
            Step::Index(index) => {
                let items = at.as_array()?;
                let index = match usize::try_from(*index) {
                    Ok(index) => index,
                    Err(_) => {
                        items.len().checked_sub(usize::try_from(index.checked_neg()?).ok()?)?
                    }
                };
                items.get(index)
            }
        });
        found.cloned().unwrap_or_default()
    }
}

fn steps(mut rest: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(key) = rest.strip_prefix('.') {
            let end = key.find(['.', '[']).unwrap_or(key.len());
            let (key, after) = key.split_at(end);
            if key.is_empty() {
                return None;
            }
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        } else {
            let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
            steps.push(Step::Index(index.parse().ok()?));
            rest = after;
        }
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::Path;

    fn extracted(path: &str) -> Json {
        let thread = json!({
            "values": { "messages": [{ "content": "a" }, { "content": "b" }], "n": [[1, 2], [3]] },
            "metadata": { "owner": "ada" },
            "interrupts": {},
            "config": {},
        });
        Path::parse(path).unwrap().of(&thread)
    }

    #[test]
    fn paths_lead_through_keys_and_indexes_from_both_ends() {
        assert_eq!(extracted("values.messages[0].content"), "a");
        assert_eq!(extracted("values.messages[-1].content"), "b");
        assert_eq!(extracted("values.n[0][-1]"), 2);
        assert_eq!(extracted("metadata.owner"), "ada");
        assert_eq!(extracted("metadata"), json!({ "owner": "ada" }));
    }

    #[test]
    fn what_is_not_there_is_null() {
        for path in [
            "values.messages[2]",
            "values.messages[-3]",
            "values.messages[*]",
            "values.messages[-9223372036854775808]",
            "values.none.at.all",
            "values..n",
            "values.messages[0",
            "metadata.owner[0]",
            "interrupts.x",
        ] {
            assert_eq!(extracted(path), Json::Null, "{path}");
        }
    }

    #[test]
    fn a_path_begins_with_a_member_that_can_be_extracted() {
        let error = Path::parse("status.x").unwrap_err();
        assert_eq!(
            error.to_string(),
            "Extract path 'status.x' must start with one of: config, interrupts, metadata, values"
        );
        assert!(Path::parse("valuesx").is_err());
    }
}

//! Answers to a thread's questions, before a run is made of them.

use mesh_graph::{Misfit, Resume, check_answer};
use serde_json::Value as Json;

use crate::{Error, Runtime, Scope, Tx, asked::resume};

impl Runtime {
    /// Checks what a `resume` answers against the schemas that the nodes gave with their questions.
    ///
    /// Only what is certain is refused: where runs are open on the thread, or a question is not
    /// there or has no schema, the graph says what comes of the answer.
    ///
    /// # Errors
    /// [`Error::Invalid`] points into the `resume`, from its root; [`Error::Damaged`];
    /// [`Error::Storage`].
    pub async fn check_answers(
        &self,
        scope: &Scope,
        thread: &str,
        given: &Json,
    ) -> Result<(), Error> {
        let (scope, thread) = (scope.clone(), thread.to_owned());
        let open = self.ledger().read(move |tx| open_questions(tx, &scope, &thread)).await?;
        match resume(given) {
            Resume::ById(answers) => answers.iter().try_for_each(|(id, answer)| {
                let asked = open.iter().find(|one| one["id"].as_str() == Some(id));
                asked.map_or(Ok(()), |asked| check(asked, answer, &format!("/{id}")))
            }),
            Resume::Only(answer) => match &*open {
                [asked] => check(asked, &answer, ""),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

/// The questions of a thread on which nothing is going on.
fn open_questions(tx: &mut dyn Tx, scope: &Scope, id: &str) -> Result<Vec<Json>, Error> {
    let Some(thread) = tx.thread_outline(id, scope)? else { return Ok(Vec::new()) };
    if !tx.open_runs(id)?.is_empty() {
        return Ok(Vec::new());
    }
    let tasks = thread.interrupts.into_iter().flatten();
    let questions = tasks.filter_map(|(_, asked)| match asked {
        Json::Array(asked) => Some(asked),
        _ => None,
    });
    Ok(questions.flatten().collect())
}

fn check(asked: &Json, answer: &Json, at: &str) -> Result<(), Error> {
    let Some(schema) = asked.get("response_schema") else { return Ok(()) };
    check_answer(schema, answer).map_err(|Misfit { pointer, message }| Error::Invalid {
        pointer: format!("{at}{pointer}"),
        message,
    })
}

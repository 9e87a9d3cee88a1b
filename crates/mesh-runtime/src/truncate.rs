//! Emptying what is kept, for suites that want to begin with nothing.

use std::ops::ControlFlow;

use mesh_graph::store::{Op, Put, Search as ItemSearch};

use crate::{
    Error, Runtime, Scope,
    assistant::{AssistantOrder, system_id},
    page::{Direction, PAGE_MAX, Window},
    runs::RunQuery,
    thread::rows::{Filter, Search, SortBy},
};

/// What is to be emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Truncate {
    /// Runs. Those that have not ended are cancelled.
    pub runs: bool,
    /// Threads, with all that is on them.
    pub threads: bool,
    /// Assistants, except those that graphs have of themselves.
    pub assistants: bool,
    /// The checkpoints of threads.
    pub checkpoints: bool,
    /// The store.
    pub items: bool,
}

impl Runtime {
    /// Empties what is kept. What is made while this goes on may stay or go.
    ///
    /// # Errors
    /// What storage reports; some of it is gone then.
    ///
    /// # Cancel safety
    /// A dropped future leaves some of it.
    pub async fn truncate(&self, what: Truncate) -> Result<(), Error> {
        if what.threads {
            self.delete_threads_where(Filter::all(Scope::All)).await?;
            while self.clear_graves().await? {}
        } else if what.runs || what.checkpoints {
            for thread in self.all_threads().await? {
                if what.runs {
                    self.remove_runs(&thread).await?;
                }
                if what.checkpoints {
                    let checkpointer = self.ledger().checkpointer();
                    checkpointer.delete_thread(&thread).await?;
                }
            }
        }
        if what.assistants {
            self.remove_made_assistants().await?;
        }
        if what.items {
            self.remove_items().await?;
        }
        Ok(())
    }

    async fn all_threads(&self) -> Result<Vec<String>, Error> {
        let mut ids = Vec::new();
        loop {
            let search = Search {
                filter: Filter::all(Scope::All),
                by: SortBy::Id,
                direction: Direction::Ascending,
                window: Window { limit: PAGE_MAX, offset: ids.len() },
                with_values: false,
            };
            let page = self.ledger().read(move |tx| tx.search_threads(&search)).await?;
            ids.extend(page.rows.into_iter().map(|thread| thread.id));
            if page.next.is_none() {
                return Ok(ids);
            }
        }
    }

    async fn remove_runs(&self, thread: &str) -> Result<(), Error> {
        let mut ids = Vec::new();
        loop {
            let query = RunQuery { status: None, limit: PAGE_MAX, offset: ids.len() };
            let page = self.runs(&Scope::All, thread, &query).await?;
            let last = page.len() < PAGE_MAX;
            ids.extend(page.into_iter().map(|run| run.id));
            if last {
                break;
            }
        }
        for id in ids {
            match self.delete_run(&Scope::All, Some(thread), id).await {
                Ok(()) | Err(Error::NoRun(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn remove_made_assistants(&self) -> Result<(), Error> {
        self.ledger()
            .write(|tx| {
                let mut made = Vec::new();
                tx.visit_assistants(None, AssistantOrder::default(), &mut |assistant| {
                    if assistant.id != system_id(&assistant.graph) {
                        made.push(assistant.id);
                    }
                    ControlFlow::Continue(())
                })?;
                for id in made {
                    tx.remove_assistant(id)?;
                }
                Ok(())
            })
            .await
    }

    async fn remove_items(&self) -> Result<(), Error> {
        loop {
            let all = ItemSearch { limit: PAGE_MAX, ..ItemSearch::under(&[]) };
            let found = self.store().search(all).await?;
            if found.is_empty() {
                return Ok(());
            }
            let delete = found.into_iter().map(|found| {
                let labels: Vec<&str> = found.item.namespace.iter().map(String::as_str).collect();
                Op::Put(Put::delete(&labels, &found.item.key))
            });
            self.store().batch(delete.collect()).await?;
        }
    }
}

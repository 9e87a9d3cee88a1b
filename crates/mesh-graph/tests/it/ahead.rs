//! Events that are told before what they tell is handed to storage.

use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use expect_test::{Expect, expect};
use mesh_graph::{
    CheckpointId, Checkpointer, Durability, Events, MemoryCheckpointer, Mode,
    checkpoint::{Place, TaskRecord},
    checkpointer::{self, Commit},
    testing::{Around, Writes},
};

use crate::kit::{Bench, Lab, empty};

/// Notes with every storage call what was told up to then.
#[derive(Default)]
struct Taking {
    inner: MemoryCheckpointer,
    events: OnceLock<Mutex<Events>>,
    noted: Mutex<String>,
}

impl Taking {
    fn note(&self, what: &str) {
        let mut told = Vec::new();
        if let Some(events) = self.events.get() {
            let mut events = events.lock().unwrap();
            while let Some(event) = events.try_next() {
                let mark = if event.is_ahead() { "" } else { "*" };
                let node = event.node().map(|node| format!(" {node}")).unwrap_or_default();
                told.push(format!("{}{node}@{}{mark}", event.mode.name(), event.step));
            }
        }
        let told = told.join(", ");
        let line = format!("{}\n", format!("{what}: {told}").trim_end());
        self.noted.lock().unwrap().push_str(&line);
    }
}

#[async_trait]
impl Writes for Taking {
    fn inner(&self) -> &dyn Checkpointer {
        &self.inner
    }

    async fn put(&self, commit: Commit) -> Result<(), checkpointer::Error> {
        self.note(&format!("checkpoint {}", commit.checkpoint.step));
        self.inner.put(commit).await
    }

    async fn put_task(
        &self,
        place: &Place,
        checkpoint: CheckpointId,
        record: TaskRecord,
    ) -> Result<(), checkpointer::Error> {
        self.note(&format!("task {}", record.node));
        self.inner.put_task(place, checkpoint, record).await
    }
}

/// Two nodes side by side and one after them; `*` marks what is bound to no storage call.
async fn check(durability: Durability, expected: Expect) {
    let graph = Lab::new("S -> a, b; a & b -> c").compile();
    let taking = Arc::new(Around(Taking::default()));
    let bench = Bench::on(&graph, Arc::clone(&taking) as Arc<dyn Checkpointer>);
    let run = bench.run(empty()).durability(durability).tell_first();
    let run = run.stream([Mode::Values, Mode::Updates, Mode::Checkpoints, Mode::Tasks]);
    let (events, ended) = run.split().unwrap();
    assert!(taking.0.events.set(Mutex::new(events)).is_ok());
    ended.await.unwrap();
    taking.0.note("end");
    expected.assert_eq(&taking.0.noted.lock().unwrap());
}

#[tokio::test]
async fn what_is_stored_was_told_just_before_it_is_handed_over() {
    let expected = expect![[r#"
        checkpoint -1: checkpoints@-1
        checkpoint 0: values@0, checkpoints@0
        task a: tasks a@1*, tasks b@1*, updates a@1, tasks a@1
        checkpoint 1: updates b@1, tasks b@1, values@1, checkpoints@1
        checkpoint 2: tasks c@2*, updates c@2, tasks c@2, values@2, checkpoints@2
        end:
    "#]];
    check(Durability::Async, expected).await;
}

#[tokio::test]
async fn with_a_checkpoint_per_run_everything_is_told_as_it_happens() {
    let expected = expect![[r#"
        checkpoint 2: values@0*, tasks a@1*, tasks b@1*, updates a@1*, tasks a@1*, updates b@1*, tasks b@1*, values@1*, tasks c@2*, updates c@2*, tasks c@2*, values@2*
        end: checkpoints@2*
    "#]];
    check(Durability::Exit, expected).await;
}

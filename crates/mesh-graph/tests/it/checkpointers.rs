//! The checkpointer suites on the memory checkpointer.

use std::sync::Arc;

use mesh_graph::{
    Checkpointer, MemoryCheckpointer,
    testing::{check_checkpointer, check_cuts},
};

#[tokio::test]
async fn the_memory_checkpointer_passes_the_suite() {
    check_checkpointer(|| async {
        Arc::new(MemoryCheckpointer::default()) as Arc<dyn Checkpointer>
    })
    .await;
}

#[tokio::test]
async fn t150_a_run_cut_at_any_write_ends_like_an_uncut_one() {
    check_cuts(Arc::new(MemoryCheckpointer::default())).await;
}

//! What the driver itself tells the streams.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::{
    error::Error,
    graph::START_ID,
    interrupt::Interrupt,
    live::Effect,
    names::INTERRUPT,
    stream::{Body, Event, Mode},
    superstep::Planned,
};

use super::driver::Driver;

impl Driver {
    pub(super) async fn emit(&mut self, mode: Mode, data: impl FnOnce() -> Json) {
        if self.shared.sink.wants(mode) {
            let body = Body::Json(data());
            let event = Event::new(mode, &self.shared.ns, self.live.step + 1, None, body);
            self.shared.sink.send(event).await;
        }
    }

    pub(super) async fn emit_update(&mut self, planned: &Planned, effect: &Effect) {
        if planned.node == START_ID || !self.shared.sink.wants(Mode::Updates) {
            return;
        }
        let core = self.core();
        let body =
            Body::Updates { schema: Arc::clone(&core.schema), updates: effect.updates.clone() };
        let node = Some(&core.node(planned.node).name);
        let step = self.live.step + 1;
        self.shared.sink.send(Event::new(Mode::Updates, &self.shared.ns, step, node, body)).await;
    }

    pub(super) async fn emit_values(&mut self, interrupts: &[Interrupt]) -> Result<(), Error> {
        if !self.shared.sink.wants(Mode::Values) {
            return Ok(());
        }
        let mut state =
            self.core().schema.to_json(&self.live.values, false).map_err(Error::Unserializable)?;
        if let (Some(state), false) = (state.as_object_mut(), interrupts.is_empty()) {
            let shown = interrupts.iter().map(Interrupt::to_json).collect();
            state.insert(INTERRUPT.to_owned(), Json::Array(shown));
        }
        let body = Body::Json(state);
        let event = Event::new(Mode::Values, &self.shared.ns, self.live.step, None, body);
        self.shared.sink.send(event).await;
        Ok(())
    }
}

//! Telling the observer when a run pauses and when it goes on.

use std::panic::AssertUnwindSafe;

use crate::{
    interrupt::Interrupt,
    observer::{Observer, Pause},
    reducer::panic_message,
};

use super::driver::Driver;

impl Driver {
    /// Calls the observer, if there is one, where the run stands now.
    pub(super) fn observe<I: AsRef<[Interrupt]>>(
        &self,
        call: impl Fn(&dyn Observer, &Pause<'_>),
        interrupts: impl FnOnce() -> I,
    ) {
        let shared = &self.shared;
        let Some(observer) = &shared.observer else { return };
        let interrupts = interrupts();
        let pause = Pause {
            run_id: &shared.run_id,
            thread_id: shared.place.as_ref().map(|place| &*place.thread),
            checkpoint: self.live.id,
            ns: &shared.ns,
            interrupts: interrupts.as_ref(),
        };
        let called = std::panic::catch_unwind(AssertUnwindSafe(|| call(&**observer, &pause)));
        if let Err(panic) = called {
            tracing::error!(panic = panic_message(&*panic), "an observer panicked");
        }
    }
}

//! The signals that ask a program to stop.

/// What asked for the stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C, SIGINT.
    Interrupt,
    /// SIGTERM, as supervisors send it.
    Terminate,
}

impl Signal {
    /// The exit code of a program that the signal ended: 128 plus the signal's number.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// Waits for SIGTERM or SIGINT. From its first call on, the process does not die of them by
/// itself.
///
/// Where handlers cannot be installed it waits for ever, and the signals keep their usual effect.
pub async fn stop_signal() -> Signal {
    tokio::select! {
        () = interrupt() => Signal::Interrupt,
        () = terminate() => Signal::Terminate,
    }
}

async fn interrupt() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::warn!(%error, "Ctrl-C stops the program at once");
        std::future::pending::<()>().await;
    }
}

#[cfg(unix)]
async fn terminate() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            terminate.recv().await;
        }
        Err(error) => {
            tracing::warn!(%error, "SIGTERM stops the program at once");
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(not(unix))]
async fn terminate() {
    std::future::pending::<()>().await;
}

//! Ctrl-C and SIGTERM as values, so that what is running can be ended cleanly.
//!
//! From the moment a [`Interrupts`] exists, the signals no longer end the process by themselves. Whoever is impatient and
//! sends a second one before the first was served ends it at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// What interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// Ctrl-C (SIGINT).
    Keyboard,
    /// SIGTERM.
    Terminate,
}

impl Interrupt {
    /// What a shell expects of a process that a signal ended.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Interrupt::Keyboard => 130,
            Interrupt::Terminate => 143,
        }
    }
}

/// The interrupts still to be served.
#[derive(Debug)]
pub(crate) struct Interrupts {
    received: mpsc::Receiver<Interrupt>,
    is_pending: Arc<AtomicBool>,
}

impl Interrupts {
    /// Takes over Ctrl-C, and SIGTERM unless a prompt waits for a person: that has nothing to end cleanly.
    pub(crate) fn listen(is_interactive: bool) -> io::Result<Interrupts> {
        let (sender, received) = mpsc::channel(1);
        let is_pending = Arc::new(AtomicBool::new(false));
        let mut kinds = vec![(SignalKind::interrupt(), Interrupt::Keyboard)];
        if !is_interactive {
            kinds.push((SignalKind::terminate(), Interrupt::Terminate));
        }
        // What was ignored when this process was started stays so.
        let is_caught = |kind: &SignalKind| !kappa::cli::is_ignored(kind.as_raw_value());
        for (kind, interrupt) in kinds.into_iter().filter(|(kind, _)| is_caught(kind)) {
            let mut signals = signal(kind)?;
            let (sender, is_pending) = (sender.clone(), is_pending.clone());
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    if is_pending.swap(true, Ordering::Relaxed) {
                        std::process::exit(interrupt.exit_code().into());
                    }
                    // One place and one pending interrupt: there is room, or nobody listens any more.
                    let _ = sender.try_send(interrupt);
                }
            });
        }
        Ok(Interrupts { received, is_pending })
    }

    /// Waits for an interrupt.
    pub(crate) async fn next(&mut self) -> Interrupt {
        match self.received.recv().await {
            Some(interrupt) => interrupt,
            // The senders live as long as the runtime.
            None => std::future::pending().await,
        }
    }

    /// Forgets what came before: an interrupt at the prompt is none of the next query's.
    pub(crate) fn clear(&mut self) {
        while self.received.try_recv().is_ok() {}
        self.is_pending.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_128_and_the_number_of_the_signal() {
        assert_eq!(Interrupt::Keyboard.exit_code(), 130);
        assert_eq!(Interrupt::Terminate.exit_code(), 143);
    }
}

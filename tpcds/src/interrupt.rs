//! Ctrl-C and SIGTERM as values, so that what is running can be ended cleanly.
//!
//! From the moment [`Interrupts`] listen, the signals no longer end the process by themselves. Whoever is impatient and
//! sends a second one ends it at once.

use std::future::Future;
use std::io;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// What interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub enum Interrupt {
    /// Ctrl-C (SIGINT).
    Keyboard,
    /// SIGTERM.
    Terminate,
}

impl Interrupt {
    /// What a shell expects of a process that a signal ended.
    pub fn exit_code(self) -> u8 {
        match self {
            Interrupt::Keyboard => 130,
            Interrupt::Terminate => 143,
        }
    }
}

/// Whether somebody wants the work to end. All clones learn of it, and it stays so.
#[derive(Clone, Debug)]
pub struct Interrupts {
    received: watch::Receiver<Option<Interrupt>>,
}

impl Interrupts {
    /// Takes over the signals, for as long as the runtime lives that this is called in.
    ///
    /// # Errors
    /// If the system does not let this process listen.
    pub fn listen() -> io::Result<Interrupts> {
        let (sender, received) = watch::channel(None);
        for (kind, interrupt) in [
            (SignalKind::interrupt(), Interrupt::Keyboard),
            (SignalKind::terminate(), Interrupt::Terminate),
        ] {
            // What was ignored when this process was started stays so.
            if kappa::cli::is_ignored(kind.as_raw_value()) {
                continue;
            }
            let mut signals = signal(kind)?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    if sender.send_replace(Some(interrupt)).is_some() {
                        std::process::exit(interrupt.exit_code().into());
                    }
                }
            });
        }
        Ok(Interrupts { received })
    }

    /// Nobody ever interrupts.
    pub fn never() -> Interrupts {
        Interrupts {
            received: watch::channel(None).1,
        }
    }

    /// The interrupt, if there was one.
    pub fn received(&self) -> Option<Interrupt> {
        *self.received.borrow()
    }

    /// Waits for an interrupt; returns at once if there was one.
    pub async fn next(&self) -> Interrupt {
        let mut received = self.received.clone();
        let interrupt = received
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|interrupt| *interrupt);
        match interrupt {
            Some(interrupt) => interrupt,
            // Nobody listens any more, so nobody will hear of one.
            None => std::future::pending().await,
        }
    }

    /// Waits for the work, unless interrupted: then the work is dropped.
    ///
    /// # Errors
    /// The interrupt.
    pub async fn interruptible<T>(&self, work: impl Future<Output = T>) -> Result<T, Interrupt> {
        tokio::select! {
            done = work => Ok(done),
            interrupt = self.next() => Err(interrupt),
        }
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

    #[tokio::test]
    async fn work_is_done_unless_it_is_interrupted() {
        let never = Interrupts::never();
        assert_eq!(
            (never.received(), never.interruptible(async { 7 }).await),
            (None, Ok(7))
        );

        let (sender, received) = watch::channel(None);
        let interrupts = Interrupts { received };
        sender.send_replace(Some(Interrupt::Terminate));
        let endless = std::future::pending::<()>();
        assert_eq!(interrupts.interruptible(endless).await, Err(Interrupt::Terminate));
        assert_eq!(interrupts.received(), Some(Interrupt::Terminate), "it stays so");
        assert_eq!(interrupts.next().await, Interrupt::Terminate);
    }
}

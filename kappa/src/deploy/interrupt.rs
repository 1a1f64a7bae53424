//! Ctrl-C, heard between two calls and not inside one: whether a call that was cut off has had its effect, nobody could say.

use super::error::DeployError;
use std::time::Duration;
use tokio::sync::watch;

/// Whether somebody has asked to stop.
#[derive(Clone)]
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// One that is asked for by sending `true`.
    pub(crate) fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Interrupt(receiver))
    }

    /// One that nobody asks for.
    pub(crate) fn never() -> Self {
        Self::new().1
    }

    /// An error if it has been asked for.
    pub(crate) fn check(&self) -> Result<(), DeployError> {
        match *self.0.borrow() {
            true => Err(DeployError::Interrupted),
            false => Ok(()),
        }
    }

    /// Sleeps, unless it is asked for.
    pub(crate) async fn sleep(&self, duration: Duration) -> Result<(), DeployError> {
        let mut receiver = self.0.clone();
        let asked = async move {
            // Without a sender nobody asks.
            if receiver.wait_for(|asked| *asked).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = tokio::time::sleep(duration) => Ok(()),
            () = asked => Err(DeployError::Interrupted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleep_ends_when_somebody_asks_and_not_because_nobody_can() {
        let (sender, interrupt) = Interrupt::new();
        let sleeping = tokio::spawn({
            let interrupt = interrupt.clone();
            async move { interrupt.sleep(Duration::from_secs(3600)).await }
        });
        sender.send(true).unwrap();
        assert!(matches!(sleeping.await.unwrap(), Err(DeployError::Interrupted)));
        assert!(interrupt.check().is_err());
        let never = Interrupt::never();
        assert!(never.check().is_ok() && never.sleep(Duration::from_millis(1)).await.is_ok());
    }
}

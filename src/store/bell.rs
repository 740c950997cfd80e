//! Whether others may have inserted events.

use std::sync::Arc;

use tokio::sync::watch;

use super::Store;
use crate::error::Result;
use crate::runtime;

/// Whether a store is being closed. Those who wait for it hear of it as well when the store is dropped.
pub(super) struct Closing(watch::Sender<bool>);

impl Default for Closing {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Closing {
    pub(super) fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Ready once it is being closed.
    fn begun(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut closing = self.0.subscribe();
        async move { drop(closing.wait_for(|is_closing| *is_closing).await) }
    }
}

impl Store {
    /// Calls `on_ring` once others may have inserted events since the last time it was asked, and when the store is
    /// closed.
    pub fn rung(&self, on_ring: impl FnOnce() + Send + 'static) -> Result<()> {
        self.check_open()?;
        let driver = Arc::clone(&self.own()?.driver);
        let closing = self.closing.begun();
        runtime::io()?.spawn(async move {
            tokio::select! {
                () = driver.rung() => {}
                () = closing => {}
            }
            drop(driver);
            on_ring();
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn whoever_waits_hears_of_the_end() {
        let closing = Closing::default();
        let (before, other) = (closing.begun(), closing.begun());
        assert!(tokio::time::timeout(Duration::from_millis(20), other).await.is_err());
        closing.begin();
        before.await;
        closing.begun().await;
        let dropped = Closing::default();
        let waiting = dropped.begun();
        drop(dropped);
        waiting.await;
    }
}

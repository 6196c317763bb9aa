//! Waiting by the timer of tokio.

use std::time::Duration;

use async_trait::async_trait;
use synctable_core::Sleep;

/// Waits by the timer of the tokio runtime in which it is asked to; like all of tokio's timers it needs one that has timers enabled.
/// Outside of a runtime it does not wait.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioSleep;

#[async_trait]
impl Sleep for TokioSleep {
    async fn sleep(&self, duration: Duration) {
        if tokio::runtime::Handle::try_current().is_ok() {
            tokio::time::sleep(duration).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_waits_as_long_as_asked() {
        let start = Instant::now();
        TokioSleep.sleep(Duration::from_secs(3600)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(3600));
    }
}

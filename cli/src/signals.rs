//! Being told to stop, by Ctrl-C or by the system.

use std::future::Future;
use std::io;

use synctable::sync::CancelToken;

/// Ready when the process is told to stop. From this call on signals no longer end the process by themselves.
#[cfg(unix)]
pub(crate) fn stop() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Ready when the process is told to stop.
#[cfg(not(unix))]
pub(crate) fn stop() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        // Without a handler Ctrl-C ends the process by itself.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

/// A token that is cancelled when the process is told to stop.
pub(crate) fn cancelled_by_stop() -> io::Result<CancelToken> {
    let token = CancelToken::new();
    let (stop, cancel) = (stop()?, token.clone());
    tokio::spawn(async move {
        stop.await;
        cancel.cancel();
    });
    Ok(token)
}

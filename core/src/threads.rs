//! Whether stores, transports and futures have to be able to move between threads.
//!
//! They have to, unless everything is built with `--cfg synctable_single_threaded`: for hosts with one thread, such as a browser, whose
//! handles are no more [`Send`] than an [`Rc`](std::rc::Rc) is. Then [`MaybeSend`] and [`MaybeSync`] hold for all types, and the
//! futures of this crate need no more either. Set it for one target in `.cargo/config.toml`:
//!
//! ```toml
//! [target.wasm32-unknown-unknown]
//! rustflags = ["--cfg", "synctable_single_threaded"]
//! ```
//!
//! What is built both ways says so with its implementations:
//!
//! ```
//! use synctable_core::sync::{ConflictDecision, ConflictDetails, ConflictHandler, HandlerError};
//! #[derive(Debug)]
//! struct Park;
//!
//! #[cfg_attr(not(synctable_single_threaded), async_trait::async_trait)]
//! #[cfg_attr(synctable_single_threaded, async_trait::async_trait(?Send))]
//! impl ConflictHandler for Park {
//!     async fn resolve(&self, _: &ConflictDetails) -> Result<ConflictDecision, HandlerError> {
//!         Ok(ConflictDecision::Park)
//!     }
//! }
//! ```

#[cfg(not(synctable_single_threaded))]
mod which {
    /// [`Send`], where there are threads.
    pub trait MaybeSend: Send {}
    impl<T: Send + ?Sized> MaybeSend for T {}

    /// [`Sync`], where there are threads.
    pub trait MaybeSync: Sync {}
    impl<T: Sync + ?Sized> MaybeSync for T {}

    /// A future in a box, [`Send`] where there are threads.
    pub type BoxFuture<'a, T> = futures_util::future::BoxFuture<'a, T>;
}

#[cfg(synctable_single_threaded)]
mod which {
    /// [`Send`], where there are threads.
    pub trait MaybeSend {}
    impl<T: ?Sized> MaybeSend for T {}

    /// [`Sync`], where there are threads.
    pub trait MaybeSync {}
    impl<T: ?Sized> MaybeSync for T {}

    /// A future in a box, [`Send`] where there are threads.
    pub type BoxFuture<'a, T> = futures_util::future::LocalBoxFuture<'a, T>;
}

pub use which::{BoxFuture, MaybeSend, MaybeSync};

/// The future in a box.
pub fn boxed<'a, T>(future: impl Future<Output = T> + MaybeSend + 'a) -> BoxFuture<'a, T> {
    Box::pin(future)
}

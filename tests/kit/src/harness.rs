//! How the kit gets at a store, and the runtime in which it asks.

use std::marker::PhantomData;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use synctable_core::threads::{MaybeSend, MaybeSync};

use async_trait::async_trait;
use synctable_core::store::{LocalStore, StoreError, StoreErrorKind};
use tempfile::TempDir;

use crate::folder::quick_folder;
use crate::lab::no_process_starts;

/// The place of one store. `default()` makes a new, empty place; dropping it cleans up.
///
/// A store that lives in a folder says only how it is opened there, see [`FolderHarness`].
#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
pub trait Harness: Default + MaybeSend + MaybeSync + 'static {
    /// Opens the store at this place for the first time: it is empty. Called once.
    async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError>;

    /// Opens the store at this place again, after the kit has closed and dropped the earlier one; or beside it, where the store claims
    /// [`multi_process`](synctable_core::store::StoreCapabilities::multi_process).
    ///
    /// Only called for stores that claim that, or to be persistent.
    async fn reopen(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        self.open().await
    }

    /// Opens the store in `folder`, which is there; makes it if the folder is empty.
    ///
    /// The groups `kill`, `fault`, `power_cut` and `processes` call it, also in processes that they start.
    async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
        let _ = folder;
        let message = "the groups kill, fault, power_cut and processes open a store in a folder: \
                       implement `Harness::open_in`, or `FolderHarness` instead";
        Err(StoreError::new(StoreErrorKind::Unsupported, message))
    }
}

/// A [`Harness`] as behaviours see it, whatever its type: they are compiled once and not for each store.
#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
pub trait Place: MaybeSend + MaybeSync {
    /// As [`Harness::open`].
    async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError>;

    /// As [`Harness::reopen`].
    async fn reopen(&self) -> Result<Arc<dyn LocalStore>, StoreError>;

    /// A new, empty place of the same kind.
    fn another(&self) -> Box<dyn Place>;
}

#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl<H: Harness> Place for H {
    async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        Harness::open(self).await
    }

    async fn reopen(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        no_process_starts();
        Harness::reopen(self).await
    }

    fn another(&self) -> Box<dyn Place> {
        Box::new(H::default())
    }
}

/// A store that lives in a folder: `InFolder<Self>` is its [`Harness`], with a folder for each place, made by [`quick_folder`].
///
/// ```
/// use std::path::Path;
/// use std::sync::Arc;
/// use synctable_core::store::{LocalStore, StoreError};
/// use synctable_testkit::{FolderHarness, InFolder, async_trait};
/// # use synctable_memory::MemoryStore as MyStore;
/// # trait In: Sized { fn in_file(path: &Path) -> Result<Self, StoreError>; }
/// # impl In for MyStore { fn in_file(_: &Path) -> Result<Self, StoreError> { Ok(Self::new()) } }
///
/// struct Mine;
///
/// #[async_trait]
/// impl FolderHarness for Mine {
///     async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
///         Ok(Arc::new(MyStore::in_file(&folder.join("my.store"))?))
///     }
/// }
///
/// // store_tests!(InFolder<Mine>; base, changes, long_keys, model, concurrent, unordered, contexts, cancel, schema_change, persistent, kill, fault);
/// # let _ = InFolder::<Mine>::default();
/// ```
#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
pub trait FolderHarness: MaybeSend + MaybeSync + 'static {
    /// Opens the store in `folder`, which is there; makes it if the folder is empty.
    async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError>;
}

/// A temporary folder with the store of `F` in it.
#[derive(Debug)]
pub struct InFolder<F> {
    folder: TempDir,
    store: PhantomData<F>,
}

impl<F> Default for InFolder<F> {
    fn default() -> Self {
        Self {
            folder: quick_folder(),
            store: PhantomData,
        }
    }
}

#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl<F: FolderHarness> Harness for InFolder<F> {
    async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        F::open_in(self.folder.path()).await
    }
    async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
        F::open_in(folder).await
    }
}

tokio::task_local! {
    static TYPED: ();
}

/// True within [`run_typed`].
pub(crate) fn is_typed() -> bool {
    TYPED.try_with(|()| ()).is_ok()
}

/// As [`run`], where every [`TestServer`](crate::engine::TestServer) that the behaviour makes declares types, as servers of .NET do:
/// what it gives back is never quite what it got.
pub fn run_typed(behaviour: impl Future<Output = ()>) {
    run_any(pin!(TYPED.scope((), any(pin!(behaviour)))));
}

/// A behaviour of whatever type. The runtime is built once for all of them, and not for each test anew.
type Any<'a> = Pin<&'a mut dyn Future<Output = ()>>;

fn any(behaviour: Any<'_>) -> Any<'_> {
    behaviour
}

/// Runs one behaviour to its end, on a runtime of its own with several threads; with one where nothing is [`Send`].
pub fn run(behaviour: impl Future<Output = ()>) {
    run_any(pin!(behaviour));
}

fn run_any(behaviour: Any<'_>) {
    #[cfg(not(synctable_single_threaded))]
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    #[cfg(synctable_single_threaded)]
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.worker_threads(4).enable_all().build();
    let runtime = runtime.expect("a runtime");
    #[cfg(not(synctable_single_threaded))]
    runtime.block_on(behaviour);
    #[cfg(synctable_single_threaded)]
    tokio::task::LocalSet::new().block_on(&runtime, behaviour);
}

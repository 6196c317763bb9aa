//! The device that a verb works on: the store, the queue in it, and the way to the server.

use std::sync::Arc;
use std::time::Duration;

use synctable::encrypted::Sealed;
use synctable::http::{Dialect, HttpTransport, HttpTransportBuilder};
use synctable::kv::KvBackend;
use synctable::store::LocalStore;
use synctable::sync::{StoreRole, SyncContext, store_role};
use synctable::{Declarations, Missing, OpenedStore, StoreUrl};

use crate::args::Globals;
use crate::errors::{Failure, NO_REMOTE, say};
use crate::given::{self, WHOLE_FILE};
use crate::key_options::KeyOptions;
use crate::way::TOLD;

/// The settings under which a store remembers its server.
pub(crate) const REMOTE: &str = "remote";
pub(crate) const DIALECT: &str = "dialect";

/// How long to wait while another process pushes, without `--timeout`.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way to the server.
pub(crate) type Remote = Arc<HttpTransport>;

/// A device, and the way to its server where a verb needs one.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) sync: SyncContext,
    remote: Option<Remote>,
    /// How long to wait while another process pushes the store.
    pub(crate) patience: Duration,
    /// The remembered server that another one has taken the place of, by its settings.
    replaced: Vec<(&'static str, String)>,
    /// The seal of an encrypted store.
    pub(crate) sealed: Option<Sealed<Arc<dyn KvBackend>>>,
}

impl Device {
    fn new(sync: SyncContext, remote: Option<Remote>) -> Self {
        Self {
            sync,
            remote,
            patience: PATIENCE,
            replaced: Vec::new(),
            sealed: None,
        }
    }

    /// Remembers the server from before again: the one that was given is not to be used without being asked for.
    async fn back_to_server(&self) -> Result<(), Failure> {
        for (name, value) in &self.replaced {
            self.sync.set_setting(name, value).await?;
        }
        Ok(())
    }

    pub(crate) fn remote(&self) -> Result<&Remote, Failure> {
        self.remote
            .as_ref()
            .ok_or_else(|| Failure::bad_input(NO_REMOTE))
    }
}

/// What a verb does with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Looks at a store that must be there.
    Inspect,
    /// Changes what must be there: a record, an operation.
    Amend,
    /// Adds records; makes the store where there is none.
    Write,
    /// As `Write`, and asks the server.
    Sync,
    /// As `Inspect`, and asks the server.
    Compare,
    /// As `Compare`, and changes records.
    Heal,
}

impl Globals {
    /// Opens the device, lets `work` use it and closes it again. Bad options are told before the store is touched.
    pub(crate) async fn with_device<T>(
        &self,
        access: Access,
        work: impl AsyncFnOnce(&Device) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let asks = matches!(access, Access::Sync | Access::Compare | Access::Heal);
        self.identity.check(asks)?;
        let schema = self.schema()?;
        let given = self.given_remote()?;
        let missing = match access {
            Access::Write | Access::Sync => Missing::Make,
            Access::Inspect | Access::Amend | Access::Compare | Access::Heal => Missing::Refuse,
        };
        let device = async |opened: OpenedStore| {
            self.device(opened, schema.clone(), given.clone(), access)
                .await
        };
        let device = if self.read_only {
            device(self.open_read_only()?).await?
        } else {
            let opened = match self.open_store(missing) {
                Ok(opened) => device(opened).await,
                Err(failure) => Err(failure),
            };
            match opened {
                Err(failure) if access == Access::Inspect && failure.is_of_writing() => {
                    // Where that does not go, either, the first reason is the one to mend.
                    let Ok(opened) = self.open_read_only() else {
                        return Err(failure);
                    };
                    let device = device(opened).await?;
                    if !self.quiet {
                        say(&format!("note: read only: {}", failure.message()));
                    }
                    device
                }
                opened => opened?,
            }
        };
        let result = match self.settle(&device, asks).await {
            Ok(()) => work(&device).await,
            Err(failure) => Err(failure),
        };
        if result.as_ref().is_err_and(Failure::is_undecided) {
            device.back_to_server().await?;
        }
        let closed = device.sync.close().await;
        let result = result?;
        closed?;
        Ok(result)
    }

    /// The device in an open store.
    async fn device(
        &self,
        opened: OpenedStore,
        schema: Declarations,
        given: Option<Remote>,
        access: Access,
    ) -> Result<Device, Failure> {
        let store = opened.store;
        if !matches!(access, Access::Write | Access::Sync) {
            refuse_nothing(&*store, &self.store).await?;
        }
        if !matches!(access, Access::Inspect | Access::Compare) {
            refuse_server_store(&*store).await?;
        }
        let mut device = self.open(store, schema, given, access).await?;
        device.sealed = opened.sealed;
        device.patience = self.timeout.unwrap_or(PATIENCE);
        Ok(device)
    }

    /// Says to another server or account what the options say.
    async fn settle(&self, device: &Device, asks: bool) -> Result<(), Failure> {
        if !asks || device.remote.is_none() {
            return Ok(());
        }
        self.identity.settle(&device.sync).await?;
        let is_url = |(name, value): &(&str, String)| {
            *name == REMOTE && Some(value.as_str()) != self.remote.as_deref()
        };
        if device.replaced.iter().any(is_url) {
            // A verb that sends nothing would not notice, and the next one would find the address remembered.
            match device.sync.check_identity().await.map_err(Failure::from) {
                Err(failure) if failure.is_undecided() => return Err(failure),
                _ => {}
            }
        }
        Ok(())
    }

    /// The options that name the key of the store.
    pub(crate) fn keys(&self) -> KeyOptions<'_> {
        KeyOptions {
            file: self.key_file.as_deref(),
            passphrase_env: self.passphrase_env.as_deref(),
            quiet: self.quiet,
        }
    }

    /// Opens the store of `--store` with its key.
    pub(crate) fn open_store(&self, missing: Missing) -> Result<OpenedStore, Failure> {
        self.check_at_least()?;
        self.keys().open(&self.store, missing, self.at_least)
    }

    fn open_read_only(&self) -> Result<OpenedStore, Failure> {
        self.check_at_least()?;
        self.keys().open_read_only(&self.store, self.at_least)
    }

    fn check_at_least(&self) -> Result<(), Failure> {
        if self.at_least.is_some() && !self.store.is_encrypted() {
            return Err(Failure::bad_input(
                "--at-least is for encrypted stores; no other says how far it has come",
            ));
        }
        Ok(())
    }

    async fn open(
        &self,
        store: Arc<dyn LocalStore>,
        schema: Declarations,
        given: Option<Remote>,
        access: Access,
    ) -> Result<Device, Failure> {
        let builder = || {
            let builder = SyncContext::builder(Arc::clone(&store)).schema(schema.clone());
            // The command shows what is there, in the words of whoever made it.
            let builder = builder.steps_of_the_store();
            match &self.identity.account {
                Some(account) => builder.account(account),
                None => builder,
            }
        };
        let dialect = self.dialect.map(|name| name.to_string());
        if store.capabilities().read_only {
            // Nothing is remembered, and nobody asks the server.
            let sync = builder().open().await?;
            self.tell_moves(&sync).await?;
            return Ok(Device::new(sync, None));
        }
        if let Some(remote) = given {
            let sync = builder().transport(Arc::clone(&remote)).open().await?;
            let mut replaced = Vec::new();
            for name in [REMOTE, DIALECT, TOLD] {
                let value = sync.setting(name).await?;
                replaced.extend(value.map(|value| (name, value)));
            }
            remember(&sync, REMOTE, self.remote.as_deref()).await?;
            remember(&sync, DIALECT, dialect.as_deref()).await?;
            if let Some(url) = &self.remote {
                self.way.keep_told(&sync, url).await?;
            }
            self.tell_moves(&sync).await?;
            let mut device = Device::new(sync, Some(remote));
            device.replaced = replaced;
            return Ok(device);
        }
        let sync = builder().open().await?;
        remember(&sync, DIALECT, dialect.as_deref()).await?;
        self.tell_moves(&sync).await?;
        if !matches!(access, Access::Sync | Access::Compare | Access::Heal) {
            return Ok(Device::new(sync, None));
        }
        let Some(url) = sync.setting(REMOTE).await? else {
            return Ok(Device::new(sync, None));
        };
        let dialect = match sync.setting(DIALECT).await? {
            Some(name) => name.parse().map_err(|_| {
                Failure::failed("the remembered dialect is unknown; give --dialect")
            })?,
            None => Dialect::default(),
        };
        let remote = self.transport(&url, dialect)?;
        let told = sync.setting(TOLD).await?;
        let told = self.way.tell(&url, told.as_deref(), self.quiet)?;
        // Who only compares writes nothing.
        if access != Access::Compare {
            remember(&sync, TOLD, told.as_deref()).await?;
        }
        let sync = builder().transport(Arc::clone(&remote)).open().await?;
        Ok(Device::new(sync, Some(remote)))
    }

    /// Says which tables have become local only with `--schema`, or have ceased to be, where that leaves something to do.
    async fn tell_moves(&self, sync: &SyncContext) -> Result<(), Failure> {
        for moved in sync.moved_tables().await? {
            let table = &moved.table;
            let line = match (moved.local_only, moved.pending, moved.unsent) {
                (true, 1.., _) => format!(
                    "table {table} is local only now, but {} operations on it are still queued, which the next push sends; \
                     drop them with synctable discard {table} ID, or all of them with their records: \
                     synctable purge {table} --discard-pending",
                    moved.pending
                ),
                (false, _, 1..) => format!(
                    "table {table} is not local only any more; {} records of it are only here, and nothing sends them by itself: \
                     synctable enqueue {table} queues them",
                    moved.unsent
                ),
                _ => continue,
            };
            if !self.quiet {
                say(&format!("warning: {line}"));
            }
        }
        Ok(())
    }

    /// The tables of `--schema`.
    pub(crate) fn schema(&self) -> Result<Declarations, Failure> {
        let Some(path) = &self.schema else {
            return Ok(Declarations::new());
        };
        let shown = path.display();
        let bytes = given::read(path, WHOLE_FILE, "the schema ")?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Failure::bad_input(format!("the schema {shown} is not UTF-8 text")))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        Declarations::from_json(text)
            .map_err(|error| Failure::from(error).within(&shown.to_string()))
    }

    fn given_remote(&self) -> Result<Option<Remote>, Failure> {
        let remote = match self.remote.as_deref() {
            None | Some("") => None,
            Some(url) => Some(self.transport(url, self.dialect.unwrap_or_default())?),
        };
        Ok(remote)
    }

    fn transport(&self, url: &str, dialect: Dialect) -> Result<Remote, Failure> {
        Ok(Arc::new(self.way_to(url, dialect)?.build()?))
    }

    /// The way to a server with the options for it.
    pub(crate) fn way_to(
        &self,
        url: &str,
        dialect: Dialect,
    ) -> Result<HttpTransportBuilder, Failure> {
        let mut builder = self.way.to(url, dialect)?;
        if let Some(time) = self.timeout {
            builder = builder.timeout(time);
        }
        Ok(builder)
    }
}

/// Keeps a setting, unless it is kept already.
async fn remember(sync: &SyncContext, name: &str, value: Option<&str>) -> Result<(), Failure> {
    if let Some(value) = value
        && sync.setting(name).await?.as_deref() != Some(value)
    {
        sync.set_setting(name, value).await?;
    }
    Ok(())
}

/// A file that is there, but without a single table, is no store that a device or a server has left.
pub(crate) async fn refuse_nothing(store: &dyn LocalStore, url: &StoreUrl) -> Result<(), Failure> {
    if store.schema().await?.tables().next().is_none() {
        return Err(Failure::failed(format!(
            "{url} holds nothing: it was never used, or it was emptied; check the path"
        )));
    }
    Ok(())
}

/// Local changes in the store of a server would go past its commit times.
async fn refuse_server_store(store: &dyn LocalStore) -> Result<(), Failure> {
    match store_role(store).await? {
        StoreRole::Server => Err(Failure::failed(
            "the store is that of a server; choose another --store for the device",
        )),
        _ => Ok(()),
    }
}

/// A server over the store of a device would show records that were never pushed, one over half a copy would miss some.
pub(crate) async fn refuse_device_store(store: &dyn LocalStore) -> Result<(), Failure> {
    match store_role(store).await? {
        StoreRole::HalfCopy => Err(Failure::failed(
            "the store is a copy that was cut off; copy again, or remove it",
        )),
        StoreRole::Device => Err(Failure::failed(
            "the store is that of a device; choose another --store for the server",
        )),
        _ => Ok(()),
    }
}

//! Putting a server together.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use synctable_core::store::{LocalStore, StoreError};
use synctable_core::{Clock, Declaration, Declarations, IdSource, SystemClock, TableName, UuidV7};

use crate::access::Access;
use crate::answers::Answers;
use crate::door::{Door, HostName, Origin};
use crate::handler::Core;
use crate::identity;
use crate::limits::Limits;
use crate::retention::{self, Pruner, Retention};
use crate::scans::Scans;
use crate::server::TableServer;
use crate::tables::Tables;
use crate::tls::Tls;
use crate::tombstones::Tombstones;
use crate::turns::Turns;

/// Collects what a [`TableServer`] shall be.
#[derive(Debug)]
pub struct TableServerBuilder {
    store: Arc<dyn LocalStore>,
    declarations: Declarations,
    any_table: bool,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    ids_of: HashMap<TableName, Arc<dyn IdSource>>,
    access: Option<Arc<dyn Access>>,
    base_url: Option<String>,
    door: Door,
    tls: Option<Tls>,
    limits: Limits,
    retention: Retention,
    tombstones: Tombstones,
}

impl TableServerBuilder {
    pub(crate) fn new(store: Arc<dyn LocalStore>) -> Self {
        Self {
            store,
            declarations: Declarations::new(),
            any_table: false,
            clock: Arc::new(SystemClock),
            ids: Arc::new(UuidV7),
            ids_of: HashMap::new(),
            access: None,
            base_url: None,
            door: Door::default(),
            tls: None,
            limits: Limits::default(),
            retention: Retention::default(),
            tombstones: Tombstones::default(),
        }
    }

    /// Serves these tables, with their fields, soft delete, page size and largest `$top`; tables that are
    /// local to a device are left out. A table that was given before stays as it was given.
    #[must_use]
    pub fn schema(mut self, declarations: impl Into<Declarations>) -> Self {
        let before = self.declarations.tables();
        self.declarations = before.fold(declarations.into(), |all, (name, table)| {
            all.with_table(name.clone(), table.clone())
        });
        self
    }

    /// Serves one table.
    #[must_use]
    pub fn table(mut self, name: TableName, declaration: impl Into<Declaration>) -> Self {
        self.declarations = self.declarations.with_table(name, declaration);
        self
    }

    /// Whether a table that is not declared is made on its first use; without, it is answered with 404. Default false.
    #[must_use]
    pub fn any_table(mut self, yes: bool) -> Self {
        self.any_table = yes;
        self
    }

    /// Takes the time from `clock` instead of the machine.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Takes the ids of records that come without one from `ids`.
    #[must_use]
    pub fn ids(mut self, ids: Arc<dyn IdSource>) -> Self {
        self.ids = ids;
        self
    }

    /// Takes the ids of one table's records that come without one from `ids`.
    #[must_use]
    pub fn ids_of(mut self, table: TableName, ids: Arc<dyn IdSource>) -> Self {
        self.ids_of.insert(table, ids);
        self
    }

    /// Asks `access` about every request. Without it everybody may do everything.
    #[must_use]
    pub fn access(mut self, access: Arc<dyn Access>) -> Self {
        self.access = Some(access);
        self
    }

    /// Says where clients find the server, such as `https://example.com/api`; the tables are at `/tables` below it.
    /// Links to next pages start with it, and its host is one that may be asked for. Without it they start with the host that the client
    /// asked, and with `https://` where it asked by TLS, of the server or of a proxy that is believed.
    #[must_use]
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        let url = url.into().trim_end_matches('/').to_owned();
        let host = url
            .parse::<Uri>()
            .ok()
            .and_then(|url| HostName::of(url.authority()?).ok());
        self.door.hosts.extend(host);
        self.base_url = Some(url);
        self
    }

    /// A name under which clients ask for the server, besides `localhost` and the addresses of loopback. May be called several times.
    ///
    /// Who asks under another name gets 403, or else any web site could reach the server through the browser of somebody who
    /// can: its name may point wherever it likes. The address that a connection reached may always be asked for, and a call of
    /// [`handle`](TableServer::handle) need not name a host.
    #[must_use]
    pub fn host(mut self, name: HostName) -> Self {
        self.door.hosts.insert(name);
        self
    }

    /// Whether the server may be asked under any name, for where something in front of it has judged that. Default false.
    #[must_use]
    pub fn any_host(mut self, yes: bool) -> Self {
        self.door.any_host = yes;
        self
    }

    /// Lets pages of another origin ask. May be called several times; without it they get 403.
    ///
    /// Applications in web views have origins, too, such as `null`, `file://` or `capacitor://localhost`. Any page can make itself one of
    /// the origin `null`, so ask for a token where that is let in.
    #[must_use]
    pub fn allow_origin(mut self, origin: Origin) -> Self {
        self.door.origins.insert(origin);
        self
    }

    /// Whether each peer is a proxy whose `Forwarded` or `X-Forwarded-Proto` is true. Default false: then only one on the same machine is
    /// believed.
    #[must_use]
    pub fn trust_proxy(mut self, yes: bool) -> Self {
        self.door.trust_proxy = yes;
        self
    }

    /// Speaks TLS on the sockets of [`serve`](TableServer::serve).
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets the bounds of requests and connections.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How long the server keeps the outcome of a change that came with an `X-Operation-Id`, so that a repeat is answered with
    /// it. Default thirty days. Devices learn it from each answer, and ask before they send again what they tried earlier.
    ///
    /// Where the time is made longer, what was removed before stays removed; conflicts tell since when ids are kept.
    #[must_use]
    pub fn keep_operation_ids(mut self, time: Duration) -> Self {
        self.retention = Retention::new(time);
        self
    }

    /// How long a deleted record of a table with soft delete stays as a tombstone; without this, for ever. Devices that were away longer are
    /// told, read the table anew and let go of what is not there. Other clients keep what was deleted meanwhile, so choose a
    /// time that is longer than anybody stays away.
    #[must_use]
    pub fn keep_tombstones(mut self, time: Duration) -> Self {
        self.tombstones = Tombstones::kept_for(time);
        self
    }

    /// Declares the tables in the store and makes the server. Rows that were stored before a default was declared get it now, and keep
    /// their version and time.
    ///
    /// # Errors
    /// What the store says: most often that a field was declared with another type before, or that two rows have the same value of a
    /// field that is declared unique.
    pub async fn build(self) -> Result<TableServer, StoreError> {
        let spare = self.any_table.then_some(self.limits.tables);
        let now = self.clock.now();
        let tables =
            Tables::open(&*self.store, &self.declarations, spare, self.ids_of, now).await?;
        retention::begin(&*self.store, self.clock.now()).await?;
        let id = identity::begin(&*self.store).await?;
        let answers = Answers::new(self.limits.answers);
        let scans = Scans::new(Arc::clone(&self.store), self.limits.scans);
        for table in tables.declared() {
            let now = self.clock.now();
            self.tombstones.prune(&*self.store, &table, now).await;
        }
        Ok(TableServer::new(Core {
            id,
            store: self.store,
            clock: self.clock,
            ids: self.ids,
            limits: self.limits,
            tables,
            access: self.access,
            base_url: self.base_url,
            door: self.door,
            tls: self.tls,
            retention: self.retention,
            tombstones: self.tombstones,
            pruner: Pruner::new(self.retention),
            turns: Turns::default(),
            scans,
            answers,
        }))
    }
}

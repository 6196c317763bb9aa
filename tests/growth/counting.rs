//! A store that counts what it touches, and a way to a server that counts requests.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes as Body;
use http::{Request, Response};
use synctable::MemoryBackend;
use synctable::http::Exchange;
use synctable::kv::{Bytes, KvBackend, KvEntries, KvRead, KvStore, KvWrite, Promises};
use synctable::query::Direction;
use synctable::server::TableServer;
use synctable::store::{Durability, StoreError};
use synctable::transport::TransportError;

/// How much was touched so far: entries read, written or removed, whatever for; and commits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Touched {
    entries: Arc<AtomicU64>,
    commits: Arc<AtomicU64>,
}

impl Touched {
    pub(crate) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    fn one(&self) {
        self.entries.fetch_add(1, Ordering::Relaxed);
    }
}

/// A store in memory whose entries are counted as they are touched.
pub(crate) fn counting_store(touched: &Touched) -> KvStore<Counting> {
    KvStore::open(Counting(MemoryBackend::new(), touched.clone())).unwrap()
}

#[derive(Debug)]
pub(crate) struct Counting(MemoryBackend, Touched);

impl KvBackend for Counting {
    fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
        Ok(Box::new(Reading(self.0.snapshot()?, &self.1)))
    }

    fn begin_write(&self, durability: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        Ok(Box::new(Writing(self.0.begin_write(durability)?, &self.1)))
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.0.sync()
    }

    fn promises(&self) -> Promises {
        self.0.promises()
    }
}

struct Reading<'a>(Box<dyn KvRead + 'a>, &'a Touched);

struct Writing<'a>(Box<dyn KvWrite + 'a>, &'a Touched);

fn counted<'a>(entries: KvEntries<'a>, touched: &'a Touched) -> KvEntries<'a> {
    Box::new(entries.inspect(|_| touched.one()))
}

impl KvRead for Reading<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes<'_>>, StoreError> {
        self.1.one();
        self.0.get(key)
    }

    fn entries(&self, keys: Range<&[u8]>, direction: Direction) -> KvEntries<'_> {
        counted(self.0.entries(keys, direction), self.1)
    }
}

impl KvRead for Writing<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes<'_>>, StoreError> {
        self.1.one();
        self.0.get(key)
    }

    fn entries(&self, keys: Range<&[u8]>, direction: Direction) -> KvEntries<'_> {
        counted(self.0.entries(keys, direction), self.1)
    }
}

impl KvWrite for Writing<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.1.one();
        self.0.put(key, value)
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), StoreError> {
        self.1.one();
        self.0.delete(key)
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.1.commits.fetch_add(1, Ordering::Relaxed);
        self.0.commit()
    }
}

/// A server in the same process, and how many requests it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) server: Arc<TableServer>,
    pub(crate) requests: Arc<AtomicU64>,
}

#[async_trait]
impl Exchange for Asked {
    async fn exchange(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Ok(self.server.handle(request).await)
    }
}

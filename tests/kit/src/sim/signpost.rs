//! A client's way to whichever realm it is pointed at.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use synctable_core::query::RemoteQuery;
use synctable_core::transport::{
    BatchAnswer, Change, ChangeFeed, Outcome, PageCursor, RemotePage, Transport,
    TransportCapabilities, TransportError, TransportErrorKind,
};
use synctable_core::{Record, RecordId, Sleep, TableName};

use super::realms::{Face, Mark, Realms};

/// The realm that a client is pointed at, or whose user is signed in there.
pub(crate) type Post = Arc<Mutex<usize>>;

pub(crate) fn pointed(post: &Post) -> usize {
    *post.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One context's way: what it was told when it was opened stays, who is signed in and which server answers may change.
#[derive(Debug, Clone)]
pub(crate) struct Signpost {
    realms: Arc<Realms>,
    ways: Arc<[Arc<dyn Transport>]>,
    post: Post,
    /// Where it pointed when it was made.
    realm: usize,
    pub(crate) face: Face,
    account: Option<String>,
    heard: Arc<Mutex<Option<String>>>,
}

impl Signpost {
    pub(crate) fn new(realms: &Arc<Realms>, ways: &Arc<[Arc<dyn Transport>]>, post: &Post) -> Self {
        let realm = pointed(post);
        Self {
            realms: Arc::clone(realms),
            ways: Arc::clone(ways),
            post: Arc::clone(post),
            realm,
            face: realms.face(realm),
            account: None,
            heard: Arc::default(),
        }
    }

    pub(crate) fn realms(&self) -> &Realms {
        &self.realms
    }

    /// The realm for which its context was opened.
    pub(crate) fn meant(&self) -> usize {
        match self.realms.mark() {
            Mark::Id => pointed(&self.post),
            _ => self.realm,
        }
    }

    /// False once the client is pointed elsewhere: a window that was left open.
    pub(crate) fn is_current(&self) -> bool {
        self.meant() == pointed(&self.post)
    }

    /// The realm that a request reaches. Nothing goes out for an account that is not signed in.
    fn reached(&self) -> Result<usize, TransportError> {
        let here = pointed(&self.post);
        match (self.realms.mark(), &self.account) {
            (Mark::Account, Some(account)) if self.realms.named(account) != Some(here) => {
                let message = "there is no token of this account";
                Err(TransportError::new(
                    TransportErrorKind::Unauthorized,
                    message,
                ))
            }
            (Mark::Account, _) => Ok(here),
            _ => Ok(self.meant()),
        }
    }

    fn way(&self) -> Result<(usize, &Arc<dyn Transport>), TransportError> {
        let realm = self.reached()?;
        Ok((realm, &self.ways[realm]))
    }

    /// Takes note of an answer, with what the server announces in it.
    fn noted<T>(&self, realm: usize, answer: T) -> T {
        if let Some(id) = self.realms.face(realm).id {
            *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(id);
        }
        answer
    }
}

#[deny(clippy::missing_trait_methods)]
#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl Transport for Signpost {
    async fn apply(&self, table: &TableName, change: &Change) -> Result<Outcome, TransportError> {
        let (realm, way) = self.way()?;
        let outcome = way.apply(table, change).await?;
        Ok(self.noted(realm, outcome))
    }

    async fn apply_all(
        &self,
        changes: &[(TableName, Change)],
    ) -> Result<BatchAnswer, TransportError> {
        let (realm, way) = self.way()?;
        let answer = way.apply_all(changes).await?;
        Ok(self.noted(realm, answer))
    }

    async fn get(
        &self,
        table: &TableName,
        id: &RecordId,
    ) -> Result<Option<Record>, TransportError> {
        let (realm, way) = self.way()?;
        let row = way.get(table, id).await?;
        Ok(self.noted(realm, row))
    }

    async fn page(
        &self,
        table: &TableName,
        query: &RemoteQuery,
        cursor: Option<&PageCursor>,
    ) -> Result<RemotePage, TransportError> {
        let (realm, way) = self.way()?;
        let mut page = way.page(table, query, cursor).await?;
        page.server_id = self.realms.face(realm).id;
        Ok(self.noted(realm, page))
    }

    fn feed(&self, _: &TableName) -> Option<&dyn ChangeFeed> {
        // The simulated servers are table servers.
        None
    }

    fn capabilities(&self) -> TransportCapabilities {
        let mut capabilities = match self.way() {
            Ok((_, way)) => way.capabilities(),
            Err(_) => TransportCapabilities::default(),
        };
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        capabilities.server_id.clone_from(&heard);
        capabilities
    }

    fn address(&self) -> Option<String> {
        self.face.address.clone()
    }

    fn for_account(&self, account: &str) -> Option<Arc<dyn Transport>> {
        let of_account = Self {
            account: Some(account.into()),
            ..self.clone()
        };
        Some(Arc::new(of_account))
    }

    fn begin_push(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let Ok((_, way)) = self.way() {
            way.begin_push();
        }
    }

    async fn renew_credentials(&self) -> Result<bool, TransportError> {
        self.way()?.1.renew_credentials().await
    }

    fn sleep(&self) -> Option<Arc<dyn Sleep>> {
        self.ways[self.realm].sleep()
    }
}

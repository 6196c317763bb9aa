//! The server as the engine asks it: reads are repeated as the policy says, credentials renewed where that may help.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Sleep;
use crate::name::{RecordId, TableName, Version};
use crate::query::{Query, RemoteQuery};
use crate::record::Record;
use crate::schema::Steps;
use crate::sync::identity::session::Session;
use crate::sync::push::patience::RetryPolicy;
use crate::sync::push::policy::{Evidence, Verdict, judge_read};
use crate::sync::server::Link;
use crate::transport::{
    BatchAnswer, Change, ChangeAnswer, FeedAnswer, FeedChange, FeedToken, Outcome, PageCursor,
    RemotePage, ServerRecord, Transport, TransportCapabilities, TransportError, TransportErrorKind,
};

/// A row of the server. One with neither a version nor a time is marked by an empty version, so that a later change of it is not
/// taken for a new record.
fn known(row: Record) -> Record {
    if row.version().is_some() || row.updated_at().is_some() {
        return row;
    }
    let mut system = row.system().clone();
    system.version = Some(Version::new(""));
    row.with_system(system)
}

/// A way to the server for the time of one push, pull or audit.
#[derive(Debug)]
pub(crate) struct Remote {
    /// What this call began with, whatever the context is connected to by now.
    pub(crate) link: Arc<Link>,
    transport: Arc<dyn Transport>,
    sleep: Option<Arc<dyn Sleep>>,
    pub(crate) patience: RetryPolicy,
    token: Mutex<Token>,
    /// What the server says in its own words is told in those of all steps, and the other way round.
    steps: Arc<Steps>,
    /// Whether it is the store's server that answers.
    pub(crate) session: Session,
}

/// What is known of the credentials.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Token {
    /// A request was accepted with them.
    pub(crate) accepted: bool,
    /// Others were asked for already.
    pub(crate) renewed: bool,
    /// A read was made to see whether they are accepted.
    looked: bool,
}

impl Remote {
    /// A way to the server, by a transport of the link. `sleep`: instead of the transport's way to wait.
    pub(crate) fn new(
        link: Arc<Link>,
        transport: Arc<dyn Transport>,
        session: Session,
        sleep: Option<Arc<dyn Sleep>>,
        patience: RetryPolicy,
        steps: Arc<Steps>,
    ) -> Self {
        let sleep = sleep.or_else(|| transport.sleep());
        let patience = match sleep {
            Some(_) => patience,
            // Nothing is repeated without a pause.
            None => patience.with_attempts(1),
        };
        Self {
            link,
            transport,
            sleep,
            patience,
            token: Mutex::default(),
            steps,
            session,
        }
    }

    /// A row of the server in the words of all steps.
    fn told(&self, table: &TableName, row: Record) -> Record {
        self.steps.of_server(table, known(row))
    }

    /// A query in the words of the server.
    fn asked(&self, table: &TableName, query: &RemoteQuery) -> RemoteQuery {
        query.clone().renamed(&|name| {
            let there = self.steps.name_there(table, name);
            there.map(str::to_owned)
        })
    }

    fn lock(&self) -> MutexGuard<'_, Token> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the credentials.
    pub(crate) fn token(&self) -> Token {
        *self.lock()
    }

    /// What the server announced.
    pub(crate) fn capabilities(&self) -> TransportCapabilities {
        self.transport.capabilities()
    }

    /// How many operations may travel together for now; `None`: they go one by one. Without operation ids a lost answer could not be found out.
    pub(crate) fn batch_size(&self) -> Option<usize> {
        let announced = self.capabilities();
        let limits = announced.batches?;
        announced.operation_ids_kept?;
        self.link.pace().size(limits.changes)
    }

    /// How many operations it may do together or not at all, where it can. Whatever the line: they go together or not at all.
    pub(crate) fn unit_size(&self) -> Option<usize> {
        let announced = self.capabilities();
        announced.operation_ids_kept?;
        announced.batches?.units
    }

    /// Whether the server has answered as one that takes these credentials, and so announced what it offers.
    pub(crate) fn has_heard(&self) -> bool {
        self.token().accepted
    }

    /// A push begins.
    pub(crate) fn begin_push(&self) {
        self.link.begin_push();
        self.transport.begin_push();
    }

    /// Waits, where there is a way to.
    pub(crate) async fn wait(&self, duration: Duration) {
        if let Some(sleep) = self.sleep.as_ref().filter(|_| !duration.is_zero()) {
            sleep.sleep(duration).await;
        }
    }

    /// Asks for other credentials, once; false where there are none.
    pub(crate) async fn renew(&self) -> Result<bool, TransportError> {
        let first = !std::mem::replace(&mut self.lock().renewed, true);
        Ok(first && self.transport.renew_credentials().await?)
    }

    /// A change as the server is told it. Its records are in the words of number `words`.
    fn worded(&self, table: &TableName, mut change: Change, words: u32) -> Change {
        for record in [&mut change.record, &mut change.base].into_iter().flatten() {
            *record = self.steps.to_server(table, words, record.clone());
        }
        change.members = change.members.and_then(|members| {
            let record = change.record.as_ref()?;
            let names = members.iter();
            let names = names.map(|name| self.steps.name_sent(table, words, name).to_owned());
            // What is kept from the server is no member to send.
            let sent: Vec<String> = names.filter(|name| record.member(name).is_some()).collect();
            (!sent.is_empty()).then_some(sent)
        });
        change
    }

    /// An outcome in the words of all steps.
    fn outcome(&self, table: &TableName, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Applied(record) => {
                Outcome::Applied(record.map(|record| self.told(table, record)))
            }
            Outcome::OtherId(record) => Outcome::OtherId(self.steps.of_server(table, record)),
            Outcome::Conflict(mut conflict) => {
                if let ServerRecord::Known(record) = conflict.server {
                    conflict.server = ServerRecord::Known(self.told(table, record));
                }
                Outcome::Conflict(conflict)
            }
            other => other,
        }
    }

    /// Sends a change, once. Its records are in the words of number `words`.
    pub(crate) async fn apply(
        &self,
        table: &TableName,
        change: Change,
        words: u32,
    ) -> Result<Outcome, TransportError> {
        self.session.is_still_the_same()?;
        let change = self.worded(table, change, words);
        let answer = self.transport.apply(table, &change).await;
        if let Ok(Outcome::WholeOnly) = answer {
            // It may be given before anybody looks at the credentials, so it says nothing of them.
            self.session.heard(self.announced(), true)?;
            return answer;
        }
        let outcome = self.noted(answer, self.announced())?;
        Ok(self.outcome(table, outcome))
    }

    /// Sends changes together, once. What is known of the credentials and of whose server it is comes from the answer as a whole.
    pub(crate) async fn apply_all(
        &self,
        changes: Vec<(TableName, Change, u32)>,
    ) -> Result<BatchAnswer, TransportError> {
        self.session.is_still_the_same()?;
        let worded = changes.into_iter().map(|(table, change, words)| {
            let change = self.worded(&table, change, words);
            (table, change)
        });
        let changes: Vec<(TableName, Change)> = worded.collect();
        let answers = match self.transport.apply_all(&changes).await {
            Ok(BatchAnswer::Each(answers)) if answers.len() == changes.len() => answers,
            Ok(BatchAnswer::Each(_)) => {
                let message = "the answer does not speak of each change that was sent";
                return Err(TransportError::new(TransportErrorKind::Protocol, message));
            }
            // Whatever stands on the way may have said so.
            Ok(refused) => return Ok(refused),
            Err(error) => return self.noted(Err(error), self.announced()),
        };
        // One that was refused on its own says nothing of the credentials.
        let accepted = answers.iter().any(|answer| {
            matches!(
                answer,
                ChangeAnswer::Alone(Ok(_)) | ChangeAnswer::Current(_)
            )
        });
        self.session.heard(self.announced(), true)?;
        self.lock().accepted |= accepted;
        let told = answers.into_iter().zip(&changes);
        let told = told.map(|(answer, (table, _))| match answer {
            ChangeAnswer::Alone(Ok(outcome)) => {
                ChangeAnswer::Alone(Ok(self.outcome(table, outcome)))
            }
            ChangeAnswer::Current(outcome) => ChangeAnswer::Current(self.outcome(table, outcome)),
            other => other,
        });
        Ok(BatchAnswer::Each(told.collect()))
    }

    /// Reads one record.
    pub(crate) async fn get(
        &self,
        table: &TableName,
        id: &RecordId,
    ) -> Result<Option<Record>, TransportError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let answer = self.transport.get(table, id).await;
            match self.noted(answer, self.announced()) {
                Ok(row) => return Ok(row.map(|row| self.told(table, row))),
                Err(error) => self.again(tries, error).await?,
            }
        }
    }

    /// Reads one page.
    pub(crate) async fn page(
        &self,
        table: &TableName,
        query: &RemoteQuery,
        cursor: Option<&PageCursor>,
    ) -> Result<RemotePage, TransportError> {
        let mut tries = 0;
        let query = &self.asked(table, query);
        loop {
            tries += 1;
            let answer = self.transport.page(table, query, cursor).await;
            let id = self.announced_in(&answer);
            match self.noted(answer, id) {
                Ok(mut page) => {
                    let rows = page.records.into_iter();
                    page.records = rows.map(|row| self.told(table, row)).collect();
                    return Ok(page);
                }
                Err(error) => self.again(tries, error).await?,
            }
        }
    }

    /// Whether the server tells the changes of a table by itself.
    pub(crate) fn has_feed(&self, table: &TableName) -> bool {
        self.transport.feed(table).is_some()
    }

    /// Reads one page of the server's own feed.
    pub(crate) async fn changes(
        &self,
        table: &TableName,
        query: &RemoteQuery,
        from: Option<&FeedToken>,
    ) -> Result<FeedAnswer, TransportError> {
        let mut tries = 0;
        let query = &self.asked(table, query);
        loop {
            tries += 1;
            let Some(feed) = self.transport.feed(table) else {
                let message = format!("the server has no changes of {table} to tell any more");
                return Err(TransportError::new(TransportErrorKind::Protocol, message));
            };
            let answer = feed.changes(table, query, from).await;
            let id = match &answer {
                Ok(FeedAnswer::Page(page)) => page.server_id.clone(),
                Ok(FeedAnswer::Expired) | Err(_) => self.announced(),
            };
            match self.noted(answer, id) {
                Ok(FeedAnswer::Page(mut page)) => {
                    for change in &mut page.changes {
                        if let FeedChange::Row(row) = change {
                            *row = self.told(table, row.clone());
                        }
                    }
                    return Ok(FeedAnswer::Page(page));
                }
                Ok(FeedAnswer::Expired) => return Ok(FeedAnswer::Expired),
                Err(error) => self.again(tries, error).await?,
            }
        }
    }

    /// Reads one row of a table: whether the server works there, and lets these credentials read.
    pub(crate) async fn control(&self, table: &TableName) -> Result<(), TransportError> {
        self.page(table, &Query::all().top(1).into(), None)
            .await
            .map(drop)
    }

    /// Whether these credentials are accepted for a read; looked at once.
    pub(crate) async fn control_once(&self, table: &TableName) -> bool {
        if std::mem::replace(&mut self.lock().looked, true) {
            return false;
        }
        let query = Query::all().top(1).into();
        let answer = self.transport.page(table, &query, None).await;
        let id = self.announced_in(&answer);
        self.noted(answer, id).is_ok()
    }

    /// What the server announced last as its id.
    fn announced(&self) -> Option<String> {
        self.capabilities().server_id
    }

    /// What it announced in this answer: a page says so itself, whatever was announced before.
    fn announced_in(&self, page: &Result<RemotePage, TransportError>) -> Option<String> {
        match page {
            Ok(page) => page.server_id.clone(),
            Err(_) => self.announced(),
        }
    }

    /// Takes note of an answer, and of the id in it. An answer of another server is none.
    fn noted<T>(
        &self,
        answer: Result<T, TransportError>,
        id: Option<String>,
    ) -> Result<T, TransportError> {
        self.session.heard(id, answer.is_ok())?;
        if answer.is_ok() {
            self.lock().accepted = true;
        }
        answer
    }

    /// Returns when a read that failed is to be tried again; an error is the end of it.
    async fn again(&self, tries: u32, error: TransportError) -> Result<(), TransportError> {
        let token = self.token();
        let evidence = Evidence {
            token_accepted: token.accepted,
            renewed: token.renewed,
            retry_after: error.retry_after(),
            ..Evidence::default()
        };
        match judge_read(error.kind(), tries, evidence, &self.patience) {
            Verdict::RetryNow(_) if error.kind() == TransportErrorKind::Unauthorized => {
                if self.renew().await? {
                    Ok(())
                } else {
                    Err(error)
                }
            }
            Verdict::RetryNow(after) => {
                tracing::debug!(tries, ?after, %error, "reading again");
                self.wait(after).await;
                Ok(())
            }
            _ => Err(error),
        }
    }
}

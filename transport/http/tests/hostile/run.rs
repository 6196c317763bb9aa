//! The one runner: does the six calls of each case, and asserts what must hold whatever the server says.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::panic;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use serde_json::json;
use synctable_core::query::Query;
use synctable_core::sync::{OperationState, PullReport, PushReport};
use synctable_core::transport::{Transport as _, TransportErrorKind as Kind};
use synctable_core::{Error, Record, RecordId};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::case::{Call, Case, End, Want};
use crate::device::{BODY, Device, HEAD, State, TOKEN, good};
use crate::server::{Reply, Request, Server};

/// What may lie in the buffers of two sockets, above what was read.
const UNDER_WAY: usize = 1024 * 1024;

/// Calls that are under way at once.
const AT_ONCE: usize = 8;

/// The longest wait that a server gets by asking.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Panics anywhere but in the assertions here, such as those of a connection's task, which would else go unseen.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Runs all cases; says which ones failed.
pub(crate) async fn check(cases: Vec<Case>) {
    watch_panics();
    let mut running = JoinSet::new();
    let room = Arc::new(Semaphore::new(AT_ONCE));
    for case in cases {
        let case = Arc::new(case);
        for call in Call::ALL {
            let (case, room) = (Arc::clone(&case), Arc::clone(&room));
            running.spawn(async move {
                let _room = room.acquire().await;
                Trial::new(&case, call).await.run(&case, call).await;
            });
        }
    }
    let mut failed = 0;
    while let Some(ended) = running.join_next().await {
        failed += usize::from(ended.is_err());
    }
    assert_eq!(failed, 0, "calls went wrong, see above");
    let panics = PANICS.lock().unwrap();
    assert!(panics.is_empty(), "{panics:?}");
}

fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let place = info
                .location()
                .map_or_else(String::new, ToString::to_string);
            if !place.contains("tests/hostile/") {
                PANICS.lock().unwrap().push(place);
            }
            usual(info);
        }));
    });
}

/// A device, the server that it knows, and one that it must not get to know.
struct Trial {
    device: Device,
    server: Server,
    foreign: TcpListener,
    hostile: Arc<AtomicBool>,
}

impl Trial {
    async fn new(case: &Case, call: Call) -> Self {
        let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
        foreign.set_nonblocking(true).unwrap();
        let foreign_host = foreign.local_addr().unwrap().to_string();
        let hostile = Arc::new(AtomicBool::new(false));
        let (evil, script, most) = (Arc::clone(&hostile), case.script.clone(), case.requests);
        let number = AtomicUsize::new(0);
        let server = Server::scripted(move |_, request| {
            if !evil.load(Ordering::SeqCst) {
                return good(request);
            }
            match number.fetch_add(1, Ordering::SeqCst) {
                // A call that would not end is cut off here, and found out by its requests.
                number if number > most => Reply::raw("").and_close(),
                number => script.reply(number, request, &foreign_host),
            }
        })
        .await;
        let device = Device::new(&server.url(), &hostile, case.quick).await;
        let edit = json!({"title": "mine"});
        match call {
            Call::Pull | Call::Window => drop(device.table().update("c", &edit).await.unwrap()),
            Call::Insert => {
                let new = Record::from_json(r#"{"id":"new","title":"mine"}"#).unwrap();
                device.table().insert(&new).await.unwrap();
            }
            Call::Update => drop(device.table().update("a", &edit).await.unwrap()),
            Call::Delete => device.table().delete("b").await.unwrap(),
            Call::Get => {}
        }
        Self {
            device,
            server,
            foreign,
            hostile,
        }
    }

    async fn run(self, case: &Case, call: Call) {
        let what = format!("{}, {call:?}", case.name);
        let before = self.device.state().await;
        let asked_before = self.server.requests().len();
        let taken_before = self.server.taken();
        self.hostile.store(true, Ordering::SeqCst);
        let (got, said) = self.call(case, call, &before).await;
        self.hostile.store(false, Ordering::SeqCst);
        let after = self.device.state().await;

        assert_eq!(&got, case.want(call), "{what}: {said:?}");
        assert_changes(case, &got, &before, &after, &what);
        if let Some(said) = said {
            assert!(!said.contains(TOKEN), "{what}: {said}");
            assert!(!said.chars().any(char::is_control), "{what}: {said}");
            assert!(said.len() < 1500, "{what}: {said}");
        }
        let requests = self.server.requests().split_off(asked_before);
        let most = case.requests;
        assert!(
            requests.len() <= most,
            "{what}: {} > {most}",
            requests.len()
        );
        assert!(case.quick || !requests.is_empty(), "{what}");
        let taken = self.server.taken() - taken_before;
        let bound = requests.len() * (BODY + 2 * HEAD) + UNDER_WAY;
        // What only time ends is as much as comes in that time.
        assert!(case.quick || taken <= bound, "{what}: {taken} > {bound}");

        if let Some(position) = case.position.filter(|_| call == Call::Pull) {
            let tokens = self.device.context.inspect().await.unwrap().tokens;
            let time = tokens.first().and_then(|token| token.time);
            assert_eq!(time, position.parse().ok(), "{what}");
        }
        let unversioned = self.recover(call, &got, &what).await;
        for request in self.server.requests() {
            assert_request(&request, &unversioned, &what);
        }
        let stranger = self.foreign.accept().expect_err(&what);
        assert_eq!(stranger.kind(), ErrorKind::WouldBlock, "{what}");
        let findings = self.device.context.verify().await.unwrap();
        assert!(findings.is_empty(), "{what}: {findings:?}");
        let waits = self.device.waits.0.lock().unwrap();
        assert!(waits.iter().all(|wait| *wait <= LONGEST_WAIT), "{what}");
    }

    /// Does the call; tells what it came to and the words of the error.
    async fn call(&self, case: &Case, call: Call, before: &State) -> (Want, Option<String>) {
        let table = self.device.table();
        let pulled = match call {
            Call::Pull => {
                table
                    .pull(Query::all(), "hostile")
                    .without_push()
                    .page(10)
                    .await
            }
            Call::Window => {
                let mut query = Query::all().order_by("title");
                query.top = case.top;
                table.pull_full(query).without_push().page(10).await
            }
            Call::Insert | Call::Update | Call::Delete => {
                let pushed = self.device.context.push().await;
                let operation = self.device.state().await.operations.into_iter().next();
                // What failed may be the operation's own: it is aside, and says why.
                let stopped = pushed.as_ref().err().map(kind);
                let wanted = stopped.is_some_and(|kind| *case.want(call) == Want::Fails(kind));
                if let Some(aside) = operation.and_then(|operation| operation.aside)
                    && !wanted
                {
                    return (Want::Fails(named(&aside.kind)), Some(aside.message));
                }
                return match pushed {
                    Ok(_) => (self.settled().await, None),
                    Err(error) => {
                        let source = error.as_transport().map(ToString::to_string);
                        (Want::Fails(kind(&error)), source)
                    }
                };
            }
            Call::Get => {
                let id = RecordId::new("a").unwrap();
                return match self.device.transport.get(table.name(), &id).await {
                    Ok(Some(_)) => (Want::Found, None),
                    Ok(None) => (Want::Missing, None),
                    Err(error) => (Want::Fails(error.kind()), Some(error.to_string())),
                };
            }
        };
        let said = pulled.as_ref().err().map(ToString::to_string);
        (self.brought(pulled, before).await, said)
    }

    async fn brought(&self, pulled: Result<PullReport, Error>, before: &State) -> Want {
        let had = |record: &&Record| before.records.iter().all(|old| old.id() != record.id());
        let after = self.device.state().await;
        let new: Vec<_> = after.records.iter().filter(had).map(Record::id).collect();
        let new: Vec<_> = new.iter().map(|id| id.as_str()).collect();
        let invalid = pulled.as_ref().map_or(0, |report| report.invalid.len());
        let end = match pulled {
            Ok(_) => End::Whole,
            Err(Error::NoProgress { .. }) => End::Stuck,
            Err(Error::PullQuery(_)) => End::Unfit,
            Err(error) => End::Fails(kind(&error)),
        };
        Want::Brings(new.join(" "), invalid, end)
    }

    /// What became of the one operation.
    async fn settled(&self) -> Want {
        let state = self.device.state().await;
        match state.operations.first().map(|operation| operation.state) {
            None => Want::Done,
            Some(OperationState::Conflict) => Want::Conflict,
            Some(OperationState::Rejected) => Want::Rejected,
            state => panic!("a push that succeeds leaves {state:?}"),
        }
    }

    /// The server is well again: nothing of what it said before keeps the device from syncing. Tells which records
    /// have no version on which a change could be conditional.
    async fn recover(&self, call: Call, got: &Want, what: &str) -> Vec<String> {
        let mut unversioned = Vec::new();
        let context = &self.device.context;
        if call.is_pull() {
            // What came is used: versions and ids that do not fit a header or a URL are errors, and nothing else.
            for record in self.device.state().await.records {
                if record.version().is_none_or(|v| v.as_str().is_empty()) {
                    unversioned.push(format!("/{}", record.id()));
                }
                let edit = json!({"title": "edited"});
                self.device
                    .table()
                    .update(record.id(), &edit)
                    .await
                    .expect(what);
            }
            if let Err(error) = self.push().await {
                assert_eq!(kind(&error), Kind::BadRequest, "{what}: {error:?}");
            }
            let all = self.device.table().pull_full(Query::all()).without_push();
            all.await.expect(what);
        } else if matches!(got, Want::Fails(_)) && call != Call::Get {
            // What had no answer again and again rests, unless somebody asks for it.
            for operation in self.device.state().await.operations {
                context.retry(operation.seq).await.expect(what);
            }
            self.push().await.expect(what);
            assert_eq!(context.pending_count().await.unwrap(), 0, "{what}");
        }
        unversioned
    }

    /// Pushes; once more where that met a connection that the hostile server had closed without a word. A change is not
    /// sent again by itself, and whether the end of a kept connection is seen before it is used is chance.
    async fn push(&self) -> Result<PushReport, Error> {
        match self.device.context.push().await {
            Err(error) if kind(&error) == Kind::Broken => self.device.context.push().await,
            pushed => pushed,
        }
    }
}

/// The kind that is stored as this word.
fn named(word: &str) -> Kind {
    let found = Kind::ALL.into_iter().find(|kind| kind.as_str() == word);
    found.unwrap_or_else(|| panic!("no kind is called '{word}'"))
}

fn kind(error: &Error) -> Kind {
    let transport = error.as_transport();
    transport
        .unwrap_or_else(|| panic!("not an error of the transport: {error:?}"))
        .kind()
}

/// Nothing here has changed but what the call came to.
fn assert_changes(case: &Case, got: &Want, before: &State, after: &State, what: &str) {
    let mut queue = after.operations.clone();
    for (operation, old) in queue.iter_mut().zip(&before.operations) {
        operation.shadow.clone_from(&old.shadow);
        operation.attempts = old.attempts;
        operation.key.clone_from(&old.key);
        operation.aside.clone_from(&old.aside);
        operation.first_sent = old.first_sent;
        operation.other_id.clone_from(&old.other_id);
        operation.gone = old.gone;
        match (got, operation.state) {
            (Want::Fails(_), OperationState::Attempted)
            | (Want::Conflict, OperationState::Conflict)
            | (Want::Rejected, OperationState::Rejected) => operation.state = old.state,
            _ => {}
        }
    }
    if *got == Want::Done {
        assert!(queue.is_empty(), "{what}: {queue:?}");
    } else {
        assert_eq!(queue, before.operations, "{what}");
    }
    let touched = |record: &&Record| match got {
        Want::Brings(new, ..) => {
            let id = record.id().as_str();
            new.split(' ')
                .chain(case.touches.split(' '))
                .any(|new| new == id)
        }
        // The server's answer is the record now, or the record is gone.
        Want::Done => ["new", "a", "b"].contains(&record.id().as_str()),
        _ => false,
    };
    let kept = |state: &State| -> Vec<Record> {
        state
            .records
            .iter()
            .filter(|r| !touched(r))
            .cloned()
            .collect()
    };
    assert_eq!(kept(before), kept(after), "{what}");
}

/// Requests go to the table, with credentials, and never change a record without a condition.
fn assert_request(request: &Request, unversioned: &[String], what: &str) {
    let rest = request.target.strip_prefix("/tables/todo");
    let rest = rest.unwrap_or_else(|| panic!("{what}: {}", request.target));
    assert!(
        rest.is_empty() || rest.starts_with(['?', '/']),
        "{what}: {rest}"
    );
    assert!(
        !rest.split('/').any(|part| part == "." || part == ".."),
        "{what}: {rest}"
    );
    assert_eq!(request.header("authorization"), Some("Bearer s3cr3t"));
    assert_eq!(request.header("x-evil"), None, "{what}");
    if matches!(request.method.as_str(), "PUT" | "DELETE")
        && !unversioned.iter().any(|id| id == rest)
    {
        let tag = request.header("if-match");
        let tag = tag.unwrap_or_else(|| panic!("{what}: {request:?}"));
        let inner = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        let open = inner.map(|inner| inner.replace("\\\"", "").contains('"'));
        assert_eq!(open, Some(false), "{what}: {tag}");
    }
}

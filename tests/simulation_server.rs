//! The simulator over the real server: every request is built and every answer read by the HTTP transport, and the server's
//! handler answers it in the same thread, by a clock of its own. Nothing but sockets is left out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{ACCEPT_ENCODING, IF_MATCH};
use http::{HeaderName, Method, Request, Response, StatusCode};
use synctable::http::{
    Dialect, Exchange, HttpTransport, OPERATION_ID, OPERATION_IDS, OPERATION_IDS_KEPT,
    OPERATION_UNKNOWN_SINCE, ORDERED, PARTIAL_UPDATES,
};
use synctable::query::Query;
use synctable::server::TableServer;
use synctable::store::{LocalStore, LocalStoreExt};
use synctable::testkit::sim::{Answer, Dice, Errand, FarSide, Line, NoAnswer, Simulation};
use synctable::transport::{Transport, TransportError};
use synctable::{Clock, Declarations, MemoryStore, Record, TableName, Timestamp};

/// A clock that goes on a little whenever it is read.
#[derive(Debug, Default)]
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        // A third of a millisecond a turn: many times are equal until the server makes them unique.
        let millis = self.0.fetch_add(1, Ordering::Relaxed) / 3;
        Timestamp::from_millis(1_767_225_600_000 + millis)
    }
}

#[derive(Debug)]
struct RealServer {
    server: TableServer,
    store: Arc<MemoryStore>,
    clock: Arc<Ticking>,
    dialect: Dialect,
    habits: Habits,
}

/// What happens to headers between clients and server.
#[derive(Debug, Clone, Default)]
struct Habits {
    /// Headers of requests that do not reach the server.
    unheard: Vec<HeaderName>,
    /// Headers of answers that do not reach the client.
    unsaid: Vec<HeaderName>,
    /// Changed members alone do not reach the server: something on the way knows no `PATCH`.
    no_patch: bool,
}

impl RealServer {
    fn new(schema: &Declarations, dice: &mut Dice) -> Self {
        let store = Arc::new(MemoryStore::new());
        let clock = Arc::new(Ticking::default());
        let page = u32::try_from(1 + dice.below(4)).unwrap();
        let tables = schema
            .tables()
            .fold(Declarations::new(), |tables, (name, table)| {
                let mut table = table.clone().with_soft_delete();
                table.server.page_size = Some(page);
                tables.with_table(name.clone(), table)
            });
        let server = TableServer::builder(Arc::clone(&store) as Arc<dyn LocalStore>)
            .schema(tables)
            .clock(Arc::clone(&clock) as Arc<dyn Clock>)
            .host("server.test".parse().expect("a name"))
            .build()
            .now_or_never()
            .expect("a store in memory does not wait")
            .expect("a server is made");
        // A plain server that knows neither repeats nor orders is one that does not hear, or say, these.
        let mut habits = Habits::default();
        // Bodies are looked into here.
        habits.unsaid.push(ACCEPT_ENCODING);
        if dice.permille(500) {
            habits.unheard.push(OPERATION_ID);
            habits
                .unsaid
                .extend([OPERATION_IDS, OPERATION_IDS_KEPT, OPERATION_UNKNOWN_SINCE]);
        }
        if dice.permille(500) {
            habits.unsaid.push(ORDERED);
        }
        let dialects = [Dialect::Toolkit, Dialect::Zumo2, Dialect::Zumo3];
        let dialect = dialects[dice.weighted(&[(2, 0), (1, 1), (1, 2)])];
        if dice.permille(300) {
            habits.unsaid.push(PARTIAL_UPDATES);
        }
        // The others need it for records that come back.
        habits.no_patch = dialect == Dialect::Toolkit && dice.permille(300);
        Self {
            server,
            store,
            clock,
            dialect,
            habits,
        }
    }
}

#[async_trait]
impl FarSide for RealServer {
    fn connect(&self, line: Line) -> Arc<dyn Transport> {
        let wire = Wire {
            server: self.server.clone(),
            line,
            habits: self.habits.clone(),
        };
        let transport = HttpTransport::builder("http://server.test")
            .dialect(self.dialect)
            .exchange(Arc::new(wire));
        Arc::new(transport.build().expect("the options are good"))
    }

    async fn live(&self, table: &TableName) -> Vec<Record> {
        let rows = self.store.query_all(table, &Query::all()).await;
        let rows = rows.expect("the store answers").into_iter();
        // Only one dialect shows when a record was made.
        let shown = |row: Record| {
            let mut system = row.system().clone();
            if self.dialect != Dialect::Zumo2 {
                system.created_at = None;
            }
            row.with_system(system)
        };
        rows.filter(|row| !row.is_deleted()).map(shown).collect()
    }

    fn jump(&self, millis: i64) {
        self.clock.0.fetch_add(3 * millis, Ordering::Relaxed);
    }
}

/// Requests straight into the handler, over a bad line.
#[derive(Debug)]
struct Wire {
    server: TableServer,
    line: Line,
    habits: Habits,
}

struct Reply(Result<Response<Bytes>, TransportError>);

impl Answer for Reply {
    fn none(why: NoAnswer) -> Self {
        Self(match why {
            NoAnswer::Status(status) => {
                let mut response = Response::new(Bytes::from_static(b"<html>later</html>"));
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                Ok(response)
            }
            broken => Err(broken.error()),
        })
    }

    fn cut(self, permille: usize) -> Self {
        Self(self.0.and_then(|response| {
            let length = response.body().len();
            if length == 0 {
                return Err(NoAnswer::Broken.error());
            }
            Ok(response.map(|body| body.slice(..length * permille / 1000)))
        }))
    }
}

#[async_trait]
impl Exchange for Wire {
    async fn exchange(
        &self,
        mut request: Request<Bytes>,
    ) -> Result<Response<Bytes>, TransportError> {
        let errand = match *request.method() {
            Method::GET => Errand::Read,
            // The server keeps tombstones, so an insert that comes late finds its record.
            _ => Errand::ChangeEvenLate,
        };
        for name in &self.habits.unheard {
            request.headers_mut().remove(name);
        }
        if !self.habits.unheard.is_empty() && request.uri().path().ends_with("/$batch") {
            let body = without(request.body(), &self.habits.unheard);
            *request.body_mut() = body;
        }
        let serve = || {
            let (server, request) = (self.server.clone(), request.clone());
            let known = !self.habits.no_patch || request.method() != Method::PATCH;
            async move {
                if known {
                    return Reply(Ok(to_its_end(server.handle(request))));
                }
                Reply::none(NoAnswer::Status(405))
            }
            .boxed()
        };
        let mut response = self.line.carry(errand, serve).await.0?;
        for name in &self.habits.unsaid {
            response.headers_mut().remove(name);
        }
        Ok(response)
    }
}

/// Runs a request of the server alone to its end: whoever asked may not be asked on for a while, and others wait for what it holds.
fn to_its_end(request: impl Future<Output = Response<Bytes>>) -> Response<Bytes> {
    let mut request = std::pin::pin!(request);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(response) = request.as_mut().poll(&mut context) {
            return response;
        }
    }
}

/// A batch without these headers of its changes.
fn without(body: &Bytes, headers: &[HeaderName]) -> Bytes {
    let mut batch: serde_json::Value = serde_json::from_slice(body).expect("it is not packed");
    for request in batch["requests"].as_array_mut().expect("a batch") {
        let told = request["headers"].as_object_mut().expect("headers");
        told.retain(|name, _| !headers.iter().any(|header| header.as_str() == name));
    }
    serde_json::to_vec(&batch).expect("it is JSON").into()
}

fn simulation() -> Simulation {
    Simulation::new(|| Arc::new(MemoryStore::new()))
        .steps(300)
        .server(|schema, dice| Arc::new(RealServer::new(schema, dice)))
}

/// Other histories each day. `SYNCTABLE_CASES` replaces their number.
#[test]
fn every_change_has_its_effect_once_at_the_real_server() {
    let day = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs() / 86_400);
    let cases = std::env::var("SYNCTABLE_CASES").ok();
    let cases = cases.map_or(300, |cases| cases.parse().expect("a number of cases"));
    let first = day * 1_000_000;
    let totals = simulation().check(first..first + cases);
    println!("{totals:?} from seed {first}");
    assert!(totals.changes > 5 * totals.seeds, "{totals:?}");
}

/// One seed is one history here, too.
#[test]
fn seeds_decide_everything() {
    let simulation = simulation();
    for seed in 0..5 {
        assert_eq!(simulation.run(seed), simulation.run(seed));
    }
    assert_ne!(simulation.run(1).trace, simulation.run(2).trace);
}

/// A server that does not hear conditions loses changes, and one that says it knew repeats but does not does them twice.
#[test]
fn servers_that_break_their_promises_are_found_or_do_no_harm() {
    let kinds = |unheard: HeaderName| -> Vec<String> {
        let simulation = simulation().server(move |schema, dice| {
            let mut server = RealServer::new(schema, dice);
            server.habits.unheard.push(unheard.clone());
            server.habits.unsaid = vec![ACCEPT_ENCODING];
            Arc::new(server)
        });
        let findings = (0..50).flat_map(|seed| simulation.run(seed).findings);
        let kind = |finding: String| finding.split(':').next().map(str::to_owned);
        findings.filter_map(kind).collect()
    };
    let found = kinds(IF_MATCH);
    assert!(found.iter().any(|kind| kind == "lost"), "{found:?}");
    // One that announces to remember repeats and does not does no harm: versions keep effects single, and what it does not
    // say that it would know stays unsure.
    assert_eq!(kinds(OPERATION_ID), [""; 0]);
}

//! The runner: one server with small limits, an attack, and a good client beside it.

use std::io;
use std::net::SocketAddr;
use std::panic;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use synctable_core::store::LocalStore as _;
use synctable_core::{TableName, TableSchema};
use synctable_memory::MemoryStore;
use synctable_server::{Limits, TableServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use crate::attack::{After, Attack};
use crate::good::{Good, answers, ask};

/// How long the server waits for an attacker.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// A test that takes so long has found a connection that nothing ends, or only the 30 s of the HTTP library.
const FOR_EVER: Duration = Duration::from_secs(25);

/// Rounds of the good client before, and again after, an attack.
const ROUNDS: usize = 2;

/// Attacks that are under way at once.
const AT_ONCE: usize = 8;

/// Panics on any thread, such as in the task of a connection, which would else go unseen.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

pub(crate) fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.body = 16 * 1024;
    limits.headers = 16 * 1024;
    limits.target = 4 * 1024;
    limits.tables = 3;
    limits.connections = 64;
    limits.header_timeout = PATIENCE;
    limits.body_timeout = PATIENCE;
    limits.write_timeout = PATIENCE;
    limits
}

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) store: Arc<MemoryStore>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

impl Running {
    pub(crate) async fn new(limits: Limits) -> Self {
        watch_panics();
        let store = Arc::new(MemoryStore::new());
        let server = TableServer::builder(Arc::clone(&store) as _)
            .table(TableName::new("hard").unwrap(), TableSchema::new())
            .any_table(true)
            .limits(limits)
            .build()
            .await
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move { server.serve(listener, stopped).await });
        Self {
            address,
            store,
            stop,
            task,
        }
    }

    /// Stops the server; it ends in order, and nothing has panicked.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
        assert_no_panics();
    }
}

/// Nothing but an assertion of these tests has panicked.
fn assert_no_panics() {
    let panics = PANICS.lock().unwrap().clone();
    assert_eq!(panics, Vec::<String>::new());
}

fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let place = info
                .location()
                .map_or_else(String::new, ToString::to_string);
            if !place.contains("tests/abuse/") {
                PANICS.lock().unwrap().push(place);
            }
            usual(info);
        }));
    });
}

/// Runs all attacks, each against a server of its own.
pub(crate) async fn check(attacks: Vec<Attack>) {
    let mut running = JoinSet::new();
    let mut failed = 0;
    for attack in attacks {
        running.spawn(async move {
            let name = attack.name.clone();
            let one = tokio::time::timeout(FOR_EVER, check_one(attack));
            one.await
                .unwrap_or_else(|_| panic!("{name}: nothing ends it"));
        });
        while running.len() >= AT_ONCE {
            failed += usize::from(running.join_next().await.is_some_and(|one| one.is_err()));
        }
    }
    while let Some(one) = running.join_next().await {
        failed += usize::from(one.is_err());
    }
    assert_eq!(failed, 0, "attacks went wrong, see above");
    assert_no_panics();
}

async fn check_one(attack: Attack) {
    let running = Running::new(limits()).await;
    let mut good = Good::default();
    for _ in 0..ROUNDS {
        good.work(running.address).await;
    }
    let got = beside(
        &mut good,
        running.address,
        carry_out(attack.clone(), running.address),
    )
    .await;
    for _ in 0..ROUNDS {
        good.work(running.address).await;
    }
    let statuses: Vec<_> = got.iter().map(|(status, _)| *status).collect();
    let name = &attack.name;
    if let Some(expected) = &attack.statuses {
        assert_eq!(&statuses, expected, "{name}: {got:?}");
    }
    for (status, body) in &got {
        assert!(*status < 500, "{name}: {status} {body}");
        assert!(!body.chars().any(char::is_control), "{name}: {body}");
        assert!(body.len() < 2000 || *status < 400, "{name}: {body}");
    }
    assert_untouched(&running, good.made, name).await;
    running.stop().await;
}

/// Lets the good client work until an attack is over.
pub(crate) async fn beside<T: Send + 'static>(
    good: &mut Good,
    address: SocketAddr,
    attack: impl Future<Output = T> + Send + 'static,
) -> T {
    // A task of its own: in one with the good client it would take that one's turns.
    let attack = tokio::spawn(attack);
    while !attack.is_finished() {
        good.work(address).await;
    }
    attack.await.expect("an attack")
}

/// Attacks leave nothing behind: the table has the good client's records, and no table came from a name that is none.
async fn assert_untouched(running: &Running, made: usize, name: &str) {
    let (status, page) = ask(
        running.address,
        "GET",
        "/tables/hard?$top=1&$count=true",
        "",
    )
    .await;
    assert_eq!(status, 200, "{name}");
    assert!(
        page.contains(&format!(r#""count":{made}"#)),
        "{name}: {page}"
    );
    let schema = running.store.schema().await.unwrap();
    let tables = schema.tables().map(|(table, _)| table.as_str());
    let tables: Vec<_> = tables.filter(|table| !table.starts_with("__")).collect();
    assert_eq!(tables, ["hard"], "{name}");
}

/// Sends the bytes and does what comes after them, until the server ends the connection; the answers until then.
async fn carry_out(attack: Attack, address: SocketAddr) -> Vec<(u16, String)> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let mut bytes = Vec::new();
    let write = async {
        // Where the server has ended the connection, nothing can be written: that is an end, too.
        let mut open = writing.write_all(&attack.bytes).await.is_ok();
        match attack.after {
            After::Wait => {}
            After::HalfClose => drop(writing.shutdown().await),
            After::Drip => {
                while open {
                    tokio::time::sleep(PATIENCE / 20).await;
                    open = writing.write_all(b"x").await.is_ok();
                }
            }
            After::Repeat | After::Deaf => {
                while open {
                    open = writing.write_all(&attack.bytes).await.is_ok();
                }
            }
        }
        // Kept until the other side has ended.
        writing
    };
    if attack.after == After::Deaf {
        drop(write.await);
        return Vec::new();
    }
    let read = reading.read_to_end(&mut bytes);
    // A reset is an end: the server closed with bytes unread.
    let (_writing, _) = tokio::join!(write, read);
    answers(&bytes)
}

//! The line: bytes that take their time, and connections that die.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Bytes that travel as one.
const SEGMENT: usize = 1460;
/// So much an end takes before it has left: what a kernel keeps for a connection.
const BUFFER: usize = 64 * 1024;

/// What a line does to what travels over it.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// How long a byte takes from one end to the other, each way.
    pub delay: Duration,
    /// How many bits leave in a second, each way.
    pub bits_per_second: u64,
    /// Of 1,000 requests so many are lost, or their answers.
    pub lost_permille: u64,
    /// Every so often the line is cut for so long, at the end of that time. Connections die, and none can be made.
    pub cut: Option<(Duration, Duration)>,
}

impl Rules {
    /// The slow and bad one: 300 ms and 30 kbit/s each way, every 20th request or its answer lost, cut for 5 s every 30 s.
    pub const BAD: Self = Self {
        delay: Duration::from_millis(300),
        bits_per_second: 30_000,
        lost_permille: 50,
        cut: Some((Duration::from_secs(30), Duration::from_secs(5))),
    };

    /// The same without any loss.
    #[must_use]
    pub const fn without_loss(self) -> Self {
        Self {
            lost_permille: 0,
            cut: None,
            ..self
        }
    }

    /// How long so many bytes take to leave.
    pub fn time_of(&self, bytes: u64) -> Duration {
        Duration::from_nanos(bytes.saturating_mul(8_000_000_000) / self.bits_per_second)
    }
}

/// From the client to the server, or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Requests.
    Up = 0,
    /// Answers.
    Down = 1,
}

impl Way {
    fn back(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// What is lost: the request on its way up, or the answer on its way down.
    pub lost: Way,
    /// Whether the client is told: its connection breaks. Else it hears nothing, and gives up by its own limits.
    pub told: bool,
}

/// A line with its two ways, which all connections share.
#[derive(Debug)]
pub struct Line {
    rules: Rules,
    began: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    lanes: [Lane; 2],
    dice: u64,
}

#[derive(Debug, Clone, Copy)]
struct Lane {
    /// When the last byte has left.
    free_at: Instant,
    bytes: u64,
}

impl Line {
    /// A line as it begins now, whose accidents are those of `seed`.
    pub fn new(rules: Rules, seed: u64) -> Arc<Self> {
        let lane = Lane {
            free_at: Instant::now(),
            bytes: 0,
        };
        Arc::new(Self {
            rules,
            began: Instant::now(),
            inner: Mutex::new(Inner {
                lanes: [lane; 2],
                dice: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that were sent so far, lost ones included.
    pub fn bytes(&self, way: Way) -> u64 {
        self.lock().lanes[way as usize].bytes
    }

    /// What becomes of the next request; `None`: nothing happens to it.
    pub fn fate(&self) -> Option<Fate> {
        let mut inner = self.lock();
        (dice(&mut inner.dice, 1000) < self.rules.lost_permille).then(|| Fate {
            lost: [Way::Up, Way::Down][usize::from(dice(&mut inner.dice, 2) == 1)],
            told: dice(&mut inner.dice, 2) == 1,
        })
    }

    /// When the line is cut next, or was cut if it is cut now; and when that ends.
    fn cut(&self, now: Instant) -> Option<(Instant, Instant)> {
        let (every, time) = self.rules.cut?;
        let periods = (now - self.began).as_nanos() / every.as_nanos();
        let end = self.began + every * u32::try_from(periods + 1).unwrap_or(u32::MAX);
        Some((end - time, end))
    }

    /// Connects: the end of the client, and that of the server. It takes the time of a question and its answer.
    ///
    /// # Errors
    /// The line is cut, now or meanwhile.
    pub async fn connect(self: &Arc<Self>) -> io::Result<(End, End)> {
        let now = Instant::now();
        let dies_at = self.cut(now).map(|(start, _)| start);
        let done = now + 2 * self.rules.delay;
        if let Some(start) = dies_at.filter(|start| *start <= done) {
            tokio::time::sleep_until(start).await;
            return Err(io::ErrorKind::NetworkUnreachable.into());
        }
        tokio::time::sleep_until(done).await;
        let connection = Connection {
            pipes: [Pipe::default(), Pipe::default()],
            dies_at,
            fate: None,
            heard: done,
        };
        let connection = Arc::new(Mutex::new(connection));
        let end = |way: Way| End {
            line: Arc::clone(self),
            connection: Arc::clone(&connection),
            way,
            reading: Box::pin(tokio::time::sleep_until(done)),
            writing: Box::pin(tokio::time::sleep_until(done)),
        };
        Ok((end(Way::Up), end(Way::Down)))
    }

    /// A segment leaves: when its last byte has left.
    fn send(&self, way: Way, bytes: usize) -> Instant {
        let now = Instant::now();
        let lane = &mut self.lock().lanes[way as usize];
        // What waited when the line was cut is gone.
        if let Some((_, end)) = self.cut(now)
            && let Some((every, _)) = self.rules.cut
            && lane.free_at < end - every
        {
            lane.free_at = now;
        }
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        lane.bytes += bytes;
        lane.free_at = lane.free_at.max(now) + self.rules.time_of(bytes);
        lane.free_at
    }
}

/// The next number below `most`.
pub(crate) fn dice(state: &mut u64, most: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % most.max(1)
}

#[derive(Debug, Default)]
struct Pipe {
    /// What is on its way, and when it is there; an empty one is the end.
    arriving: VecDeque<(Instant, Bytes)>,
    /// What has not left yet, and when it has.
    leaving: VecDeque<(Instant, usize)>,
    reader: Option<Waker>,
    /// Nobody reads any more.
    deaf: bool,
}

#[derive(Debug)]
struct Connection {
    pipes: [Pipe; 2],
    dies_at: Option<Instant>,
    fate: Option<Fate>,
    /// When the client wrote or read a byte last.
    heard: Instant,
}

impl Connection {
    fn is_dead(&self, now: Instant) -> bool {
        self.dies_at.is_some_and(|dies_at| dies_at <= now)
    }

    fn dies(&mut self, at: Instant) {
        self.dies_at = Some(self.dies_at.map_or(at, |before| before.min(at)));
        for pipe in &mut self.pipes {
            if let Some(reader) = pipe.reader.take() {
                reader.wake();
            }
        }
    }
}

/// One end of a connection: it writes its way, and reads what comes the other way.
#[derive(Debug)]
pub struct End {
    line: Arc<Line>,
    connection: Arc<Mutex<Connection>>,
    way: Way,
    reading: Pin<Box<Sleep>>,
    writing: Pin<Box<Sleep>>,
}

/// What a client knows of its connection besides its bytes.
#[derive(Debug, Clone)]
pub struct Watch(Arc<Mutex<Connection>>);

impl Watch {
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What becomes of the request that is sent next.
    pub fn begin(&self, fate: Option<Fate>) {
        let mut connection = self.lock();
        connection.fate = fate;
        connection.heard = Instant::now();
    }

    /// Returns when the client has neither written nor read a byte for so long.
    pub async fn silence(&self, most: Duration) {
        loop {
            let end = self.lock().heard + most;
            if end <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}

impl End {
    /// What else is known of the connection.
    pub fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.connection))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn dead<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
}

impl AsyncWrite for End {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (way, now) = (self.way, Instant::now());
        let line = Arc::clone(&self.line);
        let mut connection = self.lock();
        if connection.is_dead(now) {
            return dead();
        }
        let pipe = &mut connection.pipes[way as usize];
        while pipe.leaving.front().is_some_and(|(left, _)| *left <= now) {
            pipe.leaving.pop_front();
        }
        let waiting: usize = pipe.leaving.iter().map(|(_, bytes)| *bytes).sum();
        if let Some((left, _)) = pipe.leaving.front().filter(|_| waiting >= BUFFER) {
            let left = *left;
            drop(connection);
            self.writing.as_mut().reset(left);
            let _ = self.writing.as_mut().poll(cx);
            return Poll::Pending;
        }
        let size = buf.len().min(SEGMENT);
        let left = line.send(way, size);
        let arrives = left + line.rules.delay;
        pipe.leaving.push_back((left, size));
        if let Some(fate) = connection.fate.filter(|fate| fate.lost == way) {
            if fate.told {
                let back = match way {
                    Way::Up => line.rules.delay,
                    Way::Down => Duration::ZERO,
                };
                // The last one that is lost says when.
                let cut = line.cut(now).map(|(start, _)| start);
                connection.dies_at = None;
                connection.dies(cut.map_or(arrives + back, |cut| cut.min(arrives + back)));
            }
        } else {
            let pipe = &mut connection.pipes[way as usize];
            let bytes = Bytes::copy_from_slice(buf.get(..size).unwrap_or_default());
            if !pipe.deaf {
                pipe.arriving.push_back((arrives, bytes));
                if let Some(reader) = pipe.reader.take() {
                    reader.wake();
                }
            }
        }
        if way == Way::Up {
            connection.heard = now;
        }
        Poll::Ready(Ok(size))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end();
        Poll::Ready(Ok(()))
    }
}

impl End {
    /// Nothing more is written.
    fn end(&self) {
        let arrives = self.line.lock().lanes[self.way as usize]
            .free_at
            .max(Instant::now());
        let mut connection = self.lock();
        let pipe = &mut connection.pipes[self.way as usize];
        let arrives = arrives + self.line.rules.delay;
        pipe.arriving.push_back((arrives, Bytes::new()));
        if let Some(reader) = pipe.reader.take() {
            reader.wake();
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.end();
        let mut connection = self.lock();
        connection.pipes[self.way.back() as usize].deaf = true;
    }
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (way, now) = (self.way, Instant::now());
        let mut connection = self.lock();
        if connection.is_dead(now) {
            return dead();
        }
        let dies_at = connection.dies_at;
        let pipe = &mut connection.pipes[way.back() as usize];
        let next = pipe.arriving.front().map(|(arrives, _)| *arrives);
        if next.is_some_and(|arrives| arrives <= now) {
            if let Some((_, bytes)) = pipe.arriving.front_mut() {
                let size = bytes.len().min(buf.remaining());
                buf.put_slice(bytes.get(..size).unwrap_or_default());
                // The end stays the end.
                if size > 0 {
                    bytes.advance(size);
                    if bytes.is_empty() {
                        pipe.arriving.pop_front();
                    }
                }
            }
            if way == Way::Up {
                connection.heard = now;
            }
            return Poll::Ready(Ok(()));
        }
        pipe.reader = Some(cx.waker().clone());
        drop(connection);
        if let Some(then) = [next, dies_at].into_iter().flatten().min() {
            self.reading.as_mut().reset(then);
            if self.reading.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }
}

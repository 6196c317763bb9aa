//! The server under simulation: every request is built, and every answer read, by the HTTP transport.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, Request, Response};
use synctable_core::transport::{Transport, TransportError};
use synctable_core::{Record, TableName};
use synctable_http::{Dialect, Exchange, HttpTransport};
use synctable_testkit::sim::{Answer, Errand, FarSide, Line, NoAnswer};

use crate::{Flavour, TypedServer, answer};

#[expect(clippy::expect_used, reason = "what it is made of is fixed")]
#[async_trait]
impl FarSide for TypedServer {
    fn connect(&self, line: Line) -> Arc<dyn Transport> {
        let wire = Wire {
            server: self.clone(),
            line,
        };
        let dialect = match self.flavour() {
            Flavour::Toolkit => Dialect::Toolkit,
            Flavour::Zumo3 => Dialect::Zumo3,
        };
        let transport = HttpTransport::builder("http://typed.test")
            .dialect(dialect)
            .exchange(Arc::new(wire));
        Arc::new(transport.build().expect("the options are good"))
    }

    async fn live(&self, table: &TableName) -> Vec<Record> {
        Self::live(self, table.as_str())
    }

    fn jump(&self, millis: i64) {
        // Where the clock of such a server goes back, no client can find what is written then.
        Self::jump(self, millis.max(0));
    }

    fn violations(&self) -> Vec<String> {
        Self::violations(self)
    }
}

/// Requests straight into the server, over a bad line.
#[derive(Debug)]
struct Wire {
    server: TypedServer,
    line: Line,
}

struct Reply(Result<Response<Bytes>, TransportError>);

impl Answer for Reply {
    fn none(why: NoAnswer) -> Self {
        Self(match why {
            NoAnswer::Status(status) => {
                let later = Bytes::from_static(b"<html>later</html>");
                Ok(answer::bare(status).map(|_| later))
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
    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let errand = match *request.method() {
            Method::GET => Errand::Read,
            // The server keeps tombstones, so an insert that comes late finds its record.
            _ => Errand::ChangeEvenLate,
        };
        let serve = || {
            let (server, request) = (self.server.clone(), request.clone());
            async move { Reply(Ok(server.handle(&request))) }.boxed()
        };
        self.line.carry(errand, serve).await.0
    }
}

//! Functions that a server takes and answers wrongly, found out before an answer is believed.
//!
//! The older server for node, on SQLite, takes `startswith` and its like and finds nothing, whatever there is. A pull by such a
//! filter would bring no rows and no error. So where it is asked to, the transport first asks for a record by a condition that
//! every record meets.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use http::HeaderMap;
use synctable_core::TableName;
use synctable_core::query::{Expr, Function, Query, RemoteQuery, field};
use synctable_core::transport::{TransportError, TransportErrorKind as Kind};

use crate::paging::page_call;
use crate::transport::HttpTransport;

/// The functions that were seen to work.
#[derive(Debug, Default)]
pub(crate) struct Trusted(Mutex<HashSet<Function>>);

impl Trusted {
    /// The functions of a filter that are in doubt.
    fn open(&self, filter: &Expr) -> Vec<Function> {
        let trusted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        for part in filter.walk() {
            if let Expr::Call(function, _) = part
                && always(*function).is_some()
                && !trusted.contains(function)
                && !found.contains(function)
            {
                found.push(*function);
            }
        }
        found
    }

    fn add(&self, function: Function) {
        let mut trusted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        trusted.insert(function);
    }
}

/// A condition by a doubtful function that holds for every record.
fn always(function: Function) -> Option<Expr> {
    let id = field("id");
    match function {
        Function::Contains => Some(id.contains("")),
        Function::StartsWith => Some(id.starts_with("")),
        Function::EndsWith => Some(id.ends_with("")),
        Function::IndexOf => Some(id.index_of("").ge(0)),
        _ => None,
    }
}

impl HttpTransport {
    /// Fails where the server is seen not to compute a function of the filter.
    pub(crate) async fn check_functions(
        &self,
        table: &TableName,
        query: &RemoteQuery,
    ) -> Result<(), TransportError> {
        let filter = query.query.filter.as_ref();
        for function in filter.map_or_else(Vec::new, |filter| self.trusted.open(filter)) {
            let Some(always) = always(function) else {
                continue;
            };
            let found = self.any(table, Query::all().filter(always)).await?;
            if found == Some(true) {
                self.trusted.add(function);
            } else if found == Some(false) && self.any(table, Query::all()).await? == Some(true) {
                let message = format!(
                    "the server does not compute {} and would leave records out; filter by something else",
                    function.name()
                );
                return Err(TransportError::new(Kind::BadQuery, message));
            }
        }
        Ok(())
    }

    /// Whether a query finds anything; `None` where the server does not say.
    async fn any(&self, table: &TableName, query: Query) -> Result<Option<bool>, TransportError> {
        let query = query.include_deleted();
        let call = page_call(self.wire.query(&query, Some(1))?);
        let mut answer = self.send(table, &call, &HeaderMap::new()).await?;
        if answer.status != 200 {
            return Ok(None);
        }
        let listing = self.read_page(&mut answer)?;
        Ok(Some(listing.rows() > 0))
    }
}

//! A table server over the store.

use std::io;
use std::net::ToSocketAddrs as _;
use std::sync::Arc;

use serde_json::json;
use synctable::server::TableServer;
use synctable::{Declaration, Declarations};
use tokio::net::TcpListener;

use crate::args::{Deletes, Globals, Serve};
use crate::device::refuse_device_store;
use crate::errors::{Done, Failure};
use crate::output::Output;
use crate::signals;

pub(crate) async fn serve(
    globals: &Globals,
    output: &mut Output,
    args: &Serve,
) -> Result<Done, Failure> {
    let schema = served(globals.schema()?, args);
    if schema.tables().next().is_none() && !args.any_table {
        return Err(Failure::bad_input(
            "there is no table to serve; give --table NAME, --schema FILE or --any-table",
        ));
    }
    let address = &args.listen;
    let addresses: Vec<_> = address
        .to_socket_addrs()
        .map_err(|_| Failure::bad_input(format!("{address} is no address; write HOST:PORT")))?
        .collect();
    args.door.check(address, &addresses)?;
    let secrets = args.door.secrets()?;
    // Before the line that says so, for whoever stops the server as soon as it is printed.
    let stop = signals::stop()?;
    let listener = TcpListener::bind(addresses.as_slice())
        .await
        .map_err(|error| cannot_listen(address, &error))?;
    let store = globals.open_store(synctable::Missing::Make)?.store;
    refuse_device_store(&*store).await?;
    let mut builder = TableServer::builder(Arc::clone(&store))
        .schema(schema)
        .any_table(args.any_table);
    if let Some(time) = args.tombstones {
        builder = builder.keep_tombstones(time);
    }
    let server = args.door.apply(secrets, builder).build().await?;
    let address = listener
        .local_addr()
        .map_err(|error| cannot_listen(address, &error))?;
    output.summary(&json!({"listening": address}), || {
        let protocol = if args.door.is_tls() { "https" } else { "http" };
        format!("listening on {protocol}://{address}")
    })?;
    output.flush()?;
    let ended = server.serve(listener, stop).await;
    store.close().await?;
    ended.map_err(|error| Failure::failed(format!("the server stopped: {error}")))?;
    Ok(Done::All)
}

fn cannot_listen(address: &str, error: &io::Error) -> Failure {
    Failure::failed(format!("{address} cannot be listened on: {error}"))
}

/// The tables of the schema and of the options; a table of both has the fields of the one and the deletes of the other.
fn served(mut all: Declarations, args: &Serve) -> Declarations {
    for (name, deletes) in &args.table {
        let mut table = all.table(name).cloned().unwrap_or_else(Declaration::new);
        if *deletes == Deletes::Kept {
            table = table.with_soft_delete();
        }
        all = all.with_table(name.clone(), table);
    }
    all
}

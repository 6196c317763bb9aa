//! The command line: options, verbs, and the help that teaches them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand};
use synctable::encrypted::Anchor;
use synctable::http::Dialect;
use synctable::query::{Expr, RemoteQuery};
use synctable::{QueryId, RecordId, StoreUrl, TableName};

use crate::door::Door;
use crate::errors::Failure;
use crate::filters::{filter, odata};
use crate::identity::Identity;
use crate::values::{anchor, days, id, query_id, seconds, served_table, table};
use crate::way::Way;

/// Tables that work offline and sync with a table server.
#[derive(Debug, Parser)]
#[command(
    name = "synctable",
    version,
    subcommand_required = true,
    disable_help_subcommand = true,
    long_about = "Tables that work offline and sync with a table server.\n\n\
        Records are JSON objects with an id. Changes go to a local store at once and wait in a queue; \
        `push` sends them, `pull` brings what others changed.",
    after_long_help = "A first round:\n  \
        synctable insert todoitem '{\"text\":\"Milk\",\"complete\":false}'\n  \
        synctable query todoitem '$filter=complete eq false&$orderby=text'\n  \
        synctable push --remote http://localhost:8080\n  \
        synctable pull todoitem\n\n\
        Exit codes: 0 done; 1 failed; 2 bad usage or bad input; 3 done, but something is left: aside for a later push, in conflict or rejected; \
        4 the remote cannot be reached or cannot answer now, or a sign-in is needed, and nothing is lost.\n\
        With --json standard output carries one JSON value a line and nothing else."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options of every verb, before or behind it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "flags of a command line, each on its own"
)]
pub(crate) struct Globals {
    /// The local store: memory:, sqlite:PATH, redb:PATH, sled:PATH, or encrypted+ in front of one with a path
    #[arg(
        long,
        global = true,
        value_name = "URL",
        default_value = "sqlite:synctable.db"
    )]
    pub(crate) store: StoreUrl,
    /// Whether `--store` was given.
    #[arg(skip)]
    pub(crate) names_store: bool,
    /// The key of an encrypted store: 32 raw bytes or 64 hex digits
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        conflicts_with = "passphrase_env"
    )]
    pub(crate) key_file: Option<PathBuf>,
    /// The environment variable with the passphrase of an encrypted store
    #[arg(long, global = true, value_name = "VAR")]
    pub(crate) passphrase_env: Option<String>,
    /// How far an encrypted store is known to have come, as `inspect` says it; an older copy is refused
    #[arg(long, global = true, value_name = "N", value_parser = anchor)]
    pub(crate) at_least: Option<Anchor>,
    /// The base URL of the table server; the store remembers it
    // Only `verify` takes it without a URL.
    #[arg(long, global = true, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    pub(crate) remote: Option<String>,
    /// What the server speaks: toolkit, zumo2 or zumo3; the store remembers it
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) dialect: Option<Dialect>,
    #[command(flatten)]
    pub(crate) identity: Identity,
    #[command(flatten)]
    pub(crate) way: Way,
    /// The longest time for one request and its answer, and to wait for another process that pushes
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    /// A JSON file that declares tables, fields and indexes
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) schema: Option<PathBuf>,
    /// Read the store and write nothing to its folder: for get, query, export, pending, conflicts, inspect and verify. They do so by themselves
    /// where the store may not be written or the disk is full
    #[arg(long, global = true)]
    pub(crate) read_only: bool,
    /// Print one JSON value a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print what was asked for and errors, but no summaries, no warnings and no progress
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Add a record
    #[command(after_help = "An id is made where the record has none. Example:\n  \
        synctable insert todoitem '{\"id\":\"milk\",\"text\":\"Milk\",\"complete\":false}'")]
    Insert {
        #[arg(value_parser = table)]
        table: TableName,
        #[arg(value_name = "JSON")]
        record: String,
    },
    /// Change some fields of a record
    #[command(
        after_help = "Fields that are not named stay as they are. Example:\n  \
        synctable update todoitem milk '{\"complete\":true}'"
    )]
    Update(RecordAndJson),
    /// Replace all fields of a record
    #[command(
        after_help = "Fields that are not named are gone afterwards. Example:\n  \
        synctable replace todoitem milk '{\"text\":\"Oat milk\"}'"
    )]
    Replace(RecordAndJson),
    /// Show a record
    #[command(after_help = "Example:\n  synctable get todoitem milk")]
    Get(OneRecord),
    /// Remove a record; the next push removes it at the server
    #[command(after_help = "Example:\n  synctable delete todoitem milk")]
    Delete(OneRecord),
    /// Show the records that match
    #[command(
        after_help = "ODATA is a query as in a URL, where percent-escapes are decoded, or a filter alone, which is plain text. Examples:\n  \
        synctable query todoitem '$filter=complete eq false&$orderby=text desc&$top=5&$select=id,text'\n  \
        synctable query todoitem \"startswith(text,'Oat')\"\n  \
        synctable query todoitem --filter 'complete eq false' '$orderby=text desc'\n  \
        synctable query todoitem '$count=true&$top=0'"
    )]
    Query(Box<QueryArgs>),
    /// Add or replace records from JSON lines
    #[command(
        after_help = "FILE is a path, or - for standard input. A line with the id of a record replaces it. A bad line ends the \
        import with its number; the lines before it are kept. Example:\n  \
        synctable import movies movies.jsonl"
    )]
    Import {
        #[arg(value_parser = table)]
        table: TableName,
        file: PathBuf,
    },
    /// Print all records of a table as JSON lines, ordered by id
    #[command(after_help = "Example:\n  synctable export movies > movies.jsonl")]
    Export {
        #[arg(value_parser = table)]
        table: TableName,
    },
    /// Send the queued changes to the server
    #[command(
        after_help = "One record never holds up the others: what is in conflict or refused waits for you, what fails otherwise is left aside \
        for a later push; the push goes on and ends with exit code 3. Example:\n  \
        synctable push --remote http://localhost:8080 && synctable pending"
    )]
    Push {
        /// How many changes may be at the server at once; with more than 1 the order between records is not kept
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
        parallel: u8,
    },
    /// Bring what changed at the server
    #[command(
        after_help = "Pushes first when the table has queued changes. The first pull under a name brings everything, later ones \
        what changed since. Examples:\n  \
        synctable pull todoitem\n  \
        synctable pull todoitem --name open --filter 'complete eq false'"
    )]
    Pull {
        #[arg(value_parser = table)]
        table: TableName,
        /// The name under which the store remembers how far the pull got
        #[arg(long, value_name = "QUERY", value_parser = query_id, conflicts_with = "full")]
        name: Option<QueryId>,
        /// Only records that match this OData filter
        #[arg(long, value_name = "F", value_parser = filter, allow_hyphen_values = true)]
        filter: Option<Expr>,
        /// Bring everything, whatever was pulled before
        #[arg(long)]
        full: bool,
        /// Records to ask for at once
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        page: Option<u32>,
    },
    /// Push, then pull every known table
    #[command(after_help = "Example:\n  synctable sync --remote http://localhost:8080")]
    Sync,
    /// Queue the records of a table that no server knows and that nothing would send
    #[command(
        after_help = "For a table that was local only before, and for inserts that were discarded. The next push sends them. Example:\n  \
        synctable enqueue notes && synctable push"
    )]
    Enqueue {
        #[arg(value_parser = table)]
        table: TableName,
    },
    /// List the queued operations, and why those wait that do
    #[command(after_help = "Example:\n  synctable pending --json")]
    Pending,
    /// List the parked conflicts with base, local and server record
    #[command(after_help = "Example:\n  synctable conflicts\n  synctable resolve 7 --merge")]
    Conflicts,
    /// Drop an operation and put the record back as the server had it
    #[command(after_help = "Examples:\n  synctable cancel 7\n  synctable cancel todoitem milk")]
    Cancel(OneOperation),
    /// Drop an operation and leave the record as it is here
    #[command(after_help = "Examples:\n  synctable discard 7\n  synctable discard todoitem milk")]
    Discard(OneOperation),
    /// Queue a rejected operation again as it is, or have the next push try one that is aside
    #[command(
        after_help = "Examples:\n  synctable retry 7 && synctable push\n  synctable retry todoitem milk"
    )]
    Retry(OneOperation),
    /// End a parked conflict
    #[command(
        group = ArgGroup::new("side").required(true),
        after_help = "Examples:\n  \
        synctable resolve 7 --server\n  \
        synctable resolve todoitem milk --merge\n  \
        synctable resolve 7 --with '{\"text\":\"Oat milk\",\"complete\":true}' && synctable push")]
    Resolve {
        #[command(flatten)]
        operation: OneOperation,
        #[command(flatten)]
        side: Side,
    },
    /// Remove records here without telling the server
    #[command(
        after_help = "Refused while the table has queued operations, unless these are discarded. Example:\n  \
        synctable purge todoitem --filter 'complete eq true'"
    )]
    Purge {
        #[arg(value_parser = table)]
        table: TableName,
        /// Only records that match this OData filter
        #[arg(long, value_name = "F", value_parser = filter, allow_hyphen_values = true)]
        filter: Option<Expr>,
        /// Also drop the queued operations; these changes are lost
        #[arg(long)]
        discard_pending: bool,
    },
    /// Count what is in the store
    #[command(after_help = "Example:\n  synctable inspect --store sqlite:synctable.db")]
    Inspect,
    /// Say what is wrong with the store, the way to the server, or the clock, and what to do
    #[command(
        after_help = "Reads only, and makes no store. Ends with exit code 0 when nothing is wrong. Examples:\n  \
        synctable doctor\n  \
        synctable doctor --store redb:app.redb --remote https://example.com --json"
    )]
    Doctor,
    /// Check that the store holds together
    #[command(
        after_help = "With --remote the records are compared with the server's, too. Examples:\n  synctable verify --remote\n  synctable verify --heal"
    )]
    Verify {
        /// Make the synced tables equal to the server's, but for changes that were not pushed; implies --remote
        #[arg(long)]
        heal: bool,
    },
    /// Copy everything to another store, of any kind
    #[command(
        after_help = "Records, queued operations, parked conflicts and positions of pulls come along. The target must be new; a copy that was \
        cut off goes on. Use one of the two stores afterwards. Example:\n  \
        synctable copy --to encrypted+redb:app.redb --to-key-file app.key"
    )]
    Copy(CopyArgs),
    /// Make a file with a new key, which only its owner can read
    #[command(
        after_help = "A file that is there is not overwritten. Keep a copy where the store is not: a lost key is a lost store. Example:\n  \
        synctable keygen app.key"
    )]
    Keygen { file: PathBuf },
    /// Copy the store as it is now to a file of its own, while others use it
    #[command(
        override_usage = "synctable backup [STORE] TO",
        after_help = "TO is a path where nothing is. Everything is in the copy; a sealed store's is sealed with the same key. To restore it, open it: \
        it then takes a name of its own, and its next push asks the server what of its queue was pushed since. Examples:\n  \
        synctable backup todo-monday.db\n  \
        synctable backup encrypted+redb:app.redb app-monday.redb --key-file app.key"
    )]
    Backup(BackupArgs),
    /// Change the key or passphrase of an encrypted store
    #[command(
        after_help = "The store is verified first; records stay as they are. Copies made before still open with the old key, and who has seen the \
        data key can still use it; see rotate-key. A passphrase typed into a command stays in the history of the shell. Example:\n  \
        read -rs PHRASE && export PHRASE\n  \
        synctable rekey --store encrypted+redb:app.redb --key-file old.key --new-passphrase-env PHRASE"
    )]
    Rekey(RekeyArgs),
    /// Seal all records of an encrypted store under a new data key
    #[command(
        after_help = "The store is verified first, and counted at the end. The key or passphrase stays; other keys of the store are dropped. May be cut \
        off: the next run goes on. Example:\n  \
        synctable rotate-key --store encrypted+redb:app.redb --key-file app.key"
    )]
    RotateKey,
    /// Run a table server over the store
    #[command(
        after_help = "Runs until it gets SIGTERM or SIGINT. Only this machine can ask, unless a token and TLS say who else. Examples:\n  \
        synctable serve --store sqlite:server.db --listen 127.0.0.1:8080 --table todoitem:soft-delete\n  \
        synctable serve --listen 0.0.0.0:8443 --any-table --token-env TOKEN --tls-cert cert.pem --tls-key key.pem --host api.example.com"
    )]
    Serve(Box<Serve>),
    /// Show the whole story: two devices, a server, a conflict, and how all agree in the end
    #[command(after_help = "Example:\n  synctable demo --records 10000 --dir /tmp/demo")]
    Demo {
        /// How many records the devices make
        #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
        records: u32,
        /// Keep the stores in this folder
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    #[arg(value_parser = table)]
    pub(crate) table: TableName,
    /// $filter, $orderby, $skip, $top, $select, $count, joined with &; or a filter
    #[arg(value_parser = odata, allow_hyphen_values = true)]
    pub(crate) odata: Option<RemoteQuery>,
    /// Only records that match this OData filter, which is plain text
    #[arg(long, value_name = "F", value_parser = filter, allow_hyphen_values = true)]
    pub(crate) filter: Option<Expr>,
    /// Say how the store would find the records instead of showing them
    #[arg(long)]
    pub(crate) explain: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OneRecord {
    #[arg(value_parser = table)]
    pub(crate) table: TableName,
    #[arg(value_parser = id)]
    pub(crate) id: RecordId,
}

#[derive(Debug, Args)]
pub(crate) struct RecordAndJson {
    #[command(flatten)]
    pub(crate) place: OneRecord,
    #[arg(value_name = "JSON")]
    pub(crate) fields: String,
}

#[derive(Debug, Args)]
pub(crate) struct OneOperation {
    /// The number of the operation, as `pending` shows it, or the table of its record
    #[arg(value_name = "SEQ|TABLE")]
    place: String,
    /// The id of its record, behind a table
    #[arg(value_parser = id)]
    id: Option<RecordId>,
}

/// Which operation is meant.
#[derive(Debug)]
pub(crate) enum Target {
    /// The one with a number.
    Number(u64),
    /// The one on a record.
    Record(TableName, RecordId),
}

impl OneOperation {
    pub(crate) fn target(&self) -> Result<Target, Failure> {
        let place = &self.place;
        match &self.id {
            Some(id) => Ok(Target::Record(TableName::new(place)?, id.clone())),
            None => place.parse().map(Target::Number).map_err(|_| {
                Failure::bad_input(format!(
                    "'{place}' is no number of an operation; give one as synctable pending shows it, or TABLE ID"
                ))
            }),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Side {
    /// Take the server's record; where there is none, remove the local one
    #[arg(long, group = "side")]
    pub(crate) server: bool,
    /// Queue the local record again
    #[arg(long, group = "side")]
    pub(crate) client: bool,
    /// Join what both sides changed, where they changed different fields
    #[arg(long, group = "side")]
    pub(crate) merge: bool,
    /// Queue a record with these fields
    #[arg(long, group = "side", value_name = "JSON")]
    pub(crate) with: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) listen: String,
    /// A table to serve; with soft delete other devices learn about deletions. May be given several times
    #[arg(long, value_name = "NAME[:soft-delete]", value_parser = served_table)]
    pub(crate) table: Vec<(TableName, Deletes)>,
    /// Make other tables on their first use
    #[arg(long)]
    pub(crate) any_table: bool,
    /// How long deleted records of tables with soft delete are kept for devices that were away, such as 90d or 12h; else for ever
    #[arg(long, value_name = "TIME", value_parser = days)]
    pub(crate) tombstones: Option<Duration>,
    #[command(flatten)]
    pub(crate) door: Door,
}

/// What a server does with deleted records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletes {
    Forgotten,
    Kept,
}

#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// The new store
    #[arg(long, value_name = "URL")]
    pub(crate) to: StoreUrl,
    /// The key of the new store: 32 raw bytes or 64 hex digits
    #[arg(long, value_name = "PATH", conflicts_with = "to_passphrase_env")]
    pub(crate) to_key_file: Option<PathBuf>,
    /// The environment variable with the passphrase of the new store
    #[arg(long, value_name = "VAR")]
    pub(crate) to_passphrase_env: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The store, in the place of that of --store
    #[arg(value_name = "STORE")]
    pub(crate) place: String,
    /// Where the copy goes
    #[arg(value_name = "TO")]
    pub(crate) to: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RekeyArgs {
    /// The new key: 32 raw bytes or 64 hex digits
    #[arg(long, value_name = "PATH", conflicts_with = "new_passphrase_env")]
    pub(crate) new_key_file: Option<PathBuf>,
    /// The environment variable with the new passphrase
    #[arg(long, value_name = "VAR")]
    pub(crate) new_passphrase_env: Option<String>,
}

//! taskchampion over SQLite with its server for the same machine, a SQLite file: the verbs of `../common.js`, where URL is the folder of that file.
//!
//! Nothing goes over a network, which is to its advantage. A record is a task whose members are properties, all of them texts.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use serde_json::{Map, Value, json};
use taskchampion::storage::AccessMode;
use taskchampion::{Operations, Replica, ServerConfig, SqliteStorage, TaskData, Uuid};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// As many records are stored at once as everywhere.
const BATCH: usize = 500;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [verb, server, folder, rest @ ..] = words.as_slice() else {
        return Err("VERB SERVER FOLDER [FILE]".into());
    };
    let file = rest.first().map(std::fs::read_to_string).transpose()?;
    let rows = file.iter().flat_map(|text| text.lines());
    let rows: Vec<Map<String, Value>> = rows
        .map(serde_json::from_str)
        .collect::<std::result::Result<_, _>>()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let start = Instant::now();
    let count = runtime.block_on(work(verb, server, folder, &rows))?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{}",
        json!({"seconds": seconds, "peak": peak(), "count": count})
    );
    Ok(())
}

async fn work(
    verb: &str,
    server: &str,
    folder: &str,
    rows: &[Map<String, Value>],
) -> Result<usize> {
    let storage = SqliteStorage::new(Path::new(folder), AccessMode::ReadWrite, true).await?;
    let mut replica = Replica::new(storage);
    match verb {
        "import" | "edit" => {
            for rows in rows.chunks(BATCH) {
                let mut operations = Operations::new();
                for row in rows {
                    put(&mut replica, row, verb == "edit", &mut operations).await?;
                }
                replica.commit_operations(operations).await?;
            }
            Ok(rows.len())
        }
        "push" | "pull" => {
            let server_dir = server.into();
            let mut server = ServerConfig::Local { server_dir }.into_server().await?;
            replica.sync(&mut server, true).await?;
            Ok(replica.all_task_uuids().await?.len())
        }
        _ => Err("no such verb".into()),
    }
}

/// Makes a task, or gives one that is there other values.
async fn put(
    replica: &mut Replica<SqliteStorage>,
    row: &Map<String, Value>,
    is_there: bool,
    operations: &mut Operations,
) -> Result<()> {
    let id = row["id"].as_str().ok_or("a record without an id")?;
    let number: u128 = id.trim_start_matches("record-").parse()?;
    let id = Uuid::from_u128(number);
    let mut task = match is_there {
        true => replica.get_task_data(id).await?.ok_or("no such task")?,
        false => TaskData::create(id, operations),
    };
    for (name, value) in row.iter().filter(|(name, _)| *name != "id") {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        task.update(name, Some(text), operations);
    }
    Ok(())
}

/// The most memory of this process, in MiB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

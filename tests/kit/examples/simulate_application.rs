//! An application under simulation: a list of things to do, with a schema, a conflict handler and users of its own.
//!
//! `cargo run --release -p synctable-testkit --example simulate_application -- [SEEDS] [FIRST]`

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use synctable_core::sync::{
    ConflictDecision, ConflictDetails, ConflictHandler, ConflictPolicy, HandlerError, SyncContext,
};
use synctable_core::{Declaration, Declarations, Error, FieldType, Record, TableName};
use synctable_memory::MemoryStore;
use synctable_testkit::async_trait;
use synctable_testkit::sim::{Application, Dice, Simulation};

/// Nobody may undo what another one has done: a thing that was ticked off stays so.
struct Todo {
    table: TableName,
    ticked: Mutex<BTreeSet<String>>,
}

/// Ticked off on either side is ticked off; otherwise the server's title counts.
struct TickedWins;

#[async_trait]
impl ConflictHandler for TickedWins {
    async fn resolve(&self, conflict: &ConflictDetails) -> Result<ConflictDecision, HandlerError> {
        let done = |side: &Option<Record>| {
            let done = side.as_ref().and_then(|record| record.member("done"));
            done == Some(Value::Bool(true))
        };
        Ok(match &conflict.local {
            Some(_) if !conflict.exists_at_server() => ConflictDecision::Client,
            Some(local) if done(&conflict.local) && !done(&conflict.server) => {
                ConflictDecision::With(local.clone())
            }
            _ => ConflictDecision::Server,
        })
    }
}

#[async_trait]
impl Application for Todo {
    fn schema(&self) -> Declarations {
        let table = Declaration::new()
            .with_field("title", FieldType::String)
            .with_field("done", FieldType::Boolean);
        Declarations::new().with_table(self.table.clone(), table)
    }

    fn conflicts(&self) -> ConflictPolicy {
        ConflictPolicy::custom(TickedWins)
    }

    async fn act(&self, sync: &SyncContext, dice: &mut Dice) -> Result<(), Error> {
        let todo = sync.table::<Value>(self.table.as_str())?;
        let id = format!("thing-{}", dice.below(5));
        if dice.permille(300) {
            todo.update(&id, &json!({"done": true})).await?;
            let mut ticked = self.ticked.lock().unwrap_or_else(PoisonError::into_inner);
            ticked.insert(id);
        } else {
            let title = format!("title {}", dice.below(1000));
            match todo.update(&id, &json!({ "title": title })).await {
                Err(Error::NotFound { .. }) => {
                    let new = json!({"id": id, "title": title, "done": false});
                    todo.insert(&new).await.map(drop)?;
                }
                done => done.map(drop)?,
            }
        }
        Ok(())
    }

    fn check(&self, rows: &BTreeMap<TableName, Vec<Record>>) -> Result<(), String> {
        let ticked = self.ticked.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows.values().flatten() {
            let done = row.member("done") == Some(Value::Bool(true));
            if ticked.contains(row.id().as_str()) && !done {
                return Err(format!("'{}' was ticked off and is not", row.id()));
            }
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let seeds = numbers.next().transpose()?.unwrap_or(200);
    let first = numbers.next().transpose()?.unwrap_or(0);
    let table = TableName::new("todo")?;
    let simulation = Simulation::new(|| Arc::new(MemoryStore::new()))
        .steps(300)
        .application(move || Todo {
            table: table.clone(),
            ticked: Mutex::default(),
        });
    let totals = simulation.check(first..first + seeds);
    println!(
        "{} histories of {} steps end well",
        totals.seeds,
        totals.steps / totals.seeds.max(1)
    );
    Ok(())
}

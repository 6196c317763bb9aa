//! What happens at the server without the clients: others change rows, and requests arrive that were given up.

use std::sync::Arc;

use serde_json::{Value, json};
use synctable_core::{Record, RecordId};

use super::act::{KEPT, WILD, tagged};
use super::application::Users;
use super::far;
use super::task::Task;
use super::world::{World, finish};
use crate::fixture::{record, table};

impl World {
    /// Someone else changes a row at the server.
    pub(super) fn other(&mut self) {
        if matches!(self.shareds.users, Users::Theirs(_)) {
            return self.turn();
        }
        let which = self.dice.below(3);
        let what = self.dice.below(3);
        self.tell(|| format!("someone else: {what} {which}"));
        let realm = match self.realms.len() {
            1 => 0,
            all => self.dice.below(all),
        };
        let way = Arc::clone(&self.others[realm]);
        let done = match what {
            0 => {
                let id = format!("k{which}");
                let tag = self.books().start(&id);
                self.books().place_at(realm, &tag);
                let done = finish(async {
                    let row = way.get(&table(KEPT), &RecordId::system(&id)).await;
                    let row = row.map_err(|error| format!("stuck: others: {error}"))?;
                    let mut members = match row.as_ref().map(Record::to_map) {
                        Some(members) => Value::Object(members),
                        None => json!({}),
                    };
                    let mut change = tagged(&mut members, &tag);
                    change["id"] = id.into();
                    Ok(far::put(&*way, &table(KEPT), &record(&change.to_string())).await)
                });
                if done == Ok(true) {
                    self.books().acknowledge(&tag);
                }
                done.map(drop)
            }
            1 => {
                let row = record(&format!(r#"{{"id":"w{which}","n":{}}}"#, self.steps));
                finish(async { Ok(far::put(&*way, &table(WILD), &row).await) }).map(drop)
            }
            _ => {
                let id = RecordId::system(&format!("w{which}"));
                finish(async { Ok(far::delete(&*way, &table(WILD), &id).await) }).map(drop)
            }
        };
        self.findings.extend(done.err());
    }

    /// A request that its client gave up arrives after all; false if there is none.
    pub(super) fn late(&mut self) -> bool {
        let place = {
            let waiting = self.weather().late.0.len();
            self.dice.below(waiting)
        };
        let mut weather = self.weather();
        if place < weather.late.0.len() {
            let request = weather.late.0.swap_remove(place);
            drop(weather);
            self.tell(|| "a late request arrives".into());
            self.tasks.push(Task::late(request));
            return true;
        }
        false
    }
}

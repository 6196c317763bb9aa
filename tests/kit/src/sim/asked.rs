//! While a person is asked nothing waits for the answer but who asked.

use super::act::{Action, Actor, act};
use super::client::{Client, Opened, Seat};
use super::task::Task;
use super::world::World;

/// Turns within which all that a client does has to end while a person decides.
const PATIENCE: usize = 50_000;

impl World {
    /// How many questions are open at a client.
    pub(super) fn open_questions(&self, number: usize) -> usize {
        let client = self.clients.get(number);
        let person = client.and_then(|client| client.person.as_ref());
        person.map_or(0, |person| person.questions().open)
    }

    /// Whoever asked does not move on, and all else of the client comes to its end: what it was at, and a pull of each table.
    pub(super) fn while_asked(&mut self, number: usize) {
        self.tell(|| format!("client {number}: all goes on while a person decides"));
        for context in 0..self.clients.get(number).map_or(0, Client::contexts) {
            let seat = Seat {
                client: number,
                context,
            };
            let client = self.clients.get(number);
            let opened = client.and_then(|client| client.context(context)).cloned();
            if let Some(opened) = opened {
                self.pull_all(seat, &opened);
            }
        }
        for _ in 0..PATIENCE {
            let others = |task: &Task| task.is_of_client(number) && !task.asks();
            let places: Vec<usize> = (0..self.tasks.len())
                .filter(|place| others(&self.tasks[*place]))
                .collect();
            if places.is_empty() || !self.findings.is_empty() {
                return;
            }
            let place = places[self.dice.below(places.len())];
            self.poll(place);
        }
        self.findings
            .push(format!("stuck: client {number} waits for a person"));
    }

    fn pull_all(&mut self, seat: Seat, opened: &Opened) {
        for table in 0..self.shareds.tables.len() {
            let action = Action::Pull(table);
            let actor = Actor {
                seat,
                has_rivals: self.has_rivals(seat.client),
                signpost: opened.signpost.clone(),
                told: self.setting.told.then_some(self.steps),
            };
            let pull = act(opened.sync.clone(), action, self.shareds.clone(), actor);
            self.tasks.push(Task::new(seat, pull));
        }
    }
}

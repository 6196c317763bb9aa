//! Calls that a program gives up while it goes on, and commits that its disk does when nobody waits for them any more.

use std::hash::Hash;

use super::client::Client;
use super::world::World;

impl World {
    /// The program of a client gives up something that it does, or its disk does a commit that was given up.
    pub(super) fn late_commit(&mut self, number: usize) {
        let disk = self.clients.get(number).and_then(Client::disk);
        let Some(disk) = disk.filter(|disk| disk.holds()) else {
            return;
        };
        let held = disk.held();
        if held > 0 && self.dice.permille(300) {
            let place = self.dice.below(held);
            let done = disk.land(place).is_some_and(|done| done.is_ok());
            (self.steps, done).hash(&mut self.trace);
            return self.tell(|| format!("client {number}: a late commit, done: {done}"));
        }
        let is_of = |place: &usize| self.tasks[*place].is_of_client(number);
        let places: Vec<usize> = (0..self.tasks.len()).filter(is_of).collect();
        if let Some(place) = places.get(self.dice.below(places.len())) {
            drop(self.tasks.swap_remove(*place));
            self.tell(|| format!("client {number} gives up what it does"));
        }
    }

    /// Disks do what they held back; true if there was anything.
    pub(super) fn land_commits(&self) -> bool {
        let mut any = false;
        for (number, client) in self.clients.iter().enumerate() {
            while let Some(done) = client.disk().and_then(|disk| disk.land(0)) {
                let done = done.is_ok();
                self.tell(|| format!("client {number}: a late commit, done: {done}"));
                any = true;
            }
        }
        any
    }
}

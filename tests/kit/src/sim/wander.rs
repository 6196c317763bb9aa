//! Clients are pointed at another server, others sign in there, and servers and accounts get other names.

use synctable_core::Error;

use super::act::answer;
use super::client::Seat;
use super::realms::Mark;
use super::world::{World, finish};

impl World {
    /// A realm gets another name, or a client another realm.
    pub(super) fn wander(&mut self, number: usize) {
        let realm = self.dice.below(self.realms.len());
        let mark = self.realms.mark();
        if self.dice.permille(250) {
            if mark == Mark::Mixed && self.dice.permille(500) {
                self.tell(|| format!("the server of realm {realm} is another release"));
                return self.realms.upgrade(realm);
            }
            self.tell(|| format!("realm {realm} gets another name"));
            return self.realms.rename(realm);
        }
        let named = self.clients.get_mut(number).is_none_or(|client| {
            // Who signs in for the first time is the one whose rows these are.
            mark != Mark::Account || !client.name()
        });
        if !named {
            self.tell(|| format!("client {number} gets an account"));
            return self.crash(number);
        }
        // A store that has met nobody takes the next server, or account, for its own, and what it has is theirs.
        if !matches!(self.home_of(number), Ok(Some(_))) {
            return;
        }
        self.tell(|| format!("client {number} is pointed at realm {realm}"));
        if let Some(client) = self.clients.get_mut(number) {
            client.point(realm);
        }
        let goes_on = self.dice.permille(500);
        match mark {
            // Whoever is signed in: requests of the one before get no token from now on.
            Mark::Account if goes_on => {}
            // The server behind the address is another one from one request to the next. A push that had asked would not know.
            Mark::Id if goes_on => self.give_up(number),
            _ if self.has_rivals(number) && goes_on => {
                let seat = self.seat_of(number);
                self.close(seat);
            }
            _ => self.crash(number),
        }
    }

    /// A program gives up all that it is at, and goes on.
    fn give_up(&mut self, number: usize) {
        self.tasks.retain(|task| !task.is_of_client(number));
        self.starting.retain(|seat, _| seat.client != number);
    }

    /// A window that was left open when its client was pointed elsewhere is closed at some time.
    pub(super) fn close_what_was_left(&mut self, seat: Seat) {
        let client = self.clients.get(seat.client);
        let opened = client.and_then(|client| client.context(seat.context));
        let signpost = opened.and_then(|opened| opened.signpost.as_ref());
        if signpost.is_some_and(|signpost| !signpost.is_current()) && self.dice.permille(300) {
            self.close(seat);
        }
    }

    /// The realm that a client's store belongs to, if it knows one.
    pub(super) fn home_of(&self, number: usize) -> Result<Option<usize>, String> {
        let Some(client) = self.clients.get(number) else {
            return Ok(None);
        };
        let (realms, store) = (&self.realms, client.store());
        finish(async {
            let home = realms.home_of(store.as_ref()).await;
            home.map_err(|error| format!("stuck: client {number}: {error:?}"))
        })
    }

    /// Points a client at a realm, as nobody would know better, and starts its program again where it was told another one.
    pub(super) fn send_to(&mut self, number: usize, realm: usize) {
        let Some(client) = self.clients.get_mut(number) else {
            return;
        };
        client.point(realm);
        let left = (0..client.contexts()).any(|context| {
            let opened = client.context(context);
            let signpost = opened.and_then(|opened| opened.signpost.as_ref());
            signpost.is_some_and(|signpost| !signpost.is_current())
        });
        if left {
            client.crash(&mut self.dice);
        }
    }

    /// Some clients end in another realm than they were in: they are told so, let go what they have, and lack nothing of the other.
    pub(super) fn last_moves(&mut self) -> Result<(), String> {
        if self.realms.len() == 1 {
            return Ok(());
        }
        for number in self.numbers() {
            let Some(home) = self.home_of(number)?.filter(|_| self.dice.permille(600)) else {
                continue;
            };
            let realm = (home + 1) % self.realms.len();
            self.tell(|| format!("client {number} moves to realm {realm}"));
            if let Some(client) = self.clients.get_mut(number) {
                client.name();
                client.point(realm);
                client.crash(&mut self.dice);
            }
            let seat = Seat {
                client: number,
                context: 0,
            };
            let opened = self.opened(seat)?;
            let Some(signpost) = opened.signpost else {
                continue;
            };
            let sync = opened.sync;
            finish(async move {
                match sync.check_identity().await {
                    Err(Error::ServerChanged { .. } | Error::AccountChanged { .. }) => {}
                    other => {
                        return Err(format!("mixed: {seat} takes all for the same: {other:?}"));
                    }
                }
                let answered = answer(&sync, &signpost, false).await;
                answered.map_err(|error| format!("stuck: {seat}: {error:?}"))
            })?;
        }
        Ok(())
    }
}

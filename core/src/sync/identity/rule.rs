//! The rules, without I/O: which server is the same one, and which account may go on.

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// What is known of a server. What is not known contradicts nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServerIdentity {
    /// What it announces of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// What the application calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Its normalised URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
}

impl ServerIdentity {
    /// True where the server that is seen now is another one than this.
    ///
    /// The strongest that is known of both decides: the announced id, else the application's name, else the address. So an
    /// answer without an id contradicts nothing at the same address, and an id that is announced for the first time there is
    /// no change.
    pub(crate) fn contradicts(&self, seen: &Self) -> bool {
        let both = [
            (&self.id, &seen.id),
            (&self.name, &seen.name),
            (&self.address, &seen.address),
        ];
        both.into_iter()
            .find_map(|pair| match pair {
                (Some(known), Some(seen)) => Some(known != seen),
                _ => None,
            })
            .unwrap_or(false)
    }

    /// This server with what is seen of it now. An id that was announced once is not forgotten.
    pub(crate) fn joined(&self, seen: &Self) -> Self {
        let newer = |seen: &Option<String>, known: &Option<String>| seen.clone().or(known.clone());
        Self {
            id: newer(&seen.id, &self.id),
            name: newer(&seen.name, &self.name),
            address: newer(&seen.address, &self.address),
        }
    }

    /// True where an answer of the server has to be seen before anything is written to it: where it has an id, and where it is met at
    /// a place or under a name for the first time. So it is known where a change was sent, however the call ends.
    pub(crate) fn must_be_asked(&self, seen: &Self) -> bool {
        seen.id.is_none() && (self.id.is_some() || self.joined(seen) != *self)
    }

    /// The two in words, told apart.
    fn words(&self, other: &Self) -> String {
        let address = self
            .address
            .as_ref()
            .filter(|_| self.address != other.address);
        let name = self.name.as_ref().filter(|_| self.name != other.name);
        let id = self
            .id
            .as_ref()
            .map(|id| format!("the one with the id {id}"));
        let place = self.address.as_ref().or(self.name.as_ref());
        match (address.or(name), id, place) {
            (Some(place), _, _) | (None, None, Some(place)) => place.clone(),
            (None, Some(id), _) => id,
            (None, None, None) => "one without a name".into(),
        }
    }

    /// The error that says so.
    pub(crate) fn changed(&self, seen: &Self) -> Error {
        Error::ServerChanged {
            was: self.words(seen),
            now: seen.words(self),
        }
    }
}

/// Whether a push or pull may go on for an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    /// It is the store's.
    Same,
    /// The store has none yet, and nothing waits that somebody else may have made.
    Adopt,
    /// Somebody has to decide.
    Changed,
}

impl Account {
    /// `known`: of the store; `given`: of the context, where `None` means whatever the store knows.
    pub(crate) fn of(known: Option<&str>, given: Option<&str>, pending: bool) -> Self {
        match (known, given) {
            (_, None) => Self::Same,
            (Some(known), Some(given)) if known == given => Self::Same,
            (None, Some(_)) if !pending => Self::Adopt,
            _ => Self::Changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Few values, so that equal ones are common.
    fn word() -> impl Strategy<Value = Option<String>> {
        prop::option::of(prop_oneof!["a", "b", "c"].prop_map(String::from))
    }

    fn identity() -> impl Strategy<Value = ServerIdentity> {
        (word(), word(), word()).prop_map(|(id, name, address)| ServerIdentity {
            id,
            name,
            address,
        })
    }

    fn at(id: Option<&str>, address: &str) -> ServerIdentity {
        ServerIdentity {
            id: id.map(Into::into),
            name: None,
            address: Some(address.into()),
        }
    }

    #[test]
    fn an_upgrade_a_rollback_and_an_upgrade_are_one_server() {
        let mut known = ServerIdentity::default();
        for id in [None, Some("x"), None, Some("x")] {
            let seen = at(id, "http://s");
            assert!(!known.contradicts(&seen), "{known:?} {seen:?}");
            known = known.joined(&seen);
        }
        assert!(known.contradicts(&at(Some("y"), "http://s")));
        assert!(!known.contradicts(&at(Some("x"), "http://t")));
        assert!(known.contradicts(&at(None, "http://t")));
    }

    #[test]
    fn the_application_has_a_say_where_nothing_is_announced() {
        let named = |name: &str, address| ServerIdentity {
            name: Some(name.into()),
            ..at(None, address)
        };
        assert!(!named("work", "http://s").contradicts(&named("work", "http://t")));
        assert!(named("work", "http://s").contradicts(&named("home", "http://s")));
        assert!(!at(None, "http://s").contradicts(&named("work", "http://s")));
    }

    #[test]
    fn the_words_tell_the_two_apart() {
        for (known, seen) in [
            (at(Some("x"), "http://s"), at(Some("y"), "http://s")),
            (at(None, "http://s"), at(None, "http://t")),
            (at(Some("x"), "http://s"), at(Some("y"), "http://t")),
            (at(Some("x"), "http://s"), at(None, "http://t")),
        ] {
            assert!(known.contradicts(&seen));
            assert_ne!(known.words(&seen), seen.words(&known));
        }
    }

    #[test]
    fn accounts_are_adopted_only_where_nothing_waits() {
        for (known, given, pending, rule) in [
            (None, None, true, Account::Same),
            (Some("ada"), None, true, Account::Same),
            (Some("ada"), Some("ada"), true, Account::Same),
            (None, Some("ada"), false, Account::Adopt),
            (None, Some("ada"), true, Account::Changed),
            (Some("ada"), Some("bob"), false, Account::Changed),
        ] {
            assert_eq!(
                Account::of(known, given, pending),
                rule,
                "{known:?} {given:?}"
            );
        }
    }

    proptest! {
        /// What was taken in is the same afterwards, and two ids or two addresses of one server never make it another one.
        #[test]
        fn what_is_joined_is_the_same(known in identity(), seen in identity()) {
            if !known.contradicts(&seen) {
                let joined = known.joined(&seen);
                prop_assert!(!joined.contradicts(&seen));
                prop_assert_eq!(joined.joined(&seen), joined.clone());
                prop_assert!(known.id.is_none() || joined.id.is_some());
            }
        }

        #[test]
        fn ids_decide_where_both_are_known(known in identity(), seen in identity()) {
            if known.id.is_some() && seen.id.is_some() {
                prop_assert_eq!(known.contradicts(&seen), known.id != seen.id);
            }
        }

        #[test]
        fn nothing_known_is_no_contradiction(seen in identity()) {
            let nothing = ServerIdentity::default();
            prop_assert!(!nothing.contradicts(&seen) && !seen.contradicts(&nothing));
            // But it is remembered before anything is sent, where there is something to remember.
            let has_something = seen.id.is_none() && seen != nothing;
            prop_assert_eq!(nothing.must_be_asked(&seen), has_something);
        }

        /// Who is not asked before a write has not been seen under an id, and is where it was.
        #[test]
        fn who_is_not_asked_cannot_be_another(known in identity(), seen in identity()) {
            if seen.id.is_none() && !known.must_be_asked(&seen) {
                prop_assert!(known.id.is_none() && !known.contradicts(&seen));
            }
        }

        /// One server, some of whose releases announce its id, never is another one; a second one that announces an id
        /// is noticed at the latest when the first was seen with its own.
        #[test]
        fn one_server_stays_and_a_second_is_noticed(announced in prop::collection::vec(any::<bool>(), 0..8)) {
            let mut known = ServerIdentity::default();
            for announces in &announced {
                let seen = at(announces.then_some("x"), "http://s");
                prop_assert!(!known.contradicts(&seen));
                known = known.joined(&seen);
            }
            let noticed = known.contradicts(&at(Some("y"), "http://s"));
            prop_assert_eq!(noticed, announced.contains(&true));
            prop_assert_eq!(known.contradicts(&at(None, "http://t")), !announced.is_empty());
        }
    }
}

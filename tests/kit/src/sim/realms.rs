//! Realms: the rows of one server each, or of one account at it. A client's store belongs to one of them at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use synctable_core::store::{LocalStore, LocalStoreExt, StoreError};
use synctable_core::{Record, RecordId};

use super::dice::Dice;
use super::far::FarSide;
use crate::fixture::table;

/// Why there is more than one realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Split {
    /// Clients are pointed at another server.
    Servers,
    /// Others sign in at a client.
    Accounts,
}

/// By what clients tell realms apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Servers at one address announce ids.
    Id,
    /// Servers have addresses and announce nothing.
    Address,
    /// The application has names for servers, all at one address.
    Name,
    /// Servers have addresses, and sometimes announce ids.
    Mixed,
    /// Users of one server have accounts.
    Account,
}

/// How a realm looks to a client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Face {
    pub(crate) id: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) account: Option<String>,
}

/// All realms of a history.
#[derive(Debug)]
pub(crate) struct Realms {
    far: Vec<Arc<dyn FarSide>>,
    mark: Mark,
    names: Mutex<Names>,
}

#[derive(Debug, Default)]
struct Names {
    faces: Vec<Face>,
    /// Every name that a realm ever had.
    known: Vec<(String, usize)>,
}

impl Realms {
    /// One server, and nobody asks who it is.
    pub(crate) fn one(far: Arc<dyn FarSide>) -> Self {
        Self {
            far: vec![far],
            mark: Mark::Address,
            names: Mutex::new(Names {
                faces: vec![Face::default()],
                known: Vec::new(),
            }),
        }
    }

    pub(crate) fn several(far: Vec<Arc<dyn FarSide>>, split: Split, dice: &mut Dice) -> Self {
        let marks = [Mark::Id, Mark::Address, Mark::Name, Mark::Mixed];
        let mark = match split {
            Split::Servers => marks[dice.below(marks.len())],
            Split::Accounts => Mark::Account,
        };
        let realms = Self {
            names: Mutex::new(Names {
                faces: vec![Face::default(); far.len()],
                known: Vec::new(),
            }),
            mark,
            far,
        };
        for realm in 0..realms.far.len() {
            realms.rename(realm);
        }
        realms
    }

    pub(crate) fn len(&self) -> usize {
        self.far.len()
    }

    pub(crate) fn far(&self) -> &[Arc<dyn FarSide>] {
        &self.far
    }

    pub(crate) fn mark(&self) -> Mark {
        self.mark
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn face(&self, realm: usize) -> Face {
        self.names().faces[realm].clone()
    }

    /// The same rows under another name.
    pub(crate) fn rename(&self, realm: usize) {
        let mut names = self.names();
        let word = format!("{}-{realm}", names.known.len());
        let face = &mut names.faces[realm];
        let place = match self.mark {
            Mark::Id => &mut face.id,
            // One that moves says who it is, else the application could not know it for the same.
            Mark::Address | Mark::Mixed => &mut face.address,
            Mark::Name => &mut face.name,
            Mark::Account => &mut face.account,
        };
        *place = Some(word.clone());
        names.known.push((word, realm));
    }

    /// Another release of the server: it announces its id now, or does not any more.
    pub(crate) fn upgrade(&self, realm: usize) {
        let mut names = self.names();
        let word = format!("id-of-{realm}");
        let id = &mut names.faces[realm].id;
        *id = match id {
            None => Some(word.clone()),
            Some(_) => None,
        };
        if !names.known.iter().any(|(known, _)| *known == word) {
            names.known.push((word, realm));
        }
    }

    /// The realm that ever had this name.
    pub(crate) fn named(&self, word: &str) -> Option<usize> {
        let names = self.names();
        let mut known = names.known.iter();
        known.find(|(known, _)| known == word).map(|known| known.1)
    }

    /// The realm that a store belongs to, by the row in which it remembers that.
    pub(crate) fn whose(&self, home: &Record) -> Option<usize> {
        let members: Value = serde_json::from_str(home.body()).ok()?;
        let names: &[&str] = match self.mark {
            Mark::Account => &["account"],
            _ => &["id", "name", "address"],
        };
        let mut words = names.iter().filter_map(|name| members[*name].as_str());
        words.find_map(|word| self.named(word))
    }

    /// As [`whose`](Self::whose), of a store.
    pub(crate) async fn home_of(
        &self,
        store: &dyn LocalStore,
    ) -> Result<Option<usize>, StoreError> {
        let (meta, id) = (table("__meta"), RecordId::system("home"));
        let row = store.get_one(&meta, &id).await?;
        Ok(row.and_then(|row| self.whose(&row)))
    }
}

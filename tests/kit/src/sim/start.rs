//! How a history begins: what its seed gives to the servers, the network and each client.

use std::collections::BTreeMap;
use std::hash::DefaultHasher;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use synctable_core::Declarations;
use synctable_core::sync::ConflictPolicy;

use super::Setting;
use super::act::{KEPT, PASSING, Shareds, WILD, own_schema};
use super::application::Users;
use super::client::{Client, Parts, Watch};
use super::dice::Dice;
use super::far::FarSide;
use super::history::History;
use super::line::{Line, Weather};
use super::person::Person;
use super::realms::{Realms, Split};
use super::trouble::Trouble;
use super::witness::Witness;
use super::world::World;
use crate::fixture::{Store, table};

/// The choice of clients whose disks do commits late.
const LATE_COMMITS: u64 = u64::MAX - 1;
/// The choice of clients whose programs open two contexts.
const CONTEXTS: u64 = u64::MAX - 1_000;

impl World {
    pub(crate) fn new(
        setting: &Setting,
        history: &History,
        stores: &[Store],
        users: Users,
        server: &dyn Fn(&Declarations, &mut Dice) -> Arc<dyn FarSide>,
    ) -> Self {
        let mut dice = Dice::new(history.seed);
        let schema = match &users {
            Users::Tagging => own_schema(),
            Users::Theirs(application) => application.schema(),
        };
        let own = match &users {
            Users::Tagging => None,
            Users::Theirs(application) => application.far_side(&mut dice),
        };
        let split = setting.split.filter(|_| own.is_none());
        let realms = Arc::new(match (own, split) {
            (Some(own), _) => Realms::one(own),
            (None, None) => Realms::one(server(&schema, &mut dice)),
            (None, Some(split)) => {
                let far = (0..2).map(|_| server(&schema, &mut dice)).collect();
                Realms::several(far, split, &mut dice)
            }
        });
        let shareds = Shareds {
            tables: match &users {
                Users::Tagging => [KEPT, WILD, PASSING].map(table).into(),
                Users::Theirs(_) => schema.tables().map(|(name, _)| name.clone()).collect(),
            },
            ledger: Arc::default(),
            users,
        };
        let calm = Arc::new(AtomicBool::new(false));
        let mut setting = setting.clone();
        setting.without.extend(&history.without);
        // Each history has its own kinds of trouble: rare combinations are met more often so.
        let troubles: Vec<Trouble> = Trouble::OF_REQUESTS
            .into_iter()
            .filter(|trouble| dice.permille(500) && !setting.without.contains(trouble))
            .collect();
        let weather = Arc::new(Mutex::new(Weather {
            troubles,
            permille: [0, 50, 150, 400][dice.below(4)],
            delay: dice.below(6),
            ..Weather::default()
        }));
        let shared = Arc::new(Mutex::new(Dice::new(dice.draw())));
        let disk_trouble = [0, 0, 5, 30][dice.below(4)];
        let disk_trouble = if setting.without.contains(&Trouble::Disk) {
            0
        } else {
            disk_trouble
        };
        let late_commits = !setting.without.contains(&Trouble::LateCommit);
        // An application may count on being alone at its store, and has a policy of its own.
        let chance = |trouble: Trouble, chance: u32| match &shareds.users {
            Users::Tagging if !setting.without.contains(&trouble) => chance,
            _ => 0,
        };
        let second_contexts = chance(Trouble::Contexts, setting.chances.contexts);
        let asked = chance(Trouble::Handlers, setting.chances.handlers);
        let clients = stores
            .iter()
            .zip(0..)
            .map(|(store, number)| {
                // With dice of its own: without this trouble the history goes as it would otherwise.
                let mut own = Dice::of_part(history.seed, LATE_COMMITS - number);
                let mut contexts = Dice::of_part(history.seed, CONTEXTS - number);
                let watch: Arc<Watch> = Arc::default();
                let person = contexts.permille(asked);
                let person = person.then(|| Person::new(&watch, &shared));
                let policy = [ConflictPolicy::Merge, ConflictPolicy::Park][dice.below(2)].clone();
                let waits = dice.permille(500);
                let line = Line::new(Arc::clone(&weather), Arc::clone(&shared));
                let far = realms.far().iter();
                let client = usize::try_from(number).unwrap_or_default();
                let post = contexts.below(realms.len());
                let named = contexts.permille(700);
                if split == Some(Split::Accounts) {
                    let mut books = shareds.ledger.lock();
                    let books = books.as_mut().unwrap_or_else(|poisoned| poisoned.get_mut());
                    books.set_home(client, Some(post));
                }
                Client::new(Parts {
                    store: Arc::clone(store),
                    ways: far.map(|far| far.connect(line.clone())).collect(),
                    post: Arc::new(Mutex::new(post)),
                    named,
                    witness: split.map(|_| Witness::new(client, &shareds.ledger, &realms)),
                    realms: Arc::clone(&realms),
                    schema: schema.clone(),
                    dice: Arc::clone(&shared),
                    policy: match &shareds.users {
                        Users::Tagging => match &person {
                            Some(person) => ConflictPolicy::custom(person.clone()),
                            None => policy,
                        },
                        Users::Theirs(application) => application.conflicts(),
                    },
                    watch,
                    person,
                    waits,
                    disk_trouble,
                    calm: Arc::clone(&calm),
                    holds: own.permille(500) && late_commits,
                    contexts: 1 + usize::from(contexts.permille(second_contexts)),
                })
            })
            .collect();
        Self {
            setting,
            history: history.clone(),
            dice,
            shared,
            others: (realms.far().iter())
                .map(|far| far.connect(Line::calm()))
                .collect(),
            realms,
            weather,
            calm,
            clients,
            tasks: Vec::new(),
            starting: BTreeMap::new(),
            shareds,
            trace: DefaultHasher::new(),
            findings: Vec::new(),
            steps: 0,
        }
    }
}

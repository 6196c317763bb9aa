//! Mistakes that can be switched on, so that a test can show that the simulator finds them. Only with the feature
//! `planted-bugs`; without it every switch is the constant `false`.

/// True while the mistake is switched on.
macro_rules! planted {
    ($bug:ident) => {{
        #[cfg(feature = "planted-bugs")]
        let on = $crate::planted::is($crate::planted::Bug::$bug);
        #[cfg(not(feature = "planted-bugs"))]
        let on = $crate::planted::off();
        on
    }};
}
pub(crate) use planted;

#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn off() -> bool {
    false
}

#[cfg(feature = "planted-bugs")]
mod switch {
    use std::cell::Cell;

    /// A mistake in the protocol of the engine.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Bug {
        /// A pull asks for what is strictly behind its position, though the server does not promise unique times.
        GreaterForGreaterOrEqual,
        /// A page that lies in one millisecond is left behind without walking it by id.
        TieAtPageEdge,
        /// The position of a pull is stored before the rows.
        TokenBeforeRows,
        /// The position of a pull is the server's clock instead of the newest row.
        TokenFromTheClock,
        /// A pull writes over records with pending operations.
        PullOverPending,
        /// Tombstones are not applied.
        TombstonesIgnored,
        /// Writes do not name the version they are based on.
        NoIfMatch,
        /// A second edit joins an operation that is at the server.
        CollapseInFlight,
        /// An insert that may be at the server is dropped together with its delete.
        DropAfterAttempt,
        /// The server's answer is written over a newer edit.
        AnswerOverEdit,
        /// An edit behind an acknowledged operation keeps the old base.
        OldBaseOfSuccessor,
        /// Operations are not marked before they are sent.
        NotMarked,
        /// An operation whose answer was lost is sent again without asking.
        NoQuestionAfterLostAnswer,
        /// A lost answer counts as done.
        LostAnswerIsDone,
        /// Whatever the server holds after a lost answer is taken for the operation's effect.
        AnyRowIsOurs,
        /// A conflict counts as done.
        ConflictIsDone,
        /// A counter is merged though the change may be in already.
        CountsUnsureChanges,
        /// A merge does not look at the base.
        MergeWithoutBase,
        /// After a decision the operation is not based on what the server was seen to hold.
        OldBaseAfterDecision,
        /// A purge takes no notice of pending operations.
        PurgeOfPending,
        /// The decision on a conflict is carried out over a newer edit.
        DecisionOverEdit,
        /// An operation is sent together with an earlier one on the same record.
        SuccessorsTogether,
    }

    impl Bug {
        /// All mistakes.
        pub const ALL: [Self; 22] = [
            Self::GreaterForGreaterOrEqual,
            Self::TieAtPageEdge,
            Self::TokenBeforeRows,
            Self::TokenFromTheClock,
            Self::PullOverPending,
            Self::TombstonesIgnored,
            Self::NoIfMatch,
            Self::CollapseInFlight,
            Self::DropAfterAttempt,
            Self::AnswerOverEdit,
            Self::OldBaseOfSuccessor,
            Self::NotMarked,
            Self::NoQuestionAfterLostAnswer,
            Self::LostAnswerIsDone,
            Self::AnyRowIsOurs,
            Self::ConflictIsDone,
            Self::CountsUnsureChanges,
            Self::MergeWithoutBase,
            Self::OldBaseAfterDecision,
            Self::PurgeOfPending,
            Self::DecisionOverEdit,
            Self::SuccessorsTogether,
        ];
    }

    thread_local! {
        static ON: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Switches one mistake on in this thread, or all off.
    pub fn plant(bug: Option<Bug>) {
        ON.set(bug);
    }

    pub(crate) fn is(bug: Bug) -> bool {
        ON.get() == Some(bug)
    }
}

#[cfg(feature = "planted-bugs")]
pub(crate) use switch::is;
#[cfg(feature = "planted-bugs")]
pub use switch::{Bug, plant};

/// True while the row of the policy's table at this place is turned around.
macro_rules! planted_row {
    ($place:expr) => {{
        #[cfg(feature = "planted-bugs")]
        let on = $crate::planted::is_row($place);
        #[cfg(not(feature = "planted-bugs"))]
        let on = $crate::planted::no_row($place);
        on
    }};
}
pub(crate) use planted_row;

#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn no_row(_: usize) -> bool {
    false
}

#[cfg(feature = "planted-bugs")]
mod rows {
    use std::cell::Cell;

    thread_local! {
        static TURNED: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// Turns one row of the policy's table around in this thread, or none.
    pub fn turn_row(place: Option<usize>) {
        TURNED.set(place);
    }

    pub(crate) fn is_row(place: usize) -> bool {
        TURNED.get() == Some(place)
    }

    /// The names of the rows, in their order.
    pub fn row_names() -> Vec<&'static str> {
        let rows = crate::sync::push_policy_rows();
        rows.iter().map(|row| row.name).collect()
    }
}

#[cfg(feature = "planted-bugs")]
pub(crate) use rows::is_row;
#[cfg(feature = "planted-bugs")]
pub use rows::{row_names, turn_row};

//! The behaviours of the conformance kit, compiled once for all stores of this workspace.
//!
//! The body of an asynchronous function is compiled by each crate that awaits it: with the macros of the kit each test program compiles the
//! whole kit anew, and with it what the engine is made of. That is right for a store elsewhere, which has one or two such programs. Here are
//! a dozen, so that each behaviour is awaited by an ordinary function of this crate, and the macros [`engine_tests!`] and [`store_tests!`] make
//! tests that call these. They take the same words as those of the kit, which the stores of the examples are tested with.

#[doc(hidden)]
pub use synctable_testkit as testkit;

/// How behaviours are run: the runtime, and what their servers are like.
pub mod how {
    use std::pin::Pin;

    /// A behaviour on its way, whatever its type.
    type Story<'a> = Pin<&'a mut dyn Future<Output = ()>>;

    /// As [`synctable_testkit::run`].
    pub fn run(story: Story<'_>) {
        synctable_testkit::run(story);
    }

    /// As [`synctable_testkit::run_typed`].
    pub fn run_typed(story: Story<'_>) {
        synctable_testkit::run_typed(story);
    }

    /// One of them.
    pub type How = fn(Story<'_>);
}

/// Functions that run the behaviours of a group, and the words for them in a test program.
macro_rules! compiled {
    ($($at:ident)::+, $group:ident: $($behaviour:ident)+) => {
        #[doc = concat!("The behaviours of `", stringify!($group), "`.")]
        pub mod $group {
            use std::pin::pin;

            use $($at)::+::$group as behaviours;
            use synctable_testkit::Place;

            use crate::how::How;

            $(
                #[doc = concat!("`", stringify!($behaviour), "`, over the store of a place.")]
                pub fn $behaviour(place: &dyn Place, how: How) {
                    how(pin!(behaviours::$behaviour(place)));
                }
            )+
        }
    };
}

/// What every store does.
pub mod store {
    macro_rules! of_kit {
        ($_any:ty, $($group:tt)+) => { compiled! { synctable_testkit, $($group)+ } };
    }
    macro_rules! groups {
        ($($group:ident)+) => {
            $(synctable_testkit::__store_group! { [of_kit], (), $group })+
        };
    }
    groups! { base changes long_keys model concurrent unordered contexts cancel schema_change persistent }
}

/// What the engine does over every store.
pub mod engine {
    synctable_testkit::__engine_groups! { [compiled] synctable_testkit::engine }
}

/// As [`synctable_testkit::engine_tests!`].
#[macro_export]
macro_rules! engine_tests {
    ($harness:ty) => {
        $crate::engine_tests!($harness, run);
    };
    ($harness:ty, $run:ident) => {
        $crate::testkit::__engine_groups! { [$crate::__engine_tests] $harness, $run }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __engine_tests {
    ($harness:ty, $run:ident, $group:ident: $($behaviour:ident)+) => {
        mod $group {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[test]
                fn $behaviour() {
                    let place = <$harness as Default>::default();
                    $crate::engine::$group::$behaviour(&place, $crate::how::$run);
                }
            )+
        }
    };
}

/// As [`synctable_testkit::store_tests!`].
#[macro_export]
macro_rules! store_tests {
    ($harness:ty; $($group:ident),+ $(,)?) => {
        $($crate::testkit::__store_group! { [$crate::__store_tests], $harness, $group })+

        #[test]
        fn the_groups_are_those_the_store_claims() {
            $crate::testkit::run($crate::testkit::assert_groups::<$harness>(&[$(stringify!($group)),+]));
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __store_tests {
    ($harness:ty, $group:ident: $($behaviour:ident)+) => {
        mod $group {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[test]
                fn $behaviour() {
                    let _asked = $crate::testkit::Asked::of(stringify!($group), stringify!($behaviour));
                    let place = <$harness as Default>::default();
                    $crate::store::$group::$behaviour(&place, $crate::how::run);
                }
            )+
        }
    };
    // They start processes of the program that calls, and are its own.
    ($harness:ty, $group:ident(lab): $($behaviour:ident)+) => {
        $crate::testkit::__store_tests! { $harness, $group(lab): $($behaviour)+ }
    };
}

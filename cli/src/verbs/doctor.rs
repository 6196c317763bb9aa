//! What is wrong with the store, the way to the server or the clock, in words, and what to do. Reads only.

mod checkup;
mod far_side;
mod store;

use self::checkup::Checkup;
use crate::args::Globals;
use crate::errors::{Done, Failure};
use crate::output::Output;

pub(crate) async fn doctor(globals: &Globals, output: &mut Output) -> Result<Done, Failure> {
    // Bad options are told as by every other verb.
    let schema = globals.schema()?;
    let mut checkup = Checkup::new(output);
    let found = store::check(globals, &mut checkup).await?;
    far_side::check(globals, &schema, found.as_ref(), &mut checkup).await?;
    checkup.end()
}

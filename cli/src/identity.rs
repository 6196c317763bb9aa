//! Options for a store that meets another server, or is used by another account.

use clap::Args;
use synctable::Error;
use synctable::sync::{AcceptServer, SwitchAccount, SyncContext};

use crate::errors::Failure;

/// Whose the store is, and what to do where that changes.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line")]
pub(crate) struct Identity {
    /// The name of the signed-in user; the store remembers it
    #[arg(long, global = true, value_name = "NAME", value_parser = account)]
    pub(crate) account: Option<String>,
    /// The server is the same one under another address or id: keep everything
    #[arg(long, global = true, conflicts_with = "new_server")]
    same_server: bool,
    /// If the server is another one, remove what came from the one before and start anew
    #[arg(long, global = true)]
    new_server: bool,
    /// The account is the same one under another name: keep everything
    #[arg(long, global = true, conflicts_with = "switch_account")]
    keep_data: bool,
    /// If the account is another one, remove what belongs to the one before and start anew
    #[arg(long, global = true)]
    switch_account: bool,
    /// With --new-server or --switch-account: also drop queued changes, which are lost
    #[arg(long = "discard", global = true)]
    discard_changes: bool,
}

fn account(name: &str) -> Result<String, &'static str> {
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        return Err("give a name");
    }
    Ok(name.to_owned())
}

impl Identity {
    /// Options that do not go together, and options that a verb has no use for.
    pub(crate) fn check(&self, asks_the_server: bool) -> Result<(), Failure> {
        for (one, other, words) in [
            (
                self.same_server,
                self.new_server,
                "--same-server and --new-server",
            ),
            (
                self.keep_data,
                self.switch_account,
                "--keep-data and --switch-account",
            ),
        ] {
            if one && other {
                return Err(Failure::bad_input(format!("{words} exclude each other")));
            }
        }
        if self.discard_changes && !self.new_server && !self.switch_account {
            return Err(Failure::bad_input(
                "--discard goes with --new-server or --switch-account; see also synctable discard",
            ));
        }
        if self.decides() && !asks_the_server {
            return Err(Failure::bad_input(
                "--same-server, --new-server, --keep-data and --switch-account go with push, pull, sync and verify --remote",
            ));
        }
        Ok(())
    }

    fn decides(&self) -> bool {
        self.same_server || self.new_server || self.keep_data || self.switch_account
    }

    /// Carries out what the options say, where the server or the account is another one.
    pub(crate) async fn settle(&self, sync: &SyncContext) -> Result<(), Failure> {
        if !self.decides() {
            return Ok(());
        }
        let discard = self.discard_changes;
        // First the account may be another one, then the server.
        for _ in 0..2 {
            match sync.check_identity().await {
                Ok(()) => return Ok(()),
                Err(Error::AccountChanged { .. }) if self.keep_data => {
                    sync.switch_account(SwitchAccount::Keep).await?;
                }
                Err(Error::AccountChanged { .. }) if self.switch_account => {
                    sync.switch_account(SwitchAccount::Switch { discard })
                        .await?;
                }
                Err(Error::ServerChanged { .. }) if self.same_server => {
                    sync.accept_server(AcceptServer::Same).await?;
                }
                Err(Error::ServerChanged { .. }) if self.new_server => {
                    sync.accept_server(AcceptServer::Other { discard }).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

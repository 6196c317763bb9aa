//! Who may ask the server that `serve` runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use synctable::server::{BearerToken, HostName, Origin, TableServerBuilder, Tls};

use crate::errors::Failure;
use crate::given::{self, WHOLE_FILE};

/// Options of `serve`.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Who may ask")]
pub(crate) struct Door {
    /// The environment variable with the token that who asks has to send, as `Authorization: Bearer` or `X-ZUMO-AUTH`
    #[arg(long, value_name = "VAR")]
    token_env: Option<String>,
    /// The server's certificate and those above it, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of the certificate, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Listen where other machines can ask, without a token or without TLS: the option of every command
    #[arg(from_global)]
    insecure: bool,
    /// A name under which the server is asked, besides localhost and the address that was reached. May be given several times
    #[arg(long, value_name = "NAME")]
    host: Vec<HostName>,
    /// Let pages of another origin ask: scheme and host as browsers tell them, or null. May be given several times
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<Origin>,
    /// Believe X-Forwarded-Proto and Forwarded from everywhere, not only from a proxy on this machine
    #[arg(long)]
    trust_proxy: bool,
}

impl Door {
    /// Refuses an address at which others could read and write, or read along, unless that is wanted.
    pub(crate) fn check(&self, listen: &str, addresses: &[SocketAddr]) -> Result<(), Failure> {
        let is_open = |address: &SocketAddr| !address.ip().to_canonical().is_loopback();
        let guarded = self.token_env.is_some() && self.tls_cert.is_some();
        if guarded || self.insecure || !addresses.iter().any(is_open) {
            return Ok(());
        }
        Err(Failure::bad_input(format!(
            "other machines can ask at {listen}; give --token-env VAR with --tls-cert FILE and --tls-key FILE, or --insecure where \
             everybody who gets there may read and write everything"
        )))
    }

    /// Whether the server speaks TLS itself.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls_cert.is_some()
    }

    /// Reads the token, the certificate and its key.
    pub(crate) fn secrets(&self) -> Result<Secrets, Failure> {
        let token = self.token_env.as_deref().map(token).transpose()?;
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(tls(certificate, key)?),
            _ => None,
        };
        Ok(Secrets { token, tls })
    }

    /// The server with these rules.
    pub(crate) fn apply(
        &self,
        secrets: Secrets,
        mut builder: TableServerBuilder,
    ) -> TableServerBuilder {
        if let Some(token) = secrets.token {
            builder = builder.access(Arc::new(token));
        }
        if let Some(tls) = secrets.tls {
            builder = builder.tls(tls);
        }
        for host in &self.host {
            builder = builder.host(host.clone());
        }
        for origin in &self.allow_origin {
            builder = builder.allow_origin(origin.clone());
        }
        builder.trust_proxy(self.trust_proxy)
    }
}

/// What the options name and do not hold.
#[derive(Debug)]
pub(crate) struct Secrets {
    token: Option<BearerToken>,
    tls: Option<Tls>,
}

fn tls(certificate: &Path, key: &Path) -> Result<Tls, Failure> {
    let read = |path| given::read(path, WHOLE_FILE, "");
    Tls::from_pem(&read(certificate)?, &read(key)?).map_err(|error| {
        let of = format!("{} and {}", certificate.display(), key.display());
        Failure::bad_input(format!("{of}: {error}"))
    })
}

fn token(variable: &str) -> Result<BearerToken, Failure> {
    let token = given::variable(variable, "of --token-env")?;
    BearerToken::new(&token).map_err(|error| {
        Failure::bad_input(format!("the environment variable {variable}: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_machines_need_a_token_and_tls_or_the_word_insecure() {
        let door = |token: bool, tls: bool, insecure| Door {
            token_env: token.then(|| "VAR".to_owned()),
            tls_cert: tls.then(|| "cert.pem".into()),
            tls_key: tls.then(|| "key.pem".into()),
            insecure,
            ..Door::default()
        };
        let check = |door: Door, addresses: &[&str]| {
            let addresses: Vec<SocketAddr> = addresses
                .iter()
                .filter_map(|text| text.parse().ok())
                .collect();
            door.check("x", &addresses).is_ok()
        };
        for (address, open) in [
            ("127.0.0.1:80", false),
            ("127.1.2.3:80", false),
            ("[::1]:80", false),
            ("[::ffff:127.0.0.1]:80", false),
            ("0.0.0.0:80", true),
            ("[::]:80", true),
            ("192.168.0.1:80", true),
            ("[fe80::1]:80", true),
        ] {
            assert_eq!(
                check(door(false, false, false), &[address]),
                !open,
                "{address}"
            );
            assert_eq!(
                check(door(true, false, false), &[address]),
                !open,
                "{address}"
            );
            assert_eq!(
                check(door(false, true, false), &[address]),
                !open,
                "{address}"
            );
            assert!(check(door(true, true, false), &[address]), "{address}");
            assert!(check(door(false, false, true), &[address]), "{address}");
            // A name may stand for several.
            let several = ["127.0.0.1:80", address];
            assert_eq!(
                check(door(false, false, false), &several),
                !open,
                "{address}"
            );
        }
    }
}

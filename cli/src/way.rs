//! The way to the server: what goes with each request, and where secrets may go.

use std::path::PathBuf;

use clap::Args;
use synctable::http::{AuthHeader, Dialect, HttpTransport, HttpTransportBuilder, is_secret_header};
use synctable::sync::SyncContext;

use crate::errors::{Failure, say};
use crate::given::{self, WHOLE_FILE};

/// The setting under which a store remembers which secrets were told to go to which server: its URL, and behind it, line by line, where
/// they come from.
pub(crate) const TOLD: &str = "told-secrets";

/// Options for requests to a server.
#[derive(Debug, Args)]
pub(crate) struct Way {
    /// The environment variable with the token for the server
    #[arg(long, global = true, value_name = "VAR")]
    auth_env: Option<String>,
    /// A header for each request; may be given several times
    #[arg(long, global = true, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// A header whose value, a secret, is in an environment variable; may be given several times
    #[arg(long, global = true, value_name = "NAME=VAR", value_parser = header_env)]
    header_env: Vec<(String, String)>,
    /// Send tokens and secret headers to another machine over plain http://, too. With serve: listen where other machines can ask, without a
    /// token or without TLS
    #[arg(long, global = true)]
    insecure: bool,
    /// Root certificates, as PEM, to trust beside those of this machine
    #[arg(long, global = true, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The certificate to show to a server that asks for one, and those above it, as PEM
    // What the two need of each other is checked where they are read: before and behind the verb, clap would miss one.
    #[arg(long, global = true, value_name = "FILE")]
    client_cert: Option<PathBuf>,
    /// The key of the client certificate, as PEM
    #[arg(long, global = true, value_name = "FILE")]
    client_key: Option<PathBuf>,
}

impl Way {
    /// The way to the server at `url`. Secrets that others could read on the way there are refused.
    pub(crate) fn to(&self, url: &str, dialect: Dialect) -> Result<HttpTransportBuilder, Failure> {
        let mut builder = HttpTransport::builder(url).dialect(dialect);
        for (name, value) in &self.header {
            builder = builder.header(name, value);
        }
        for (name, variable) in &self.header_env {
            builder = builder.secret_header(name, given::variable(variable, "of --header-env")?);
        }
        if let Some(variable) = &self.auth_env {
            let header = match dialect {
                Dialect::Zumo2 | Dialect::Zumo3 => AuthHeader::XZumoAuth,
                _ => AuthHeader::Bearer,
            };
            builder = builder.token(given::variable(variable, "of --auth-env")?, header);
        }
        if !self.insecure && builder.would_expose_secrets() {
            return Err(Failure::bad_input(format!(
                "a token would go to {url} over plain http://, where others can read it; give --remote https://.., or --insecure where the \
                 way there is safe"
            )));
        }
        if let Some(path) = &self.ca_file {
            builder = builder.trust_also(given::read(path, WHOLE_FILE, "")?);
        }
        match (&self.client_cert, &self.client_key) {
            (Some(certificate), Some(key)) => {
                builder = builder.client_certificate(
                    given::read(certificate, WHOLE_FILE, "")?,
                    given::read(key, WHOLE_FILE, "")?,
                );
            }
            (None, None) => {}
            _ => {
                return Err(Failure::bad_input(
                    "--client-cert and --client-key go together",
                ));
            }
        }
        Ok(builder
            .allow_plain_tokens(self.insecure)
            .proxies_of_environment())
    }

    /// Where the secrets of this command come from. No secret is in it.
    fn sources(&self) -> Vec<String> {
        let of = |variable: &String, option: &str| format!("the secret in {variable} ({option})");
        let token = self.auth_env.iter();
        let token = token.map(|variable| of(variable, "--auth-env"));
        let hidden = self.header_env.iter();
        let hidden = hidden.map(|(name, variable)| of(variable, &format!("--header-env {name}")));
        let shown = self.header.iter().map(|(name, _)| name);
        let shown = shown.filter(|name| is_secret_header(name));
        let shown = shown.map(|name| format!("the secret of --header {name}"));
        token.chain(hidden).chain(shown).collect()
    }

    /// Says where secrets go that nobody has sent there from this store: to a server that the store, and not the command, names. Gives
    /// what the store is to remember, if that is new.
    pub(crate) fn tell(
        &self,
        url: &str,
        told: Option<&str>,
        quiet: bool,
    ) -> Result<Option<String>, Failure> {
        let new = self.untold(url, told);
        if new.is_empty() {
            return Ok(None);
        }
        let sources = new.join(", ");
        if quiet {
            return Err(Failure::bad_input(format!(
                "{url}, which this store remembers, would get {sources} for the first time; give --remote {url} if it may, or leave out \
                 --quiet"
            )));
        }
        say(&format!(
            "{url}, which this store remembers, gets {sources}"
        ));
        Ok(Some(self.remembered(url, told)))
    }

    /// Keeps in the store that the secrets of this command go to `url`, as the command says so itself.
    pub(crate) async fn keep_told(&self, sync: &SyncContext, url: &str) -> Result<(), Failure> {
        let told = sync.setting(TOLD).await?;
        if !self.untold(url, told.as_deref()).is_empty() {
            let text = self.remembered(url, told.as_deref());
            sync.set_setting(TOLD, &text).await?;
        }
        Ok(())
    }

    /// The sources of this command that are not in what the store remembers.
    fn untold(&self, url: &str, told: Option<&str>) -> Vec<String> {
        let mut lines = told.unwrap_or_default().lines();
        let known: Vec<&str> = if lines.next() == Some(url) {
            lines.collect()
        } else {
            Vec::new()
        };
        let mut sources = self.sources();
        sources.retain(|source| !known.contains(&source.as_str()));
        sources
    }

    fn remembered(&self, url: &str, told: Option<&str>) -> String {
        let before = told.filter(|text| text.lines().next() == Some(url));
        let mut lines = vec![before.unwrap_or(url).to_owned()];
        lines.extend(self.untold(url, told));
        lines.join("\n")
    }
}

fn header(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once(':').ok_or("write 'NAME: VALUE'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn header_env(text: &str) -> Result<(String, String), &'static str> {
    let parts = text.split_once('=');
    let parts = parts.map(|(name, variable)| (name.trim(), variable.trim()));
    match parts {
        Some((name, variable)) if !name.is_empty() && !variable.is_empty() => {
            Ok((name.to_owned(), variable.to_owned()))
        }
        _ => Err("write NAME=VAR, where VAR is the environment variable with the value"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(auth: Option<&str>, headers: &[(&str, &str)]) -> Way {
        let headers = headers
            .iter()
            .map(|(name, of)| ((*name).to_owned(), (*of).to_owned()));
        Way {
            auth_env: auth.map(str::to_owned),
            header: vec![("X-App-Version".to_owned(), "1".to_owned())],
            header_env: headers.collect(),
            insecure: false,
            ca_file: None,
            client_cert: None,
            client_key: None,
        }
    }

    #[test]
    fn secrets_are_told_once_for_each_source_and_server() {
        let (one, other) = ("https://one.example", "https://other.example");
        assert_eq!(way(None, &[]).tell(one, None, true).unwrap(), None);
        let token = way(Some("A"), &[]);
        assert!(token.tell(one, None, true).is_err());
        let told = token.tell(one, None, false).unwrap();
        assert_eq!(token.tell(one, told.as_deref(), true).unwrap(), None);
        assert!(token.tell(other, told.as_deref(), true).is_err());
        let both = way(Some("A"), &[("X-Key", "K")]);
        assert!(both.tell(one, told.as_deref(), true).is_err());
        let told = both.tell(one, told.as_deref(), false).unwrap();
        for way in [&token, &both, &way(None, &[("X-Key", "K")])] {
            assert_eq!(way.tell(one, told.as_deref(), true).unwrap(), None);
        }
        assert!(
            way(Some("B"), &[])
                .tell(one, told.as_deref(), true)
                .is_err()
        );
        // The next server takes the place of the one before.
        let told = both.tell(other, told.as_deref(), false).unwrap();
        assert!(both.tell(one, told.as_deref(), true).is_err());
    }
}

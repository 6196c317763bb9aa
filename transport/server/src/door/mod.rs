//! Whether a request is let in: who asks, from where, and for which host. A pure rule over the head of the request and the ends of
//! its connection; that a token fits is a matter of [`Access`](crate::Access).
//!
//! Browsers are why this is needed. A page of any site may send requests to any address that its user can reach, also to one behind
//! the user's firewall. Browsers say where the page is from (`Origin`) where an answer could be read or the request could do harm, and
//! under which name they ask (`Host`). A site whose name is made to point at this machine passes for the server's own page, so names that
//! nobody gave the server are refused.

mod cors;
mod forwarded;
mod host;
mod origin;
mod simple;

use std::collections::HashSet;

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};

use crate::error::Failure;
use crate::peer::Peer;

pub(crate) use cors::preflight;
pub use host::{HostName, HostNameError};
pub use origin::{Origin, OriginError};
pub(crate) use simple::check_post;

/// Who is let in.
#[derive(Debug, Default)]
pub(crate) struct Door {
    /// Besides those of loopback.
    pub(crate) hosts: HashSet<HostName>,
    pub(crate) any_host: bool,
    pub(crate) origins: HashSet<Origin>,
    /// Whether each peer is a proxy that tells the truth about what it was asked.
    pub(crate) trust_proxy: bool,
}

/// The way a request took to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// A call in the process, which may leave out what HTTP demands.
    Call,
    /// HTTP.
    Http,
}

/// What is known of a request that was let in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Admitted {
    /// The host and port that were asked, as the client wrote them.
    pub(crate) authority: Option<Authority>,
    /// Whether the client asked by HTTPS, of the server or of a proxy that is believed.
    pub(crate) https: bool,
    /// The origin of the page that asks, where it is another server's.
    pub(crate) origin: Option<HeaderValue>,
    /// Whether answers depend on the origin.
    pub(crate) by_origin: bool,
}

impl Door {
    /// Judges the head of a request.
    pub(crate) fn admit(&self, head: &Parts, way: Way) -> Result<Admitted, Failure> {
        let peer = head.extensions.get::<Peer>();
        let asked = asked(head, way)?;
        for authority in asked.iter().flatten() {
            self.check_host(authority, peer)?;
        }
        let [target, header] = asked;
        let authority = target.or(header);
        Ok(Admitted {
            origin: self.foreign_origin(&head.headers, authority.as_ref())?,
            https: peer.is_some_and(Peer::is_tls)
                || self.believes(peer) && forwarded::is_https(&head.headers),
            authority,
            by_origin: !self.origins.is_empty(),
        })
    }

    fn check_host(&self, authority: &Authority, peer: Option<&Peer>) -> Result<(), Failure> {
        let host = HostName::of(authority).map_err(|_| bad_host())?;
        // An address that the client did reach is no name that somebody made point here.
        let reached = peer.is_some_and(|peer| host.is_address(peer.local().ip()));
        if self.any_host || host.is_loopback() || reached || self.hosts.contains(&host) {
            return Ok(());
        }
        tracing::debug!(%host, "a foreign host was asked for");
        Err(Failure::new(
            StatusCode::FORBIDDEN,
            format!("the server is not asked under the name {host}; who runs it can allow that"),
        ))
    }

    /// The origin, where it is not the server's own and is allowed.
    fn foreign_origin(
        &self,
        headers: &HeaderMap,
        authority: Option<&Authority>,
    ) -> Result<Option<HeaderValue>, Failure> {
        let Some(value) = only(headers, &ORIGIN)? else {
            return Ok(None);
        };
        let origin = value.to_str().ok().and_then(|text| text.parse().ok());
        let origin: Option<Origin> = origin;
        match origin {
            Some(origin) if authority.is_some_and(|asked| origin.is_at(asked)) => Ok(None),
            Some(origin) if self.origins.contains(&origin) => Ok(Some(value.clone())),
            _ => {
                tracing::debug!("a page of a foreign origin asked");
                Err(Failure::new(
                    StatusCode::FORBIDDEN,
                    "pages of this origin may not ask; who runs the server can allow that",
                ))
            }
        }
    }

    /// Whether what the peer says of the request that it passes on counts.
    fn believes(&self, peer: Option<&Peer>) -> bool {
        self.trust_proxy || peer.is_some_and(Peer::is_local)
    }
}

/// The hosts that a request names: in its target, and in its header.
fn asked(head: &Parts, way: Way) -> Result<[Option<Authority>; 2], Failure> {
    let header = match only(&head.headers, &HOST)? {
        Some(value) => Some(authority(value)?),
        None => None,
    };
    let target = head.uri.authority().cloned();
    if way == Way::Http && head.version == Version::HTTP_11 && header.is_none() {
        return Err(Failure::bad_request(
            "the request names no host; HTTP/1.1 demands the header 'host'",
        ));
    }
    let with_user = |asked: &Authority| asked.as_str().contains('@');
    if target.iter().chain(&header).any(with_user) {
        return Err(bad_host());
    }
    Ok([target, header])
}

fn authority(value: &HeaderValue) -> Result<Authority, Failure> {
    let text = value.to_str().map_err(|_| bad_host())?;
    text.trim().parse().map_err(|_| bad_host())
}

fn bad_host() -> Failure {
    Failure::bad_request("the host that is asked for is not well formed")
}

/// The value of a header that may come once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Failure> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match values.next() {
        None => Ok(first),
        Some(_) => Err(Failure::bad_request(format!(
            "the header '{name}' came more than once"
        ))),
    }
}

#[cfg(test)]
mod tests;

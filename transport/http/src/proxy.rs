//! HTTP proxies: which one is on the way to a server, by the application's word or by the environment's.

use std::env;
use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use synctable_core::transport::{TransportError, TransportErrorKind as Kind};

use crate::url::BaseUrl;

/// Where proxies come from. There is none on the way to this machine itself.
#[derive(Clone, Default)]
pub(crate) enum Proxies {
    #[default]
    None,
    /// From `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.
    Environment,
    /// Always this one.
    Given(String),
}

/// Leaves the password out.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Environment => "Environment",
            Self::Given(_) => "Given(..)",
        })
    }
}

impl Proxies {
    /// The proxy on the way to a server.
    pub(crate) fn on_the_way_to(&self, base: &BaseUrl) -> Result<Option<Proxy>, TransportError> {
        match self {
            Self::None => Ok(None),
            Self::Environment => {
                of_variables(base, |name| env::var(name).ok().filter(|it| !it.is_empty()))
            }
            Self::Given(url) => {
                let proxy = Proxy::parse(url, "the proxy")?;
                Ok((!base.is_loopback()).then_some(proxy))
            }
        }
    }
}

/// One proxy.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    pub(crate) address: Uri,
    /// User name and password.
    pub(crate) auth: Option<HeaderValue>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Proxy {
    /// Host and port, for messages.
    pub(crate) fn show(&self) -> &str {
        self.address.authority().map_or("", |it| it.as_str())
    }

    /// Reads `[http://][USER[:PASSWORD]@]HOST[:PORT]`. No message quotes it, as it may hold a password.
    fn parse(text: &str, source: &str) -> Result<Self, TransportError> {
        let bad = |why: &str| {
            let message = format!("{source} {why}; write http://[USER:PASSWORD@]HOST:PORT");
            TransportError::new(Kind::BadRequest, message)
        };
        let (scheme, rest) = text
            .trim()
            .split_once("://")
            .unwrap_or(("http", text.trim()));
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(bad("is of a kind that is not known"));
        }
        let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, rest),
        };
        let base = BaseUrl::parse(&format!("http://{host}")).map_err(|_| bad("is no address"))?;
        let address = base.uri("/", "").map_err(|_| bad("is no address"))?;
        let auth = user.map(|user| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            let mut bytes: Vec<u8> = percent_decode_str(name).collect();
            bytes.push(b':');
            bytes.extend(percent_decode_str(password));
            let text = format!("Basic {}", BASE64_STANDARD.encode(bytes));
            HeaderValue::try_from(text).map(|mut value| {
                value.set_sensitive(true);
                value
            })
        });
        let auth = auth.transpose().map_err(|_| bad("is no address"))?;
        Ok(Self { address, auth })
    }
}

/// The proxy that variables of the environment name, lower case first.
fn of_variables(
    base: &BaseUrl,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, TransportError> {
    if base.is_loopback() {
        return Ok(None);
    }
    // In a CGI program HTTP_PROXY is the header `Proxy` of whoever asks.
    let is_cgi = variable("REQUEST_METHOD").is_some();
    let names: &[&str] = match (base.is_https(), is_cgi) {
        (true, _) => &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        (false, false) => &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"],
        (false, true) => &["http_proxy", "all_proxy", "ALL_PROXY"],
    };
    let first = names.iter().find_map(|name| Some((name, variable(name)?)));
    let Some((name, url)) = first else {
        return Ok(None);
    };
    let exempt = variable("no_proxy").or_else(|| variable("NO_PROXY"));
    if exempt.is_some_and(|list| is_exempt(base, &list)) {
        return Ok(None);
    }
    Proxy::parse(&url, &format!("the proxy of {name}")).map(Some)
}

/// True where `NO_PROXY` names the host: itself, a domain above it, its address, a network (`10.0.0.0/8`), or `*`; each but `*` and a
/// network also with a port.
fn is_exempt(base: &BaseUrl, list: &str) -> bool {
    let host = bare(base.authority.host()).to_ascii_lowercase();
    let host = host.trim_end_matches('.');
    let address: Option<IpAddr> = host.parse().ok();
    let own = if base.is_https() { 443 } else { 80 };
    let port = base.authority.port_u16().unwrap_or(own);
    list.split([',', ' ', '\t']).any(|entry| {
        let entry = entry.trim().to_ascii_lowercase();
        if entry == "*" {
            return true;
        }
        if let Some((network, bits)) = entry.split_once('/') {
            return match (address, bare(network).parse(), bits.parse()) {
                (Some(address), Ok(network), Ok(bits)) => is_within(address, network, bits),
                _ => false,
            };
        }
        let (name, of_port) = match entry.rsplit_once(':') {
            // An address of IPv6 without brackets has no port.
            Some((name, number)) if !name.contains(':') || name.ends_with(']') => {
                (name, number.parse().ok())
            }
            _ => (entry.as_str(), None),
        };
        if of_port.is_some_and(|it: u16| it != port) {
            return false;
        }
        let name = bare(name);
        if let Some(address) = address {
            return name.parse() == Ok(address);
        }
        let name = name.strip_prefix('*').unwrap_or(name);
        let name = name.strip_prefix('.').unwrap_or(name);
        let above = host.strip_suffix(name);
        !name.is_empty() && above.is_some_and(|it| it.is_empty() || it.ends_with('.'))
    })
}

/// A host without the brackets of IPv6.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let other = address.to_bits() ^ network.to_bits();
            bits <= 32 && (bits == 0 || other >> (32 - bits) == 0)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let other = address.to_bits() ^ network.to_bits();
            bits <= 128 && (bits == 0 || other >> (128 - bits) == 0)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(base: &str, variables: &[(&str, &str)]) -> Result<Option<Proxy>, TransportError> {
        of_variables(&BaseUrl::parse(base).unwrap(), |name| {
            let found = variables.iter().find(|(it, _)| *it == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn variables_name_the_proxy() {
        let all = [
            ("HTTPS_PROXY", "http://s:1"),
            ("HTTP_PROXY", "p:2"),
            ("ALL_PROXY", "http://a:3/"),
        ];
        let shown = |base: &str, variables: &[(&str, &str)]| {
            let proxy = found(base, variables).unwrap();
            proxy.map(|proxy| proxy.show().to_owned())
        };
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(shown("https://example.com", &all), is("s:1"));
        assert_eq!(shown("http://example.com", &all), is("p:2"));
        assert_eq!(shown("https://example.com", &all[1..]), is("a:3"));
        assert_eq!(shown("https://example.com", &all[1..2]), None);
        assert_eq!(shown("https://example.com", &[]), None);
        let lower = [("HTTPS_PROXY", "upper"), ("https_proxy", "lower")];
        assert_eq!(shown("https://example.com", &lower), is("lower"));
        // Never on the way to this machine, whatever the variables say.
        for here in ["http://localhost:8080", "https://127.0.0.1", "http://[::1]"] {
            assert_eq!(shown(here, &all), None, "{here}");
        }
        // A header of whoever asks a CGI program is no variable of ours.
        let cgi = [("HTTP_PROXY", "http://evil:1"), ("REQUEST_METHOD", "GET")];
        assert_eq!(shown("http://example.com", &cgi), None);
    }

    #[test]
    fn some_hosts_need_no_proxy() {
        let exempt = |base: &str, list: &str| {
            let variables = [("ALL_PROXY", "http://a:3"), ("NO_PROXY", list)];
            found(base, &variables).unwrap().is_none()
        };
        for (base, list) in [
            ("https://example.com", "*"),
            ("https://Example.com", "other.org, example.COM"),
            ("https://api.example.com", "example.com"),
            ("https://api.example.com", ".example.com"),
            ("https://api.example.com", "*.example.com"),
            ("https://example.com:8443", "example.com:8443"),
            ("https://example.com", "example.com:443"),
            ("https://10.1.2.3", "10.0.0.0/8"),
            ("https://10.1.2.3", "10.1.2.3"),
            ("https://[fd00::1]:5", "fd00::/8"),
            ("https://[fd00::1]:5", "fd00::1"),
            ("https://[fd00::1]:5", "[fd00::1]:5"),
        ] {
            assert!(exempt(base, list), "{base} {list}");
        }
        for (base, list) in [
            ("https://example.com", ""),
            ("https://example.com", ","),
            ("https://example.com", "."),
            ("https://notexample.com", "example.com"),
            ("https://example.com", "api.example.com"),
            ("https://example.com:8443", "example.com:443"),
            ("https://11.1.2.3", "10.0.0.0/8"),
            ("https://10.1.2.3", "2.3"),
            ("https://10.1.2.3", "10.0.0.0/33"),
            ("https://[fd00::1]", "10.0.0.0/0"),
        ] {
            assert!(!exempt(base, list), "{base} {list}");
        }
    }

    #[test]
    fn a_proxy_may_ask_who_comes() {
        let proxy = Proxy::parse("http://Aladdin:open%20sesame@proxy:3128/", "it").unwrap();
        assert_eq!(proxy.show(), "proxy:3128");
        assert_eq!(
            proxy.auth.as_ref().unwrap(),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
        assert!(!format!("{proxy:?}").contains("QWxh"));
        let proxy = Proxy::parse("user@proxy", "it").unwrap();
        assert_eq!(proxy.auth.unwrap(), "Basic dXNlcjo=");
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_its_password() {
        for text in [
            "socks5://u:s3cr3t@proxy:1080",
            "https://u:s3cr3t@proxy",
            "http://u:s3cr3t@",
            "http://u:s3cr3t@proxy:99999",
            "u:s3cr3t@pro xy",
            "http://",
        ] {
            let error = Proxy::parse(text, "the proxy of ALL_PROXY").unwrap_err();
            assert_eq!(error.kind(), Kind::BadRequest, "{text}");
            let said = error.to_string();
            assert!(
                said.contains("ALL_PROXY") && !said.contains("s3cr3t"),
                "{said}"
            );
        }
    }
}

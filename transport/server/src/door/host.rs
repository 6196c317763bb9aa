//! The names under which a server may be asked.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use http::uri::Authority;

/// A host by its name or its address, without a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostName(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    Address(IpAddr),
    /// In lower case, without a dot at the end.
    Name(String),
}

/// A text that names no host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostNameError(());

impl HostName {
    /// The host of an authority.
    pub(crate) fn of(authority: &Authority) -> Result<Self, HostNameError> {
        authority.host().parse()
    }

    /// Whether it is this machine, whoever asks.
    pub(crate) fn is_loopback(&self) -> bool {
        match &self.0 {
            Kind::Address(address) => address.is_loopback(),
            Kind::Name(name) => name == "localhost",
        }
    }

    pub(crate) fn is_address(&self, other: IpAddr) -> bool {
        self.0 == Kind::Address(other.to_canonical())
    }
}

impl FromStr for HostName {
    type Err = HostNameError;

    fn from_str(text: &str) -> Result<Self, HostNameError> {
        let inner = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        if let Some(address) = inner {
            let address: Ipv6Addr = address.parse().map_err(|_| HostNameError(()))?;
            return Ok(Self(Kind::Address(IpAddr::V6(address).to_canonical())));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self(Kind::Address(IpAddr::V4(address))));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_part = |part: &str| {
            let mut bytes = part.bytes();
            !part.is_empty()
                && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        if name.len() > 253 || !name.split('.').all(is_part) {
            return Err(HostNameError(()));
        }
        Ok(Self(Kind::Name(name.to_ascii_lowercase())))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Kind::Address(address) => write!(f, "{address}"),
            Kind::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for HostNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this names no host; write a name or an address without a port, such as example.com or [::1]")
    }
}

impl std::error::Error for HostNameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses() {
        for (text, printed) in [
            ("localhost", Some("localhost")),
            ("LocalHost.", Some("localhost")),
            ("api.example.com", Some("api.example.com")),
            ("my_host-1", Some("my_host-1")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("[::1]", Some("[::1]")),
            ("[::ffff:127.0.0.1]", Some("127.0.0.1")),
            ("::1", None),
            ("[127.0.0.1]", None),
            ("[fe80::1%25eth0]", None),
            ("a:80", None),
            ("a..b", None),
            (".", None),
            ("", None),
            ("a b", None),
            ("user@a", None),
            ("http://a", None),
            ("ä", None),
            ("*", None),
        ] {
            let host = text.parse::<HostName>().ok();
            assert_eq!(
                host.map(|host| host.to_string()).as_deref(),
                printed,
                "{text}"
            );
        }
        assert!("a".repeat(254).parse::<HostName>().is_err());
    }

    #[test]
    fn loopback_is_this_machine_under_each_of_its_names() {
        for (text, loopback) in [
            ("localhost", true),
            ("LOCALHOST.", true),
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("[::1]", true),
            ("[::ffff:127.0.0.1]", true),
            ("localhost.evil.example", false),
            ("evil.localhost", false),
            ("127.0.0.1.evil.example", false),
            ("0.0.0.0", false),
            ("127.1", false),
            ("2130706433", false),
            ("192.168.0.1", false),
        ] {
            let host: HostName = text.parse().unwrap();
            assert_eq!(host.is_loopback(), loopback, "{text}");
        }
    }
}

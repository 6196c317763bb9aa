//! What a request says.

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderName, Request};
use synctable_core::query::odata::percent_decode;
use synctable_core::{Record, Version};
use synctable_testkit::typed::Flavour;

use crate::answer::{self, Answer};

const API_VERSION: &str = "zumo-api-version";
const INCLUDE_DELETED: &str = "__includedeleted";
const OPTIONS: &str = "x-zumo-options";

/// One request to a table that exists.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) flavour: Flavour,
    pub(crate) request: &'a Request<Bytes>,
}

/// The entity tags of a condition; `None` where there is no condition.
#[derive(Debug)]
pub(crate) struct Tags(Option<Vec<String>>);

impl Tags {
    /// True where there is a condition, and one of its tags is this version.
    pub(crate) fn matches(&self, version: &Version) -> bool {
        let tag = answer::tag(version);
        let found = self.0.iter().flatten();
        found.into_iter().any(|found| *found == tag || found == "*")
    }
}

impl Call<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }

    fn parameter(&self, name: &str) -> Option<String> {
        let query = self.request.uri().query().unwrap_or_default();
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let found = pairs.find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.and_then(|(_, value)| percent_decode(value).ok())
    }

    /// The body as text; what is no text cannot be read either way.
    pub(crate) fn body(&self) -> String {
        String::from_utf8_lossy(self.request.body()).into_owned()
    }

    /// Where clients say that the server is.
    pub(crate) fn host(&self) -> String {
        let authority = self.request.uri().authority().map(ToString::to_string);
        let host = authority.or_else(|| self.header(HOST.as_str()).map(str::to_owned));
        host.unwrap_or_else(|| "localhost".to_owned())
    }

    /// True where a header of the older clients has this option.
    pub(crate) fn option(&self, option: &str) -> bool {
        self.header(OPTIONS)
            .into_iter()
            .flat_map(|options| options.split(','))
            .any(|found| found.trim().eq_ignore_ascii_case(option))
    }

    pub(crate) fn include_deleted(&self) -> bool {
        let asked = self.parameter(INCLUDE_DELETED);
        asked.is_some_and(|asked| asked.eq_ignore_ascii_case("true"))
            || self.flavour == Flavour::Zumo3 && self.option("include:deleted")
    }

    /// The refusal of a protocol version, for the server that wants one.
    pub(crate) fn wrong_version(&self) -> Option<Answer> {
        if self.flavour == Flavour::Toolkit {
            return None;
        }
        let version = self.parameter(API_VERSION);
        let version = version.or_else(|| self.header(API_VERSION).map(str::to_owned));
        match version.as_deref() {
            Some("3.0" | "3.0.0") => None,
            version => Some(answer::bad_version(version)),
        }
    }

    pub(crate) fn tags(&self, name: &HeaderName) -> Tags {
        let tags = self.header(name.as_str()).map(|tags| {
            let tags = tags.split(',').map(|tag| tag.trim().to_owned());
            tags.collect()
        });
        Tags(tags)
    }

    /// True where there is no condition, or the row fulfils it.
    pub(crate) fn condition_holds(&self, name: &HeaderName, row: &Record) -> bool {
        let tags = self.tags(name);
        tags.0.is_none() || row.version().is_some_and(|version| tags.matches(version))
    }
}

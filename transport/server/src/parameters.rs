//! The parameters of a request's query string.

use std::fmt::Write as _;

use synctable_core::query::Query;
use synctable_core::query::odata::{Limits, percent_decode, percent_encode};

use crate::error::Failure;

/// The parameter with the place where a page starts.
pub(crate) const SKIP_TOKEN: &str = "$skiptoken";
const INCLUDE_DELETED: &str = "__includedeleted";

/// The parameters in their order.
#[derive(Debug)]
pub(crate) struct Parameters<'a>(Vec<Parameter<'a>>);

#[derive(Debug)]
struct Parameter<'a> {
    /// As it was written.
    raw: &'a str,
    /// Decoded, in lower case: names match in either case.
    name: String,
    value: String,
}

impl<'a> Parameters<'a> {
    /// Splits and decodes a query string.
    pub(crate) fn parse(query: &'a str) -> Result<Self, Failure> {
        query
            .split('&')
            .filter(|raw| !raw.is_empty())
            .map(|raw| {
                let (name, value) = raw.split_once('=').unwrap_or((raw, ""));
                Ok(Parameter {
                    raw,
                    name: decode(name)?.to_ascii_lowercase(),
                    value: decode(value)?,
                })
            })
            .collect::<Result<_, Failure>>()
            .map(Self)
    }

    /// The value of the first parameter of this name, which is given in lower case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|parameter| parameter.name == name)
            .map(|parameter| parameter.value.as_str())
    }

    /// Whether tombstones are wanted.
    pub(crate) fn include_deleted(&self) -> bool {
        self.get(INCLUDE_DELETED)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The query that they ask for. Where the page starts is not part of it.
    pub(crate) fn query(&self, limits: &Limits) -> Result<Query, Failure> {
        // In URLs of HTTP a plus is a blank; in the text of a query it is a plus.
        let text = self.without(&[SKIP_TOKEN]).replace('+', "%20");
        Query::from_odata_with(&text, limits)
            .map_err(|error| Failure::bad_request(error.to_string()))
    }

    /// The query string without the parameters named, as it was written.
    pub(crate) fn without(&self, names: &[&str]) -> String {
        let kept: Vec<&str> = self
            .0
            .iter()
            .filter(|parameter| !names.contains(&parameter.name.as_str()))
            .map(|parameter| parameter.raw)
            .collect();
        kept.join("&")
    }

    /// The query string of the next page: the same parameters with another start and, where a `$top` was given,
    /// what is left of it.
    pub(crate) fn next_page(&self, token: &str, top_left: Option<u64>) -> String {
        let mut next = self.without(&["$skip", "$top", SKIP_TOKEN]);
        let mut push = |name: &str, value: &str| {
            if !next.is_empty() {
                next.push('&');
            }
            let (name, value) = (percent_encode(name), percent_encode(value));
            let _ = write!(next, "{name}={value}");
        };
        if let Some(top) = top_left {
            push("$top", &top.to_string());
        }
        push(SKIP_TOKEN, token);
        next
    }
}

/// Decodes percent escapes, and `+` as a blank.
fn decode(text: &str) -> Result<String, Failure> {
    percent_decode(&text.replace('+', " ")).map_err(|error| Failure::bad_request(error.to_string()))
}

#[cfg(test)]
mod tests {
    use synctable_core::query::field;

    use super::*;

    #[test]
    fn names_match_in_either_case_and_values_are_decoded() {
        let parameters =
            Parameters::parse("%24Filter=a+eq+%27x%2By%27&__INCLUDEdeleted=TRUE&&flag").unwrap();
        assert_eq!(parameters.get("$filter"), Some("a eq 'x+y'"));
        assert_eq!(parameters.get("flag"), Some(""));
        assert_eq!(parameters.get("$top"), None);
        assert!(parameters.include_deleted());
        assert!(
            !Parameters::parse("__includeDeleted=yes")
                .unwrap()
                .include_deleted()
        );
        assert!(Parameters::parse("a=%ff").is_err());
        assert!(Parameters::parse("a=%4").is_err());
        let query = parameters.query(&Limits::default()).unwrap();
        assert_eq!(query.filter, Some(field("a").eq("x+y")));
    }

    #[test]
    fn the_next_page_repeats_all_but_the_window() {
        let parameters =
            Parameters::parse("$Filter=a%20eq%201&x=%2B&$skip=3&$top=9&$skiptoken=o").unwrap();
        assert_eq!(
            parameters.next_page("t/1", Some(4)),
            "$Filter=a%20eq%201&x=%2B&%24top=4&%24skiptoken=t%2F1"
        );
        let none = Parameters::parse("").unwrap();
        assert_eq!(none.next_page("t", None), "%24skiptoken=t");
    }
}

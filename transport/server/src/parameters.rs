//! The parameters of a request's query string.

use std::fmt::Write as _;

use synctable_core::query::odata::{Limits, percent_decode, percent_encode};
use synctable_core::query::{RemoteQuery, UnknownField};
use synctable_wire::parameter::{FILTER, INCLUDE_DELETED, ORDER_BY, SELECT, SKIP, SKIP_TOKEN, TOP};

use crate::error::Failure;

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
    pub(crate) fn query(&self, limits: &Limits) -> Result<RemoteQuery, Failure> {
        // In URLs of HTTP a plus is a blank; in the text of a query it is a plus.
        let text = self.without(&[SKIP_TOKEN]).replace('+', "%20");
        RemoteQuery::from_odata_with(&text, limits)
            .map_err(|error| Failure::bad_request(error.to_string()))
    }

    /// The answer to a query that names what is not there: what and, where it can be told, at which character.
    pub(crate) fn unknown_name(&self, error: &UnknownField) -> Failure {
        let place = [FILTER, ORDER_BY, SELECT].into_iter().find_map(|option| {
            let text = self.get(option)?;
            let at = position_of_name(text, &error.name)?;
            Some(format!("{option}, position {at}: "))
        });
        Failure::bad_request(format!("{}{error}", place.unwrap_or_default()))
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
        let mut next = self.without(&[SKIP, TOP, SKIP_TOKEN]);
        let mut push = |name: &str, value: &str| {
            if !next.is_empty() {
                next.push('&');
            }
            let (name, value) = (percent_encode(name), percent_encode(value));
            let _ = write!(next, "{name}={value}");
        };
        if let Some(top) = top_left {
            push(TOP, &top.to_string());
        }
        push(SKIP_TOKEN, token);
        next
    }
}

/// Where a name stands in the text of an option, in characters: as a whole word, and not inside of a text in quotes.
fn position_of_name(text: &str, name: &str) -> Option<usize> {
    let belongs = |c: char| c.is_alphanumeric() || matches!(c, '_' | '@' | '-' | '.');
    let (at, _) = text.match_indices(name).find(|(at, _)| {
        let (before, rest) = text.split_at_checked(*at).unwrap_or_default();
        let after = rest.strip_prefix(name).unwrap_or_default();
        let quoted = before.matches('\'').count() % 2 == 1;
        !quoted
            && !before.ends_with(belongs)
            && !before.ends_with('/')
            && !after.starts_with(belongs)
    })?;
    Some(text.get(..at)?.chars().count())
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
        assert_eq!(query.query.filter, Some(field("a").eq("x+y")));
    }

    #[test]
    fn unknown_names_are_found_where_they_are_names() {
        for (query, name, message) in [
            (
                "$filter=a eq 'nope' and nope eq 1",
                "nope",
                "$filter, position 16: ",
            ),
            (
                "$filter=ä eq 'it''s' or nope/x eq 1",
                "nope",
                "$filter, position 16: ",
            ),
            ("$orderby=nopes,nope desc", "nope", "$orderby, position 6: "),
            (
                "$filter=a eq 1&$select=id,nope",
                "nope",
                "$select, position 3: ",
            ),
            ("$filter=a eq 1", "nope", ""),
        ] {
            let parameters = Parameters::parse(query).unwrap();
            let name = name.to_owned();
            let failure = parameters.unknown_name(&UnknownField { name });
            let expected = format!("{message}there is no property 'nope'");
            assert_eq!(failure.message, expected, "{query}");
        }
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

//! Whole query strings, and the options with grammars of their own.

use std::collections::HashSet;

use super::error::{Limits, ODataError, Source, WriteError, shown};
use super::lexer::is_name;
use super::parser::{self, parse_filter_with};
use super::percent::{percent_decode, percent_encode};
use super::writer::{self, Spelling};
use crate::query::{Query, RemoteQuery};

const INCLUDE_DELETED: &str = "__includeDeleted";

/// Reads the members of a selection, such as `id,title`. One named twice counts once.
///
/// # Errors
/// Text that is not such a list (a blank inside is an error), or that goes beyond the default [`Limits`].
pub fn parse_select(text: &str) -> Result<Vec<String>, ODataError> {
    select(text, &Limits::default())
}

fn select(text: &str, limits: &Limits) -> Result<Vec<String>, ODataError> {
    let source = Source::new("$select", text).within(limits)?;
    let mut names = Vec::new();
    let mut seen = HashSet::new();
    let mut at = 0;
    for name in text.split(',') {
        if !is_name(name) {
            let message = format!(
                "expected the name of a member without blanks, found {}",
                shown(name)
            );
            return Err(source.error(at, message));
        }
        if seen.insert(name) {
            names.push(name.to_owned());
        }
        at += name.len() + 1;
    }
    Ok(names)
}

impl RemoteQuery {
    /// Reads a query string: `$filter=..&$orderby=..&$skip=..&$top=..&$select=..&$count=true&__includeDeleted=true`.
    ///
    /// Percent-escapes are decoded; a `+` is a plus. What is not escaped is taken as it is, so that people can
    /// type a query with blanks and quotes; only `%` and `&` inside a value must be `%25` and `%26`. A `?`
    /// at the start is passed over. The names of options may be in any case. Other parameters are
    /// kept in [`parameters`](Self::parameters).
    ///
    /// ```
    /// use synctable_core::query::RemoteQuery;
    /// let typed = RemoteQuery::from_odata("$filter=title eq 'a b'&$top=5").unwrap();
    /// assert_eq!(RemoteQuery::from_odata("?%24filter=title%20eq%20%27a%20b%27&$TOP=5").unwrap(), typed);
    /// ```
    ///
    /// # Errors
    /// Malformed text, an option given twice or unknown, or text beyond the default [`Limits`].
    pub fn from_odata(text: &str) -> Result<Self, ODataError> {
        Self::from_odata_with(text, &Limits::default())
    }

    /// Reads a query string within limits of your own.
    ///
    /// # Errors
    /// Malformed text, an option given twice or unknown, or text beyond the limits.
    pub fn from_odata_with(text: &str, limits: &Limits) -> Result<Self, ODataError> {
        let source = Source::new("query", text).within(limits)?;
        let mut query = Self::default();
        let mut seen = Vec::new();
        let mut at = text.len() - text.strip_prefix('?').unwrap_or(text).len();
        for pair in text.get(at..).unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |part: &str, at: usize| {
                percent_decode(part).map_err(|error| error.moved(source.characters(at)))
            };
            let value = decode(value, at + pair.len() - value.len())?;
            let name = decode(name, at)?;
            let option = name.to_ascii_lowercase();
            if option.starts_with('$') {
                if seen.contains(&option) {
                    return Err(source.error(at, format!("{option} is given twice")));
                }
                if !query.set(&option, &value, limits)? {
                    return Err(source.error(at, format!("unknown option {}", shown(&name))));
                }
                seen.push(option);
            } else if name.eq_ignore_ascii_case(INCLUDE_DELETED) {
                query.include_deleted = value.eq_ignore_ascii_case("true");
            } else if !pair.is_empty() {
                query.parameters.push((name, value));
            }
            at += pair.len() + 1;
        }
        Ok(query)
    }

    /// Sets an option; false where it is unknown.
    fn set(&mut self, option: &str, value: &str, limits: &Limits) -> Result<bool, ODataError> {
        match option {
            "$filter" => self.query.filter = Some(parse_filter_with(value, limits)?),
            "$orderby" => self.query.order = parser::order_by(value, limits)?,
            "$select" => self.select = Some(select(value, limits)?),
            "$skip" => self.query.skip = number("$skip", value)?,
            "$top" => self.query.top = Some(number("$top", value)?),
            "$count" => self.total |= either("$count", value, ["true", "false"])?,
            "$inlinecount" => self.total |= either("$inlinecount", value, ["allpages", "none"])?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The query as people read it, in the newer spelling. Only `%` and `&` inside values are escaped, so
    /// that [`from_odata`](Self::from_odata) reads it back. Page size and cursor are not part of it.
    ///
    /// # Errors
    /// What [`Expr::to_odata`](crate::query::Expr::to_odata) refuses, or a selection of nothing.
    pub fn to_odata(&self) -> Result<String, WriteError> {
        self.written(Spelling::V4, |text| {
            text.replace('%', "%25").replace('&', "%26")
        })
    }

    /// The query for a URL, behind its `?`: values percent-encoded, options with a literal `$`.
    /// Page size and cursor are not part of it.
    ///
    /// # Errors
    /// What [`Expr::to_odata`](crate::query::Expr::to_odata) refuses, or a selection of nothing.
    pub fn to_query_string(&self, spelling: Spelling) -> Result<String, WriteError> {
        self.written(spelling, percent_encode)
    }

    fn written(
        &self,
        spelling: Spelling,
        escape: fn(&str) -> String,
    ) -> Result<String, WriteError> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut push = |name: &str, value: String| pairs.push((name.to_owned(), escape(&value)));
        if let Some(filter) = &self.query.filter {
            push("$filter", filter.to_odata(spelling)?);
        }
        if !self.query.order.is_empty() {
            push("$orderby", writer::order_by(&self.query.order)?);
        }
        if self.query.skip > 0 {
            push("$skip", self.query.skip.to_string());
        }
        if let Some(top) = self.query.top {
            push("$top", top.to_string());
        }
        if let Some(names) = &self.select {
            push("$select", writer::select(names)?);
        }
        match spelling {
            _ if !self.total => {}
            Spelling::V2 => push("$inlinecount", "allpages".to_owned()),
            Spelling::V4 => push("$count", "true".to_owned()),
        }
        if self.include_deleted {
            push(INCLUDE_DELETED, "true".to_owned());
        }
        for (name, value) in &self.parameters {
            // Unescaped, an `=` would end the name, and a `?` at the start of the query be passed over.
            pairs.push((
                escape(name).replace('=', "%3D").replace('?', "%3F"),
                escape(value),
            ));
        }
        let parts: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        Ok(parts.join("&"))
    }
}

impl Query {
    /// Reads a query string of what a store can be asked: `$filter=..&$orderby=..&$skip=..&$top=..`, in the spelling of
    /// [`RemoteQuery::from_odata`].
    ///
    /// # Errors
    /// Also for what only servers are asked, such as `$select` and further parameters: nobody here would look at it.
    pub fn from_odata(text: &str) -> Result<Self, ODataError> {
        let asked = RemoteQuery::from_odata(text)?;
        let query = asked.query.clone();
        if asked != query.clone().into() {
            let message = "only $filter, $orderby, $skip and $top go to a store";
            return Err(Source::new("query", text).error(0, message.to_owned()));
        }
        Ok(query)
    }

    /// The query as people read it: see [`RemoteQuery::to_odata`].
    ///
    /// # Errors
    /// What [`Expr::to_odata`](crate::query::Expr::to_odata) refuses.
    pub fn to_odata(&self) -> Result<String, WriteError> {
        RemoteQuery::from(self.clone()).to_odata()
    }
}

fn number(option: &'static str, value: &str) -> Result<u64, ODataError> {
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    let number = digits.then(|| value.parse().ok()).flatten();
    number.ok_or_else(|| unexpected(option, value, "a whole number that is not negative"))
}

/// True for the first of two words.
fn either(option: &'static str, value: &str, [yes, no]: [&str; 2]) -> Result<bool, ODataError> {
    if value.eq_ignore_ascii_case(yes) {
        Ok(true)
    } else if value.eq_ignore_ascii_case(no) {
        Ok(false)
    } else {
        Err(unexpected(option, value, &format!("{yes} or {no}")))
    }
}

fn unexpected(option: &'static str, value: &str, what: &str) -> ODataError {
    Source::new(option, value).error(0, format!("expected {what}, found {}", shown(value)))
}

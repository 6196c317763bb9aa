//! Where a client finds the next page.

use synctable_wire::Links;

use crate::handler::Call;

/// The link to the page that `query` asks for, in the form that the client wants.
pub(crate) fn to_page(call: &Call<'_>, links: Links, query: String) -> String {
    let path = call.uri.path();
    match links {
        Links::Query => query,
        Links::Path => format!("{path}?{query}"),
        Links::Url | Links::Header => format!("{}{path}?{query}", base(call)),
    }
}

/// What comes before the path. Nothing where it is not known: clients then take the link from where they asked.
fn base(call: &Call<'_>) -> String {
    if let Some(url) = &call.core.base_url {
        return url.clone();
    }
    let scheme = if call.around.admitted.https {
        "https"
    } else {
        "http"
    };
    let authority = call.around.admitted.authority.as_ref();
    authority.map_or_else(String::new, |authority| format!("{scheme}://{authority}"))
}

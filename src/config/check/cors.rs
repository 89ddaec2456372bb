//! `cors` of a route: origins as browsers send them, since they are compared byte for byte.

use http::{HeaderValue, Uri};

use crate::config::problem::Complaints;
use crate::config::tree::{Table, Word};
use crate::config::types::Origins;

pub(super) fn check(route: &Table, complaints: &mut Complaints<'_>) -> Option<Origins> {
    let words = route.node("cors").map(|_| route.table("cors").words("origins"))?;
    if let Some(any) = words.iter().find(|word| word.text == "*") {
        if words.len() > 1 {
            complaints.problem(any.at, "`*` stands for all origins, so it stands alone");
        }
        return Some(Origins::Any);
    }
    let origins: Vec<_> = words.iter().filter_map(|word| origin(word, complaints)).collect();
    (!origins.is_empty()).then_some(Origins::Listed(origins))
}

/// `scheme://host[:port]` in lower case, without the port that the scheme has anyway.
fn origin(word: &Word<'_>, complaints: &mut Complaints<'_>) -> Option<HeaderValue> {
    let Some(sent) = as_browsers_send(word.text) else {
        complaints.problem_with_hint(
            word.at,
            format!("{word} is no origin"),
            "write it as browsers send it: `https://HOST[:PORT]`".to_owned(),
        );
        return None;
    };
    if sent != word.text {
        let hint = word.shown.then(|| format!("write `{sent}`"));
        let message = format!("{word} is not how browsers write that origin");
        complaints.problem_with_hint(word.at, message, hint);
        return None;
    }
    HeaderValue::from_str(&sent).ok()
}

fn as_browsers_send(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?.as_str());
    if uri.path_and_query().is_some_and(|rest| rest.as_str() != "/")
        || authority.contains(['@', '*'])
    {
        return None;
    }
    let own = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    let host = authority.strip_suffix(own).unwrap_or(authority);
    Some(format!("{scheme}://{host}").to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port_of_its_own() {
        for (text, sent) in [
            ("https://app.example.com", Some("https://app.example.com")),
            ("http://localhost:3000", Some("http://localhost:3000")),
            ("https://[::1]:8443", Some("https://[::1]:8443")),
            ("https://App.Example.com:443/", Some("https://app.example.com")),
            ("capacitor://localhost", Some("capacitor://localhost")),
            ("app.example.com", None),
            ("https://app.example.com/page", None),
            ("https://user@app.example.com", None),
            ("https://*.example.com", None),
            ("null", None),
            ("", None),
        ] {
            assert_eq!(as_browsers_send(text).as_deref(), sent, "{text:?}");
        }
    }
}

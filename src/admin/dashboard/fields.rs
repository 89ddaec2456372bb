//! What a form or a query string says, names that come several times among them.

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::PageError;

/// Names with values, in their order. Taken as an argument: of a form that was sent, or of the query
/// string where nothing was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::admin) struct Fields(pub(super) Vec<(String, String)>);

impl Fields {
    /// What the first of that name says, without spaces around it; nothing where there is none.
    pub(in crate::admin) fn text<'f>(&'f self, name: &str) -> &'f str {
        self.all(name).next().unwrap_or_default()
    }

    /// The same where it says something.
    pub(in crate::admin) fn given<'f>(&'f self, name: &str) -> Option<&'f str> {
        self.all(name).find(|text| !text.is_empty())
    }

    /// What each of that name says, without spaces around it.
    pub(in crate::admin) fn all<'f>(&'f self, name: &str) -> impl Iterator<Item = &'f str> {
        self.0.iter().filter(move |(it, _)| it == name).map(|(_, value)| value.trim())
    }

    /// The words of all of that name, apart by spaces, commas or line breaks.
    pub(in crate::admin) fn words<'f>(&'f self, name: &str) -> impl Iterator<Item = &'f str> {
        self.all(name)
            .flat_map(|text| text.split(|c: char| c.is_whitespace() || c == ','))
            .filter(|word| !word.is_empty())
    }

    /// Whether a box of that name and value is ticked.
    pub(in crate::admin) fn has(&self, name: &str, value: &str) -> bool {
        self.all(name).any(|it| it == value)
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let read: Result<Form<Vec<(String, String)>>, FormRejection> =
            Form::from_request(request, state).await;
        match read {
            Ok(Form(fields)) => Ok(Self(fields)),
            Err(error) => {
                let status = error.status();
                let message = match status {
                    StatusCode::PAYLOAD_TOO_LARGE => "The form is too long.".to_owned(),
                    _ => format!("The form cannot be read: {}", error.body_text()),
                };
                Err(PageError::new(status, message).into_response())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_come_several_times_and_say_several_words() {
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let fields =
            [("limit", " 60/min, 9/s"), ("limit", "1/day\n"), ("name", " a b "), ("q", "")];
        let fields = Fields(fields.map(pair).to_vec());
        assert_eq!(fields.words("limit").collect::<Vec<_>>(), ["60/min", "9/s", "1/day"]);
        assert_eq!((fields.text("name"), fields.text("none")), ("a b", ""));
        assert_eq!((fields.given("name"), fields.given("q")), (Some("a b"), None));
        assert!(fields.has("limit", "1/day") && !fields.has("limit", "9/s"));
    }
}

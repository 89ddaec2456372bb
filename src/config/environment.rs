//! The environment's variables, as an argument.
//!
//! [`Environment::process`] is the only place that asks the operating system for them. Their values
//! may be secrets: they are never printed, and a text that one went into is hidden from then on.

use std::collections::BTreeMap;
use std::fmt;

/// The environment's variables at one moment. Those that are not UTF-8 are left out.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    /// Whether every other variable may be there too, with a value that nobody tells.
    withheld: bool,
}

/// A text with every `${NAME}` replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    /// The text.
    pub(super) text: String,
    /// Whether a variable went into it.
    pub(super) from_variable: bool,
    /// The variables whose values are withheld: their names stand in the text.
    pub(super) withheld: Vec<String>,
}

/// Why a text could not be expanded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ExpandError {
    /// No such variable.
    Missing(String),
    /// `${` without a name and `}` behind it.
    Malformed,
}

impl Environment {
    /// The variables that this process was started with.
    pub fn process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self { variables: std::env::vars_os().filter_map(text).collect(), withheld: false }
    }

    /// These variables and no others.
    pub fn of(variables: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self { variables: variables.iter().map(owned).collect(), withheld: false }
    }

    /// Variables that nobody tells of, whichever are asked for: for a text that somebody sends.
    pub(super) fn withheld() -> Self {
        Self { variables: BTreeMap::new(), withheld: true }
    }

    /// A variable's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Replaces every `${NAME}`; `$${` stands for `${` itself. All that is wrong is told at once.
    pub(super) fn expand(&self, text: &str) -> Result<Expanded, Vec<ExpandError>> {
        let mut expanded =
            Expanded { text: String::new(), from_variable: false, withheld: Vec::new() };
        let mut errors = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if rest[..at].ends_with('$') {
                expanded.text.push_str(&rest[..at - 1]);
                expanded.text.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            expanded.text.push_str(&rest[..at]);
            rest = &rest[at + 2..];
            let Some(name) = rest.split_once('}').map(|(name, _)| name).filter(|n| is_name(n))
            else {
                errors.push(ExpandError::Malformed);
                continue;
            };
            rest = &rest[name.len() + 1..];
            match self.get(name) {
                Some(value) => expanded.text.push_str(value),
                None if self.withheld => {
                    expanded.text.push_str(name);
                    expanded.withheld.push(name.to_owned());
                }
                None => errors.push(ExpandError::Missing(name.to_owned())),
            }
            expanded.from_variable = true;
        }
        expanded.text.push_str(rest);
        if errors.is_empty() { Ok(expanded) } else { Err(errors) }
    }
}

/// IEEE Std 1003.1 section 8.1: letters, digits, underscores, no digit first.
fn is_name(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_go_where_their_names_stand() {
        let environment = Environment::of(&[("A", "1"), ("B_2", "two ${A}")]);
        for (text, expanded, from_variable) in [
            ("plain", "plain", false),
            ("${A}", "1", true),
            ("x${A}y${B_2}z", "x1ytwo ${A}z", true),
            ("$A $ {A} $", "$A $ {A} $", false),
            ("pa$$word", "pa$$word", false),
            ("$${A}", "${A}", false),
        ] {
            let (text_after, withheld) = (expanded.to_owned(), Vec::new());
            let expected = Expanded { text: text_after, from_variable, withheld };
            assert_eq!(environment.expand(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn every_missing_variable_is_named() {
        let missing = |name: &str| ExpandError::Missing(name.to_owned());
        let environment = Environment::of(&[("A", "1")]);
        assert_eq!(environment.expand("${X}${A}${Y}"), Err(vec![missing("X"), missing("Y")]));
        for text in ["${", "${A", "${}", "${1A}", "${a b}"] {
            assert_eq!(environment.expand(text), Err(vec![ExpandError::Malformed]), "{text}");
        }
    }

    #[test]
    fn a_value_is_never_printed() {
        assert_eq!(format!("{:?}", Environment::of(&[("A", "hush")])), r#"{"A"}"#);
    }
}

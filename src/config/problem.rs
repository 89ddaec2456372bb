//! Complaints about a configuration: where, what, and the fix.

use std::fmt;
use std::path::{Path, PathBuf};

/// One complaint, in the form `FILE:LINE:COL: message`, with its fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// As the file was named.
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong and what is allowed; never a value that may be a secret.
    pub message: String,
    /// What to do, where there is more to say.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file.display(), self.line, self.column, self.message)
    }
}

/// What there is to say about a configuration, each in the order of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What makes it unusable.
    pub problems: Vec<Problem>,
    /// What is allowed and hardly meant, or could not be looked at.
    pub warnings: Vec<Problem>,
}

/// Gathers what is wrong with one file while it is read and checked.
pub(super) struct Complaints<'a> {
    file: &'a Path,
    text: &'a str,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    /// Where values stand that are not known, so that nothing can be said against them.
    unknown: Vec<usize>,
}

impl<'a> Complaints<'a> {
    /// About this file with this text.
    pub(super) fn about(file: &'a Path, text: &'a str) -> Self {
        Self { file, text, problems: Vec::new(), warnings: Vec::new(), unknown: Vec::new() }
    }

    /// What makes the configuration unusable, at a byte of the file.
    pub(super) fn problem(&mut self, at: usize, message: impl Into<String>) {
        self.problem_with_hint(at, message, None);
    }

    /// A problem whose fix can be named.
    pub(super) fn problem_with_hint(
        &mut self,
        at: usize,
        message: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) {
        if !self.unknown.contains(&at) {
            self.problems.push(self.complaint(at, message.into(), hint.into()));
        }
    }

    /// The value at a byte is not known: nothing is wrong with it from here on, but this warning.
    pub(super) fn unknown(&mut self, at: usize, warning: impl Into<String>) {
        self.unknown.push(at);
        self.warning(at, warning);
    }

    /// What is allowed and hardly meant.
    pub(super) fn warning(&mut self, at: usize, message: impl Into<String>) {
        self.warnings.push(self.complaint(at, message.into(), None));
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        place(self.text, at).0
    }

    /// The problems, or else the warnings, each in the order of the file.
    pub(super) fn into_result(self) -> Result<Vec<Problem>, Vec<Problem>> {
        let Checked { problems, warnings } = self.into_all();
        if problems.is_empty() { Ok(warnings) } else { Err(problems) }
    }

    /// The problems and the warnings, each in the order of the file.
    pub(super) fn into_all(mut self) -> Checked {
        let place = |complaint: &Problem| (complaint.line, complaint.column);
        self.problems.sort_by_key(place);
        self.problems.dedup();
        self.warnings.sort_by_key(place);
        Checked { problems: self.problems, warnings: self.warnings }
    }

    fn complaint(&self, at: usize, message: String, hint: Option<String>) -> Problem {
        let (line, column) = place(self.text, at);
        Problem { file: self.file.to_owned(), line, column, message, hint }
    }
}

/// Line and column, in characters, of a byte; what lies past the end is at the end.
pub(super) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(at)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The known name that is most like what was typed, if any is like it at all.
pub(super) fn nearest<'n>(
    typed: &str,
    known: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    let typed = typed.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&typed, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| name)
}

/// `did you mean …?`, or else every known name.
pub(super) fn suggestion<'n>(
    typed: &str,
    known: impl IntoIterator<Item = &'n str> + Clone,
) -> Option<String> {
    if let Some(name) = nearest(typed, known.clone()) {
        return Some(format!("did you mean `{name}`?"));
    }
    let names: Vec<String> = known.into_iter().map(|name| format!("`{name}`")).collect();
    (!names.is_empty()).then(|| format!("known here: {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_from_one() {
        let text = "a\nüü = 1\n";
        for (at, expected) in
            [(0, (1, 1)), (2, (2, 1)), (4, (2, 2)), (3, (2, 1)), (6, (2, 3)), (99, (3, 1))]
        {
            assert_eq!(place(text, at), expected, "{at}");
        }
    }

    #[test]
    fn a_name_is_suggested_only_where_it_is_like_what_was_typed() {
        assert_eq!(nearest("lisen", ["listen", "limits"]), Some("listen"));
        assert_eq!(nearest("Timeout", ["timeout"]), Some("timeout"));
        assert_eq!(nearest("zzz", ["listen", "limits"]), None);
    }
}

//! What becomes of one request, said step by step: `explain`, here and in the admin API.

use std::fmt;

use serde::Serialize;

use super::refusal::Reason;

/// How one check of a request's way came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The request passes.
    Passed,
    /// The request ends here.
    Refused,
    /// Nothing to check: the route or the key doesn't ask for it.
    Skipped,
}

impl Outcome {
    /// The outcome as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Refused => "refused",
            Self::Skipped => "skipped",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One step of the way, in the order of the contract's section 4.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The step's name, as in the log and the metrics: `route`, `credential`, `verify`, ….
    pub step: &'static str,
    /// How it came out.
    pub outcome: Outcome,
    /// With which numbers and names; never a part of a secret.
    pub detail: String,
}

/// What the client would get from the gateway, or, where it is forwarded, from nobody yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The HTTP status of a refusal; `None` where the upstream answers.
    pub status: Option<u16>,
    /// Why, in the log's word.
    pub reason: Option<Reason>,
    /// The answer's `code`, overrides applied.
    pub code: Option<String>,
    /// The answer's `message`, placeholders filled; of a forwarded request, where it would go.
    pub message: String,
}

/// A request taken through every check, with nothing consumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// As asked.
    pub method: String,
    /// As asked, with whatever has the form of a secret masked.
    pub path: String,
    /// The path of the route that matches.
    pub route: Option<String>,
    /// Every check that was made, in order; the last one refused, or all passed.
    pub checks: Vec<Check>,
    /// How it ends.
    pub answer: Answer,
}

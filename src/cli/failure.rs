//! Why a command did not do it: what is printed on stderr, and the exit code.

use std::io::{self, Write};

use super::serve::LOG_FILTER;
use crate::auth::mint::MintError;
use crate::config::Problem;
use crate::proxy::explain::ExplainError;
use crate::store::StoreError;
use crate::telemetry::log::FilterError;

/// What the commands give.
pub(crate) type Result<T = (), E = Failure> = std::result::Result<T, E>;

/// Exit code of what could not be done.
const FAILED: u8 = 1;
/// Exit code of bad usage and of bad configuration.
const MISTAKEN: u8 = 2;

/// Complaints, each with what to do about it, and the exit code that goes with them.
#[derive(Debug)]
pub(crate) struct Failure {
    /// 1 it failed, 2 bad usage or bad configuration, 0 where nobody listens any more.
    pub(crate) code: u8,
    complaints: Vec<Complaint>,
}

#[derive(Debug)]
struct Complaint {
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// It could not be done.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::one(FAILED, message.into(), None)
    }

    /// What was typed or configured is wrong.
    pub(crate) fn mistaken(message: impl Into<String>) -> Self {
        Self::one(MISTAKEN, message.into(), None)
    }

    /// The same, with what to do about it.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(last) = self.complaints.last_mut() {
            last.hint = Some(hint.into());
        }
        self
    }

    /// Writes `error: …` and `hint: …` lines.
    pub(crate) fn report(&self, to: &mut impl Write) -> io::Result<()> {
        for Complaint { message, hint } in &self.complaints {
            writeln!(to, "\x1b[1;31merror:\x1b[0m {message}")?;
            if let Some(hint) = hint {
                writeln!(to, "\x1b[1;36mhint:\x1b[0m {hint}")?;
            }
        }
        Ok(())
    }

    fn one(code: u8, message: String, hint: Option<String>) -> Self {
        Self { code, complaints: vec![Complaint { message, hint }] }
    }
}

impl From<Vec<Problem>> for Failure {
    fn from(problems: Vec<Problem>) -> Self {
        let complaint = |problem: Problem| {
            let Problem { file, line, column, message, hint } = problem;
            Complaint { message: format!("{}:{line}:{column}: {message}", file.display()), hint }
        };
        Self { code: MISTAKEN, complaints: problems.into_iter().map(complaint).collect() }
    }
}

impl From<MintError> for Failure {
    fn from(error: MintError) -> Self {
        let code = match error {
            MintError::Invalid { .. } | MintError::MissingScope(_) | MintError::TooWide { .. } => {
                MISTAKEN
            }
            _ => FAILED,
        };
        Self::one(code, error.to_string(), error.hint())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        MintError::from(error).into()
    }
}

impl From<ExplainError> for Failure {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::Store(error) => error.into(),
            ExplainError::Plan(_) => Self::mistaken(error.to_string()),
            ExplainError::Hash(_) | ExplainError::Broken(_) | ExplainError::NoKey(_) => {
                Self::failed(error.to_string())
            }
        }
    }
}

impl From<FilterError> for Failure {
    fn from(error: FilterError) -> Self {
        Self::mistaken(format!("{LOG_FILTER}: {error}"))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<StoreError>() {
            Ok(error) => error.into(),
            Err(error) => Self::failed(format!("{error:#}")),
        }
    }
}

/// Of writing the output, which is all that the commands do IO for with `?`. A reader that has
/// gone away ends the command quietly.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { code: 0, complaints: Vec::new() };
        }
        Self::failed(format!("the output could not be written: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(failure: &Failure) -> String {
        let mut to = anstream::StripStream::new(Vec::new());
        failure.report(&mut to).unwrap();
        String::from_utf8(to.into_inner()).unwrap()
    }

    #[test]
    fn an_error_is_followed_by_its_hint() {
        let failure = Failure::failed("no").with_hint("do this");
        assert_eq!(reported(&failure), "error: no\nhint: do this\n");
        assert_eq!(reported(&Failure::mistaken("no")), "error: no\n");
    }

    #[test]
    fn every_problem_of_a_configuration_begins_with_its_place() {
        let problem = |line, hint: Option<&str>| Problem {
            file: "k.toml".into(),
            line,
            column: 3,
            message: "wrong".to_owned(),
            hint: hint.map(str::to_owned),
        };
        let failure = Failure::from(vec![problem(1, Some("right")), problem(2, None)]);
        assert_eq!(failure.code, 2);
        assert_eq!(
            reported(&failure),
            "error: k.toml:1:3: wrong\nhint: right\nerror: k.toml:2:3: wrong\n"
        );
    }

    #[test]
    fn a_closed_pipe_ends_the_command_quietly() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.code, reported(&failure)), (0, String::new()));
    }
}

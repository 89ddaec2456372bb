//! `[keys]` and `[identity]`: how secrets look, and the headers they come and go by.

use http::HeaderName;

use crate::config::problem::Complaints;
use crate::config::tree::{Table, Word};
use crate::config::types::Keys;
use crate::key::SecretFormat;
use crate::key::hash::Argon2Strength;

/// Long enough for any brand, short enough for a header.
const LONGEST_PREFIX: usize = 32;
/// Headers that frame a message or say whom it is for: a secret in one would break the request.
const NEVER_A_SECRET: [&str; 7] =
    ["host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"];

pub(super) fn check(keys: &Table, complaints: &mut Complaints<'_>) -> Keys {
    Keys {
        format: format(keys, complaints),
        headers: headers(&keys.words("headers"), complaints),
        rotation_grace: keys.duration("rotation_grace"),
        rotate_after: keys.duration("rotate_after"),
        enforce_rotation: keys.bool("enforce_rotation"),
        max_depth: keys.count("max_depth"),
        max_children: keys.count("max_children"),
        argon2: argon2(keys, complaints),
    }
}

fn format(keys: &Table, complaints: &mut Complaints<'_>) -> SecretFormat {
    let (live, test) = (keys.text("live_prefix"), keys.text("test_prefix"));
    if live.text.is_empty() {
        complaints.problem(live.at, "`keys.live_prefix` must not be empty");
    }
    for (name, word) in [("live_prefix", live), ("test_prefix", test)] {
        check_prefix(name, word, complaints);
    }
    if live.text == test.text && !live.text.is_empty() {
        complaints.problem_with_hint(
            test.at,
            "`keys.live_prefix` and `keys.test_prefix` are equal, so that no secret could be told",
            "choose another prefix, or `test_prefix = \"\"` for no test keys".to_owned(),
        );
    } else if runs_into(live.text, test.text) || runs_into(test.text, live.text) {
        complaints.problem_with_hint(
            test.at,
            "one of `keys.live_prefix` and `keys.test_prefix` goes on like a secret of the other, \
             so that some secrets could not be told",
            "end both with `_` or `-`".to_owned(),
        );
    }
    SecretFormat {
        live_prefix: live.text.to_owned(),
        test_prefix: (!test.text.is_empty()).then(|| test.text.to_owned()),
        checksum: keys.bool("checksum"),
    }
}

/// Whether secrets under the shorter prefix can begin with the longer one.
fn runs_into(shorter: &str, longer: &str) -> bool {
    let rest = longer.strip_prefix(shorter).filter(|_| !shorter.is_empty());
    rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
}

fn check_prefix(name: &str, word: Word<'_>, complaints: &mut Complaints<'_>) {
    let part = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    if word.text.len() > LONGEST_PREFIX || !word.text.bytes().all(part) {
        complaints.problem(
            word.at,
            format!(
                "`keys.{name}` must be at most {LONGEST_PREFIX} letters, digits, `_`, `-` and `.`"
            ),
        );
    }
}

fn headers(words: &[Word<'_>], complaints: &mut Complaints<'_>) -> Vec<HeaderName> {
    let mut headers = Vec::with_capacity(words.len());
    for word in words {
        let Ok(header) = HeaderName::from_bytes(word.text.as_bytes()) else {
            complaints.problem(word.at, format!("{word} is no header's name"));
            continue;
        };
        if NEVER_A_SECRET.contains(&header.as_str()) {
            complaints.problem(word.at, format!("{word} can't carry a secret"));
        }
        if headers.contains(&header) {
            complaints.problem(word.at, format!("{word} is in `keys.headers` twice"));
        }
        headers.push(header);
    }
    headers
}

fn argon2(keys: &Table, complaints: &mut Complaints<'_>) -> Argon2Strength {
    let argon2 = keys.table("argon2");
    let memory = argon2.size("memory");
    if !memory.is_multiple_of(1024) {
        complaints.problem(
            argon2.place_of("memory"),
            "`keys.argon2.memory` must be a whole number of KiB",
        );
    }
    let strength = Argon2Strength {
        memory_kib: (memory / 1024).try_into().expect("the table of settings keeps it below 4 GiB"),
        iterations: argon2.count("iterations"),
        parallelism: argon2.count("parallelism"),
    };
    if strength.check().is_err() {
        complaints.problem(
            argon2.place_of("memory"),
            format!(
                "`keys.argon2.memory` must be at least {}KiB, 8KiB for each of its lanes",
                8 * strength.parallelism
            ),
        );
    }
    strength
}

/// Lower case, because that is how names are compared and sent; ending in `-`, so that it ends a
/// word and never takes more of the client's headers than it says.
pub(super) fn identity_prefix(identity: &Table, complaints: &mut Complaints<'_>) -> String {
    let prefix = identity.text("header_prefix");
    let part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let right = (2..=LONGEST_PREFIX).contains(&prefix.text.len())
        && prefix.text.bytes().all(part)
        && prefix.text.ends_with('-')
        && !prefix.text.starts_with('-');
    if !right {
        complaints.problem(
            prefix.at,
            "`identity.header_prefix` must be lower-case letters, digits and `-`, and end in `-`, \
             such as \"x-auth-\"",
        );
    } else if prefix.text == "x-" {
        complaints.problem(
            prefix.at,
            "`identity.header_prefix` must not be \"x-\", under which clients send headers of \
             their own",
        );
    }
    prefix.text.to_owned()
}

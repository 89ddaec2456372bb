//! The search for secrets where none may be.
//!
//! Every secret that the harness mints is noted here for the whole process. A text leaks if it holds
//! any twelve neighbouring characters of the secret part of any of them, so that a cut secret is
//! found as well as a whole one; what stands before (prefix and public id) may be seen by anyone.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

/// So many characters in a row are no accident: there are 62^12 of them.
const PIECE: usize = 12;
/// The public id behind the prefix.
const PUBLIC: usize = 8;

static PIECES: RwLock<Option<HashSet<[u8; PIECE]>>> = RwLock::new(None);

/// Notes a secret; from now on it may be seen nowhere.
pub(crate) fn note(secret: &str) {
    let behind_prefix = secret.rfind(['_', '-']).map_or(0, |at| at + 1);
    let hidden = &secret.as_bytes()[behind_prefix + PUBLIC..];
    let mut pieces = PIECES.write().unwrap_or_else(PoisonError::into_inner);
    pieces.get_or_insert_default().extend(hidden.windows(PIECE).map(piece));
}

/// Notes every secret of the default prefixes, and every admin token, that a command prints.
pub(crate) fn note_all(printed: &str) {
    let words = printed.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let minted = |word: &&str| ["sk_", "kga_"].iter().any(|prefix| word.starts_with(prefix));
    words.filter(minted).filter(|word| word.len() >= 40).for_each(note);
}

/// Fails where a file below the folder holds a part of a noted secret.
pub(crate) fn search_folder(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match std::fs::read(&path) {
            Ok(content) => search(&path.display().to_string(), &content),
            Err(_) => search_folder(&path),
        }
    }
}

/// Fails where `text` holds a part of a noted secret, without repeating it.
pub(crate) fn search(what: &str, text: &[u8]) {
    if let Some(at) = find(text) {
        let before = String::from_utf8_lossy(&text[at.saturating_sub(60)..at]);
        panic!("a minted secret stands in {what}, at byte {at}, behind {before:?}");
    }
}

/// Where the first part of a noted secret begins.
pub(crate) fn find(text: &[u8]) -> Option<usize> {
    let pieces = PIECES.read().unwrap_or_else(PoisonError::into_inner);
    let pieces = pieces.as_ref()?;
    let mut run = 0;
    for (at, byte) in text.iter().enumerate() {
        run = if byte.is_ascii_alphanumeric() { run + 1 } else { 0 };
        if run >= PIECE {
            let begin = at + 1 - PIECE;
            if pieces.contains(&piece(&text[begin..=at])) {
                return Some(begin);
            }
        }
    }
    None
}

fn piece(bytes: &[u8]) -> [u8; PIECE] {
    bytes.try_into().expect("a window is as long as a piece")
}

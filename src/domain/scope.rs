//! Scopes: names of rights, their catalogue, and sets of them as bits.
//!
//! A key's grants and a route's requirements are both compiled over one [`Catalogue`], so that the
//! check of a request is an AND. Matching is decided here and nowhere else:
//!
//! | granted | covers |
//! | --- | --- |
//! | `agents:read` | `agents:read`, and what the catalogue says that it implies |
//! | `agents:*` | every catalogue name that begins with `agents:` |
//! | `*` | everything |

use std::collections::BTreeMap;

use thiserror::Error;

/// Why a text is not a scope's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a scope is 1 to 64 printable ASCII characters without space, quote or backslash; \
     `*` stands only alone or behind a last colon"
)]
pub struct ScopeNameError;

/// Checks the form of a grant: a name (RFC 6749 section 3.3 `scope-token`), `*`, or `prefix:*`.
pub fn check_grant(text: &str) -> Result<(), ScopeNameError> {
    let stem = text.strip_suffix(":*").unwrap_or(if text == "*" { "all" } else { text });
    check_name(stem)
}

/// Checks the form of a catalogue name, which has no wildcard in it.
pub fn check_name(text: &str) -> Result<(), ScopeNameError> {
    let token = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b'*');
    if (1..=64).contains(&text.len()) && text.bytes().all(token) {
        return Ok(());
    }
    Err(ScopeNameError)
}

/// What the operator says of one scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeEntry {
    /// For people who choose scopes.
    pub description: String,
    /// Grants that come with it: names, `prefix:*` or `*`.
    pub implies: Vec<String>,
}

/// Every scope that the operator has named, in the order of the names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    entries: BTreeMap<String, ScopeEntry>,
    names: Vec<String>,
}

/// Scopes of one catalogue as bits; the highest bit is `*` itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeSet {
    words: Box<[u64]>,
}

impl Catalogue {
    /// Makes a catalogue of names with their entries.
    pub fn new(entries: BTreeMap<String, ScopeEntry>) -> Self {
        let names = entries.keys().cloned().collect();
        Self { entries, names }
    }

    /// Every name with its entry, sorted by name.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &ScopeEntry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// Whether a grant means anything here: a name of the catalogue, a wildcard that covers at
    /// least one, or `*`.
    pub fn knows(&self, grant: &str) -> bool {
        grant == "*" || self.names.iter().any(|name| covers(grant, name))
    }

    /// The name nearest to what was typed, for a hint.
    pub fn nearest(&self, typed: &str) -> Option<&str> {
        let scored = self.names.iter().map(|name| (strsim::jaro_winkler(typed, name), name));
        let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
        (best.0 > 0.7).then_some(best.1.as_str())
    }

    /// Compiles what a key was granted, implications followed. A grant that the catalogue doesn't
    /// know (any more) gives nothing.
    pub fn granted<S: AsRef<str>>(&self, grants: impl IntoIterator<Item = S>) -> ScopeSet {
        let mut set = self.empty();
        let mut open: Vec<String> = grants.into_iter().map(|g| g.as_ref().to_owned()).collect();
        while let Some(grant) = open.pop() {
            if grant == "*" {
                return self.everything();
            }
            for (bit, name) in self.names.iter().enumerate() {
                if covers(&grant, name) && set.insert(bit) {
                    open.extend(self.entries[name].implies.iter().cloned());
                }
            }
        }
        set
    }

    /// Compiles what a route asks for; a name that the catalogue lacks can be met by `*` alone.
    pub fn required<S: AsRef<str>>(&self, names: impl IntoIterator<Item = S>) -> ScopeSet {
        let mut set = self.empty();
        for name in names {
            let bit = self.names.iter().position(|known| known == name.as_ref());
            set.insert(bit.unwrap_or(self.names.len()));
        }
        set
    }

    /// Whether some grants are all that others are, also to an upstream that reads them by itself.
    ///
    /// What a wildcard means there, or a name that is not here any more, the catalogue does not say:
    /// each of those must be covered as it is written.
    pub fn cover(&self, grants: &[String], others: &[String]) -> bool {
        let unsaid = |other: &&String| other.ends_with('*') || !self.knows(other);
        let written = |other: &String| grants.iter().any(|grant| covers(grant, other));
        let set = self.granted(grants);
        set.has(self.names.len())
            || (set.contains_all(&self.granted(others))
                && others.iter().filter(unsaid).all(written))
    }

    /// What a set holds, in words: `*` alone, or every name.
    pub fn named(&self, set: &ScopeSet) -> Vec<&str> {
        if set.has(self.names.len()) {
            return vec!["*"];
        }
        let names = self.names.iter().enumerate();
        names.filter(|(bit, _)| set.has(*bit)).map(|(_, name)| name.as_str()).collect()
    }

    fn empty(&self) -> ScopeSet {
        ScopeSet { words: vec![0; self.names.len() / 64 + 1].into() }
    }

    fn everything(&self) -> ScopeSet {
        ScopeSet { words: vec![u64::MAX; self.names.len() / 64 + 1].into() }
    }
}

/// Whether a grant covers a name, or all that another grant covers: the same, or a wildcard over it.
fn covers(grant: &str, name: &str) -> bool {
    match grant.strip_suffix('*') {
        Some(stem) if stem.is_empty() || stem.ends_with(':') => name.starts_with(stem),
        _ => grant == name,
    }
}

impl ScopeSet {
    /// Whether every scope of `required` is in the set. Both are of one catalogue.
    pub fn contains_all(&self, required: &Self) -> bool {
        self.words.iter().zip(&required.words).all(|(has, needs)| has & needs == *needs)
    }

    /// Whether any scope of `required` is in the set. Both are of one catalogue.
    pub fn contains_any(&self, required: &Self) -> bool {
        self.words.iter().zip(&required.words).any(|(has, needs)| has & needs != 0)
    }

    /// The scopes that are in both. Both are of one catalogue.
    #[must_use]
    pub fn shared_with(&self, other: &Self) -> Self {
        let words = self.words.iter().zip(&other.words).map(|(one, other)| one & other);
        Self { words: words.collect() }
    }

    /// Whether it grants all of the set's scopes to nobody: no bit is set.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    fn has(&self, bit: usize) -> bool {
        self.words[bit / 64] & (1 << (bit % 64)) != 0
    }

    /// Sets a bit; whether it was not set before.
    fn insert(&mut self, bit: usize) -> bool {
        let word = &mut self.words[bit / 64];
        let before = *word;
        *word |= 1 << (bit % 64);
        *word != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> Catalogue {
        let entry = |implies: &[&str]| ScopeEntry {
            description: String::new(),
            implies: implies.iter().map(ToString::to_string).collect(),
        };
        Catalogue::new(BTreeMap::from([
            ("agents:read".to_owned(), entry(&[])),
            ("agents:write".to_owned(), entry(&["agents:read"])),
            ("billing:read".to_owned(), entry(&[])),
            ("loop:a".to_owned(), entry(&["loop:b"])),
            ("loop:b".to_owned(), entry(&["loop:a"])),
            ("workspace:admin".to_owned(), entry(&["*"])),
        ]))
    }

    /// granted, required, whether it is enough
    const TABLE: &[(&[&str], &[&str], bool)] = &[
        (&[], &[], true),
        (&[], &["agents:read"], false),
        (&["agents:read"], &["agents:read"], true),
        (&["agents:read"], &["agents:write"], false),
        (&["agents:read"], &["agents:read", "billing:read"], false),
        (&["agents:read", "billing:read"], &["agents:read", "billing:read"], true),
        (&["agents:write"], &["agents:read"], true),
        (&["agents:*"], &["agents:read", "agents:write"], true),
        (&["agents:*"], &["billing:read"], false),
        (&["agents*"], &["agents:read"], false),
        (&["*"], &["billing:read"], true),
        (&["workspace:admin"], &["billing:read"], true),
        (&["loop:a"], &["loop:b"], true),
        (&["gone:scope"], &["agents:read"], false),
        (&["agents:*"], &["gone:scope"], false),
        (&["*"], &["gone:scope"], true),
    ];

    #[test]
    fn grants_cover_what_the_table_says() {
        let catalogue = catalogue();
        for (granted, required, enough) in TABLE {
            let set = catalogue.granted(*granted);
            assert_eq!(
                set.contains_all(&catalogue.required(*required)),
                *enough,
                "{granted:?} for {required:?}"
            );
        }
    }

    #[test]
    fn a_set_is_told_in_words_and_what_two_share_is_in_both() {
        let catalogue = catalogue();
        let all = catalogue.granted(["*"]);
        let agents = catalogue.granted(["agents:*"]);
        let others = catalogue.granted(["agents:read", "billing:read"]);
        assert_eq!(catalogue.named(&all), ["*"]);
        assert_eq!(catalogue.named(&all.shared_with(&agents)), ["agents:read", "agents:write"]);
        assert_eq!(catalogue.named(&agents.shared_with(&others)), ["agents:read"]);
        assert!(agents.shared_with(&catalogue.granted(["loop:a"])).is_empty());
    }

    #[test]
    fn grants_are_all_that_others_are_if_nobody_could_read_more_into_those() {
        let catalogue = catalogue();
        let cover = |grants: &[&str], others: &[&str]| {
            let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
            catalogue.cover(&owned(grants), &owned(others))
        };
        assert!(cover(&["*"], &["agents:*", "gone:scope"]) && cover(&["agents:*"], &["agents:*"]));
        assert!(cover(&["agents:write"], &["agents:read"]) && cover(&["workspace:admin"], &["*"]));
        assert!(!cover(&["agents:read", "agents:write"], &["agents:*"]));
        assert!(!cover(&["agents:*"], &["agents:read", "gone:scope"]));
        assert!(!cover(&["agents:read"], &["agents:write"]));
    }

    #[test]
    fn any_of_several_is_enough_where_one_is_asked_for() {
        let catalogue = catalogue();
        let needs = catalogue.required(["agents:read", "billing:read"]);
        assert!(catalogue.granted(["billing:read"]).contains_any(&needs));
        assert!(!catalogue.granted(["loop:a"]).contains_any(&needs));
    }

    #[test]
    fn a_catalogue_of_more_than_64_names_still_tells_them_apart() {
        let names: Vec<String> = (0..200).map(|n| format!("scope:{n:03}")).collect();
        let entries = names.iter().map(|n| (n.clone(), ScopeEntry::default())).collect();
        let catalogue = Catalogue::new(entries);
        for name in &names {
            let set = catalogue.granted([name]);
            let covered = names.iter().filter(|n| set.contains_all(&catalogue.required([n])));
            assert_eq!(covered.collect::<Vec<_>>(), [name]);
        }
    }

    #[test]
    fn the_form_of_a_grant_is_checked() {
        for right in ["a", "agents:read", "agents:*", "*", "work-orders:write"] {
            assert!(check_grant(right).is_ok(), "{right}");
        }
        for wrong in ["", "a b", "a\"", "*:read", "ag*", ":*", "agents:**", "é"] {
            assert!(check_grant(wrong).is_err(), "{wrong}");
        }
    }
}

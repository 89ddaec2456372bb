//! What was read, with its places: values of the right form whose meaning is not checked yet.
//!
//! A value that was wrong is not here (the complaint about it is made), so whoever reads the tree
//! passes over what is missing without a word.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::domain::{Limit, Millionths};

/// A value and where it stands.
#[derive(Clone)]
pub(super) struct Node {
    /// The byte of the file that it begins at; of a default, where its table begins.
    pub(super) at: usize,
    /// How much of it may be shown.
    pub(super) shown: Shown,
    /// The environment's variable that it is from, in place of the file.
    pub(super) variable: Option<&'static str>,
    /// The value.
    pub(super) value: Value,
}

/// How much of a value may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// All of it.
    Whole,
    /// All but the password of the URL that it is.
    WithoutPassword,
    /// Nothing.
    Never,
}

/// A value of one of the forms that settings have.
#[derive(Clone, PartialEq)]
pub(super) enum Value {
    /// Any string whose meaning is checked later.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A duration.
    Duration(Duration),
    /// Bytes.
    Size(u64),
    /// A rate limit, or none.
    Limit(Option<Limit>),
    /// Money.
    Amount(Millionths),
    /// An address with its port.
    Address(SocketAddr),
    /// Several values.
    List(Vec<Node>),
    /// Settings by their names.
    Table(Table),
}

/// Settings by their names: of fixed ones in the order of the table of settings, of names that the
/// operator chose in the order of the names.
#[derive(Clone)]
pub(super) struct Table {
    /// Where it begins.
    pub(super) at: usize,
    /// Name, place of the name, value.
    pub(super) entries: Vec<(String, usize, Node)>,
}

/// A string with its place, for complaints that name it.
#[derive(Clone, Copy)]
pub(super) struct Word<'a> {
    /// Where it stands.
    pub(super) at: usize,
    /// The string.
    pub(super) text: &'a str,
    /// Whether complaints may name it; not where it came out of the environment.
    pub(super) shown: bool,
}

impl PartialEq for Node {
    /// By value alone: places and variables don't matter.
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        let named = |table: &Self| -> Vec<(String, Node)> {
            table.entries.iter().map(|(name, _, node)| (name.clone(), node.clone())).collect()
        };
        named(self) == named(other)
    }
}

/// The value in backticks, unless it came out of the environment.
impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.shown { write!(f, "`{}`", self.text) } else { f.write_str("the value given") }
    }
}

impl Node {
    /// A value that may be shown.
    pub(super) fn plain(at: usize, value: Value) -> Self {
        Self { at, shown: Shown::Whole, variable: None, value }
    }

    /// As a word, where it is a string.
    pub(super) fn word(&self) -> Option<Word<'_>> {
        let Value::Text(text) = &self.value else { return None };
        Some(Word { at: self.at, text, shown: self.shown == Shown::Whole })
    }

    /// The strings of the list that it is.
    pub(super) fn words(&self) -> Vec<Word<'_>> {
        match &self.value {
            Value::List(nodes) => nodes.iter().filter_map(Self::word).collect(),
            _ => Vec::new(),
        }
    }

    /// The table that it is.
    pub(super) fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The limit that it is.
    pub(super) fn limit(&self) -> Option<Limit> {
        match self.value {
            Value::Limit(limit) => limit,
            _ => None,
        }
    }
}

/// Every reader asks for a name of the table of settings and for the form that it has there.
impl Table {
    /// The setting, if it is there and right.
    pub(super) fn node(&self, name: &str) -> Option<&Node> {
        self.entries.iter().find(|(known, _, _)| known == name).map(|(_, _, node)| node)
    }

    /// Where a setting stands, or else the table.
    pub(super) fn place_of(&self, name: &str) -> usize {
        self.node(name).map_or(self.at, |node| node.at)
    }

    /// Where a name stands, or else the table.
    pub(super) fn place_of_name(&self, name: &str) -> usize {
        let found = self.entries.iter().find(|(known, _, _)| known == name);
        found.map_or(self.at, |(_, at, _)| *at)
    }

    /// A table within it; a table that may be left out reads as one without entries.
    pub(super) fn table(&self, name: &str) -> &Self {
        const NONE: &Table = &Table { at: 0, entries: Vec::new() };
        match self.node(name).map(|node| &node.value) {
            Some(Value::Table(table)) => table,
            _ => NONE,
        }
    }

    /// Every table of a list of tables.
    pub(super) fn tables(&self, name: &str) -> impl Iterator<Item = &Self> {
        self.list(name).iter().filter_map(|node| match &node.value {
            Value::Table(table) => Some(table),
            _ => None,
        })
    }

    /// The values of a list; one that is not given reads as empty.
    pub(super) fn list(&self, name: &str) -> &[Node] {
        match self.node(name).map(|node| &node.value) {
            Some(Value::List(nodes)) => nodes,
            _ => &[],
        }
    }

    /// The strings of a list.
    pub(super) fn words(&self, name: &str) -> Vec<Word<'_>> {
        self.node(name).map(Node::words).unwrap_or_default()
    }

    /// The addresses of a list.
    pub(super) fn addresses(&self, name: &str) -> Vec<SocketAddr> {
        let address = |node: &Node| match node.value {
            Value::Address(address) => Some(address),
            _ => None,
        };
        self.list(name).iter().filter_map(address).collect()
    }

    /// An address with a default.
    pub(super) fn address(&self, name: &str) -> SocketAddr {
        match self.node(name).map(|node| &node.value) {
            Some(Value::Address(address)) => *address,
            _ => panic!("{HAS_DEFAULT}"),
        }
    }

    /// A string that may be missing.
    pub(super) fn word(&self, name: &str) -> Option<Word<'_>> {
        self.node(name)?.word()
    }

    /// A string with a default.
    pub(super) fn text(&self, name: &str) -> Word<'_> {
        self.word(name).expect(HAS_DEFAULT)
    }

    /// A truth with a default.
    pub(super) fn bool(&self, name: &str) -> bool {
        match self.node(name).map(|node| &node.value) {
            Some(Value::Bool(value)) => *value,
            _ => panic!("{HAS_DEFAULT}"),
        }
    }

    /// A whole number that may be missing.
    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        match self.node(name)?.value {
            Value::Integer(value) => Some(value),
            _ => None,
        }
    }

    /// A whole number with a default; the table of settings keeps it within `u32`.
    pub(super) fn count(&self, name: &str) -> u32 {
        let value = self.integer(name).expect(HAS_DEFAULT);
        value.try_into().expect("the table of settings keeps counts within u32")
    }

    /// A number with a default.
    pub(super) fn number(&self, name: &str) -> f64 {
        match self.node(name).map(|node| &node.value) {
            Some(Value::Number(value)) => *value,
            _ => panic!("{HAS_DEFAULT}"),
        }
    }

    /// A duration that may be missing.
    pub(super) fn optional_duration(&self, name: &str) -> Option<Duration> {
        match self.node(name)?.value {
            Value::Duration(value) => Some(value),
            _ => None,
        }
    }

    /// A duration with a default.
    pub(super) fn duration(&self, name: &str) -> Duration {
        self.optional_duration(name).expect(HAS_DEFAULT)
    }

    /// A size that may be missing.
    pub(super) fn optional_size(&self, name: &str) -> Option<u64> {
        match self.node(name)?.value {
            Value::Size(value) => Some(value),
            _ => None,
        }
    }

    /// An amount.
    pub(super) fn optional_amount(&self, name: &str) -> Option<Millionths> {
        match self.node(name)?.value {
            Value::Amount(value) => Some(value),
            _ => None,
        }
    }

    /// A size with a default.
    pub(super) fn size(&self, name: &str) -> u64 {
        self.optional_size(name).expect(HAS_DEFAULT)
    }
}

/// What a reader with a default says when the table of settings gives none; any test that loads a
/// configuration finds it.
const HAS_DEFAULT: &str = "the table of settings gives this setting a default of this form";

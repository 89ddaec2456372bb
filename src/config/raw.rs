//! The file's text into a tree of values: every setting known, of the right form, with its default.
//!
//! Driven by the table of settings alone. What a value means is not looked at here.

use std::time::Duration;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::environment::{Environment, ExpandError};
use super::problem::{Complaints, suggestion};
use super::settings::SETTINGS;
use super::shape::{Absent, Kind, Setting, Shape};
use super::tree::{Node, Shown, Table, Value};
use super::units;

type Given<'t> = Spanned<DeValue<'t>>;

/// Reads a whole file. Where it is not TOML, the tree is one of defaults and the complaints are
/// about its syntax alone, because what follows a broken line can't be told.
pub(super) fn read(
    text: &str,
    environment: &Environment,
    complaints: &mut Complaints<'_>,
) -> Table {
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(text.len(), |span| span.start);
        complaints.problem(at, format!("not valid TOML: {}", error.message()));
    }
    let given = if errors.is_empty() { root.into_inner() } else { DeTable::new() };
    Reader { environment, complaints, at: None }.table("", 0, &given, SETTINGS)
}

struct Reader<'r, 'c> {
    environment: &'r Environment,
    complaints: &'r mut Complaints<'c>,
    /// While defaults are read: where the table stands that they are missing from.
    at: Option<usize>,
}

impl Reader<'_, '_> {
    fn table(
        &mut self,
        path: &str,
        at: usize,
        given: &DeTable<'_>,
        settings: &'static [Setting],
    ) -> Table {
        for name in given.keys() {
            if !settings.iter().any(|setting| setting.name == name.get_ref()) {
                self.unknown(path, name, settings);
            }
        }
        let mut entries = Vec::new();
        for setting in settings {
            let path = join(path, setting.name);
            let found = given.get_key_value(setting.name);
            let place = found.map_or(at, |(name, _)| name.span().start);
            let read = found.and_then(|(_, value)| self.value(&path, value, &setting.shape));
            if found.is_some() && !setting.built {
                self.refuse_unless_off(&path, place, read.as_ref(), setting);
            }
            if found.is_none() && matches!(setting.absent, Absent::Problem) {
                self.complaints.problem(at, format!("`{path}` is missing"));
            }
            if let Some(node) = read.or_else(|| self.absent(at, setting)) {
                entries.push((setting.name.to_owned(), place, node));
            }
        }
        Table { at, entries }
    }

    fn unknown(&mut self, path: &str, name: &Spanned<impl AsRef<str>>, settings: &[Setting]) {
        let typed = name.get_ref().as_ref();
        let known = settings.iter().map(|setting| setting.name);
        let hint = match elsewhere(typed) {
            Some(section) if path.is_empty() => Some(format!("did you mean `{section}.{typed}`?")),
            _ => suggestion(typed, known),
        };
        let message = format!("there is no setting `{}`", join(path, typed));
        self.complaints.problem_with_hint(name.span().start, message, hint);
    }

    /// What a setting is that is not given, or that was given wrongly.
    fn absent(&mut self, at: usize, setting: &'static Setting) -> Option<Node> {
        let before = self.at.replace(at);
        let node = match (&setting.absent, &setting.shape) {
            (Absent::Section, Shape::Table(settings)) => {
                let table = self.table(setting.name, at, &DeTable::new(), settings);
                Some(Node::plain(at, Value::Table(table)))
            }
            (Absent::Default(text), shape) => {
                let value = DeValue::parse(text).expect("the table's defaults are TOML");
                self.value(setting.name, &value, shape)
            }
            _ => None,
        };
        self.at = before;
        node
    }

    fn refuse_unless_off(
        &mut self,
        path: &str,
        at: usize,
        read: Option<&Node>,
        setting: &'static Setting,
    ) {
        // A value of the wrong form has its complaint already.
        let Some(node) = read else { return };
        let off = match (&setting.shape, &node.value) {
            (Shape::Table(settings), value) => {
                let quiet = self.at.replace(at);
                let table = self.table(path, at, &DeTable::new(), settings);
                self.at = quiet;
                *value == Value::Table(table)
            }
            (Shape::Tables(_), Value::List(tables)) => tables.is_empty(),
            (_, value) => self.absent(at, setting).is_some_and(|default| default.value == *value),
        };
        if !off {
            self.complaints.problem(at, format!("`{path}` is not supported yet"));
        }
    }

    fn value(&mut self, path: &str, given: &Given<'_>, shape: &'static Shape) -> Option<Node> {
        let at = self.at.unwrap_or(given.span().start);
        let value = match (shape, given.get_ref()) {
            (Shape::One(kind), value) => return self.one(path, "", at, value, *kind),
            (Shape::List { of, least }, DeValue::Array(items)) => {
                Value::List(self.list(path, at, items, *of, *least))
            }
            (Shape::Table(settings) | Shape::Described { settings, .. }, DeValue::Table(table)) => {
                Value::Table(self.table(path, at, table, settings))
            }
            (Shape::Described { text, settings }, DeValue::String(_)) => {
                let word = self.one(path, "", at, given.get_ref(), Kind::Text)?;
                let mut table = self.table(path, at, &DeTable::new(), settings);
                let entry = table.entries.iter_mut().find(|(name, _, _)| name == text);
                entry.expect("the text stands for one of the settings").2 = word;
                Value::Table(table)
            }
            (Shape::Named { of, .. }, DeValue::Table(table)) => {
                Value::Table(self.named(path, at, table, of))
            }
            (Shape::Tables(settings), DeValue::Array(items)) => {
                Value::List(self.tables(path, items, settings))
            }
            (shape, value) => {
                self.wrong(path, "", at, value, &shape.allowed());
                return None;
            }
        };
        Some(Node::plain(at, value))
    }

    fn list(
        &mut self,
        path: &str,
        at: usize,
        items: &DeArray<'_>,
        of: Kind,
        least: usize,
    ) -> Vec<Node> {
        if items.len() < least {
            self.complaints.problem(at, format!("`{path}` must not be empty"));
        }
        let mut nodes = Vec::with_capacity(items.len());
        for item in items {
            let at = self.at.unwrap_or(item.span().start);
            nodes.extend(self.one(path, "each entry of ", at, item.get_ref(), of));
        }
        nodes
    }

    fn named(&mut self, path: &str, at: usize, given: &DeTable<'_>, of: &'static Shape) -> Table {
        let mut entries = Vec::new();
        for (name, value) in given {
            let node = self.value(&join(path, name.get_ref()), value, of);
            entries.extend(node.map(|node| (name.get_ref().to_string(), name.span().start, node)));
        }
        Table { at, entries }
    }

    fn tables(
        &mut self,
        path: &str,
        items: &DeArray<'_>,
        settings: &'static [Setting],
    ) -> Vec<Node> {
        let mut nodes = Vec::with_capacity(items.len());
        for item in items {
            let at = item.span().start;
            match item.get_ref() {
                DeValue::Table(table) => {
                    let table = self.table(path, at, table, settings);
                    nodes.push(Node::plain(at, Value::Table(table)));
                }
                value => self.wrong(path, "each entry of ", at, value, "a table"),
            }
        }
        nodes
    }

    fn one(
        &mut self,
        path: &str,
        part: &str,
        at: usize,
        given: &DeValue<'_>,
        kind: Kind,
    ) -> Option<Node> {
        let (value, from_variable) = match given {
            DeValue::String(text) => {
                // Defaults are as they stand in the table of settings.
                let (text, from_variable) = match self.at {
                    Some(_) => (text.to_string(), false),
                    None => self.expand(path, at, text)?,
                };
                (of_text(text, kind), from_variable)
            }
            other => (of_other(other, kind), false),
        };
        let Some(value) = value else {
            self.wrong(path, part, at, given, &kind.allowed());
            return None;
        };
        let shown = match kind {
            Kind::Secret => Shown::Never,
            _ if from_variable => Shown::Never,
            Kind::Url => Shown::WithoutPassword,
            _ => Shown::Whole,
        };
        Some(Node { at, shown, variable: None, value })
    }

    fn expand(&mut self, path: &str, at: usize, text: &str) -> Option<(String, bool)> {
        let errors = match self.environment.expand(text) {
            Ok(expanded) => {
                for name in &expanded.withheld {
                    self.complaints.unknown(
                        at,
                        format!(
                            "`{path}` asks for the environment's variable `{name}`, which is not \
                             filled in here: what it gives is not looked at"
                        ),
                    );
                }
                return Some((expanded.text, expanded.from_variable));
            }
            Err(errors) => errors,
        };
        for error in errors {
            let (message, hint) = match error {
                ExpandError::Missing(name) => (
                    format!(
                        "`{path}` asks for the environment's variable `{name}`, which is not set"
                    ),
                    format!("set `{name}` where keygate is started"),
                ),
                ExpandError::Malformed => (
                    format!("`{path}` has `${{` without a variable's name and `}}` behind it"),
                    "write `${NAME}`, or `$${` for the characters themselves".to_owned(),
                ),
            };
            self.complaints.problem_with_hint(at, message, hint);
        }
        None
    }

    /// Says what is allowed; of the value only its type, which may be a secret in the wrong place.
    fn wrong(&mut self, path: &str, part: &str, at: usize, given: &DeValue<'_>, allowed: &str) {
        let not = match given {
            DeValue::String(_) if allowed.contains('"') => String::new(),
            DeValue::Integer(_) if allowed.contains("number") => String::new(),
            other => format!(", not {}", described(other)),
        };
        let hint = (matches!(given, DeValue::Integer(_)) && allowed.starts_with("a duration"))
            .then(|| "write the number with its unit, as a string".to_owned());
        let message = format!("{part}`{path}` must be {allowed}{not}");
        self.complaints.problem_with_hint(at, message, hint);
    }
}

fn of_text(text: String, kind: Kind) -> Option<Value> {
    match kind {
        Kind::Text | Kind::Secret | Kind::Url => Some(Value::Text(text)),
        Kind::Duration { zero } => duration(&text, zero),
        Kind::Size { least, most } => size(units::parse_size(&text).ok()?, least, most),
        Kind::LimitOrNone if text.is_empty() => Some(Value::Limit(None)),
        Kind::Limit | Kind::LimitOrNone => Some(Value::Limit(Some(text.parse().ok()?))),
        Kind::Amount => Some(Value::Amount(text.parse().ok()?)),
        Kind::Address => Some(Value::Address(text.parse().ok()?)),
        Kind::Network => {
            let range: crate::domain::AddressRange = text.parse().ok()?;
            Some(Value::Text(range.to_string()))
        }
        Kind::Choice(names) => names.contains(&text.as_str()).then_some(Value::Text(text)),
        Kind::Bool | Kind::Integer { .. } | Kind::Number { .. } => None,
    }
}

fn of_other(given: &DeValue<'_>, kind: Kind) -> Option<Value> {
    let whole = || match given {
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).ok(),
        _ => None,
    };
    match (kind, given) {
        (Kind::Bool, DeValue::Boolean(value)) => Some(Value::Bool(*value)),
        (Kind::Integer { least, most }, _) => {
            whole().filter(|value| (least..=most).contains(value)).map(Value::Integer)
        }
        (Kind::Number { least, most }, _) => {
            let float = match given {
                DeValue::Float(float) => float.as_str().parse().ok(),
                _ => whole().map(|value| value as f64),
            };
            float.filter(|value| (least..=most).contains(value)).map(Value::Number)
        }
        (Kind::Size { least, most }, _) => size(whole()?.try_into().ok()?, least, most),
        (Kind::Amount, DeValue::Integer(_)) => {
            Some(Value::Amount(whole()?.to_string().parse().ok()?))
        }
        (Kind::Amount, DeValue::Float(float)) => Some(Value::Amount(float.as_str().parse().ok()?)),
        _ => None,
    }
}

fn duration(text: &str, zero: bool) -> Option<Value> {
    let duration = units::parse_duration(text).ok()?;
    (zero || duration > Duration::ZERO).then_some(Value::Duration(duration))
}

fn size(bytes: u64, least: u64, most: u64) -> Option<Value> {
    (least..=most).contains(&bytes).then_some(Value::Size(bytes))
}

fn described(given: &DeValue<'_>) -> &'static str {
    match given {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with decimals",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The section that has a setting of this very name, for names that stand above every section.
fn elsewhere(name: &str) -> Option<&'static str> {
    let has = |settings: &[Setting]| settings.iter().any(|setting| setting.name == name);
    let mut sections = SETTINGS.iter();
    sections
        .find(|section| matches!(section.shape, Shape::Table(settings) if has(settings)))
        .map(|section| section.name)
}

fn join(path: &str, name: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    let name = if !name.is_empty() && name.bytes().all(bare) {
        name.to_owned()
    } else {
        format!("{name:?}")
    };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

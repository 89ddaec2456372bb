//! What the table of settings says, for editors and for people.

use serde_json::{Map, Value, json};

use super::settings::SETTINGS;
use super::shape::{Absent, Kind, Setting, Shape};

/// A JSON Schema (draft 2020-12) of the file, for editors.
pub fn schema() -> Value {
    let mut schema = table_schema(SETTINGS);
    let mut head = Map::new();
    head.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    head.insert("title".to_owned(), "keygate.toml".into());
    if let Value::Object(rest) = schema.take() {
        head.extend(rest);
    }
    Value::Object(head)
}

/// The reference of every setting as Markdown: `docs/configuration.md`.
pub fn markdown() -> String {
    let mut text = INTRODUCTION.to_owned();
    for section in SETTINGS {
        let (title, settings) = match &section.shape {
            Shape::Tables(settings) => (format!("[[{}]]", section.name), *settings),
            Shape::Named { key, of: Shape::Table(settings) } => {
                (format!("[{}.{key}]", section.name), *settings)
            }
            Shape::Table(settings) => (format!("[{}]", section.name), *settings),
            _ => (format!("[{}]", section.name), &[][..]),
        };
        text.push_str(&["\n## `", &title, "`\n\n", section.about, "\n"].concat());
        let mut rows = Vec::new();
        if settings.is_empty() {
            rows.extend(named_rows(section));
        }
        rows.extend(settings.iter().flat_map(|setting| setting_rows("", setting)));
        text.push_str("\n| setting | form | default | meaning |\n| --- | --- | --- | --- |\n");
        text.push_str(&rows.concat());
    }
    text
}

fn setting_rows(path: &str, setting: &Setting) -> Vec<String> {
    let name = format!("{path}{}", setting.name);
    let default = match setting.absent {
        Absent::Default(value) => format!("`{value}`"),
        Absent::Problem => "required".to_owned(),
        Absent::Section | Absent::Nothing => String::new(),
    };
    let later = if setting.built { "" } else { " *Not supported yet.*" };
    let about = format!("{}{later}", setting.about);
    let mut rows = vec![row(&name, &form(&setting.shape), &default, &about)];
    rows.extend(inner_rows(&name, &setting.shape));
    rows
}

fn inner_rows(name: &str, shape: &Shape) -> Vec<String> {
    let (path, settings) = match shape {
        Shape::Table(settings) | Shape::Described { settings, .. } => {
            (format!("{name}."), *settings)
        }
        Shape::Tables(settings) => (format!("{name}[]."), *settings),
        Shape::Named { key, of } => return inner_rows(&format!("{name}.{key}"), of),
        Shape::One(_) | Shape::List { .. } => return Vec::new(),
    };
    settings.iter().flat_map(|setting| setting_rows(&path, setting)).collect()
}

/// Of a table whose names the operator chooses, and that has no fixed settings below them.
fn named_rows(section: &Setting) -> Vec<String> {
    let Shape::Named { key, of } = &section.shape else { return Vec::new() };
    let mut rows = vec![row(key, &form(of), "", "")];
    rows.extend(inner_rows(key, of));
    rows
}

fn row(name: &str, form: &str, default: &str, about: &str) -> String {
    format!("| `{name}` | {} | {default} | {about} |\n", form.replace('|', "\\|"))
}

fn form(shape: &Shape) -> String {
    match shape {
        Shape::One(kind) => short(*kind),
        Shape::List { of, .. } => format!("list of {}", plural(*of)),
        Shape::Named { key, of } => format!("table of `{key}` = {}", form(of)),
        other => other.allowed().trim_start_matches("a ").to_owned(),
    }
}

fn short(kind: Kind) -> String {
    match kind {
        Kind::Text | Kind::Secret => "string".to_owned(),
        Kind::Url => "URL".to_owned(),
        Kind::Bool => "true or false".to_owned(),
        Kind::Integer { least, most } => format!("{least} to {most}"),
        Kind::Number { least, most } => format!("number from {least} to {most}"),
        Kind::Duration { zero: true } => "duration".to_owned(),
        Kind::Duration { zero: false } => "duration, not zero".to_owned(),
        Kind::Size { .. } => "size".to_owned(),
        Kind::Limit => "limit".to_owned(),
        Kind::LimitOrNone => "limit, or `\"\"` for none".to_owned(),
        Kind::Amount => "amount".to_owned(),
        Kind::Address => "address and port".to_owned(),
        Kind::Network => "address range".to_owned(),
        Kind::Choice(_) => kind.allowed(),
    }
}

fn plural(kind: Kind) -> String {
    match kind {
        Kind::Address => "addresses with ports".to_owned(),
        other => format!("{}s", short(other)),
    }
}

fn table_schema(settings: &[Setting]) -> Value {
    let property = |setting: &Setting| (setting.name.to_owned(), setting_schema(setting));
    let required = settings.iter().filter(|setting| matches!(setting.absent, Absent::Problem));
    let required: Vec<&str> = required.map(|setting| setting.name).collect();
    let mut schema = json!({
        "type": "object",
        "properties": settings.iter().map(property).collect::<Map<_, _>>(),
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

fn setting_schema(setting: &Setting) -> Value {
    let mut schema = shape_schema(&setting.shape);
    let later = if setting.built { "" } else { " Not supported yet." };
    schema["description"] = format!("{}{later}", setting.about).into();
    if let Absent::Default(value) = setting.absent {
        let line = format!("v = {value}");
        let table: toml::Table = line.parse().expect("the table's defaults are TOML");
        schema["default"] = serde_json::to_value(&table["v"]).expect("a default is plain JSON");
    }
    schema
}

fn shape_schema(shape: &Shape) -> Value {
    match shape {
        Shape::One(kind) => kind_schema(*kind),
        Shape::List { of, least } => {
            json!({"type": "array", "items": kind_schema(*of), "minItems": least})
        }
        Shape::Table(settings) => table_schema(settings),
        Shape::Described { settings, .. } => {
            json!({"anyOf": [{"type": "string"}, table_schema(settings)]})
        }
        Shape::Named { of, .. } => {
            json!({"type": "object", "additionalProperties": shape_schema(of)})
        }
        Shape::Tables(settings) => json!({"type": "array", "items": table_schema(settings)}),
    }
}

fn kind_schema(kind: Kind) -> Value {
    // A string may be anything that a variable of the environment makes right.
    let pattern =
        |pattern: &str| json!({"type": "string", "pattern": format!(r"^({pattern})$|\$\{{")});
    match kind {
        Kind::Text | Kind::Secret | Kind::Url => json!({"type": "string"}),
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Integer { least, most } => {
            json!({"type": "integer", "minimum": least, "maximum": most})
        }
        Kind::Number { least, most } => {
            json!({"type": "number", "minimum": least, "maximum": most})
        }
        Kind::Duration { .. } => pattern("0|[0-9]+(ms|s|m|h|d)"),
        Kind::Size { least, most } => json!({"anyOf": [
            pattern("[0-9]+(B|KiB|MiB|GiB)?"),
            {"type": "integer", "minimum": least, "maximum": most},
        ]}),
        Kind::Limit => pattern("[0-9]+/(s|min|hour|day)"),
        Kind::LimitOrNone => pattern("|[0-9]+/(s|min|hour|day)"),
        Kind::Amount => json!({"anyOf": [
            pattern(r"[0-9]+(\.[0-9]{1,6})?"),
            {"type": "number", "minimum": 0},
        ]}),
        Kind::Address => pattern(r"[0-9.]+:[0-9]+|\[[0-9a-fA-F:.%]+\]:[0-9]+"),
        Kind::Network => pattern("[0-9a-fA-F:.]+(/[0-9]+)?"),
        Kind::Choice(names) => json!({"enum": names}),
    }
}

const INTRODUCTION: &str = r#"# Configuration

<!-- Made from the table in src/config/settings.rs by `KEYGATE_UPDATE=1 cargo test --lib config::`; don't edit. -->

One TOML file: the one named by `--config` or `KEYGATE_CONFIG`, else `./keygate.toml`, else
`/etc/keygate/keygate.toml`. Every setting may be left out where no "required" stands; an empty file
is a configuration, if one without routes. [`config/keygate.toml`](../config/keygate.toml) is the
same list as a file to copy from.

| command | does |
| --- | --- |
| `keygate config check` | names everything that is wrong with the file at once, each with line, column and what is allowed |
| `keygate config show` | shows the configuration in force, defaults filled in, secrets masked |
| `keygate config schema` | prints a JSON Schema of the file, for editors |

## Forms

| form | written |
| --- | --- |
| duration | a string: a whole number and `ms`, `s`, `m`, `h` or `d`, such as `"500ms"`, `"30s"`, `"7d"`; `"0"` is zero |
| size | a string: a whole number and `B`, `KiB`, `MiB` or `GiB`, such as `"32KiB"`; or a number of bytes |
| limit | a string: how many and over how long, `s`, `min`, `hour` or `day`, such as `"60/min"` |
| amount | a string or a number with at most six decimals, such as `"0.002"` |
| address range | a string: an IP address, or CIDR such as `"10.0.0.0/8"` |

An unknown setting is an error that names the nearest known one. A setting whose feature is *not
supported yet* is refused unless it is off, never ignored.

## Environment

`${NAME}` in any string takes a variable of the environment; one that is not set is an error. `$${`
stands for the characters `${`. Whatever a variable went into is masked by `config show`.

| variable | does |
| --- | --- |
| `DATABASE_URL` | wins over `store.url` |
| `RATE_LIMIT_PER_MIN` | a number: replaces, or adds, the minute's window of `limits.per_key` |
| `RATE_LIMIT_PER_HOUR` | a number: the same for the hour's window |

An empty one of these three counts as not set.

## Reload

SIGHUP, or a change of the file, loads it again. A bad file is refused with its problems in the log,
and the configuration before it stays in force. No connection is dropped. What a process can't change
while it runs (`server.listen`, `server.workers`, `admin.listen`, `store.url`) takes a restart.
"#;

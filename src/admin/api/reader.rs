//! `/admin/docs`: the OpenAPI document as a page for people, made by the server.

use askama::Template;
use serde_json::{Value, json};

/// What stands before every schema's name where it is referred to.
const SCHEMAS: &str = "#/components/schemas/";
/// How deep an example goes: schemas may name themselves.
const DEEPEST: usize = 4;

#[derive(Template)]
#[template(path = "api.html")]
struct Page<'a> {
    title: &'a str,
    about: Vec<&'a str>,
    groups: Vec<Group<'a>>,
    schemas: Vec<Shape<'a>>,
}

/// The calls about one noun.
struct Group<'a> {
    name: &'a str,
    calls: Vec<Call<'a>>,
}

struct Call<'a> {
    id: &'a str,
    method: String,
    path: &'a str,
    about: &'a str,
    role: &'a str,
    parameters: Vec<Row<'a>>,
    body: Option<Kind>,
    answers: Vec<(&'a str, &'a str, Option<Kind>)>,
    curl: String,
}

/// A schema: its fields, or its values.
struct Shape<'a> {
    name: &'a str,
    about: &'a str,
    fields: Vec<Row<'a>>,
    values: Vec<&'a str>,
    parts: Vec<Kind>,
}

struct Row<'a> {
    name: &'a str,
    place: &'a str,
    kind: Kind,
    is_required: bool,
    about: &'a str,
}

/// What a value is, in words; `of` is the schema that the words end with.
struct Kind {
    words: String,
    of: Option<String>,
}

/// The page.
pub(super) fn page(document: &Value) -> String {
    let page = Page {
        title: text(&document["info"]["title"]),
        about: text(&document["info"]["description"]).split("\n\n").collect(),
        groups: groups(document),
        schemas: members(&document["components"]["schemas"]).map(shape).collect(),
    };
    page.render().expect("a page of texts can be written")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn groups(document: &Value) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (path, item) in members(&document["paths"]) {
        for (method, operation) in members(item) {
            let name = text(&operation["tags"][0]);
            let call = call(document, path, method, operation);
            match groups.iter_mut().find(|group| group.name == name) {
                Some(group) => group.calls.push(call),
                None => groups.push(Group { name, calls: vec![call] }),
            }
        }
    }
    groups.sort_by_key(|group| group.name);
    groups
}

fn call<'a>(document: &'a Value, path: &'a str, method: &str, operation: &'a Value) -> Call<'a> {
    let method = method.to_uppercase();
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    let parameter = |it: &'a Value| Row {
        name: text(&it["name"]),
        place: text(&it["in"]),
        kind: kind(&it["schema"]),
        is_required: it["required"] == true,
        about: text(&it["description"]),
    };
    let answer = |(status, answer): (&'a str, &'a Value)| {
        let schema = &answer["content"]["application/json"]["schema"];
        (status, text(&answer["description"]), (!schema.is_null()).then(|| kind(schema)))
    };
    let about = match text(&operation["description"]) {
        "" => text(&operation["summary"]),
        about => about,
    };
    Call {
        id: text(&operation["operationId"]),
        path,
        about,
        role: text(&operation["security"][0]["admin_token"][0]),
        parameters: items(&operation["parameters"]).map(parameter).collect(),
        body: (!body.is_null()).then(|| kind(body)),
        answers: members(&operation["responses"]).map(answer).collect(),
        curl: curl(document, &method, path, body),
        method,
    }
}

fn shape<'a>((name, schema): (&'a str, &'a Value)) -> Shape<'a> {
    let all = || std::iter::once(schema).chain(items(&schema["allOf"]));
    let fields = all().flat_map(|part| {
        let required = &part["required"];
        members(&part["properties"]).map(move |(name, field)| Row {
            name,
            place: "",
            kind: kind(field),
            is_required: items(required).any(|it| it == name),
            about: text(&field["description"]),
        })
    });
    let parts = all().filter(|part| part.get("$ref").is_some()).map(kind);
    Shape {
        name,
        about: text(&schema["description"]),
        fields: fields.collect(),
        values: items(&schema["enum"]).map(text).collect(),
        parts: parts.collect(),
    }
}

fn kind(schema: &Value) -> Kind {
    if let Some(of) = text(&schema["$ref"]).strip_prefix(SCHEMAS) {
        return Kind { words: String::new(), of: Some(of.to_owned()) };
    }
    let (null, others): (Vec<_>, Vec<_>) = items(&schema["oneOf"])
        .chain(items(&schema["anyOf"]))
        .partition(|either| either["type"] == "null");
    if let Some(first) = others.first() {
        let Kind { words, of } = kind(first);
        let or_null = if null.is_empty() { "" } else { "null or " };
        return Kind { words: format!("{or_null}{words}"), of };
    }
    if schema["type"] == "array" {
        let Kind { words, of } = kind(&schema["items"]);
        return Kind { words: format!("list of {words}"), of };
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().map(text).collect(),
        one => vec![text(one)],
    };
    let format = text(&schema["format"]);
    let words = if format.is_empty() {
        types.join(" or ")
    } else {
        format!("{} ({format})", types.join(" or "))
    };
    Kind { words, of: None }
}

/// The call as it is made from a shell, with `$KEYGATE` and `$TOKEN` as the page names them.
fn curl(document: &Value, method: &str, path: &str, body: &Value) -> String {
    let method = if method == "GET" { String::new() } else { format!(" -X {method}") };
    let path = path.replace('{', "$").replace('}', "").to_uppercase();
    let path = path.replace("/ADMIN/V1", "/admin/v1");
    let path: Vec<String> = path
        .split('/')
        .map(|part| if part.starts_with('$') { part.to_owned() } else { part.to_lowercase() })
        .collect();
    let path = path.join("/");
    let call = format!("curl{method} -H \"Authorization: Bearer $TOKEN\" \"$KEYGATE{path}\"");
    if body.is_null() {
        return call;
    }
    let body = example(document, body, 0);
    format!("{call} \\\n  -H 'Content-Type: application/json' -d '{body}'")
}

/// Something that a schema allows: what it names as its example, else its required fields.
fn example(document: &Value, schema: &Value, depth: usize) -> Value {
    if let Some(name) = text(&schema["$ref"]).strip_prefix(SCHEMAS)
        && depth < DEEPEST
    {
        return example(document, &document["components"]["schemas"][name], depth + 1);
    }
    let given = schema.get("example").or_else(|| schema["examples"].get(0));
    if let Some(given) = given.or_else(|| schema["enum"].get(0)) {
        return given.clone();
    }
    let either = items(&schema["oneOf"]).chain(items(&schema["anyOf"]));
    if let Some(either) = either.into_iter().find(|either| either["type"] != "null") {
        return example(document, either, depth);
    }
    let is_shown = |name: &str, field: &Value| {
        items(&schema["required"]).any(|it| it == name) || field.get("example").is_some()
    };
    match schema.get("properties") {
        Some(fields) => {
            let fields = members(fields).filter(|(name, field)| is_shown(name, field));
            fields.map(|(name, field)| (name.to_owned(), example(document, field, depth))).collect()
        }
        None if schema["type"] == "array" => json!([]),
        None => json!("…"),
    }
}

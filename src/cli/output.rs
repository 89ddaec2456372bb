//! Results on stdout, talk on stderr; tables for people, JSON for programs.

use std::io::Write;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use jiff::Timestamp;
use serde::Serialize;

use super::failure::Result;

/// Where a command's results go, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// Whether programs read it.
    pub(crate) json: bool,
}

/// A list as programs get it.
#[derive(Debug, Serialize)]
pub(crate) struct List<T> {
    /// The rows.
    pub(crate) data: Vec<T>,
    /// Where the next page begins; `None`: that was all.
    pub(crate) next_cursor: Option<String>,
}

impl Output {
    /// Writes a result on stdout: the value for programs, the words for people.
    pub(crate) fn show(self, value: &impl Serialize, words: impl FnOnce() -> String) -> Result {
        if self.json { object(value) } else { line(&words()) }
    }
}

/// Writes a value as JSON on stdout.
pub(crate) fn object(value: &impl Serialize) -> Result {
    let text = serde_json::to_string_pretty(value)
        .expect("what is printed has string keys and no failing parts");
    line(&text)
}

/// Writes a line on stdout.
pub(crate) fn line(text: &str) -> Result {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Writes a line for people on stderr.
pub(crate) fn say(text: &str) -> Result {
    Ok(writeln!(anstream::stderr().lock(), "{text}")?)
}

/// Says something on stderr without ending the line, so that what stdout gets stands behind it.
pub(crate) fn say_before(text: &str) -> Result {
    let mut err = anstream::stderr().lock();
    write!(err, "{text}")?;
    Ok(err.flush()?)
}

/// Rows under headings, in columns two spaces apart.
pub(crate) fn table(headings: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(headings.iter().copied());
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)));
    }
    columns_apart(table)
}

/// Names with their values, one a line.
pub(crate) fn fields(rows: Vec<(&str, String)>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    for (name, value) in rows {
        table.add_row([name.to_owned(), printable(&value)]);
    }
    columns_apart(table)
}

/// A time as people read it, to the minute, in UTC.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// A time that may not be there.
pub(crate) fn time_or(at: Option<Timestamp>, otherwise: &str) -> String {
    at.map_or_else(|| otherwise.to_owned(), time)
}

/// A span in the largest unit that it fills, cut to whole ones.
pub(crate) fn span(milliseconds: u64) -> String {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];
    let unit = units.into_iter().find(|(_, length)| milliseconds >= *length);
    let (name, length) = unit.unwrap_or(("ms", 1));
    format!("{} {name}", milliseconds / length)
}

/// How long ago something was.
pub(crate) fn ago(milliseconds: u64) -> String {
    format!("{} ago", span(milliseconds))
}

/// A list in one cell.
pub(crate) fn joined<T: ToString>(items: &[T], none: &str) -> String {
    if items.is_empty() {
        return none.to_owned();
    }
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// What others wrote must not steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn columns_apart(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_two_spaces_apart_and_lines_end_in_no_space() {
        let rows = vec![
            vec!["key_1".to_owned(), "a longer name".to_owned()],
            vec!["key_22".to_owned(), "b".to_owned()],
        ];
        assert_eq!(table(&["ID", "NAME"], rows), "ID      NAME\nkey_1   a longer name\nkey_22  b");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(fields(vec![("Note", "a\x1b[2Jb".to_owned())]), "Note  a\u{fffd}[2Jb");
    }

    #[test]
    fn spans_are_shown_in_the_largest_unit_that_they_fill() {
        let shown = [0, 999, 1_000, 59_999, 60_000, 7_200_000, 172_800_000].map(span);
        assert_eq!(shown, ["0 ms", "999 ms", "1 s", "59 s", "1 min", "2 h", "2 d"]);
    }

    #[test]
    fn times_are_shown_in_utc() {
        let at = "2027-01-31T01:30:59+01:00".parse().unwrap();
        assert_eq!(time(at), "2027-01-31 00:30 UTC");
        assert_eq!(time_or(None, "never"), "never");
    }
}

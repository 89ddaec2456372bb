//! The tables: medians over the rounds, and ratios taken within each round.

use std::fmt;

/// Those that all are compared with, if nothing else is said.
const YARDSTICKS: [&str; 2] = ["nginx", "minimal"];

/// The way without a proxy, which is compared with none.
pub const DIRECT: &str = "direct";

/// One figure of a table.
#[derive(Clone, Copy)]
pub struct Column {
    /// What it is, with its unit.
    pub title: &'static str,
    /// Decimals.
    pub digits: usize,
    /// Whether it is compared with the yardsticks.
    pub compared: bool,
}

/// What a scenario says, by name in the order of their coming.
pub struct Table {
    title: String,
    columns: Vec<Column>,
    /// Those that all are compared with, where they are measured.
    yardsticks: Vec<&'static str>,
    rows: Vec<Row>,
    notes: Vec<String>,
}

struct Row {
    name: String,
    /// The figures of each round; one that is not a number is not shown.
    rounds: Vec<Vec<f64>>,
}

impl Column {
    /// One whose ratios to the yardsticks are shown.
    pub const fn compared(title: &'static str, digits: usize) -> Self {
        Self { title, digits, compared: true }
    }

    /// One that is shown as it is.
    pub const fn plain(title: &'static str, digits: usize) -> Self {
        Self { title, digits, compared: false }
    }
}

impl Table {
    /// An empty one.
    pub fn new(title: impl Into<String>, columns: &[Column]) -> Self {
        Self::beside(title, columns, &YARDSTICKS)
    }

    /// One whose rows are compared with these.
    pub fn beside(
        title: impl Into<String>,
        columns: &[Column],
        yardsticks: &[&'static str],
    ) -> Self {
        Self {
            title: title.into(),
            columns: columns.to_vec(),
            yardsticks: yardsticks.to_vec(),
            rows: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a round's figures, one for each column.
    pub fn add(&mut self, name: &str, figures: Vec<f64>) {
        match self.rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.rounds.push(figures),
            None => self.rows.push(Row { name: name.to_owned(), rounds: vec![figures] }),
        }
    }

    /// Adds a line below the table.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The median of a figure, by names of row and column.
    pub fn median(&self, name: &str, title: &str) -> Option<f64> {
        let column = self.columns.iter().position(|column| column.title == title)?;
        Some(median(self.row(name)?.figures(column).collect()))
    }

    /// The median of a figure's ratios to that of another row, by names of rows and column.
    pub fn ratio(&self, name: &str, other: &str, title: &str) -> Option<f64> {
        let column = self.columns.iter().position(|column| column.title == title)?;
        Some(ratio(self.row(name)?, self.row(other)?, column))
    }

    fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// Those yardsticks that were measured here.
    fn yardsticks(&self) -> impl Iterator<Item = &Row> {
        self.yardsticks.iter().filter_map(|name| self.row(name))
    }

    fn heads(&self) -> Vec<String> {
        std::iter::once(String::new())
            .chain(self.columns.iter().map(|column| column.title.to_owned()))
            .collect()
    }

    fn cells(&self, row: &Row) -> Vec<String> {
        let columns = self.columns.iter().enumerate();
        let cells = columns.map(|(place, column)| self.cell(row, place, column));
        std::iter::once(row.name.clone()).chain(cells).collect()
    }

    fn cell(&self, row: &Row, place: usize, column: &Column) -> String {
        let figure = median(row.figures(place).collect());
        if figure.is_nan() {
            return String::new();
        }
        let ratios: Vec<_> =
            self.yardsticks().map(|its| format!("{:.2}", ratio(row, its, place))).collect();
        let digits = column.digits;
        if column.compared && row.name != DIRECT && !ratios.is_empty() {
            format!("{figure:.digits$} ({})", ratios.join(", "))
        } else {
            format!("{figure:.digits$}")
        }
    }
}

impl Row {
    fn figures(&self, column: usize) -> impl Iterator<Item = f64> {
        self.rounds.iter().map(move |figures| figures[column])
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = std::iter::once(self.heads())
            .chain(self.rows.iter().map(|row| self.cells(row)))
            .collect();
        let width = |place: usize| lines.iter().map(|line| line[place].chars().count()).max();
        let widths: Vec<_> = (0..=self.columns.len()).filter_map(width).collect();
        let yardsticks: Vec<_> = self.yardsticks().map(|row| row.name.as_str()).collect();
        writeln!(f, "{}", self.title)?;
        if !yardsticks.is_empty() {
            writeln!(f, "In brackets: ratio to {}", yardsticks.join(", to "))?;
        }
        writeln!(f)?;
        for (number, line) in lines.iter().enumerate() {
            write!(f, "| {:<1$} |", line[0], widths[0])?;
            for (cell, width) in line.iter().zip(&widths).skip(1) {
                write!(f, " {cell:>width$} |")?;
            }
            writeln!(f)?;
            if number == 0 {
                writeln!(f, "| --- |{}", " ---: |".repeat(self.columns.len()))?;
            }
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}

fn ratio(row: &Row, other: &Row, column: usize) -> f64 {
    let pairs = row.figures(column).zip(other.figures(column));
    median(pairs.map(|(own, its)| own / its).collect())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len() % 2 == 1 {
        figures[middle]
    } else {
        f64::midpoint(figures[middle - 1], figures[middle])
    }
}

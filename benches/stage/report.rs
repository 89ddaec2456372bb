//! What is printed: times as percentiles, and tables that can be pasted into the docs.

use std::fmt::{self, Display};
use std::io::{Write as _, stdout};
use std::time::Duration;

/// Times, to be asked for their percentiles.
pub struct Times(Vec<Duration>);

impl FromIterator<Duration> for Times {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        let mut times: Vec<_> = times.into_iter().collect();
        times.sort_unstable();
        Self(times)
    }
}

impl Times {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that so many in a hundred did not exceed.
    pub fn percentile(&self, percent: usize) -> Duration {
        let place = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(place).copied().unwrap_or_default()
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        self.percentile(100)
    }

    /// The cells `p50 ms`, `p99 ms`, `max ms` and `count`.
    pub fn cells(&self) -> [String; 4] {
        let [p50, p99, max] = [self.percentile(50), self.percentile(99), self.max()].map(ms);
        [p50, p99, max, self.count().to_string()]
    }
}

/// Milliseconds for people.
pub fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    let digits = if ms < 10.0 { 2 } else { 1 };
    format!("{ms:.digits$}")
}

/// The middle one of an odd number of figures, the mean of the two middle ones of an even number.
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() % 2 {
        1 => figures[middle],
        _ => f64::midpoint(figures[middle - 1], figures[middle]),
    }
}

/// Says something to whoever runs the measurement.
pub fn say(text: &str) {
    // A reader who has gone wants no more.
    let _ = writeln!(stdout(), "{text}");
}

/// Rows under a heading, in Markdown.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new<S: Display>(columns: impl IntoIterator<Item = S>) -> Self {
        Self { rows: vec![columns.into_iter().map(|column| column.to_string()).collect()] }
    }

    /// Adds a row.
    pub fn row<S: Display>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(|cell| cell.to_string()).collect());
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default().max(4)
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, row) in self.rows.iter().enumerate() {
            for (column, cell) in row.iter().enumerate() {
                let width = self.width(column);
                if column == 0 {
                    write!(f, "| {cell:<width$} |")?;
                } else {
                    write!(f, " {cell:>width$} |")?;
                }
            }
            writeln!(f)?;
            if place == 0 {
                writeln!(f, "| ---{}", "| ---: ".repeat(row.len() - 1) + "|")?;
            }
        }
        Ok(())
    }
}

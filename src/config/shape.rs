//! The forms that settings have: what the table of settings is written in.

/// One setting.
#[derive(Debug)]
pub(super) struct Setting {
    /// Its name within its table.
    pub(super) name: &'static str,
    /// What may stand behind it.
    pub(super) shape: Shape,
    /// What it is when it is not given.
    pub(super) absent: Absent,
    /// Whether the feature behind it is built; if not, only its off value is taken.
    pub(super) built: bool,
    /// What it does, in a sentence or two of Markdown.
    pub(super) about: &'static str,
}

/// What a setting is when it is not given.
#[derive(Debug)]
pub(super) enum Absent {
    /// This value, in TOML.
    Default(&'static str),
    /// A table of the defaults of its settings.
    Section,
    /// Nothing.
    Nothing,
    /// A problem.
    Problem,
}

/// What may stand behind a setting's name.
#[derive(Debug)]
pub(super) enum Shape {
    /// One value.
    One(Kind),
    /// Several values.
    List {
        /// Of this kind.
        of: Kind,
        /// So many at least.
        least: usize,
    },
    /// A table of these settings.
    Table(&'static [Setting]),
    /// A table of these settings, or a string that stands for one of them.
    Described {
        /// Which the string stands for.
        text: &'static str,
        /// The settings.
        settings: &'static [Setting],
    },
    /// A table whose names the operator chooses.
    Named {
        /// What stands for such a name in the documents.
        key: &'static str,
        /// What stands behind each name.
        of: &'static Shape,
    },
    /// A list of tables of these settings.
    Tables(&'static [Setting]),
}

/// The form of one value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A string; what it may hold is checked with its meaning.
    Text,
    /// A string that is never shown.
    Secret,
    /// A string whose password is never shown.
    Url,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Integer {
        /// The smallest.
        least: i64,
        /// The largest.
        most: i64,
    },
    /// A number.
    Number {
        /// The smallest.
        least: f64,
        /// The largest.
        most: f64,
    },
    /// A duration.
    Duration {
        /// Whether it may be zero.
        zero: bool,
    },
    /// A size in bytes.
    Size {
        /// The smallest.
        least: u64,
        /// The largest.
        most: u64,
    },
    /// A rate limit.
    Limit,
    /// A rate limit, or the empty string for none.
    LimitOrNone,
    /// Money.
    Amount,
    /// An IP address with a port.
    Address,
    /// An address range.
    Network,
    /// One of these strings.
    Choice(&'static [&'static str]),
}

impl Setting {
    /// A setting with a default.
    pub(super) const fn default(
        name: &'static str,
        shape: Shape,
        value: &'static str,
        about: &'static str,
    ) -> Self {
        Self { name, shape, absent: Absent::Default(value), built: true, about }
    }

    /// A table that is always there.
    pub(super) const fn section(
        name: &'static str,
        settings: &'static [Self],
        about: &'static str,
    ) -> Self {
        let shape = Shape::Table(settings);
        Self { name, shape, absent: Absent::Section, built: true, about }
    }

    /// A setting that may be left out.
    pub(super) const fn optional(name: &'static str, shape: Shape, about: &'static str) -> Self {
        Self { name, shape, absent: Absent::Nothing, built: true, about }
    }

    /// A setting that may not be left out.
    pub(super) const fn required(name: &'static str, shape: Shape, about: &'static str) -> Self {
        Self { name, shape, absent: Absent::Problem, built: true, about }
    }

    /// The same, refused as not supported yet unless it is off.
    pub(super) const fn later(mut self) -> Self {
        self.built = false;
        self
    }
}

impl Kind {
    /// What is allowed, to follow "must be".
    pub(super) fn allowed(self) -> String {
        match self {
            Self::Text | Self::Secret | Self::Url => "a string".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Integer { least, most } => format!("a whole number from {least} to {most}"),
            Self::Number { least, most } => format!("a number from {least} to {most}"),
            Self::Duration { zero } => {
                let bound = if zero { "" } else { ", longer than zero" };
                format!(r#"a duration such as "500ms", "30s", "5m", "1h" or "7d"{bound}"#)
            }
            Self::Size { least, most } => {
                let size = super::units::format_size;
                let bound = match (least, most) {
                    (0, _) => String::new(),
                    _ => format!(", from {} to {}", size(least), size(most)),
                };
                format!(r#"a size such as "32KiB" or "1MiB", or a number of bytes{bound}"#)
            }
            Self::Limit => r#"a limit such as "60/min", with s, min, hour or day"#.to_owned(),
            Self::LimitOrNone => format!(r#"{}, or "" for none"#, Self::Limit.allowed()),
            Self::Amount => r#"an amount such as "0.002", with at most six decimals"#.to_owned(),
            Self::Address => {
                r#"an IP address with a port, such as "127.0.0.1:8080" or "[::1]:8080""#.to_owned()
            }
            Self::Network => r#"an IP address or a CIDR range, such as "10.0.0.0/8""#.to_owned(),
            Self::Choice(names) => {
                let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
                quoted.join(" or ")
            }
        }
    }
}

impl Shape {
    /// What is allowed, to follow "must be".
    pub(super) fn allowed(&self) -> String {
        match self {
            Self::One(kind) => kind.allowed(),
            Self::List { .. } => "a list".to_owned(),
            Self::Table(_) | Self::Named { .. } => "a table".to_owned(),
            Self::Described { .. } => "a string or a table".to_owned(),
            Self::Tables(_) => "a list of tables".to_owned(),
        }
    }
}

//! The order in which routes are tried: see [`crate::proxy::matcher`].

/// A segment of a route's path; what goes before another one comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment<'a> {
    Literal(&'a str),
    Name,
    Rest,
}

/// Where a route stands among others, by its path: at the first segment that differs, a literal goes
/// before `{name}` and that before `/**`. Of equal paths, methods decide, and their order is free.
pub(super) fn place(path: &str) -> impl Ord + '_ {
    let segments = path.split('/').skip(1).map(|segment| match segment {
        "**" => Segment::Rest,
        name if name.starts_with('{') => Segment::Name,
        literal => Segment::Literal(literal),
    });
    segments.collect::<Vec<_>>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_path_comes_first() {
        let mut paths = ["/**", "/a/**", "/a/{x}/c", "/a/{x}", "/b", "/a/b/**", "/a/b", "/a"];
        paths.sort_by(|a, b| place(a).cmp(&place(b)));
        let order = ["/a", "/a/b", "/a/b/**", "/a/{x}", "/a/{x}/c", "/a/**", "/b", "/**"];
        assert_eq!(paths, order);
    }
}

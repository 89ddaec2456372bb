//! Rules of the matcher in examples, and against a matcher that tries every route in turn.

use proptest::prelude::*;

use super::*;

fn matcher(routes: &[(&str, &[Method])]) -> Matcher {
    Matcher::new(routes.iter().copied()).unwrap()
}

/// Which of the paths, all with every method, a path is found under.
fn found(paths: &[&str], path: &str) -> Option<usize> {
    let routes: Vec<(&str, &[Method])> = paths.iter().map(|path| (*path, &[][..])).collect();
    match matcher(&routes).find(&Method::GET, path) {
        Match::Found(index) => Some(index),
        Match::NotFound => None,
        Match::MethodNotAllowed(_) => panic!("every route has GET"),
    }
}

#[test]
fn of_paths_in_their_order_the_first_that_fits_is_the_one_that_wins() {
    let mut paths = ["/**", "/a/**", "/a/{x}", "/a/b", "/{x}/b", "/a/{x}/c", "/a/b/**"];
    paths.sort_by_key(|path| specificity(path));
    assert_eq!(paths, ["/a/b", "/a/b/**", "/a/{x}", "/a/{x}/c", "/a/**", "/{x}/b", "/**"]);
    for path in ["/x", "/a/b", "/a/x", "/x/b", "/a/x/c", "/a/x/d", "/a/b/c", "/a/x/c/d"] {
        let first = (0..paths.len()).find(|place| found(&paths[*place..=*place], path).is_some());
        assert_eq!(found(&paths, path), first, "{path}");
    }
}

#[test]
fn the_most_specific_path_wins_whatever_the_order() {
    let paths = ["/**", "/a/**", "/a/{x}", "/a/b", "/{x}/b", "/a/{x}/c", "/a/b/**"];
    for (path, index) in [
        ("/x", 0),
        ("/a/b", 3),
        ("/a/x", 2),
        ("/x/b", 4),
        ("/x/c", 0),
        ("/a/x/c", 5),
        ("/a/x/d", 1),
        ("/a/b/c", 6),
        ("/a/b/c/d", 6),
        ("/a/x/c/d", 1),
    ] {
        assert_eq!(found(&paths, path), Some(index), "{path}");
    }
}

#[test]
fn a_rest_is_one_segment_or_more_and_no_mere_beginning() {
    for path in ["/public/a", "/public/a/", "/public/a/b"] {
        assert_eq!(found(&["/public/**"], path), Some(0), "{path}");
    }
    for path in ["/public", "/public/", "/publicity", "/publicity/a", "/", "/a/public/a"] {
        assert_eq!(found(&["/public/**"], path), None, "{path}");
    }
    assert_eq!(found(&["/**"], "/"), None);
    assert_eq!(found(&["/"], "/"), Some(0));
}

#[test]
fn a_name_is_exactly_one_segment_and_not_empty() {
    assert_eq!(found(&["/a/{x}/b"], "/a/1/b"), Some(0));
    for path in ["/a//b", "/a/b", "/a/1/2/b", "/a/1/b/"] {
        assert_eq!(found(&["/a/{x}/b"], path), None, "{path}");
    }
    assert_eq!(found(&["/a/{x}"], "/a/"), None);
}

#[test]
fn a_slash_at_the_end_and_the_case_make_another_path() {
    assert_eq!(found(&["/a", "/a/"], "/a"), Some(0));
    assert_eq!(found(&["/a", "/a/"], "/a/"), Some(1));
    assert_eq!(found(&["/a"], "/a/"), None);
    assert_eq!(found(&["/a"], "/A"), None);
    assert_eq!(found(&["/a"], "*"), None);
}

#[test]
fn spellings_that_mean_the_same_are_one_path() {
    for route in ["/v1/agents:run", "/v1/agents%3Arun", "/v1/%61gents%3arun"] {
        for path in ["/v1/agents:run", "/v1/agents%3Arun"] {
            assert_eq!(found(&[route, "/v1/**"], path), Some(0), "{route} {path}");
        }
    }
}

#[test]
fn escapes_that_hide_something_else_stay_what_they_are() {
    for (segments, means) in [
        ("%25", "%25"),
        ("%253A", "%253A"),
        ("a%20%3A%40", "a%20:@"),
        ("%2B%2B", "++"),
        ("3A%C3%A9", "3A%C3%A9"),
    ] {
        assert_eq!(meaning(segments), means);
    }
}

#[test]
fn the_most_specific_path_decides_whatever_its_methods_are() {
    let matcher = matcher(&[
        ("/**", &[]),
        ("/a/{x}", &[Method::POST]),
        ("/a/b", &[Method::GET]),
        ("/a/b", &[Method::PUT]),
        ("/a/b", &[]),
    ]);
    for (method, path, index) in [
        (Method::GET, "/a/b", 2),
        (Method::HEAD, "/a/b", 2),
        (Method::PUT, "/a/b", 3),
        (Method::DELETE, "/a/b", 4),
        (Method::POST, "/a/b", 4),
        (Method::POST, "/a/x", 1),
        (Method::GET, "/b", 0),
    ] {
        assert_eq!(matcher.find(&method, path), Match::Found(index), "{method} {path}");
    }
    assert_eq!(matcher.find(&Method::GET, "/a/x"), Match::MethodNotAllowed("POST".into()));
}

#[test]
fn without_the_method_all_that_the_path_has_is_named() {
    let purge = Method::from_bytes(b"PURGE").unwrap();
    let matcher = matcher(&[
        ("/a/{x}", &[Method::POST, Method::OPTIONS]),
        ("/a/b", &[Method::GET]),
        ("/all", &[]),
        ("/odd", std::slice::from_ref(&purge)),
    ]);
    let not_allowed = |allow: &str| Match::MethodNotAllowed(allow.into());
    assert_eq!(matcher.find(&Method::PUT, "/a/b"), not_allowed("GET, HEAD"));
    assert_eq!(matcher.find(&Method::PUT, "/a/x"), not_allowed("OPTIONS, POST"));
    for method in ONLY_LISTED {
        let all = "DELETE, GET, HEAD, PATCH, POST, PUT";
        assert_eq!(matcher.find(&method, "/all"), not_allowed(all));
    }
    assert_eq!(matcher.find(&Method::OPTIONS, "/a/x"), Match::Found(0));
    assert_eq!(matcher.find(&Method::PUT, "/b"), Match::NotFound);
    assert_eq!(matcher.find(&purge, "/all"), Match::Found(2));
    assert_eq!(matcher.find(&purge, "/odd"), Match::Found(3));
    assert_eq!(matcher.find(&Method::GET, "/odd"), not_allowed("PURGE"));
}

#[test]
fn a_path_that_no_request_could_match_is_an_error() {
    for path in [
        "", "a", "*", "/a/**/b", "/a*", "/*", "/{}", "/{a", "/a}", "/x{a}", "/{a}{b}", "/{{a}}",
        "/a//b/..", "/..", "/a%2Fb", "/a%zz", "/a b", "/a?b",
    ] {
        let error = Matcher::new([(path, &[][..])]).unwrap_err();
        assert!(error.to_string().contains(&format!("{path:?}")), "{error}");
    }
}

#[test]
fn a_path_of_a_hundred_thousand_segments_is_looked_at_no_deeper_than_the_routes_are() {
    let path = "/a".repeat(100_000);
    assert_eq!(found(&["/a/a/a", "/{x}/{y}/{z}/b"], &path), None);
    assert_eq!(found(&["/a/**"], &path), Some(0));
}

/// Tries every route in turn and judges by the segments alone.
fn naive(routes: &[(String, Vec<Method>)], method: &Method, path: &str) -> Match {
    let segments: Vec<&str> = path[1..].split('/').collect();
    let mut matching: Vec<(Vec<u8>, usize)> = routes
        .iter()
        .enumerate()
        .filter_map(|(index, (route, _))| Some((ranks(route, &segments)?, index)))
        .collect();
    matching.sort();
    let has = |index: usize, method: &Method| routes[index].1.contains(method);
    let Some(best) = matching.chunk_by(|one, other| one.0 == other.0).next() else {
        return Match::NotFound;
    };
    let first = |test: &dyn Fn(usize) -> bool| best.iter().map(|g| g.1).find(|i| test(*i));
    let listed = first(&|index| has(index, method));
    let by_get = first(&|index| method == Method::HEAD && has(index, &Method::GET));
    let any = first(&|index| method != Method::OPTIONS && routes[index].1.is_empty());
    if let Some(index) = listed.or(by_get).or(any) {
        return Match::Found(index);
    }
    let all = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"].map(|name| {
        let method = Method::from_bytes(name.as_bytes()).unwrap();
        let allowed = best.iter().any(|(_, index)| {
            has(*index, &method)
                || (name == "HEAD" && has(*index, &Method::GET))
                || (name != "OPTIONS" && routes[*index].1.is_empty())
        });
        if allowed { name } else { "" }
    });
    let allow: Vec<&str> = all.into_iter().filter(|name| !name.is_empty()).collect();
    Match::MethodNotAllowed(allow.join(", ").into())
}

/// A rank for each segment of the route (0 literal, 1 name, 2 rest), where it matches.
fn ranks(route: &str, segments: &[&str]) -> Option<Vec<u8>> {
    let mut ranks = Vec::new();
    let parts: Vec<&str> = route[1..].split('/').collect();
    for (place, part) in parts.iter().enumerate() {
        let segment = *segments.get(place)?;
        if *part == "**" {
            ranks.push(2);
            return (!segment.is_empty()).then_some(ranks);
        }
        let is_name = part.starts_with('{');
        if if is_name { segment.is_empty() } else { segment != *part } {
            return None;
        }
        ranks.push(u8::from(is_name));
    }
    (parts.len() == segments.len()).then_some(ranks)
}

fn routes() -> impl Strategy<Value = Vec<(String, Vec<Method>)>> {
    let segment = proptest::sample::select(vec!["a", "b", "ab", "{x}", "{y}"]);
    let end = proptest::sample::select(vec!["", "", "/", "/**"]);
    let path = (proptest::collection::vec(segment, 0..4), end).prop_map(|(segments, end)| {
        let path = ["/", &segments.join("/")].concat();
        let path = if segments.is_empty() { String::new() } else { path };
        if path.is_empty() && end.is_empty() { "/".to_owned() } else { path + end }
    });
    let methods = vec![Method::GET, Method::POST, Method::HEAD, Method::OPTIONS];
    proptest::collection::vec((path, proptest::sample::subsequence(methods, 0..3)), 0..20)
}

proptest! {
    #[test]
    fn it_finds_what_trying_every_route_finds(
        routes in routes(),
        path in "/((a|b|ab|c)/){0,4}(a|b|c)?",
        method in proptest::sample::select(vec![
            Method::GET, Method::POST, Method::HEAD, Method::PUT, Method::OPTIONS,
        ]),
    ) {
        let given = routes.iter().map(|(path, methods)| (path.as_str(), methods.as_slice()));
        let matcher = Matcher::new(given).unwrap();
        prop_assert_eq!(matcher.find(&method, &path), naive(&routes, &method, &path));
    }

    #[test]
    fn no_path_makes_it_panic(path in "\\PC*") {
        let _ = matcher(&[("/a/{x}/**", &[]), ("/{y}", &[])]).find(&Method::GET, &path);
    }
}

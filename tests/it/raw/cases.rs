//! What is sent over a bare socket, byte for byte, and what must come of it.
//!
//! Each case is one connection to a gateway with two public routes, `/open/**` for any method and
//! `/read` for GET, to an upstream that answers 200.

/// A request that is sound, and must not be taken for one behind a refusal.
pub(super) const GOOD: &str = "GET /open/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// What must come of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    /// So many requests reach the upstream, each is answered 200, and the connection stays open.
    Passed(usize),
    /// This status with a JSON error and `Connection: close`, then the end; nothing reaches the
    /// upstream whole.
    Closed(u16),
    /// This status with a JSON error, and the connection goes on; nothing reaches the upstream.
    Refused(u16),
    /// So many requests are answered 200 first, then as `Closed`.
    PassedThenClosed(usize, u16),
}

/// One connection.
pub(super) struct Case {
    /// Which rule it shows.
    pub(super) name: &'static str,
    /// What the client sends.
    pub(super) bytes: Vec<u8>,
    /// What comes of it.
    pub(super) expect: Expect,
}

/// Every case.
pub(super) fn all() -> Vec<Case> {
    let groups =
        [sound(), request_lines(), fields(), bodies(), chunks(), paths(), sizes(), pipelines()];
    groups.into_iter().flatten().collect()
}

fn case(name: &'static str, bytes: impl Into<Vec<u8>>, expect: Expect) -> Case {
    Case { name, bytes: bytes.into(), expect }
}

fn closed(name: &'static str, bytes: impl Into<Vec<u8>>) -> Case {
    case(name, bytes, Expect::Closed(400))
}

/// A GET whose target is this.
fn target(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// A POST with these fields beside Host.
fn head(fields: &str) -> String {
    format!("POST /open/a HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")
}

fn chunked(body: &str) -> String {
    head("Transfer-Encoding: chunked") + body
}

fn sound() -> Vec<Case> {
    let passed = |name, bytes: String| case(name, bytes, Expect::Passed(1));
    vec![
        passed("an ordinary request", target("/open/a")),
        passed("one empty line before a request", format!("\r\n{}", target("/open/a"))),
        passed("a body of known length", head("Content-Length: 3") + "abc"),
        passed("a body of no length", head("Content-Length: 0")),
        passed("a chunked body", chunked("3\r\nabc\r\n0\r\n\r\n")),
        passed("chunk extensions", chunked("3;a=b\r\nabc\r\n0;c\r\n\r\n")),
        passed("trailers", chunked("3\r\nabc\r\n0\r\nT: v\r\n\r\n")),
        passed("chunked in any case", head("Transfer-Encoding: CHUNKED") + "0\r\n\r\n"),
        passed("a Host with a port", "GET /open/a HTTP/1.1\r\nHost: a:8080\r\n\r\n".into()),
        passed(
            "a Host that is an IPv6 address",
            "GET /open/a HTTP/1.1\r\nHost: [::1]:80\r\n\r\n".into(),
        ),
        passed("a tab in a value", head("Content-Length: 0\r\nA: b\tc")),
        passed("a byte above ASCII in a value", head("Content-Length: 0\r\nA: \u{e9}")),
        passed("a query of nearly any printable characters", target("/open/a?b={c}|\\^`'d'")),
        passed("a path that has to be escaped", target("/open/{a}|\"b\"")),
        passed("a whole URL", target("http://b/open/a")),
        passed(
            "a GET with a body",
            "GET /open/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx".into(),
        ),
        passed(
            "a body that looks like a request",
            head(&format!("Content-Length: {}", GOOD.len())) + GOOD,
        ),
        case("two requests at once", target("/open/a").repeat(2), Expect::Passed(2)),
        case(
            "a request to nobody's path",
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            Expect::Refused(404),
        ),
        case("a path that no route has", target("/none"), Expect::Refused(404)),
        case(
            "a method that the route does not have",
            "DELETE /read HTTP/1.1\r\nHost: a\r\n\r\n",
            Expect::Refused(405),
        ),
        case(
            "a method in lower case is another method",
            "get /read HTTP/1.1\r\nHost: a\r\n\r\n",
            Expect::Refused(405),
        ),
        case("TRACE", "TRACE /open/a HTTP/1.1\r\nHost: a\r\n\r\n", Expect::Refused(405)),
        case("CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Expect::Refused(405)),
    ]
}

fn request_lines() -> Vec<Case> {
    let line = |name, line: &str| closed(name, format!("{line}\r\nHost: a\r\n\r\n"));
    vec![
        line("two spaces before the target", "GET  /open/a HTTP/1.1"),
        line("two spaces behind the target", "GET /open/a  HTTP/1.1"),
        line("a space before the method", " GET /open/a HTTP/1.1"),
        line("a space behind the version", "GET /open/a HTTP/1.1 "),
        line("a tab for a space", "GET\t/open/a HTTP/1.1"),
        line("a space in the target", "GET /open/a b HTTP/1.1"),
        line("a method that ends with a bracket", "GE(T /open/a HTTP/1.1"),
        line("no version", "GET /open/a"),
        line("a target that is no path", "GET open/a HTTP/1.1"),
        line("a target without a path", "GET a HTTP/1.1"),
        line("an asterisk for a path", "GET * HTTP/1.1"),
        line("a user in the target", "GET http://user@a/open/a HTTP/1.1"),
        line("a scheme that is not HTTP's", "GET ftp://a/open/a HTTP/1.1"),
        line("a quote in the query", "GET /open/a?\"b\" HTTP/1.1"),
        line("no target", "GET HTTP/1.1"),
        line("a method that is no token", "G(E)T /open/a HTTP/1.1"),
        line("a fragment", "GET /open/a#b HTTP/1.1"),
        line("a NUL in the target", "GET /open/\0 HTTP/1.1"),
        line("a control character in the target", "GET /open/\x01 HTTP/1.1"),
        line("a byte above ASCII in the target", "GET /open/\u{e9} HTTP/1.1"),
        line("a CR in the target", "GET /open/a\rb HTTP/1.1"),
        line("HTTP/0.9", "GET /open/a HTTP/0.9"),
        line("HTTP/1.2", "GET /open/a HTTP/1.2"),
        line("HTTP/9.9", "GET /open/a HTTP/9.9"),
        line("HTTP/2.0", "GET /open/a HTTP/2.0"),
        line("a version in lower case", "GET /open/a http/1.1"),
        closed("HTTP/0.9 as it was", "GET /open/a\r\n"),
        closed("HTTP/2 but for one byte", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r "),
        closed("lines that end with LF", "GET /open/a HTTP/1.1\nHost: a\n\n"),
        closed("a request line that ends with LF", "GET /open/a HTTP/1.1\nHost: a\r\n\r\n"),
        closed("two empty lines before a request", format!("\r\n\r\n{}", target("/open/a"))),
        closed("LF before a request", format!("\n{}", target("/open/a"))),
        closed("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
    ]
}

fn fields() -> Vec<Case> {
    let field = |name, field: &str| closed(name, head(&format!("Content-Length: 0\r\n{field}")));
    let host = |name, fields: &str| closed(name, format!("GET /open/a HTTP/1.1\r\n{fields}\r\n"));
    vec![
        field("a folded line", "A: b\r\n c"),
        field("a line folded by a tab", "A: b\r\n\tc"),
        field("a space before the colon", "A : b"),
        field("a tab before the colon", "A\t: b"),
        field("a space before a name", " A: b"),
        field("a space in a name", "A B: c"),
        field("a DEL in a name", "A\x7f: b"),
        field("no name", ": b"),
        field("no colon", "A"),
        field("a NUL in a value", "A: b\0c"),
        field("a control character in a value", "A: b\x07"),
        field("a DEL in a value", "A: b\x7f"),
        field("a CR in a value", "A: b\rc"),
        field("a CR in a name", "A\rB: c"),
        field("a NUL in a name", "A\0: b"),
        field("a byte above ASCII in a name", "\u{e9}: b"),
        field("a bracket in a name", "A(b): c"),
        field("a line that ends with LF", "A: b\nC: d"),
        closed("the last line ends with LF", "GET /open/a HTTP/1.1\r\nHost: a\r\n\n"),
        closed("a first field that is folded", "GET /open/a HTTP/1.1\r\n Host: a\r\n\r\n"),
        host("no Host", ""),
        host("two equal Hosts", "Host: a\r\nHost: a\r\n"),
        host("two Hosts", "Host: a\r\nhost: b\r\n"),
        host("an empty Host", "Host:\r\n"),
        host("a Host with a path", "Host: a/b\r\n"),
        host("a Host with a user", "Host: user@a\r\n"),
        host("a Host with a space", "Host: a b\r\n"),
        host("a list of Hosts", "Host: a, b\r\n"),
        host("a Host with a port that is no number", "Host: a:b\r\n"),
        host("an IPv6 Host without brackets", "Host: ::1\r\n"),
        host("an open bracket in a Host", "Host: [::1\r\n"),
    ]
}

fn bodies() -> Vec<Case> {
    let body = |name, fields: &str| closed(name, head(fields) + "0\r\n\r\n");
    vec![
        body("a length and chunks", "Content-Length: 5\r\nTransfer-Encoding: chunked"),
        body("chunks and a length", "Transfer-Encoding: chunked\r\nContent-Length: 5"),
        body("two equal lengths", "Content-Length: 5\r\nContent-Length: 5"),
        body("two lengths", "Content-Length: 5\r\nContent-Length: 4"),
        body("a list of lengths", "Content-Length: 5, 5"),
        body("two lengths in one", "Content-Length: 5 5"),
        body("a length with a sign", "Content-Length: +5"),
        body("a negative length", "Content-Length: -5"),
        body("a length in hex", "Content-Length: 0x5"),
        body("an empty length", "Content-Length:"),
        body("the last length of 64 bits", "Content-Length: 18446744073709551615"),
        body("a length beyond 64 bits", "Content-Length: 99999999999999999999"),
        body("chunked twice in a list", "Transfer-Encoding: chunked, chunked"),
        body("chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        body("chunked in quotes", "Transfer-Encoding: \"chunked\""),
        body("identity and chunked", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"),
        body("a tab before the colon of a coding", "Transfer-Encoding\t: chunked"),
        body("another coding", "Transfer-Encoding: gzip"),
        body("another coding before chunked", "Transfer-Encoding: gzip, chunked"),
        body("chunked is not the last coding", "Transfer-Encoding: chunked, identity"),
        body("no coding", "Transfer-Encoding:"),
        body("a vertical tab before chunked", "Transfer-Encoding: \x0bchunked"),
        body("a coding that only ends like chunked", "Transfer-Encoding: xchunked"),
        body("a space before the colon of a coding", "Transfer-Encoding : chunked"),
        body("a folded coding", "Transfer-Encoding:\r\n chunked"),
        closed(
            "chunks in HTTP/1.0",
            "POST /open/a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
    ]
}

fn chunks() -> Vec<Case> {
    let body = |name, body: &str| closed(name, chunked(body));
    vec![
        body("a chunk size that is no number", "x\r\na\r\n0\r\n\r\n"),
        body("an empty chunk size", "\r\na\r\n0\r\n\r\n"),
        body("a negative chunk size", "-1\r\na\r\n0\r\n\r\n"),
        body("a chunk size of more than 16 digits", "00000000000000001\r\na\r\n0\r\n\r\n"),
        body("a chunk size with a sign", "+1\r\na\r\n0\r\n\r\n"),
        body("a chunk size with 0x", "0x1\r\na\r\n0\r\n\r\n"),
        body("a space behind a chunk size", "1 \r\na\r\n0\r\n\r\n"),
        body("a space before a chunk size", " 1\r\na\r\n0\r\n\r\n"),
        body("a chunk size beyond 64 bits", "10000000000000000\r\na\r\n0\r\n\r\n"),
        body("a chunk size that ends with LF", "1\na\r\n0\r\n\r\n"),
        body("an extension that ends with LF", "1;a\na\r\n0\r\n\r\n"),
        body("a CR in an extension", "1;a\rb\r\na\r\n0\r\n\r\n"),
        body("data that ends with LF", "1\r\na\n0\r\n\r\n"),
        body("data longer than its size", "1\r\nab\r\n0\r\n\r\n"),
        body("data shorter than its size", "3\r\na\r\n0\r\n\r\n"),
        body("a last chunk that ends with LF", "0\n\r\n"),
        body("a body that ends with LF", "0\r\n\n"),
        body("a trailer that ends with LF", "0\r\nT: v\n\r\n"),
        body("a space before a trailer's colon", "0\r\nT : v\r\n\r\n"),
        body("a folded trailer", "0\r\nT: v\r\n w\r\n\r\n"),
        body("a trailer without a colon", "0\r\nT\r\n\r\n"),
        body("a hundred and one trailers", &format!("0\r\n{}\r\n", "A: b\r\n".repeat(101))),
        body("trailers of more than 16 KiB", &format!("0\r\nT: {}\r\n\r\n", "x".repeat(17_000))),
        body("a NUL in a trailer", "0\r\nT: \0\r\n\r\n"),
        body(
            "extensions of more than 16 KiB",
            &format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(17_000)),
        ),
    ]
}

/// A path is no matter of framing: its request ends with its head, and still its connection closes,
/// as every `bad_request` does.
fn paths() -> Vec<Case> {
    [
        ("a dot segment", "/open/./a"),
        ("two dots", "/open/../read"),
        ("two dots at the end", "/open/.."),
        ("encoded dots", "/open/%2e%2e/read"),
        ("half encoded dots", "/open/.%2E/read"),
        ("dots with a parameter", "/open/..;x=1/read"),
        ("encoded dots with a parameter", "/open/%2e%2e;/read"),
        ("an empty segment", "/open//a"),
        ("an empty first segment", "//open/a"),
        ("an encoded slash", "/open/a%2fb"),
        ("an encoded backslash", "/open/a%5Cb"),
        ("a backslash", "/open\\a"),
        ("an encoded NUL", "/open/a%00"),
        ("an encoded line feed", "/open/a%0a"),
        ("a broken escape", "/open/a%2"),
        ("an escape that is no number", "/open/a%zz"),
    ]
    .into_iter()
    .map(|(name, path)| closed(name, target(path)))
    .collect()
}

fn sizes() -> Vec<Case> {
    let long = |length: usize| head(&format!("Content-Length: 0\r\nLong: {}", "x".repeat(length)));
    let fields = |count: usize| {
        format!("GET /open/a HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(count - 1))
    };
    vec![
        case("a long head", long(31 * 1024), Expect::Passed(1)),
        case("a head that is too long", long(33 * 1024), Expect::Closed(431)),
        case(
            "a head that never ends",
            "GET /open/a HTTP/1.1\r\nA: ".to_owned() + &"x".repeat(40_000),
            Expect::Closed(431),
        ),
        case("a request line that never ends", "x".repeat(40_000), Expect::Closed(431)),
        case("empty lines that never end", "\r\n".repeat(20_000), Expect::Closed(400)),
        case(
            "a target that is too long",
            target(&format!("/open/{}", "x".repeat(33 * 1024))),
            Expect::Closed(431),
        ),
        case("a hundred fields", fields(100), Expect::Passed(1)),
        case("a hundred and one fields", fields(101), Expect::Closed(431)),
        case(
            "a body longer than the route takes",
            head("Content-Length: 1048577"),
            Expect::Closed(413),
        ),
    ]
}

fn pipelines() -> Vec<Case> {
    let good = target("/open/a");
    let no_host = "GET /open/a HTTP/1.1\r\n\r\n";
    let post = head("Content-Length: 3") + "abc";
    vec![
        case(
            "a faulty head behind a sound request",
            format!("{good}{no_host}"),
            Expect::PassedThenClosed(1, 400),
        ),
        case(
            "a faulty head behind two",
            format!("{good}{post}{no_host}"),
            Expect::PassedThenClosed(2, 400),
        ),
        case(
            "a body longer than its length",
            format!("{}abcdef\r\n\r\n", head("Content-Length: 3")),
            Expect::PassedThenClosed(1, 400),
        ),
        case(
            "a broken body behind a sound request",
            format!("{good}{}", chunked("x\r\n")),
            Expect::PassedThenClosed(1, 400),
        ),
        case(
            "a head that is too long behind a sound request",
            format!("{good}GET /open/a HTTP/1.1\r\nA: {}", "x".repeat(40_000)),
            Expect::PassedThenClosed(1, 431),
        ),
    ]
}

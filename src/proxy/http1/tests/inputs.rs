//! What clients send, sorted by what becomes of it.

/// A POST with these fields beside Host.
pub(super) fn head(fields: &str) -> String {
    format!("POST /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")
}

/// A POST with a body in chunks.
pub(super) fn chunked(body: &str) -> String {
    head("Transfer-Encoding: chunked") + body
}

/// Sound messages without a body.
pub(super) fn good_heads() -> Vec<String> {
    let ten_fields = "A: b\r\n".repeat(10);
    let mut heads: Vec<String> = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        "CONNECT [::1]:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://[::1]:80?b HTTP/1.1\r\nHost: a\r\n\r\n",
        "M-SEARCH /a?b=c&d=%20{}|'\\^` HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /{a}|\"b\"^[c] HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhOsT:a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:  \t a \t\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:8080\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a-b.c_d.example:80\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [2001:db8::192.0.2.1]:80\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nEmpty:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTabbed: a\tb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nLatin: \u{e9}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~09AZaz: token\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nColons: a:b::c\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &format!("GET / HTTP/1.1\r\nHost: a\r\n{ten_fields}\r\n"),
    ]
    .map(str::to_owned)
    .into();
    heads.push(head("Content-Length: 0"));
    heads
}

/// Sound messages that end their connection.
pub(super) const GOOD_LAST: &[&str] = &[
    "GET / HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.0\r\nContent-Length: 2\r\n\r\nab",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
];

/// Sound messages with a body.
pub(super) fn good_bodies() -> Vec<String> {
    vec![
        head("Content-Length: 3") + "abc",
        head("content-length:003") + "\r\n\n",
        head("Content-Length: 30") + "GET /b HTTP/1.1\r\nHost: a\r\n\r\n\r\n",
        head("Expect: 100-continue\r\nContent-Length: 3") + "abc",
        chunked("0\r\n\r\n"),
        chunked("000\r\n\r\n"),
        chunked("3\r\nabc\r\n0\r\n\r\n"),
        chunked("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n"),
        chunked("3;name=value;other=\"quoted \t\"\r\nabc\r\n0;last\r\n\r\n"),
        chunked("0000000000000001\r\na\r\n0\r\n\r\n"),
        chunked("2\r\n\r\n\r\n0\r\n\r\n"),
        chunked("0\r\nTrailer: value\r\nOther:\r\n\r\n"),
        head("transfer-encoding:\tCHUNKED ") + "0\r\n\r\n",
    ]
}

/// Request lines, each in the place of a good one.
pub(super) const BAD_LINES: &[&str] = &[
    "GET / HTTP/1.1 ",
    " GET / HTTP/1.1",
    "GET  / HTTP/1.1",
    "GET /  HTTP/1.1",
    "GET\t/ HTTP/1.1",
    "GET / HTTP/1.1\0",
    "GET /",
    "GET",
    "GET ",
    "GET  ",
    "/ HTTP/1.1",
    "GET HTTP/1.1",
    ":",
    "",
    "GET / HTTP/2.0",
    "GET / HTTP/1.2",
    "GET / HTTP/0.9",
    "GET / HTTP/1",
    "GET / HTTP/1.10",
    "GET / http/1.1",
    "GET / HTTP/11",
    "GET / HTTP/1.1x",
    "GET / HTTPS/1.1",
    "G@T / HTTP/1.1",
    "G(T) / HTTP/1.1",
    "GET /a#b HTTP/1.1",
    "GET # HTTP/1.1",
    "GET /a b HTTP/1.1",
    "GET /<a> HTTP/1.1",
    "GET /?<a> HTTP/1.1",
    "GET /?\"a\" HTTP/1.1",
    "GET a HTTP/1.1",
    "GET a/b HTTP/1.1",
    "GET * HTTP/1.1",
    "GET http://user@a/ HTTP/1.1",
    "GET ftp://a/ HTTP/1.1",
    "GET http:///a HTTP/1.1",
    "CONNECT http://a/ HTTP/1.1",
    "GET /\u{e9} HTTP/1.1",
    "GET /\x7f HTTP/1.1",
    "GET /\x01 HTTP/1.1",
    "GET /\0 HTTP/1.1",
    "GET /\t HTTP/1.1",
    "GET /\r HTTP/1.1",
    "GET / HTTP/1.1\r",
    "\rGET / HTTP/1.1",
    "\u{16}\u{3}\u{1} hello",
    "PRI * HTTP/2.0",
    "<GET> / HTTP/1.1",
];

/// Fields that make a head malformed.
pub(super) const BAD_FIELDS: &[&str] = &[
    "Folded: a\r\n b",
    "Folded: a\r\n\tb",
    " Leading: a",
    "Space : a",
    "Tab\t: a",
    ": empty",
    ":",
    "no colon",
    "nocolon",
    "Nul: a\0b",
    "Na\0me: a",
    "Bell: \x07",
    "Delete: \x7f",
    "Return: a\rb",
    "Return:\r a",
    "Re\rturn: a",
    "Bare: a\nLine: b",
    "\nBare: a",
    "N(a)me: a",
    "N\u{e9}: a",
    "Na/me: a",
    "\"Name\": a",
    "Name;: a",
    "[Name]: a",
    "Twice:: \x01",
    "A: b\r",
    "A: b\n",
];

/// Fields that let a body end in two places.
pub(super) const BAD_FRAMING: &[&str] = &[
    "Content-Length: 1\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 1",
    "Transfer-Encoding: chunked\r\nContent-Length: 0",
    "Content-Length: 1\r\nContent-Length: 1",
    "Content-Length: 1\r\nA: b\r\ncontent-length: 2",
    "Content-Length: 1, 1",
    "Content-Length: 1,2",
    "Content-Length: +1",
    "Content-Length: -1",
    "Content-Length: 0x1",
    "Content-Length: 1 1",
    "Content-Length: 1.0",
    "Content-Length: 1e3",
    "Content-Length:",
    "Content-Length: a",
    "Content-Length: \"1\"",
    "Content-Length: 18446744073709551615",
    "Content-Length: 99999999999999999999",
    "Content-Length: 00000000000000000001",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: ,chunked",
    "Transfer-Encoding: chunked;q=1",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding:",
    "Transfer-Encoding: chun\tked",
    "Transfer-Encoding: \x0bchunked",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\0: chunked",
    "Transfer-Encoding: chunked\0",
];

/// Values of a Host that are none.
pub(super) const BAD_HOSTS: &[&str] = &[
    "",
    " ",
    "a b",
    "a,b/",
    "a/",
    "a\\",
    "user@a",
    "a?",
    "a#",
    "a%2e",
    "http://a",
    "a:b",
    "a:80:80",
    "a:-1",
    ":80",
    "[]",
    "[:]",
    "[1.2.3.4]",
    "[::1",
    "::1",
    "[::1]a",
    "[::1]:a",
    "[g::]",
    "[a]]",
    "[[::1]]",
    "[::1%25eth0]",
    "\u{e9}",
    "a\tb",
    "<a>",
    "\"a\"",
];

/// Heads that are wrong in another way, or are no heads.
pub(super) const BAD_HEADS: &[&str] = &[
    "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
    "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
    "GET http://a/ HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\n\r\n",
    "\n",
    "\r\n\n",
    "\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\r\r\n",
    "\r\r\n",
    "GET / HTTP/1.1\r\n\nHost: a\r\n\r\n",
    "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01",
    // What breaks off.
    "G",
    "GET / HTTP/1.1\r\nHost: a\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\r",
];

/// Chunks that are broken.
pub(super) const BAD_CHUNKS: &[&str] = &[
    "\r\n",
    "x\r\n",
    "-1\r\n",
    "+1\r\n",
    "0x1\r\n",
    "1 \r\na\r\n",
    " 1\r\na\r\n",
    "1\t\r\n",
    "1\nab",
    "1\r\na\n0\r\n\r\n",
    "00000000000000001\r\n",
    "10000000000000000\r\n",
    "1;a\nb\r\n",
    "1;\n\r\n",
    "1;a\rb\r\n",
    "1;\0\r\n",
    "1;\x7f\r\n",
    ";x\r\n",
    "1 ;x\r\n",
    "1\ra\r\n",
    "3\r\nabcd\r\n",
    "3\r\nabc0\r\n\r\n",
    "1\r\na\r0\r\n",
    "1\r\na\r\n\r\n",
    "0\r\n\n",
    "0\r\nT: v\n\r\n",
    "1,\r\n",
    "0\r\n T: v\r\n\r\n",
    "0\r\nT : v\r\n\r\n",
    "0\r\nT\r\n\r\n",
    "0\r\n: v\r\n\r\n",
    "0\r\nT: \0\r\n\r\n",
    "0\r\nT: a\rb\r\n\r\n",
    "0\r\n\r\r\n",
    "1\r\n\r\n\r\n\r\n",
];

/// Every head that is refused.
pub(super) fn bad_heads() -> Vec<String> {
    let lines = BAD_LINES.iter().map(|line| format!("{line}\r\nHost: a\r\n\r\n"));
    let fields = BAD_FIELDS.iter().chain(BAD_FRAMING).map(|fields| head(fields));
    let hosts = BAD_HOSTS.iter().map(|host| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    let heads = BAD_HEADS.iter().map(|head| (*head).to_owned());
    lines.chain(fields).chain(hosts).chain(heads).collect()
}

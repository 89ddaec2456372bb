//! The real curl, and what it was answered.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::MintedKey;
use super::leaks;
use super::message::{Fields, parse_head};

/// An answer as it came over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Takes a head and a body apart into their parts.
    pub(crate) fn new(head: &[u8], body: Vec<u8>) -> Self {
        let (line, fields) = parse_head(head);
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        Self { status: status.unwrap_or_else(|| panic!("no status in {line:?}")), fields, body }
    }

    /// The first header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }

    /// A header that must be there and be a number.
    pub(crate) fn number(&self, name: &str) -> u64 {
        let value = self.header(name).unwrap_or_else(|| panic!("no {name} in {self:?}"));
        value.parse().unwrap_or_else(|_| panic!("{name}: {value} is no number"))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: the body is {:?}", self.text()))
    }

    /// That this is the documented refusal, to the letter: status, type, and nothing in the body
    /// but code and message.
    #[track_caller]
    pub(crate) fn is_refusal(&self, status: u16, code: &str, message: &str) -> &Self {
        let body = serde_json::json!({"error": {"code": code, "message": message}});
        assert_eq!((self.status, self.text()), (status, body.to_string()), "{:?}", self.fields);
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert!(self.header("x-request-id").is_some(), "every answer has a request id");
        self
    }

    /// That a header is there once and says this.
    #[track_caller]
    pub(crate) fn says(&self, name: &str, value: &str) -> &Self {
        assert_eq!(self.fields.all(name), [value], "{name} of {:?}", self.fields);
        self
    }

    /// That a header is not there.
    #[track_caller]
    pub(crate) fn lacks(&self, name: &str) -> &Self {
        assert_eq!(self.fields.all(name), [] as [&str; 0], "{name}");
        self
    }
}

/// One call of curl in the making.
pub(crate) struct Curl {
    args: Vec<String>,
    url: String,
}

impl Curl {
    /// Will ask for a path as it is written, without tidying it up.
    pub(crate) fn new(address: SocketAddr, path: &str) -> Self {
        Self { args: Vec::new(), url: format!("http://{address}{path}") }
    }

    /// Goes over TLS, to a host whose certificate an authority of that file must have signed.
    pub(crate) fn https(mut self, host: &str, authorities: &Path) -> Self {
        let rest = self.url.trim_start_matches("http://").to_owned();
        let (address, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (ip, port) = address.rsplit_once(':').expect("an address has a port");
        self.url = format!("https://{host}:{port}{path}");
        let resolve = format!("{host}:{port}:{ip}");
        let authorities = authorities.display().to_string();
        self.args(["--resolve", &resolve, "--cacert", &authorities])
    }

    /// Adds arguments as curl takes them.
    pub(crate) fn args<S: AsRef<str>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Adds a header, as `Name: value`.
    pub(crate) fn header(self, field: &str) -> Self {
        self.args(["-H", field])
    }

    /// Gives the key as a Bearer token.
    pub(crate) fn bearer(self, key: &MintedKey) -> Self {
        let field = format!("Authorization: Bearer {}", key.secret());
        self.header(&field)
    }

    /// Gives the key in `X-API-Key`.
    pub(crate) fn api_key(self, key: &MintedKey) -> Self {
        let field = format!("X-API-Key: {}", key.secret());
        self.header(&field)
    }

    /// Sets the method.
    pub(crate) fn method(self, method: &str) -> Self {
        if method == "HEAD" { self.args(["-I"]) } else { self.args(["-X", method]) }
    }

    /// Sends a body as it is.
    pub(crate) fn body(self, body: &str) -> Self {
        self.args(["--data-binary", body])
    }

    /// Makes the call. An error's body is searched for secrets.
    pub(crate) fn send(self) -> Answer {
        let output = self.run();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "curl {}: {complaint}", self.url);
        let answer = final_answer(&output.stdout);
        if answer.status >= 400 {
            leaks::search("an error's body", &answer.body);
        }
        answer
    }

    /// Makes a call that comes to no answer; what curl says of it.
    #[track_caller]
    pub(crate) fn fails(self) -> String {
        let output = self.run();
        assert!(!output.status.success(), "curl {} succeeded", self.url);
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn run(&self) -> Output {
        Command::new("curl")
            .args(["-q", "-sS", "-i", "--http1.1", "--path-as-is", "--max-time", "30"])
            .args(&self.args)
            .arg(&self.url)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .stdin(Stdio::null())
            .output()
            .expect("curl can be run")
    }
}

/// What curl printed, without the heads of interim answers.
fn final_answer(mut printed: &[u8]) -> Answer {
    loop {
        let end = printed.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head in {printed:?}")) + 4;
        let answer = Answer::new(&printed[..end], printed[end..].to_vec());
        if answer.status >= 200 {
            return answer;
        }
        printed = &printed[end..];
    }
}

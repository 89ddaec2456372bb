//! HTTP/1.1 messages as bytes, read by hand so that no library tidies them up first.

use std::io::{self, BufRead, Read as _};

/// Header fields in the order they came, names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(pub(crate) Vec<(String, String)>);

impl Fields {
    /// The first field of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// Every field of that name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(have, _)| have == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// How the body behind a head ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
    ToEnd,
}

impl Framing {
    /// As a request's fields say it.
    pub(crate) fn of_request(fields: &Fields) -> Self {
        match Self::of_answer(fields) {
            Self::ToEnd => Self::Length(0),
            said => said,
        }
    }

    /// As an answer's fields say it.
    pub(crate) fn of_answer(fields: &Fields) -> Self {
        if fields.get("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
            return Self::Chunked;
        }
        let length = fields.get("content-length").and_then(|length| length.parse().ok());
        length.map_or(Self::ToEnd, Self::Length)
    }
}

/// The bytes of a head with its empty line; `None` where the stream ends before one begins.
pub(crate) fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    loop {
        let line = reader.read_until(b'\n', &mut head)?;
        if line == 0 && head.is_empty() {
            return Ok(None);
        }
        if line == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if head.ends_with(b"\r\n\r\n") {
            return Ok(Some(head));
        }
    }
}

/// The first line of a head, and its fields.
pub(crate) fn parse_head(head: &[u8]) -> (String, Fields) {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default().to_owned();
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    (first, Fields(lines.filter_map(field).collect()))
}

/// The next piece of a body; `None` behind its last. Of a chunked one, a piece is a chunk.
pub(crate) fn read_piece(
    reader: &mut impl BufRead,
    framing: &mut Framing,
) -> io::Result<Option<Vec<u8>>> {
    match framing {
        Framing::Length(0) => Ok(None),
        Framing::Length(left) => {
            let piece = read_some(reader, (*left).min(64 * 1024))?;
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            *left -= piece.len() as u64;
            Ok(Some(piece))
        }
        Framing::ToEnd => Ok(Some(read_some(reader, 64 * 1024)?).filter(|piece| !piece.is_empty())),
        Framing::Chunked => {
            let chunk = read_chunk(reader)?;
            if chunk.is_none() {
                *framing = Framing::Length(0);
            }
            Ok(chunk)
        }
    }
}

/// The whole of a body.
pub(crate) fn read_body(reader: &mut impl BufRead, mut framing: Framing) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(piece) = read_piece(reader, &mut framing)? {
        body.extend(piece);
    }
    Ok(body)
}

fn read_some(reader: &mut impl BufRead, at_most: u64) -> io::Result<Vec<u8>> {
    let there = reader.fill_buf()?;
    let length = there.len().min(at_most as usize);
    let piece = there[..length].to_vec();
    reader.consume(length);
    Ok(piece)
}

fn read_chunk(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let line = read_line(reader)?;
    let digits = line.split(';').next().unwrap_or_default();
    let size = u64::from_str_radix(digits, 16).map_err(io::Error::other)?;
    if size == 0 {
        while !read_line(reader)?.is_empty() {}
        return Ok(None);
    }
    let mut chunk = Vec::new();
    reader.by_ref().take(size).read_to_end(&mut chunk)?;
    read_line(reader)?;
    Ok(Some(chunk))
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

//! A scripted upstream that remembers everything that reached it, byte for byte.

use std::io::{self, BufReader, Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use super::PATIENCE;
use super::message::{Fields, Framing, parse_head, read_head, read_piece};

/// A request as it reached the upstream.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    /// Path and query as they were sent.
    pub(crate) target: String,
    pub(crate) fields: Fields,
    /// What has come of the body so far.
    pub(crate) body: Vec<u8>,
    /// Whether it has come to its end.
    pub(crate) is_whole: bool,
}

impl Received {
    /// The first header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }
}

type Script = dyn Fn(&mut Call<'_>) -> io::Result<()> + Send + Sync;

/// A listening upstream. Dropped, it closes its listener and every connection.
pub(crate) struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    record: Mutex<Record>,
    changed: Condvar,
    stopped: AtomicBool,
}

#[derive(Default)]
struct Record {
    received: Vec<Received>,
    streams: Vec<TcpStream>,
    bytes: Vec<u8>,
}

impl Origin {
    /// Answers everything with 200 and `{"ok":true}`.
    pub(crate) fn start() -> Self {
        Self::scripted(|call| {
            call.read_body()?;
            call.answer(200, &[("content-type", "application/json")], br#"{"ok":true}"#)
        })
    }

    /// Takes requests and never answers.
    pub(crate) fn silent() -> Self {
        Self::scripted(|call| io::copy(call.reader, &mut io::sink()).map(drop))
    }

    /// Answers as the script says. Where it fails, the connection is closed.
    pub(crate) fn scripted(
        script: impl Fn(&mut Call<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared::default());
        let (accepting, script) = (Arc::clone(&shared), Arc::new(script) as Arc<Script>);
        thread::spawn(move || accept(&listener, &accepting, &script));
        Self { address, shared }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that has reached it, in order.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.lock().received.clone()
    }

    /// How many requests have reached it.
    pub(crate) fn count(&self) -> usize {
        self.shared.lock().received.len()
    }

    /// What reached it last.
    pub(crate) fn last(&self) -> Received {
        self.shared.lock().received.last().cloned().expect("a request reached the origin")
    }

    /// How many requests have reached it whole.
    pub(crate) fn whole(&self) -> usize {
        self.shared.lock().received.iter().filter(|request| request.is_whole).count()
    }

    /// How many connections were made to it.
    pub(crate) fn connections(&self) -> usize {
        self.shared.lock().streams.len()
    }

    /// Every byte that came in on any connection.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.shared.lock().bytes.clone()
    }

    /// Waits until what reached it is as wished.
    pub(crate) fn wait_for(&self, what: &str, is_so: impl Fn(&[Received]) -> bool) {
        let record = self.shared.lock();
        let waited =
            self.shared.changed.wait_timeout_while(record, PATIENCE, |r| !is_so(&r.received));
        assert!(!waited.expect("no script panics").1.timed_out(), "in vain waited for {what}");
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the listener, so that it sees that it is over.
        let _ = TcpStream::connect(self.address);
        for stream in &self.shared.lock().streams {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().expect("no script panics")
    }

    fn change<T>(&self, change: impl FnOnce(&mut Record) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changed.notify_all();
        changed
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, script: &Arc<Script>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let (shared, script) = (Arc::clone(shared), Arc::clone(script));
        // A connection that breaks is over; what had come of it is remembered.
        thread::spawn(move || serve(stream, &shared, &script));
    }
}

fn serve(stream: TcpStream, shared: &Arc<Shared>, script: &Arc<Script>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let kept = stream.try_clone()?;
    shared.change(|record| record.streams.push(kept));
    let mut reader = BufReader::new(Tee { stream, shared: Arc::clone(shared) });
    while let Some(head) = read_head(&mut reader)? {
        let mut call = Call::begin(&head, &mut reader);
        let outcome = script(&mut call).and_then(|()| call.read_body().map(drop));
        let close = call.close;
        if outcome.is_err() || close {
            return reader.get_ref().stream.shutdown(Shutdown::Both);
        }
    }
    Ok(())
}

/// Copies what is read into the record.
struct Tee {
    stream: TcpStream,
    shared: Arc<Shared>,
}

impl Read for Tee {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buf)?;
        self.shared.change(|record| record.bytes.extend_from_slice(&buf[..read]));
        Ok(read)
    }
}

/// A request that waits for its answer.
pub(crate) struct Call<'a> {
    /// Its head; the body is empty until it is read.
    pub(crate) request: Received,
    /// Whether the connection is closed behind the answer.
    pub(crate) close: bool,
    place: usize,
    framing: Framing,
    reader: &'a mut BufReader<Tee>,
}

impl<'a> Call<'a> {
    fn begin(head: &[u8], reader: &'a mut BufReader<Tee>) -> Self {
        let (line, fields) = parse_head(head);
        let mut words = line.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let framing = Framing::of_request(&fields);
        let request = Received { method, target, fields, body: Vec::new(), is_whole: false };
        let place = reader.get_ref().shared.change(|record| {
            record.received.push(request.clone());
            record.received.len() - 1
        });
        Self { request, close: false, place, framing, reader }
    }

    /// Reads what is left of the body.
    pub(crate) fn read_body(&mut self) -> io::Result<&[u8]> {
        while self.read_piece()?.is_some() {}
        Ok(&self.request.body)
    }

    /// Reads as much of the body as comes next; `None` behind its end.
    pub(crate) fn read_piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let piece = read_piece(self.reader, &mut self.framing)?;
        let place = self.place;
        self.reader.get_ref().shared.change(|record| match &piece {
            Some(piece) => record.received[place].body.extend_from_slice(piece),
            None => record.received[place].is_whole = true,
        });
        self.request.body.extend_from_slice(piece.as_deref().unwrap_or_default());
        Ok(piece)
    }

    /// Reads whatever else comes, until the connection is closed.
    pub(crate) fn read_off(&mut self) -> io::Result<()> {
        io::copy(self.reader, &mut io::sink()).map(drop)
    }

    /// Gives a whole answer.
    pub(crate) fn answer(
        &mut self,
        status: u16,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<()> {
        let length = body.len().to_string();
        let fields = [fields, &[("content-length", length.as_str())]].concat();
        let body = if self.request.method == "HEAD" { b"" } else { body };
        self.write(&[head(status, &fields).as_bytes(), body].concat())
    }

    /// Begins an answer whose body comes in pieces.
    pub(crate) fn begin_answer(&mut self, status: u16, fields: &[(&str, &str)]) -> io::Result<()> {
        let fields = [fields, &[("transfer-encoding", "chunked")]].concat();
        self.write(head(status, &fields).as_bytes())
    }

    /// Sends a piece of the body.
    pub(crate) fn piece(&mut self, piece: &[u8]) -> io::Result<()> {
        let size = format!("{:x}\r\n", piece.len());
        self.write(&[size.as_bytes(), piece, b"\r\n"].concat())
    }

    /// Ends the body.
    pub(crate) fn end_answer(&mut self) -> io::Result<()> {
        self.write(b"0\r\n\r\n")
    }

    /// Sends bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().stream.write_all(bytes)
    }
}

fn head(status: u16, fields: &[(&str, &str)]) -> String {
    let fields: Vec<String> = fields.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
    format!("HTTP/1.1 {status} Scripted\r\n{}\r\n", fields.concat())
}

//! Upstreams that never come to an end by themselves: it is for others to end what they do.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use tungstenite::Message;

use super::origin::Call;
use super::{Origin, PATIENCE, until};

/// What `/events` begins with; what it says on a beat begins alike.
pub(crate) const FIRST_EVENT: &str = "data: 0\n\n";
/// What `/download` says that it is long.
const LONG: u64 = 1 << 40;

/// An upstream of HTTP:
///
/// - `/events`: one event at once, and one on every beat.
/// - `/download`: a body without end, as fast as it is read.
/// - `/upload`: answers when the body has come to its end.
/// - `/waiting`: no answer ever.
/// - `/held`: answers on the next beat.
/// - anything else: answers.
pub(crate) struct Endless {
    pub(crate) origin: Origin,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    beats: u64,
    over: bool,
    broken_off: Vec<String>,
}

impl Endless {
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let origin = Origin::scripted(move |call| {
            let outcome = serve(call, &serving);
            if outcome.is_err() {
                serving.lock().broken_off.push(call.request.target.clone());
            }
            outcome
        });
        Self { origin, shared }
    }

    /// Has whatever waits for it go on.
    pub(crate) fn beat(&self) {
        self.shared.lock().beats += 1;
        self.shared.changed.notify_all();
    }

    /// Waits until each of these has been broken off, once or more.
    pub(crate) fn sees_broken_off(&self, paths: &[&str]) {
        until("the upstream sees its requests broken off", || {
            // It sees it where it writes.
            self.beat();
            let broken_off = &self.shared.lock().broken_off;
            paths.iter().all(|path| broken_off.iter().any(|target| target == path))
        });
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no script panics")
    }

    /// Waits for the next beat, and says which it is.
    fn beat_after(&self, seen: u64) -> io::Result<u64> {
        let waits = |state: &mut State| state.beats <= seen && !state.over;
        let state = self.changed.wait_while(self.lock(), waits).expect("no script panics");
        if state.over { Err(io::ErrorKind::Other.into()) } else { Ok(state.beats) }
    }
}

fn serve(call: &mut Call<'_>, shared: &Shared) -> io::Result<()> {
    let before = shared.lock().beats;
    match call.request.target.as_str() {
        "/events" => {
            call.begin_answer(200, &[("content-type", "text/event-stream")])?;
            call.piece(FIRST_EVENT.as_bytes())?;
            let mut seen = before;
            loop {
                seen = shared.beat_after(seen)?;
                call.piece(format!("data: {seen}\n\n").as_bytes())?;
            }
        }
        "/download" => {
            call.write(format!("HTTP/1.1 200 OK\r\ncontent-length: {LONG}\r\n\r\n").as_bytes())?;
            loop {
                call.write(&[b'x'; 16 * 1024])?;
            }
        }
        "/waiting" => {
            // Nothing more comes: this ends with the connection.
            call.read_off()?;
            Err(io::ErrorKind::ConnectionAborted.into())
        }
        "/held" => {
            shared.beat_after(before)?;
            call.answer(200, &[], b"released")
        }
        _ => {
            call.read_body()?;
            call.answer(200, &[], b"done")
        }
    }
}

/// What makes a [`Chat`] talk on and on.
pub(crate) const FLOOD: &str = "flood";
/// A frame of it: a thousand bytes.
const FLOOD_HEAD: [u8; 4] = [0x82, 126, 0x03, 0xe8];

/// An upstream of WebSockets that says every text back, and remembers each close code.
pub(crate) struct Chat {
    pub(crate) address: SocketAddr,
    codes: Receiver<u16>,
}

impl Chat {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let (close, codes) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let close = close.clone();
                thread::spawn(move || talk(stream.expect("a connection comes"), &close));
            }
        });
        Self { address, codes }
    }

    /// Waits for the next close frame; its code.
    pub(crate) fn closed_with(&self) -> u16 {
        self.codes.recv_timeout(PATIENCE).expect("a close frame comes")
    }
}

fn talk(stream: TcpStream, close: &Sender<u16>) {
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
    let mut socket = tungstenite::accept(stream).expect("a handshake comes");
    while let Ok(message) = socket.read() {
        // The test may be over.
        let _ = match message {
            Message::Close(frame) => {
                close.send(frame.map_or(0, |frame| frame.code.into())).map_err(drop)
            }
            Message::Text(text) if text == FLOOD => {
                let stream = socket.get_ref().try_clone().expect("a socket can be shared");
                thread::spawn(move || flood(stream));
                Ok(())
            }
            Message::Text(_) => socket.send(message).map_err(drop),
            _ => Ok(()),
        };
    }
}

fn flood(mut stream: TcpStream) {
    let frame = [&FLOOD_HEAD[..], &[b'x'; 1_000]].concat();
    while stream.write_all(&frame).is_ok() {}
}

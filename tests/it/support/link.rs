//! The network between a gateway and a server, to be cut and to be stalled.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// How bytes fare on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Open,
    /// Nothing passes and nobody is told: packets are swallowed.
    Stalled,
    /// Every connection is closed, and new ones are as soon as they are made.
    Cut,
}

/// A relay to one server. Dropped, it is cut.
pub(crate) struct Link {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    mode: Mode,
    streams: Vec<TcpStream>,
}

impl Link {
    /// An open link to a server.
    pub(crate) fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let state = Mutex::new(State { mode: Mode::Open, streams: Vec::new() });
        let shared = Arc::new(Shared { state, changed: Condvar::new() });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, server, &accepting));
        Self { address, shared }
    }

    /// Where it takes connections to the server.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes every connection, and new ones as they come.
    pub(crate) fn cut(&self) {
        self.shared.set(Mode::Cut);
    }

    /// Closes every connection that there is; new ones pass.
    pub(crate) fn cut_once(&self) {
        self.shared.set(Mode::Cut);
        self.shared.set(Mode::Open);
    }

    /// Lets nothing pass any more, and tells nobody.
    pub(crate) fn stall(&self) {
        self.shared.set(Mode::Stalled);
    }

    /// Lets everything pass again, what was held back too.
    pub(crate) fn mend(&self) {
        self.shared.set(Mode::Open);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cut();
        // Wakes the listener, so that it sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn set(&self, mode: Mode) {
        let mut state = self.lock();
        state.mode = mode;
        if mode == Mode::Cut {
            for stream in state.streams.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits while nothing passes.
    fn pass(&self) {
        let state = self.lock();
        let stalled = |state: &mut State| state.mode == Mode::Stalled;
        drop(self.changed.wait_while(state, stalled).unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(listener: &TcpListener, server: SocketAddr, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        // The link itself is gone once nobody but this thread and its connections' holds it.
        if Arc::strong_count(shared) == 1 {
            return;
        }
        let Ok(client) = client else { continue };
        let (shared, taken) = (Arc::clone(shared), client.try_clone());
        thread::spawn(move || {
            shared.pass();
            let (Ok(taken), Ok(upstream)) = (taken, TcpStream::connect(server)) else { return };
            let Ok(other) = upstream.try_clone() else { return };
            let mut state = shared.lock();
            if state.mode == Mode::Cut {
                return;
            }
            state.streams.extend([taken, other]);
            drop(state);
            relay_both(&client, &upstream, &shared);
        });
    }
}

fn relay_both(client: &TcpStream, server: &TcpStream, shared: &Shared) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    thread::scope(|scope| {
        scope.spawn(|| relay(client, server, shared));
        relay(server, client, shared);
    });
}

fn relay(mut from: &TcpStream, mut to: &TcpStream, shared: &Shared) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        shared.pass();
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

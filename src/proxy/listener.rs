//! A listener and how it comes to its end: nobody whom the kernel has let in is turned away.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockFilter, SockRef};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::worker::Order;

/// Pauses accepting after an error that a moment may mend, like too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A socket that listens, and does not block.
pub struct Listener {
    /// The socket.
    pub socket: std::net::TcpListener,
    /// Whether other processes have this very socket: then nobody is lost when this one lets go of
    /// it, and nothing about it may be changed.
    pub is_inherited: bool,
}

impl Listener {
    /// Puts it under the runtime that this is called on.
    pub(super) fn register(self) -> io::Result<Registered> {
        let Self { socket, is_inherited } = self;
        Ok(Registered { socket: TcpListener::from_std(socket)?, is_inherited })
    }
}

/// A listener whose connections wake a task.
pub(super) struct Registered {
    socket: TcpListener,
    is_inherited: bool,
}

impl Registered {
    /// Takes in every connection until the order to drain, and then those that the kernel had let in
    /// by that time.
    pub(super) async fn accept(
        self,
        mut orders: watch::Receiver<Order>,
        take_in: impl Fn(TcpStream, SocketAddr),
    ) {
        loop {
            tokio::select! {
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, peer)) => take_in(stream, peer),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                changed = orders.changed() => match changed.map(|()| *orders.borrow_and_update()) {
                    Ok(Order::Serve) => {}
                    Ok(Order::LeaveNewcomers) => self.leave_newcomers(),
                    // Without a word: nobody is left to give orders.
                    Ok(Order::Drain(_)) | Err(_) => break,
                },
            }
        }
        if let Ok(socket) = self.socket.into_std() {
            take_what_waits(&socket, take_in);
        }
    }

    /// Has the kernel drop requests for connections, as it does where a queue is full: their clients
    /// ask again in a second, and by then there is but the other process to answer. Handshakes that
    /// have begun are finished here.
    fn leave_newcomers(&self) {
        if self.is_inherited {
            return;
        }
        if let Err(error) = SockRef::from(&self.socket).attach_filter(&NO_NEWCOMERS) {
            tracing::debug!(%error, "newcomers can't be left to the other process");
        }
    }
}

/// Asks the kernel itself: the runtime's word on whether somebody waits is of a moment ago, and it
/// has its own idea of how many one task should take at a time.
fn take_what_waits(socket: &std::net::TcpListener, take_in: impl Fn(TcpStream, SocketAddr)) {
    loop {
        match socket.accept() {
            Ok((stream, peer)) => {
                let prepared = stream.set_nonblocking(true);
                if let Ok(stream) = prepared.and_then(|()| TcpStream::from_std(stream)) {
                    take_in(stream, peer);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => return,
        }
    }
}

/// A program for the kernel (classic BPF), run over every segment that comes to the listener from its
/// TCP header on: nothing is kept of one that has SYN and not ACK (RFC 9293 section 3.1, octet 13).
const NO_NEWCOMERS: [SockFilter; 5] = [
    SockFilter::new(LOAD_OCTET, 0, 0, 13),
    SockFilter::new(AND, 0, 0, SYN | ACK),
    SockFilter::new(SKIP_UNLESS_EQUAL, 0, 1, SYN),
    SockFilter::new(KEEP, 0, 0, 0),
    SockFilter::new(KEEP, 0, 0, u32::MAX),
];
const SYN: u32 = 0x02;
const ACK: u32 = 0x10;
/// `BPF_LD | BPF_B | BPF_ABS`.
const LOAD_OCTET: u16 = 0x30;
/// `BPF_ALU | BPF_AND | BPF_K`.
const AND: u16 = 0x54;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
const SKIP_UNLESS_EQUAL: u16 = 0x15;
/// `BPF_RET | BPF_K`: so many octets.
const KEEP: u16 = 0x06;

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::net::TcpListener as StdListener;

    use super::*;

    /// More than a task of the runtime may take at a time.
    const MANY: i32 = 300;

    fn listening() -> (Listener, SocketAddr) {
        let socket = StdListener::bind("127.0.0.1:0").unwrap();
        SockRef::from(&socket).listen(MANY).unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        (Listener { socket, is_inherited: false }, address)
    }

    #[tokio::test]
    async fn all_that_the_kernel_has_let_in_is_taken_before_the_listener_closes() {
        let (listener, address) = listening();
        let connect = || std::net::TcpStream::connect(address);
        let clients: Vec<_> = (0..MANY).map(|_| connect().unwrap()).collect();
        let (orders, order) = watch::channel(Order::Serve);
        orders.send_replace(Order::Drain(tokio::time::Instant::now()));
        let taken = Cell::new(0);
        let take_in = |_, _| taken.set(taken.get() + 1);
        listener.register().unwrap().accept(order, take_in).await;
        assert_eq!(taken.get(), clients.len());
        assert!(connect().is_err());
    }

    #[tokio::test]
    async fn newcomers_are_left_and_who_has_come_is_served() {
        let (listener, address) = listening();
        let registered = listener.register().unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        registered.leave_newcomers();
        let moment = Duration::from_millis(100);
        let newcomer = std::net::TcpStream::connect_timeout(&address, moment);
        assert_eq!(newcomer.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(registered.socket.accept().await.is_ok());
    }
}

//! A client that sends exactly the bytes it is told to.

use std::io::{self, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::message::{Framing, read_body, read_head, read_piece};
use super::{Answer, PATIENCE};

/// One connection.
pub(crate) struct Wire {
    reader: BufReader<TcpStream>,
}

impl Wire {
    /// Connects; whatever it waits for later, it waits for with patience and not for ever.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("the listener takes connections")
    }

    /// Connects, or says why not.
    pub(crate) fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    /// Sends bytes at once.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the peer reads");
    }

    /// Sends bytes, or says why not.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes.as_ref())
    }

    /// Says that nothing more will be sent, as `nc -N` does.
    pub(crate) fn finish(&mut self) {
        self.reader.get_ref().shutdown(Shutdown::Write).expect("the connection is open");
    }

    /// Reads one answer with its body.
    pub(crate) fn answer(&mut self) -> Answer {
        self.try_answer().expect("an answer comes").expect("the connection is not closed first")
    }

    /// Reads one answer; `None` where the connection was closed instead.
    pub(crate) fn try_answer(&mut self) -> io::Result<Option<Answer>> {
        let Some((mut answer, framing)) = self.try_answer_head()? else { return Ok(None) };
        answer.body = read_body(&mut self.reader, framing)?;
        Ok(Some(answer))
    }

    /// Reads an answer's head, leaving its body to [`Wire::piece`].
    pub(crate) fn answer_head(&mut self) -> (Answer, Framing) {
        self.try_answer_head().expect("an answer comes").expect("the connection is not closed")
    }

    /// The next piece of a body that is being read.
    pub(crate) fn piece(&mut self, framing: &mut Framing) -> io::Result<Option<Vec<u8>>> {
        read_piece(&mut self.reader, framing)
    }

    /// The status line of an interim answer.
    pub(crate) fn interim(&mut self) -> String {
        let head = read_head(&mut self.reader).expect("an answer comes");
        let head = head.expect("the connection is not closed first");
        String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned()
    }

    /// Where its bytes come in, for what is no HTTP/1.1.
    pub(crate) fn reader(&mut self) -> &mut BufReader<TcpStream> {
        &mut self.reader
    }

    /// Everything up to the close of the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.reader.read_to_end(&mut bytes) {
            Ok(_) => {}
            // What was sent into a closed connection resets it; what had come before counts.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the connection is not closed: {error}"),
        }
        bytes
    }

    fn try_answer_head(&mut self) -> io::Result<Option<(Answer, Framing)>> {
        loop {
            let Some(head) = read_head(&mut self.reader)? else { return Ok(None) };
            let answer = Answer::new(&head, Vec::new());
            let framing = match answer.status {
                100..200 => continue,
                204 | 304 => Framing::Length(0),
                _ => Framing::of_answer(&answer.fields),
            };
            return Ok(Some((answer, framing)));
        }
    }
}

/// Sends bytes on a connection of their own, and reads until it is closed.
pub(crate) fn raw(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut wire = Wire::connect(address);
    wire.send(bytes);
    wire.rest()
}

/// Sends bytes on a connection of their own, and reads one answer.
pub(crate) fn ask(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Answer {
    let mut wire = Wire::connect(address);
    wire.send(bytes);
    wire.answer()
}

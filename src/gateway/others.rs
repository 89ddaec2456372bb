//! Who else listens: read from the kernel's own list (proc(5)), which costs next to nothing since the
//! sockets that listen stand first in it, before all connections.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, SocketAddr};

/// `TCP_LISTEN` in the kernel's numbers, as the list has it.
const LISTENS: &str = "0A";

/// How many sockets of all processes listen on exactly this address, which has a port. 0 also where
/// the system does not tell.
pub(super) fn listening_on(address: SocketAddr) -> usize {
    let list = match address {
        SocketAddr::V4(_) => "/proc/self/net/tcp",
        SocketAddr::V6(_) => "/proc/self/net/tcp6",
    };
    let Ok(list) = File::open(list) else { return 0 };
    let lines = BufReader::new(list).lines().skip(1).map_while(Result::ok);
    count(lines, address)
}

/// A line: number, local address, remote address, state, and more.
fn count(lines: impl Iterator<Item = String>, address: SocketAddr) -> usize {
    let wanted = as_listed(address);
    lines
        .map_while(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let (local, state) = (fields.next()?, fields.nth(1)?);
            (state == LISTENS).then(|| usize::from(local == wanted))
        })
        .sum()
}

/// In hexadecimal digits, the address in words of 32 bits in the machine's own order.
fn as_listed(address: SocketAddr) -> String {
    let word = |octets: &[u8]| {
        let word: [u8; 4] = octets.try_into().expect("an address is whole words");
        format!("{:08X}", u32::from_ne_bytes(word))
    };
    let address_digits: String = match address.ip() {
        IpAddr::V4(v4) => word(&v4.octets()),
        IpAddr::V6(v6) => v6.octets().chunks_exact(4).map(word).collect(),
    };
    format!("{address_digits}:{:04X}", address.port())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_is_counted_while_it_listens_and_no_connection_is() {
        for any_port in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(any_port) else { continue };
            let address = listener.local_addr().unwrap();
            let connection = std::net::TcpStream::connect(address).unwrap();
            assert_eq!(listening_on(address), 1, "{address}");
            drop(listener);
            assert_eq!(listening_on(address), 0, "{address}");
            drop(connection);
        }
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn the_list_is_read_as_far_as_its_listeners_go() {
        let lines = [
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000",
            "   1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000",
            "   2: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000",
            "   3: 0100007F:1F90 0100007F:C000 01 00000000:00000000 00:00000000",
            "   4: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000",
        ];
        let count = |address: &str| {
            count(lines.iter().map(|line| (*line).to_owned()), address.parse().unwrap())
        };
        assert_eq!(count("127.0.0.1:8080"), 2);
        assert_eq!(count("0.0.0.0:8080"), 1);
        assert_eq!(count("127.0.0.1:8081"), 0);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn an_address_of_version_6_is_listed_word_by_word() {
        let address = "[2001:db8::1]:443".parse().unwrap();
        assert_eq!(as_listed(address), "B80D0120000000000000000001000000:01BB");
    }
}

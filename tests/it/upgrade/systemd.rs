//! Sockets that are handed over, and what the service manager is told.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use super::{CONFIG, install, listening, upgrade};
use crate::support::{Origin, PATIENCE, TestGateway, TestStore, Wire, skipped};

#[test]
fn on_a_socket_that_was_handed_over_no_request_fails() {
    let origin = Origin::start();
    let (socket, address) = listening();
    let (installation, store) = install(&origin, &format!("server.listen = [\"{address}\"]"));
    let gateway = TestGateway::handed(&socket, installation.into(), store.into());
    assert_eq!(gateway.address(), address);
    upgrade(gateway, |gateway| gateway.another_handed(&socket));
}

#[test]
fn an_admin_socket_that_was_handed_over_waits_for_the_next_process() {
    let origin = Origin::start();
    let (socket, address) = listening();
    let (installation, store) = install(&origin, &format!("admin.listen = \"{address}\""));
    let mut gateway = TestGateway::handed(&socket, installation.into(), store.into());
    assert_eq!(gateway.admin("/readyz").status, 200);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
    let mut asked = Wire::connect(address);
    asked.send("GET /readyz HTTP/1.1\r\nHost: admin\r\n\r\n");
    let _next = gateway.another_handed(&socket);
    assert_eq!(asked.answer().status, 200);
}

#[test]
fn a_socket_that_no_setting_names_is_refused() {
    let origin = Origin::start();
    let (socket, address) = listening();
    let (installation, _store) = install(&origin, "");
    let mut process = installation.serve_handed(&socket);
    assert_eq!(process.wait().code(), Some(1));
    let said = process.err.text();
    assert!(said.contains(&format!("{address} was handed over")), "{said}");
}

#[test]
fn the_service_manager_is_told_what_it_waits_for() {
    let origin = Origin::start();
    let folder = TempDir::new().expect("a directory can be made");
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).expect("a socket can be made");
    manager.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
    let hears = || {
        let mut message = [0; 256];
        let length = manager.recv(&mut message).expect("the gateway speaks");
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    let mut gateway = TestGateway::with(TestStore::sqlite())
        .config(CONFIG)
        .upstream("api", &origin)
        .variable("NOTIFY_SOCKET", socket.to_str().expect("the path is text"))
        .start();
    assert_eq!(hears(), "READY=1\n");
    gateway.signal(Signal::HUP);
    let reloading = hears();
    let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("it reloads");
    assert!(time.trim_end().parse::<u64>().is_ok_and(|time| time > 0), "{reloading}");
    assert_eq!(hears(), "READY=1\n");
    gateway.signal(Signal::TERM);
    assert_eq!(hears(), "STOPPING=1\n");
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn the_units_are_understood_and_name_the_sockets_of_the_shipped_configuration() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| fs::read_to_string(root.join(file)).expect("the file is there");
    let config = read("config/keygate.toml").parse::<toml::Table>().expect("it is TOML");
    let unit = read("dist/systemd/keygate.socket");
    let sockets: Vec<_> =
        unit.lines().filter_map(|line| line.strip_prefix("ListenStream=")).collect();
    let listen = &config["server"]["listen"][0];
    assert_eq!(sockets, [listen.as_str().unwrap(), config["admin"]["listen"].as_str().unwrap()]);

    let folder = TempDir::new().expect("a directory can be made");
    let binary = env!("CARGO_BIN_EXE_keygate");
    // Of systemd 253 and later.
    let service = read("dist/systemd/keygate.service")
        .replace("/usr/bin/keygate", binary)
        .replace("Type=notify-reload", "Type=notify");
    for (name, text) in [("keygate.service", service), ("keygate.socket", unit)] {
        let file = folder.path().join(name);
        fs::write(&file, text).expect("the file can be written");
        let Ok(done) = Command::new("systemd-analyze").arg("verify").arg(&file).output() else {
            return skipped("systemd-analyze", "systemd");
        };
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success() && !said.contains(name), "{said}");
    }
}

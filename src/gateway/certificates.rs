//! The listeners' certificates: read at the start, again when their files change, and others where
//! the configuration names others.

use std::sync::Arc;

use super::Control;
use crate::config::Config;
use crate::tls::{TlsError, TlsServer};

/// Those of the data plane and of the admin listener, where they have any.
pub(super) struct Certificates {
    server: Option<TlsServer>,
    admin: Option<TlsServer>,
}

impl Certificates {
    /// Reads those that the configuration names.
    pub(super) fn of(config: &Config) -> Result<Self, TlsError> {
        Ok(Self {
            server: config.server.tls.clone().map(TlsServer::new).transpose()?,
            admin: config.admin.tls.clone().map(TlsServer::http1).transpose()?,
        })
    }

    /// Goes over to those that a configuration names; all of them can be used, or nothing changes.
    /// What it names as before keeps its sessions.
    pub(super) fn follow(&mut self, config: &Config) -> Result<(), TlsError> {
        let (server, admin) = (config.server.tls.as_ref(), config.admin.tls.as_ref());
        let is_other = self.server.as_ref().map(TlsServer::files) != server;
        let is_another = self.admin.as_ref().map(TlsServer::files) != admin;
        let server = server.filter(|_| is_other).cloned().map(TlsServer::new).transpose()?;
        let admin = admin.filter(|_| is_another).cloned().map(TlsServer::http1).transpose()?;
        if is_other {
            self.server = server;
        }
        if is_another {
            self.admin = admin;
        }
        Ok(())
    }

    /// Hands them to the listeners, for connections from now on. Those that stand go on with theirs.
    pub(super) fn put_in_force(&self, control: &Control) {
        let config = |tls: &Option<TlsServer>| tls.as_ref().map(|tls| Arc::clone(tls.config()));
        control.shared.tls.store(config(&self.server));
        control.admin_tls.store(config(&self.admin));
    }

    /// Takes up what has changed in the files.
    pub(super) fn refresh(&mut self, control: &Control) {
        let (metrics, mut is_new) = (&control.shared.metrics, false);
        for (listener, tls) in [("data plane", &mut self.server), ("admin", &mut self.admin)] {
            match tls.as_mut().map_or(Ok(false), TlsServer::refresh) {
                Ok(false) => {}
                Ok(true) => {
                    is_new = true;
                    metrics.certificates_reloaded(true);
                    tracing::info!(listener, "the certificates were reloaded");
                }
                Err(error) => {
                    metrics.certificates_reloaded(false);
                    tracing::error!(
                        listener, %error,
                        "the certificates were not reloaded; the old ones stay"
                    );
                }
            }
        }
        if is_new {
            self.put_in_force(control);
        }
    }
}

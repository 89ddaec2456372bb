//! What a demo stands on: a directory, a configuration, an owner and three keys.

use std::fs::{self, DirBuilder};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::admin::access::token;
use crate::auth::mint::{Grants, MintError, NewKey};
use crate::cli::failure::{Failure, Result};
use crate::cli::session::Session;
use crate::config::Environment as Variables;
use crate::domain::key::KeyStatus;
use crate::domain::rotation::later;
use crate::domain::{Environment, KeyId, Owner, Role};
use crate::key::SecretText;
use crate::store::{KeyFilter, PageRequest};

const OWNER: &str = "demo";
/// What the admin token is called.
const TOKEN: &str = "demo";
const A_DAY: Duration = Duration::from_hours(24);

/// Where a demo keeps its files; a temporary place is removed when this is dropped.
pub(crate) struct Place {
    directory: PathBuf,
    temporary: bool,
}

/// What stands where.
pub(crate) struct Plan {
    /// The data plane.
    pub(crate) listen: SocketAddr,
    /// `http://HOST:PORT`.
    pub(crate) upstream: String,
    /// Whether the upstream is the built-in one.
    pub(crate) echoes: bool,
}

impl Plan {
    /// The admin plane, which a demo never shows to other machines.
    fn admin(&self) -> SocketAddr {
        let port = match self.listen.port() {
            0 => 0,
            port => port.checked_add(1).unwrap_or(0),
        };
        let ip = match self.listen.ip() {
            ip if ip.is_loopback() => ip,
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        SocketAddr::new(ip, port)
    }

    /// A gateway shares its ports with the one that is to take its place; a second demo is another.
    pub(crate) fn check_ports(&self) -> Result {
        for address in [self.listen, self.admin()] {
            TcpListener::bind(address).map_err(|error| {
                Failure::failed(format!("cannot listen on {address}: {error}"))
                    .with_hint("`--listen 127.0.0.1:0` takes ports that are free")
            })?;
        }
        Ok(())
    }
}

/// The demo's keys with their secrets, and the token for its dashboard.
pub(crate) struct Keys {
    /// May do everything.
    pub(crate) full: DemoKey,
    /// May only read.
    pub(crate) read_only: DemoKey,
    /// May do everything, in the test environment.
    pub(crate) test: DemoKey,
    /// Well-formed, and of no key.
    pub(crate) unknown: SecretText,
    /// An admin token.
    pub(crate) token: SecretText,
}

/// One of them.
pub(crate) struct DemoKey {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its id.
    pub(crate) id: KeyId,
    /// Its secret.
    pub(crate) secret: SecretText,
}

impl Place {
    /// Makes the directory, or a temporary one that only this user can read.
    pub(crate) fn make(given: Option<PathBuf>) -> Result<Self> {
        let temporary = given.is_none();
        let directory = given.unwrap_or_else(|| {
            let variables = Variables::process();
            let base = variables.get("TMPDIR").unwrap_or("/tmp");
            Path::new(base).join(format!("keygate-demo-{}", uuid::Uuid::now_v7().simple()))
        });
        let made = DirBuilder::new().mode(0o700).recursive(!temporary).create(&directory);
        made.map_err(|error| not_written(&directory, &error))?;
        let directory =
            directory.canonicalize().map_err(|error| not_written(&directory, &error))?;
        Ok(Self { directory, temporary })
    }

    /// Writes the demo's configuration; its path.
    pub(crate) fn write_config(&self, plan: &Plan) -> Result<PathBuf> {
        let file = self.directory.join("keygate.toml");
        fs::write(&file, configuration(plan, &self.directory))
            .map_err(|error| not_written(&file, &error))?;
        Ok(file)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.temporary {
            // What can't be removed now is the system's to clear away with the rest of its kind.
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// Makes the owner and the keys. Keys that are there from an earlier demo get a new secret, because
/// nobody knows the old one any more.
pub(crate) async fn keys(session: &Session) -> Result<Keys> {
    let owner = owner(session).await?;
    let full = Grants { scopes: vec!["*".to_owned()], permissions: Vec::new() };
    let read = Grants { scopes: Vec::new(), permissions: vec!["read-only".to_owned()] };
    let format = &session.config().keys.format;
    let unknown = format.mint(Environment::Live).map_err(MintError::from)?;
    Ok(Keys {
        full: key(session, &owner, "full", full.clone(), Environment::Live).await?,
        read_only: key(session, &owner, "read-only", read, Environment::Live).await?,
        test: key(session, &owner, "test", full, Environment::Test).await?,
        unknown: unknown.expect("there are always live keys").text,
        token: token(session).await?,
    })
}

/// An admin token of this demo's own, which ends with the day; those of earlier ones end now.
async fn token(session: &Session) -> Result<SecretText> {
    let (store, now) = (&session.store, session.now());
    let page = PageRequest { after: None, limit: 1000 };
    let earlier = store.tokens(&page).await?.rows.into_iter().filter(|token| token.name == TOKEN);
    for token in earlier {
        store.revoke_token(&session.act(), &token.id).await?;
    }
    let (keys, ends_at) = (&session.config().keys, later(now, A_DAY));
    let (token, minted) = token::mint(TOKEN, Role::Admin, Some(ends_at), keys, now)?;
    store.create_token(&session.act(), &token).await?;
    Ok(minted.text)
}

async fn owner(session: &Session) -> Result<Owner> {
    match session.mint().owner(OWNER).await {
        Err(MintError::NoSuchOwner { .. }) => {
            Ok(session.mint().create_owner(OWNER.to_owned()).await?)
        }
        found => Ok(found?),
    }
}

async fn key(
    session: &Session,
    owner: &Owner,
    name: &'static str,
    grants: Grants,
    environment: Environment,
) -> Result<DemoKey> {
    let filter = KeyFilter {
        owner: Some(owner.id.clone()),
        status: Some((KeyStatus::Active, session.now())),
        ..KeyFilter::default()
    };
    let page = PageRequest { after: None, limit: 1000 };
    let earlier = session.store.keys(&filter, &page).await?.rows;
    let (held, minted) = if let Some(held) = earlier.into_iter().find(|held| held.key.name == name)
    {
        session.mint().rotate(&held.key.id, Duration::ZERO, true).await?
    } else {
        let new = NewKey {
            name: name.to_owned(),
            owner: Some(owner.id.as_str().to_owned()),
            environment: Some(environment),
            grants: Some(grants),
            ..NewKey::default()
        };
        session.mint().create(new).await?
    };
    Ok(DemoKey { name, id: held.key.id, secret: minted.text })
}

fn configuration(plan: &Plan, directory: &Path) -> String {
    let routes = if plan.echoes { ECHO_ROUTES } else { API_ROUTES };
    let url = quoted(&format!("sqlite://{}", directory.join("keygate.db").display()));
    let journal = quoted(&directory.join("usage").display().to_string());
    format!(
        "# Written by `keygate demo`, anew at each start.\n\
         server.listen = [\"{listen}\"]\n\
         admin.listen = \"{admin}\"\n\
         store.url = {url}\n\
         usage.journal = {journal}\n\
         access_log.output = \"stderr\"\n\
         upstreams.demo.targets = [{upstream}]\n\
         {SCOPES}{routes}",
        listen = plan.listen,
        admin = plan.admin(),
        upstream = quoted(&plan.upstream),
    )
}

/// A TOML basic string, which JSON's strings are too, with `${` kept from being taken for a
/// variable.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text.replace("${", "$${")).to_string()
}

fn not_written(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("{} could not be written: {error}", path.display()))
}

const SCOPES: &str = r#"
[scopes]
"notes:read" = "Read"
"notes:write" = { description = "Read and write", implies = ["notes:read"] }
[permissions]
read-only = ["notes:read"]
"#;

const ECHO_ROUTES: &str = r#"
[[routes]]
path = "/v1/notes"
methods = ["GET"]
scopes = ["notes:read"]
upstream = "demo"
[[routes]]
path = "/v1/notes"
methods = ["POST"]
scopes = ["notes:write"]
upstream = "demo"
[[routes]]
path = "/v1/few"
methods = ["GET"]
scopes = ["notes:read"]
limits = ["3/min"]
upstream = "demo"
[[routes]]
path = "/public"
public = true
upstream = "demo"
"#;

const API_ROUTES: &str = r#"
[[routes]]
path = "/"
methods = ["GET"]
scopes = ["notes:read"]
upstream = "demo"
[[routes]]
path = "/"
methods = ["POST", "PUT", "PATCH", "DELETE"]
scopes = ["notes:write"]
upstream = "demo"
[[routes]]
path = "/**"
methods = ["GET"]
scopes = ["notes:read"]
upstream = "demo"
[[routes]]
path = "/**"
methods = ["POST", "PUT", "PATCH", "DELETE"]
scopes = ["notes:write"]
upstream = "demo"
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_place_is_gone_in_the_end_and_a_given_one_stays() {
        let kept = tempfile::tempdir().unwrap();
        let inner = kept.path().join("a/b");
        drop(Place::make(Some(inner.clone())).unwrap());
        assert!(inner.is_dir());
        let temporary = Place::make(None).unwrap();
        let directory = temporary.directory.clone();
        assert!(directory.is_dir());
        drop(temporary);
        assert!(!directory.exists());
    }

    #[test]
    fn both_demos_write_a_configuration_that_is_valid() {
        for echoes in [true, false] {
            let place = Place::make(None).unwrap();
            let listen = "127.0.0.1:8080".parse().unwrap();
            let plan = Plan { listen, upstream: "http://127.0.0.1:1".to_owned(), echoes };
            let file = place.write_config(&plan).unwrap();
            let loaded = crate::config::load(&file, &Variables::default()).unwrap();
            assert_eq!(loaded.config.admin.listen.port(), 8081);
            assert_eq!(loaded.warnings, []);
        }
    }
}

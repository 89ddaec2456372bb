//! The script on a real Redis does what the model does.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tempfile::TempDir;

use super::connection::{Connection, Connector};
use super::draw::{Draw, Drawn, Outcome, Subject, Wanted};
use super::model::Model;
use crate::config::{RedisLocation, RedisPlace};
use crate::domain::{KeyId, Limit, Window};
use crate::limit::SlidingWindow;

/// Debian's server on a socket, gone with its standard input: that is, with this process.
struct Server {
    dir: TempDir,
    shell: Child,
}

const SHELL: &str = r#"
redis-server --port 0 --unixsocket "$1/socket" --save "" --dir "$1" >/dev/null &
cat >/dev/null
kill -KILL $!
"#;

impl Server {
    /// `None` where none is installed; in CI that is a failure.
    fn start() -> Option<Self> {
        let is_there = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        if is_there.is_err() {
            assert!(option_env!("CI").is_none(), "CI needs Debian's redis-server");
            return None;
        }
        let dir = TempDir::new().unwrap();
        let mut shell = Command::new("sh");
        let shell = shell.args(["-c", SHELL, "watchdog"]).arg(dir.path()).stdin(Stdio::piped());
        Some(Self { shell: shell.spawn().unwrap(), dir })
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    async fn connect(&self) -> Connection {
        let place = RedisPlace::Socket(self.socket());
        let location = RedisLocation { place, user: None, password: None, database: 0, ca: None };
        let connector = Connector::new(&location).unwrap();
        loop {
            match connector.connect().await {
                Ok(connection) => return connection,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
        let _ = fs::remove_file(self.socket());
    }
}

/// One question of a sequence; of what was granted so far, some is given back.
#[derive(Clone, Debug)]
struct Step {
    wanted: Wanted,
    most: u32,
    stale: bool,
    gives_back: Option<u32>,
    windows: Vec<(bool, Vec<(u64, u32)>)>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wanted =
        prop_oneof![Just(Wanted::Nothing), Just(Wanted::Ahead), (1u32..9).prop_map(Wanted::For)];
    let window = (prop::bool::weighted(0.9), prop::collection::vec((0u64..70_000, 1u32..5), 0..4));
    let step = (
        wanted,
        1u32..40,
        prop::bool::weighted(0.05),
        prop::option::of(1u32..20),
        prop::collection::vec(window, 2),
    );
    let step = step.prop_map(|(wanted, most, stale, gives_back, windows)| Step {
        wanted,
        most,
        stale,
        gives_back,
        windows,
    });
    prop::collection::vec(step, 1..20)
}

#[test]
fn the_script_answers_as_the_model_does() {
    let Some(server) = Server::start() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(ProptestConfig::with_cases(100));
    let connection = runtime.block_on(server.connect());
    let runs = Cell::new(0);
    let outcome = runner.run(&(steps(), 1u32..400), |(steps, max)| {
        let key = KeyId::from_text(format!("key_{}", runs.replace(runs.get() + 1)));
        runtime.block_on(compare(connection.clone(), &key, &steps, max))
    });
    outcome.unwrap();
}

async fn compare(
    mut connection: Connection,
    key: &KeyId,
    steps: &[Step],
    max: u32,
) -> Result<(), TestCaseError> {
    let mut model = Model::default();
    let mut granted = None;
    for step in steps {
        let windows = [Window::Second, Window::Minute];
        let windows = windows.iter().zip(&step.windows).map(|(window, (fresh, books))| Drawn {
            limit: Limit { max: max.try_into().unwrap(), window: *window },
            fresh: *fresh,
            books: books.clone(),
            owed: SlidingWindow::new(*window),
        });
        let draw = Draw {
            subject: Subject::Own,
            turn: 0,
            sent_ms: 0,
            not_after_ms: step.stale.then_some(1),
            wanted: step.wanted,
            most: step.most,
            returns: granted.zip(step.gives_back).into_iter().collect(),
            windows: windows.collect(),
        };
        let answer = connection.draw(key, &draw, 2).await.unwrap();
        let name = "me";
        let expected = model.answer(name, &draw, 2, answer.now_ms);
        prop_assert_eq!(&answer, &expected, "to {:?}", draw);
        if let Outcome::Done { granted: 1.., .. } = answer.outcome {
            granted = Some(answer.now_ms);
        }
    }
    Ok(())
}

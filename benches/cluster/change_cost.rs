//! What one key change costs where the store holds few keys, many, and a million.
//!
//! First the time until a change is in force, the instance being asked without pause; then, with
//! nobody asking, what gateway and Postgres compute for so many changes, less what they compute in
//! as much time without any. The changed key is one that the instance knows.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use keygate::domain::KeyId;

use crate::stage::cpu;
use crate::stage::filled::fill;
use crate::stage::report::{Table, Times, say};
use crate::stage::site::{self, ByHand, Library, PATH, SCOPE};
use crate::support::load::get;
use crate::support::{Kind, MintedKey, Origin, TestGateway, TestStore, Wire, bulk};

const SIZES: [u32; 3] = [1_000, 100_000, 1_000_000];
const CHANGES: u32 = 200;
/// Between two changes while the CPU's time is taken.
const PAUSE: Duration = Duration::from_millis(10);
/// A change that is not in force by then never will be.
const PATIENCE: Duration = Duration::from_secs(10);
/// Every backend that works for a client of this database.
const BACKENDS: &str = "SELECT pid FROM pg_stat_activity \
    WHERE backend_type = 'client backend' AND datname = current_database() \
    AND pid <> pg_backend_pid()";

/// Measures and prints.
pub fn run(quick: bool) -> Result<()> {
    let changes = if quick { 20 } else { CHANGES };
    let sizes = if quick { &SIZES[..2] } else { &SIZES[..] };
    say(&format!(
        "\nchange_cost: {changes} changes of a known key's scopes; CPU and statements a change, \
         less what the same time costs without any\n"
    ));
    let mut table = Table::new([
        "keys in the store",
        "p50 ms",
        "p99 ms",
        "max ms",
        "count",
        "gateway CPU ms",
        "Postgres CPU ms",
        "statements",
    ]);
    for kind in [Kind::Postgres, Kind::Sqlite] {
        for size in sizes {
            table.row(measure(kind, *size, changes)?);
        }
    }
    say(&table.to_string());
    Ok(())
}

fn measure(kind: Kind, size: u32, changes: u32) -> Result<Vec<String>> {
    let origin = Origin::start();
    let store = TestStore::of(kind).ok_or_else(|| anyhow!("Debian's postgresql is needed"))?;
    let gateway = filled(store, size, &origin);
    let key = bulk::insert(gateway.store(), 1, |_, _| {}).remove(0);
    let library = Library::open(gateway.store())?;
    let scene = Scene { gateway: &gateway, library: &library, id: site::id(&key) };

    let mut asker = Asker::new(&gateway, &key);
    asker.until(200)?;
    let times: Times = (0..changes)
        .map(|number| {
            let status = scene.change(number)?;
            let committed = Instant::now();
            asker.until(status)?;
            Ok(committed.elapsed())
        })
        .collect::<Result<_>>()?;
    asker.until(200)?;

    let idle = scene.cost(changes, |_| Ok(()))?;
    let busy = scene.cost(changes, |number| scene.change(number).map(drop))?;
    asker.until(200)?;

    let each = |busy: f64, idle: f64| format!("{:.2}", (busy - idle) / f64::from(changes));
    let mut cells = vec![format!("{size}, {kind:?}")];
    cells.extend(times.cells());
    cells.push(each(busy.gateway_ms, idle.gateway_ms));
    cells.push(match kind {
        Kind::Postgres => each(busy.postgres_ms, idle.postgres_ms),
        Kind::Sqlite => String::new(),
    });
    cells.push(each(busy.statements, idle.statements));
    Ok(cells)
}

/// A gateway on a store with so many keys that nobody uses.
fn filled(store: TestStore, size: u32, origin: &Origin) -> TestGateway {
    let (installation, store) = site::setup(store, origin.address()).install();
    installation.run(&["migrate"]);
    fill(&store, size);
    installation.serve(store)
}

struct Scene<'a> {
    gateway: &'a TestGateway,
    library: &'a Library,
    id: KeyId,
}

/// What so many changes, or as much time without any, cost in all.
struct Cost {
    gateway_ms: f64,
    postgres_ms: f64,
    statements: f64,
}

impl Scene<'_> {
    /// Takes the scope, or gives it back; what the key is answered from then on.
    fn change(&self, number: u32) -> Result<u16> {
        let (scopes, status): (&[&str], _) =
            if number.is_multiple_of(2) { (&[], 403) } else { (&[SCOPE], 200) };
        self.library.set_scopes(&self.id, scopes)?;
        Ok(status)
    }

    fn cost(&self, times: u32, mut change: impl FnMut(u32) -> Result<()>) -> Result<Cost> {
        let before = self.spent()?;
        for number in 0..times {
            let next = Instant::now() + PAUSE;
            change(number)?;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        // The last one is to be in force as well.
        thread::sleep(Duration::from_millis(200));
        let after = self.spent()?;
        Ok(Cost {
            gateway_ms: after.gateway_ms - before.gateway_ms,
            postgres_ms: after.postgres_ms - before.postgres_ms,
            statements: after.statements - before.statements,
        })
    }

    fn spent(&self) -> Result<Cost> {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let backends = match self.gateway.store() {
            TestStore::Sqlite { .. } => Vec::new(),
            store @ TestStore::Postgres { .. } => ByHand::connect(store)?.numbers(BACKENDS)?,
        };
        let backends: Vec<u32> = backends.into_iter().map(i32::cast_unsigned).collect();
        Ok(Cost {
            gateway_ms: ms(cpu::of_process(self.gateway.process().id())?),
            postgres_ms: ms(cpu::of_processes(&backends)?),
            statements: self.gateway.metrics().total("keygate_store_queries_total") as f64,
        })
    }
}

/// Asks with one key on one connection.
struct Asker {
    wire: Wire,
    request: Vec<u8>,
    last: u16,
}

impl Asker {
    fn new(gateway: &TestGateway, key: &MintedKey) -> Self {
        let wire = Wire::connect(gateway.address());
        Self { wire, request: get(PATH, key.secret()), last: 401 }
    }

    /// Asks without pause until the answer is this; anything but that and the last one is wrong.
    fn until(&mut self, wanted: u16) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            self.wire.send(&self.request);
            let status = self.wire.answer().status;
            if status == wanted {
                self.last = status;
                return Ok(());
            }
            ensure!(status == self.last, "{status}, not {wanted}");
            ensure!(Instant::now() < end, "still {status} after {PATIENCE:?}");
        }
    }
}

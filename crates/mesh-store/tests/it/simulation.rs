//! A service in simulated time: three workers on one database, clients that make, cancel and
//! follow runs, and a seed that says what goes wrong. The code is that of the server; only the clock,
//! ids, chance and the way to the database are the simulation's.
//!
//! Writes get lost on the way there or back, arrive late, or are the last thing that a worker does;
//! news of commits are not told. Meanwhile and afterwards all that is promised has to hold.
//!
//! `SIMULATION_SEEDS=1000..2000 cargo test -p mesh-store --test it simulation` tries others.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use mesh_graph::{
    CheckpointId, Checkpointer, Ctx, Graph, NodeResult, START, State, Store, View,
    checkpoint::{Place, TaskRecord},
    checkpointer::{self, Commit},
    env::Env,
    store,
    testing::{Around, Writes},
};
use mesh_runtime::{
    Error, Graphs, Ledger, Run, Runtime, Scope, Start, WorkOptions,
    graphs::{Purpose, Request, Served},
    invariants,
    ledger::{Listener, Operation, Ride, Rider},
    log::{Entry, Kind},
    run::{CancelAction, Multitask, RunStatus},
    runs::{NewRun, Selection, Target},
};
use mesh_store::Sqlite;
use serde_json::{Map, json};
use tokio::{sync::Notify, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::runs::{Draws, assistant};

const WORKERS: usize = 3;
const THREADS: u64 = 3;
const CLIENTS: u64 = 3;

/// Runs that each client makes.
const RUNS: u64 = 8;

/// Simulated time in which every run has to end once nothing goes wrong any more.
const CALM: Duration = Duration::from_mins(10);

/// What the seed decides, and time.
struct Chance {
    draws: Mutex<Draws>,
    calm: AtomicBool,
    begun: Instant,
    ids: AtomicU64,
}

impl Chance {
    fn below(&self, bound: u64) -> u64 {
        self.draws.lock().unwrap().below(bound)
    }

    fn ms(&self, bound: u64) -> Duration {
        Duration::from_millis(self.below(bound))
    }
}

#[async_trait]
impl Env for Chance {
    fn now_ms(&self) -> i64 {
        1_700_000_000_000 + i64::try_from(self.begun.elapsed().as_millis()).unwrap()
    }

    fn new_id(&self) -> u128 {
        u128::from(self.ids.fetch_add(1, Ordering::Relaxed)) + 1
    }

    fn random(&self) -> u64 {
        self.below(u64::MAX)
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// A worker's way to the database.
struct Way {
    chance: Arc<Chance>,
    /// Given when the worker's process goes.
    crash: Notify,
}

impl Way {
    /// Lets a write go to the database, or not, or late.
    async fn write<T, E>(
        &self,
        write: impl Future<Output = Result<T, E>> + Send,
        lost: impl Fn() -> E + Send,
    ) -> Result<T, E> {
        if self.chance.calm.load(Ordering::Relaxed) {
            return write.await;
        }
        // Beyond the lease of 10 s.
        let late = self.chance.ms(16_000);
        match self.chance.below(150) {
            0..3 => Err(lost()),
            3..6 => {
                drop(write.await);
                Err(lost())
            }
            6..9 => {
                tokio::time::sleep(late).await;
                write.await
            }
            9..12 => {
                let given = write.await;
                tokio::time::sleep(late).await;
                given
            }
            12 => {
                self.crash.notify_one();
                Err(lost())
            }
            13 => {
                drop(write.await);
                self.crash.notify_one();
                Err(lost())
            }
            _ => write.await,
        }
    }
}

fn lost() -> Error {
    Error::Storage("the connection was lost".into())
}

struct Far {
    inner: Arc<dyn Ledger>,
    way: Arc<Way>,
    /// Whom it tells what was added.
    ears: Mutex<Vec<Arc<dyn Listener>>>,
}

#[async_trait]
impl Ledger for Far {
    async fn run_read(&self, operation: Operation) -> Result<Box<dyn Any + Send>, Error> {
        self.inner.run_read(operation).await
    }

    async fn run_write(&self, operation: Operation) -> Result<Box<dyn Any + Send>, Error> {
        self.way.write(self.inner.run_write(operation), lost).await
    }

    fn writes_waiting(&self) -> usize {
        self.inner.writes_waiting()
    }

    fn checkpointer(&self) -> Arc<dyn Checkpointer> {
        self.inner.checkpointer()
    }

    fn checkpointer_with(&self, rider: Arc<dyn Rider>) -> Arc<dyn Checkpointer> {
        let (ledger, way) = (Arc::clone(&self.inner), Arc::clone(&self.way));
        Arc::new(Around(FarCheckpointer { inner: ledger.checkpointer(), ledger, rider, way }))
    }

    fn listen(&self, listener: &Arc<dyn Listener>) {
        let hears: Arc<dyn Listener> =
            Arc::new(Hard { listener: Arc::clone(listener), chance: Arc::clone(&self.way.chance) });
        self.inner.listen(&hears);
        self.ears.lock().unwrap().push(hears);
    }

    fn store(&self, options: store::Options) -> Arc<dyn Store> {
        self.inner.store(options)
    }
}

/// Somebody who does not hear everything.
struct Hard {
    listener: Arc<dyn Listener>,
    chance: Arc<Chance>,
}

impl Listener for Hard {
    fn added(&self, thread: &str, entries: &[Entry]) {
        if self.chance.calm.load(Ordering::Relaxed) || self.chance.below(20) > 0 {
            self.listener.added(thread, entries);
        }
    }
}

struct FarCheckpointer {
    /// For what takes nothing along.
    inner: Arc<dyn Checkpointer>,
    ledger: Arc<dyn Ledger>,
    rider: Arc<dyn Rider>,
    way: Arc<Way>,
}

impl FarCheckpointer {
    /// The checkpointer for one write: what goes along is taken in now, however late it arrives.
    fn boarded(&self) -> Arc<dyn Checkpointer> {
        self.ledger.checkpointer_with(Arc::new(Boarded(Mutex::new(Some(self.rider.board())))))
    }
}

/// What goes along with one write.
struct Boarded(Mutex<Option<Box<dyn Ride>>>);

impl Rider for Boarded {
    fn board(&self) -> Box<dyn Ride> {
        self.0.lock().unwrap().take().expect("one write")
    }
}

fn lost_there() -> checkpointer::Error {
    checkpointer::Error::Storage("the connection was lost".into())
}

#[async_trait]
impl Writes for FarCheckpointer {
    fn inner(&self) -> &dyn Checkpointer {
        &*self.inner
    }

    async fn put(&self, commit: Commit) -> Result<(), checkpointer::Error> {
        let inner = self.boarded();
        self.way.write(inner.put(commit), lost_there).await
    }

    async fn put_task(
        &self,
        place: &Place,
        checkpoint: CheckpointId,
        record: TaskRecord,
    ) -> Result<(), checkpointer::Error> {
        let inner = self.boarded();
        self.way.write(inner.put_task(place, checkpoint, record), lost_there).await
    }
}

#[derive(State)]
struct Trail {
    /// Of the run: what it calls its steps.
    word: String,
    #[state(append)]
    trail: Vec<String>,
}

/// `a`, then `b` and `c` side by side, then `d`; each takes its time and leaves a mark.
fn graphs(chance: &Arc<Chance>) -> Graphs {
    let mut graph = Graph::<Trail>::new("agent");
    for name in ["a", "b", "c", "d"] {
        let chance = Arc::clone(chance);
        graph.node(name, move |state: View<Trail>, _: Ctx| {
            let chance = Arc::clone(&chance);
            async move {
                let bound = if chance.below(12) == 0 { 20_000 } else { 1500 };
                tokio::time::sleep(chance.ms(bound)).await;
                NodeResult::Ok(Trail::update().push_trail(format!("{} {name}", *state.word)))
            }
        });
    }
    graph.edge(START, "a").edge("a", "b").edge("a", "c").join(["b", "c"], "d");
    let app = graph.compile().unwrap().app(()).untyped();
    let mut graphs = Graphs::default();
    graphs.insert("agent", Served::fixed(app));
    graphs
}

/// A run that a client made.
#[derive(Clone)]
struct Made {
    run: Run,
    word: String,
}

#[derive(Clone)]
struct World {
    seed: u64,
    chance: Arc<Chance>,
    ledger: Arc<dyn Ledger>,
    workers: Arc<Vec<(Runtime, Arc<Way>)>>,
    made: Arc<Mutex<Vec<Made>>>,
    /// Threads on which somebody wanted a run to be as if it had never been.
    rolled_back: Arc<Mutex<BTreeSet<String>>>,
    /// What followers have read of runs.
    read: Arc<Mutex<BTreeMap<Uuid, Vec<Entry>>>>,
}

impl World {
    fn new(seed: u64) -> Self {
        let chance = Arc::new(Chance {
            draws: Mutex::new(Draws(seed)),
            calm: AtomicBool::new(false),
            begun: Instant::now(),
            ids: AtomicU64::new(0),
        });
        let ledger = Sqlite::in_memory().unwrap().ledger();
        let workers = (0..WORKERS).map(|_| {
            let way = Arc::new(Way { chance: Arc::clone(&chance), crash: Notify::new() });
            let (inner, way_of) = (Arc::clone(&ledger), Arc::clone(&way));
            let far = Arc::new(Far { inner, way: way_of, ears: Mutex::default() });
            let env = Arc::clone(&chance) as Arc<dyn Env>;
            (Runtime::new(far, graphs(&chance), env), way)
        });
        Self {
            seed,
            workers: Arc::new(workers.collect()),
            chance,
            ledger,
            made: Arc::default(),
            rolled_back: Arc::default(),
            read: Arc::default(),
        }
    }

    fn any_runtime(&self) -> &Runtime {
        &self.workers[self.chance.below(WORKERS as u64) as usize].0
    }

    /// A worker's process, which is started again whenever it has gone.
    async fn work(self, worker: usize, stop: CancellationToken) {
        let (runtime, way) = &self.workers[worker];
        while !stop.is_cancelled() {
            tokio::select! {
                biased;
                () = way.crash.notified() => {}
                _ = runtime.work(WorkOptions::default(), stop.clone()) => {}
            }
            tokio::time::sleep(self.chance.ms(3000)).await;
        }
    }

    /// A client makes runs, follows them and cancels some.
    async fn ask(self, client: u64) {
        let mut following = JoinSet::new();
        for number in 0..RUNS {
            tokio::time::sleep(self.chance.ms(6000)).await;
            let thread = format!("t{}", self.chance.below(THREADS));
            let strategies =
                [Multitask::Enqueue, Multitask::Enqueue, Multitask::Interrupt, Multitask::Rollback];
            let multitask = strategies[self.chance.below(4) as usize];
            if multitask == Multitask::Rollback {
                self.rolled_back.lock().unwrap().insert(thread.clone());
            }
            let word = format!("{client}.{number}");
            let new = NewRun {
                input: json!({ "word": word }),
                stream_mode: vec!["updates".to_owned()],
                multitask,
                ..NewRun::new(assistant(), Target::Thread { id: thread.clone(), make: true })
            };
            // Nobody knows of a run whose making was not answered, and it may be there.
            let Ok(run) = self.any_runtime().create_run(&Scope::All, new).await else { continue };
            self.made.lock().unwrap().push(Made { run: run.clone(), word });
            following.spawn(self.clone().follow(run.clone()));
            if self.chance.below(4) == 0 {
                let action = [CancelAction::Interrupt, CancelAction::Rollback]
                    [self.chance.below(2) as usize];
                if action == CancelAction::Rollback {
                    self.rolled_back.lock().unwrap().insert(thread);
                }
                tokio::time::sleep(self.chance.ms(4000)).await;
                let selection = Selection::Runs { thread: None, ids: vec![run.id] };
                // The answer may be lost like any other.
                drop(self.any_runtime().cancel(&Scope::All, &selection, action).await);
            }
        }
        while let Some(read) = following.join_next().await {
            read.unwrap();
        }
    }

    /// Reads a run to its end, over as many connections as it takes.
    async fn follow(self, run: Run) {
        let mut read: Vec<Entry> = Vec::new();
        let mut start = Start::Beginning;
        'connect: loop {
            let runtime = self.any_runtime();
            let mut follow = match runtime.follow_run(&run.thread, run.id, start).await {
                Ok(follow) => follow,
                Err(Error::NoRun(_)) => break,
                Err(error) => panic!("seed {}: {error}", self.seed),
            };
            loop {
                match follow.next().await {
                    Ok(Some(entry)) => {
                        start = Start::After(entry.seq);
                        read.push(entry);
                    }
                    Ok(None) => break 'connect,
                    Err(error) => panic!("seed {}: {error}", self.seed),
                }
                if self.chance.below(6) == 0 {
                    tokio::time::sleep(self.chance.ms(5000)).await;
                    continue 'connect;
                }
            }
        }
        self.read.lock().unwrap().insert(run.id, read);
    }

    /// Holds the rules against what is stored at this moment.
    async fn check_rules(&self) {
        let now = self.workers[0].0.stamp();
        let broken = self.ledger.read(move |tx| invariants::check(tx, now)).await.unwrap();
        assert!(broken.is_empty(), "seed {}: {broken:?}", self.seed);
    }

    /// Holds what clients were promised against what is there at the end.
    async fn check_promises(&self) {
        let seed = self.seed;
        let made = self.made.lock().unwrap().clone();
        for number in 0..THREADS {
            let thread = format!("t{number}");
            let place = Place { thread: thread.clone(), ns: String::new() };
            let rolled_back = self.rolled_back.lock().unwrap().contains(&thread);
            let request = Request { purpose: Purpose::Run, configurable: Map::new() };
            let app = graphs(&self.chance).get("agent").unwrap().app(&request).unwrap();
            let app = app.checkpointer(self.ledger.checkpointer());
            let state = app.state(&thread).await.unwrap().json().unwrap();
            let trail: Vec<String> =
                serde_json::from_value(state.get("trail").cloned().unwrap_or(json!([]))).unwrap();
            let log = self
                .ledger
                .read(move |tx| tx.entries(&place.thread, 0, usize::MAX >> 1))
                .await
                .unwrap();
            let numbers = log.iter().map(|entry| entry.seq);
            assert!(numbers.eq(1..=log.len() as u64), "seed {seed}: {thread} has a gap");
            for Made { run, word } in made.iter().filter(|made| made.run.thread == thread) {
                let of = format!("seed {seed}: run {word} on {thread}");
                let id = run.id;
                let told: Vec<&Entry> = log.iter().filter(|entry| entry.run == id).collect();
                let ends = told.iter().filter(|entry| entry.kind == Kind::Ended).count();
                assert_eq!(ends, 1, "{of}: one end");
                assert_eq!(told.last().unwrap().kind, Kind::Ended, "{of}: the end is last");
                let updates = told.iter().filter(|entry| entry.kind.name() == "updates");
                let mut nodes: Vec<_> = updates.filter_map(|entry| entry.node.as_deref()).collect();
                nodes.sort_unstable();
                assert!(nodes.windows(2).all(|two| two[0] != two[1]), "{of}: it told {nodes:?}");
                let read = self.read.lock().unwrap()[&id].clone();
                assert!(read.iter().eq(told.iter().copied()), "{of}: its follower read else");
                let own = trail.iter().filter_map(|mark| mark.strip_prefix(&format!("{word} ")));
                let own: String = own.collect();
                let stored = self.ledger.read(move |tx| tx.run(id)).await.unwrap();
                let expected: &[&str] = match stored.map(|run| run.status) {
                    Some(RunStatus::Success) => &["abcd"],
                    // What is done of a step is kept when the next input gives up the rest.
                    Some(RunStatus::Error | RunStatus::Interrupted) => {
                        &["", "a", "ab", "ac", "abc", "abcd"]
                    }
                    None if rolled_back => &[""],
                    status => panic!("{of} is {status:?}"),
                };
                assert!(expected.contains(&&*own), "{of}: it left {own:?}");
            }
        }
    }
}

async fn simulate(seed: u64) -> usize {
    let world = World::new(seed);
    let stop = CancellationToken::new();
    let mut processes = JoinSet::new();
    for worker in 0..WORKERS {
        processes.spawn(world.clone().work(worker, stop.clone()));
    }
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(world.clone().ask(client));
    }
    // Disturbed for a minute; then everything has to come to its end.
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.check_rules().await;
    }
    world.chance.calm.store(true, Ordering::Relaxed);
    let ended = tokio::time::timeout(CALM, async {
        while let Some(client) = clients.join_next().await {
            client.unwrap();
        }
    });
    if ended.await.is_err() {
        let read = world.read.lock().unwrap().clone();
        let made = world.made.lock().unwrap().clone();
        let open = made.into_iter().filter(|made| !read.contains_key(&made.run.id));
        let open: Vec<String> = open.map(|made| made.word).collect();
        panic!("seed {seed}: these runs have not come to their end: {open:?}");
    }
    stop.cancel();
    while processes.join_next().await.is_some() {}
    world.check_rules().await;
    world.check_promises().await;
    world.made.lock().unwrap().len()
}

#[test]
fn whatever_goes_wrong_in_whatever_order_all_promises_are_kept() {
    let seeds: Range<u64> = std::env::var("SIMULATION_SEEDS").map_or(0..12, |range| {
        let (from, to) = range.split_once("..").expect("two numbers with .. between them");
        from.parse().unwrap()..to.parse().unwrap()
    });
    let (mut made, count) = (0, seeds.end - seeds.start);
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        made += runtime.block_on(simulate(seed));
    }
    assert!(made as u64 > count * CLIENTS * RUNS / 2, "only {made} runs were made");
}

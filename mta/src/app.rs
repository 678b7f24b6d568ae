//! Wires everything: the only file that names concrete adapters. Starts, waits, drains, stops.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use relay_config::Config;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::access::{Access, Caller};
use crate::admin::{self, Control, Front, Reloaded};
use crate::control::{RelayControl, ReloadOrder, Streams};
use crate::current::Current;
use crate::dispatch::{Dispatch, OnItsWay, Parts};
use crate::egress::day_of_pools;
use crate::message::Id;
use crate::outcome::tally::Tallies;
use crate::outcome::webhook::{HttpCourier, Webhooks};
use crate::outcome::{EventFiles, FileLimits, Horizon, JsonlSink};
use crate::outside::{DkimKeys, MailDns, Net, WallClock, real};
use crate::policy::Policy;
use crate::policy::dkim::Signing;
use crate::queue::schedule::Schedule;
use crate::queue::{self, Queue};
use crate::reload::{reloaded, waits_for_restart};
use crate::smtp_in::{Authenticator, Listeners, Shared, Terms};
use crate::smtp_out::{Connector, Gateways, Resolver, TlsClients, ask_gateway};
use crate::spool::{Committer, Spool, SpoolHealth, off_thread};
use crate::suppression::Suppressions;
use crate::web;

/// Time that sessions and deliveries in flight have to end when the relay stops.
const DRAIN: Duration = Duration::from_secs(30);

/// The world that a relay runs in.
pub struct World {
    /// Time of day.
    pub clock: Arc<dyn WallClock>,
    /// Names.
    pub dns: Arc<dyn MailDns>,
    /// Streams.
    pub net: Arc<dyn Net>,
    /// Keys that sign mail.
    pub keys: Arc<dyn DkimKeys>,
    /// The store.
    pub spool: Arc<dyn Spool>,
    /// Writes to it.
    pub committer: Committer,
    /// For all that is drawn at random.
    pub seed: u64,
}

/// A relay that runs.
pub struct Relay {
    /// As it was when the relay was started: what cannot change is still that.
    started: Arc<Config>,
    config: Arc<Current<Config>>,
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    dispatch: Arc<Dispatch>,
    control: Arc<RelayControl>,
    keys: Arc<dyn DkimKeys>,
    clock: Arc<dyn WallClock>,
    horizon: Arc<Horizon>,
    sink: Option<Arc<JsonlSink>>,
    tallies: Option<Arc<Tallies>>,
    stop: watch::Sender<bool>,
    /// Reloads that are asked for over the API.
    reloads: tokio::sync::Mutex<mpsc::Receiver<ReloadOrder>>,
    /// The audit log, once it is open.
    access: Option<Arc<Access>>,
    /// Listeners: they end by themselves when told to stop.
    fronts: JoinSet<()>,
    /// What goes on for ever; ended when dropped.
    tasks: JoinSet<()>,
    addresses: Vec<(Arc<str>, SocketAddr)>,
    committer: Committer,
}

impl Relay {
    /// Starts everything but the control socket and `admin.bind`.
    pub fn start(config: Arc<Config>, world: World) -> Result<Self, String> {
        begin_to_count(&config);
        let queue = Queue::open(
            Arc::clone(&world.spool),
            world.committer.clone(),
            Arc::clone(&world.clock),
            options(&config),
        );
        let queue = Arc::new(queue.map_err(|error| error.to_string())?);
        let highest = queue.last_id();
        let horizon = Arc::new(Horizon::new(Arc::clone(&queue)));
        let lanes = queue.seed().map_err(|error| error.to_string())?;
        let signing = signing(&config, &*world.keys)?;
        let policy = Arc::new(Policy::new(&config));
        let listeners = Listeners::bind(&*world.net, &config.listeners, config.limits.connections)
            .map_err(|(address, error)| bind_error(address, &error))?;
        let addresses = listeners.addresses();
        let terms = Terms::new(&config, Arc::clone(&policy)).map_err(|error| error.to_string())?;
        terms.tell();
        let own = addresses.iter().map(|(_, address)| *address).collect();
        let suppressions = Suppressions::open(&*world.spool).map_err(|error| error.to_string())?;
        let webhooks = webhooks(&world, &queue, &horizon);
        let dispatch = dispatch(&config, &world, &queue, &policy, (signing, suppressions), own);
        let (stop, stopped) = watch::channel(false);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let authenticator = Authenticator::new(
            cores,
            config.limits.password_queue,
            config.limits.password_failures,
        )?;
        let shared = Arc::new(Shared {
            queue: Arc::clone(&queue),
            terms: Current::new(terms),
            authenticator: Arc::new(authenticator),
            watches: Arc::clone(dispatch.watches()),
            stop: stopped,
        });
        let mut fronts = JoinSet::new();
        fronts.spawn(listeners.run(Arc::clone(&shared)));
        let mut tasks = tasks(&queue, &dispatch, highest);
        tracing::info!(lanes, "the queue is open");
        for words in what_a_day_carries(&config, &*world.clock) {
            tracing::info!("{words}");
        }
        let (started, config) = (Arc::clone(&config), Arc::new(Current::new(config)));
        let streams = Streams::new(Arc::clone(&horizon));
        let (control, reloads) = RelayControl::new(&queue, &dispatch, &config, (streams, webhooks));
        let control = Arc::new(control);
        let ending = Arc::clone(&control);
        tasks.spawn(async move { ending.go_on_ending_holds().await });
        let (committer, keys, clock) = (world.committer, world.keys, world.clock);
        Ok(Self {
            started,
            config,
            shared,
            queue,
            dispatch,
            control,
            keys,
            clock,
            horizon,
            sink: None,
            tallies: None,
            stop,
            reloads: tokio::sync::Mutex::new(reloads),
            access: None,
            fronts,
            tasks,
            addresses,
            committer,
        })
    }

    /// Opens the control socket and the event files in `data_dir`, and `admin.bind`. Returns
    /// where the latter listens.
    pub async fn open(&mut self, config: &Config) -> Result<Option<SocketAddr>, String> {
        let data_dir = &config.server.data_dir;
        let place = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
        let folder = data_dir.join("events");
        let limits =
            FileLimits { file_size: config.events.file_size.0, max_size: config.events.max_size.0 };
        let files =
            EventFiles::open(folder.clone(), limits).map_err(|error| place(&folder, error))?;
        let sink = JsonlSink::new(Arc::clone(&self.queue), files, config.events.keep);
        let sink = Arc::new(sink);
        self.tasks.spawn(Arc::clone(&self.horizon).run());
        self.tasks.spawn(Arc::clone(&sink).run(self.horizon.follow()));
        self.sink = Some(sink);
        let tallies = Tallies::new(Arc::clone(&self.queue), Arc::clone(&self.config));
        let tallies = Arc::new(tallies);
        self.tasks.spawn(Arc::clone(&tallies).run(self.horizon.follow()));
        self.tallies = Some(tallies);
        self.control.webhooks.set(&config.webhooks);
        let socket = admin::bind_socket(data_dir)
            .map_err(|error| place(&data_dir.join(admin::SOCKET), error))?;
        let access = Access::open(Arc::clone(&self.queue), Arc::clone(&self.clock), data_dir)?;
        let access = Arc::new(access);
        self.access = Some(Arc::clone(&access));
        let front = Front { control: self.control(), access };
        self.tasks.spawn(admin::serve_socket(socket, front.clone()));
        let Some(bind) = config.admin.bind else { return Ok(None) };
        let listener =
            tokio::net::TcpListener::bind(bind).await.map_err(|error| bind_error(bind, &error))?;
        let address = listener.local_addr().ok();
        let allow = config.metrics.allow.clone();
        let router = admin::for_programs(&front, allow, real::measure);
        let place = web::Place { name: config.server.hostname.clone(), tls: config.admin.tls };
        let (pages, pulse) = web::web(&front, place);
        self.tasks.spawn(pulse);
        let shared = Arc::clone(&self.shared);
        let acceptors: admin::Acceptors =
            Arc::new(move || shared.terms.get().tls.as_ref().map(|tls| tls.acceptor().clone()));
        let acceptors = config.admin.tls.then_some(acceptors);
        self.tasks.spawn(admin::serve_network(listener, router.merge(pages), acceptors));
        Ok(address)
    }

    /// Where mail comes in.
    pub fn addresses(&self) -> &[(Arc<str>, SocketAddr)] {
        &self.addresses
    }

    /// What can be asked of it.
    pub fn control(&self) -> Arc<dyn Control> {
        Arc::clone(&self.control) as Arc<dyn Control>
    }

    /// Goes on by another configuration, without dropping a session or a connection; certificates
    /// and DKIM keys are read again in any case. Returns what waits for a restart; an error leaves everything as
    /// it was.
    pub fn reload(&self, config: Arc<Config>) -> Result<Vec<String>, String> {
        let policy = Arc::new(self.shared.terms.get().policy.reloaded(&config));
        let terms = Terms::new(&config, Arc::clone(&policy)).map_err(|error| error.to_string())?;
        let signing = signing(&config, &*self.keys)?;
        let waits = waits_for_restart(&self.started, &config);
        crate::metrics::name_after(&config);
        terms.tell();
        self.shared.terms.set(terms);
        self.dispatch.reload(&config, policy, signing);
        self.control.webhooks.set(&config.webhooks);
        self.queue.set_options(options(&config));
        self.config.set(config);
        Ok(waits)
    }

    /// Returns when somebody asks over the API for the configuration to be read again.
    pub async fn reload_ordered(&self) -> ReloadOrder {
        match self.reloads.lock().await.recv().await {
            Some(order) => order,
            // The control is part of this relay, and asks no more only when both are gone.
            None => std::future::pending().await,
        }
    }

    /// Writes into the audit log what was ordered by a signal, and what came of it.
    pub async fn note_signal(&self, what: &str, came: &Result<Reloaded, String>) {
        let Some(access) = &self.access else { return };
        let outcome = match came {
            Ok(reloaded) => serde_json::to_value(reloaded).unwrap_or_default(),
            Err(error) => serde_json::json!({ "error": error }),
        };
        if let Err(error) = access.note(&Caller::signal(), what, outcome).await {
            tracing::error!(%error, "a signal is not in the audit log");
        }
    }

    /// Counts that the configuration was read again, and whether it holds now.
    pub fn tell_of_reload(&self, done: bool) {
        reloaded(done);
    }

    /// What memory holds for mail that is on its way: nothing, once all of it has ended.
    pub fn on_its_way(&self) -> OnItsWay {
        self.dispatch.on_its_way()
    }

    /// Whether the spool answers: not before it does.
    pub async fn is_well(&self) -> bool {
        self.queue.barrier().await.is_ok()
    }

    /// Returns when the spool has failed, with the reason: only a fresh start helps.
    pub async fn failed(&self) -> String {
        let mut health = self.queue.health();
        loop {
            if let SpoolHealth::Failed(why) = &*health.borrow_and_update() {
                return why.clone();
            }
            if health.changed().await.is_err() {
                return "the committer is gone".to_owned();
            }
        }
    }

    /// Whoever follows events hears of all that happened, while there is time.
    async fn tell_the_last_events(&self) {
        let (Some(sink), Some(tallies)) = (&self.sink, &self.tallies) else { return };
        let Ok(end) = self.horizon.end().await else { return };
        if let Err(error) = sink.follow(end).await {
            tracing::warn!(%error, "the last events are written to their file at the next start");
        }
        if let Err(error) = tallies.follow(end).await {
            tracing::warn!(%error, "the last events are added up at the next start");
        }
    }

    /// Takes nothing new, ends what is in flight, makes everything durable.
    pub async fn drain(mut self) {
        self.stop.send_replace(true);
        // Sessions end at their next command; a message that is arriving may still be taken.
        let fronts = async { while self.fronts.join_next().await.is_some() {} };
        let ended =
            tokio::time::timeout(DRAIN, async { tokio::join!(fronts, self.dispatch.drain()) })
                .await;
        self.queue.stop_accepting();
        if ended.is_err() {
            tracing::warn!(
                "sessions or deliveries that did not end in time are cut off; they are tried again"
            );
        }
        self.tell_the_last_events().await;
        if let Err(error) = self.committer.commit(Vec::new()).await {
            tracing::error!(%error, "the last outcomes could not be synced");
        }
    }
}

/// What cold sources may send today, a sentence for each pool that warms them up.
pub fn what_a_day_carries(config: &Config, clock: &dyn WallClock) -> Vec<String> {
    let days = day_of_pools(&config.pools, &config.sources, clock.now());
    days.iter().filter_map(crate::egress::DayOfPool::sentence).collect()
}

/// What goes on for ever.
fn tasks(queue: &Arc<Queue>, dispatch: &Arc<Dispatch>, highest: Id) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let loader = Arc::clone(queue);
    tasks.spawn(async move { loader.run_loader().await });
    let counting = Arc::clone(queue);
    tasks.spawn(async move { counting.keep_counting().await });
    tasks.spawn(Arc::clone(dispatch).keep_house());
    tasks.spawn(Arc::clone(dispatch).watch_lists());
    tasks.spawn(Arc::clone(dispatch).replace_sources());
    tasks.spawn(Arc::clone(dispatch).watch_names());
    tasks.spawn(sweep_orphans(Arc::clone(queue), highest));
    tasks
}

async fn sweep_orphans(queue: Arc<Queue>, highest: Id) {
    let spool = queue.spool();
    match off_thread(&*spool, move || queue.sweep_orphans(highest)).await.flatten() {
        Ok(0) => {}
        Ok(count) => {
            tracing::info!(count, "pieces of messages that were never accepted are removed");
        }
        Err(error) => tracing::error!(%error, "pieces of unfinished messages cannot be looked for"),
    }
}

/// Makes every metric known, with its zeros, and the names that some of them differ by.
fn begin_to_count(config: &Config) {
    declare_metrics();
    crate::metrics::name_after(config);
}

/// Makes every metric known, with its zeros.
pub(crate) fn declare_metrics() {
    crate::metrics::declare_metrics();
    crate::reload::declare_metrics();
    real::declare_metrics();
    queue::declare_metrics();
    crate::dispatch::declare_metrics();
    crate::dispatch::blocklists::declare_metrics();
    crate::outcome::webhook::declare_metrics();
    crate::smtp_in::declare_metrics();
    crate::smtp_out::declare_metrics();
    crate::spool::declare_metrics();
}

fn webhooks(world: &World, queue: &Arc<Queue>, horizon: &Arc<Horizon>) -> Arc<Webhooks> {
    let courier = HttpCourier {
        net: Arc::clone(&world.net),
        dns: Arc::clone(&world.dns),
        tls: TlsClients::new().verified(),
    };
    let (queue, horizon) = (Arc::clone(queue), Arc::clone(horizon));
    Arc::new(Webhooks::new(queue, horizon, Arc::new(courier), world.seed))
}

fn dispatch(
    config: &Arc<Config>,
    world: &World,
    queue: &Arc<Queue>,
    policy: &Arc<Policy>,
    (signing, suppressions): (Signing, Suppressions),
    own: Vec<SocketAddr>,
) -> Arc<Dispatch> {
    let connector = Connector {
        net: Arc::clone(&world.net),
        dns: Arc::clone(&world.dns),
        clock: Arc::clone(&world.clock),
        tls: TlsClients::new(),
        delivery: Current::new(config.delivery.clone()),
        gateways: Gateways::default(),
        own,
    };
    Dispatch::start(Parts {
        queue: Arc::clone(queue),
        resolver: Resolver::new(Arc::clone(&world.dns), Arc::clone(config)),
        connector,
        policy: Arc::clone(policy),
        classifier: Arc::clone(&config.responses),
        config: Arc::clone(config),
        signing,
        suppressions,
        seed: world.seed,
    })
}

/// Opens the keys. With one that cannot be used the relay does not start, nor takes the configuration:
/// mail that should have been signed would be refused elsewhere, for good.
fn signing(config: &Config, keys: &dyn DkimKeys) -> Result<Signing, String> {
    let open = keys.open(&config.dkim).map_err(|flaws| {
        let flaws: Vec<String> = flaws.iter().map(ToString::to_string).collect();
        flaws.join("\n")
    })?;
    for warning in &open.warnings {
        tracing::warn!("{warning}");
    }
    Ok(Signing::new(&config.dkim, open.signer))
}

/// What the operator decided of the queue.
pub fn options(config: &Config) -> queue::Options {
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    queue::Options {
        schedule: Schedule {
            delays: config.delivery.retry.clone(),
            jitter: config.delivery.retry_jitter,
        },
        expire_after: config.delivery.expire_after,
        routes: config.routes.clone(),
        late_after: config.delivery.delay_notice_after,
        ready_deliveries: count(config.limits.ready_deliveries),
        lanes: count(config.limits.lanes),
        bodies_in_flight_max: config.server.bodies_in_flight_max.0,
        body_cache_max: config.server.body_cache_max.0,
    }
}

/// Sources whose address this machine lacks: nothing can be sent from them.
pub fn missing_sources(config: &Config, net: &dyn Net) -> Vec<String> {
    let here = config.sources.iter().filter(|source| source.via.is_none());
    let missing = here.filter(|source| !net.has_address(source.address));
    missing
        .map(|source| {
            format!(
                "source `{}`: this machine does not have the address {}; add it to an interface \
                 (`ip address add {}/32 dev …`) or remove the source",
                source.name, source.address, source.address
            )
        })
        .collect()
}

/// Sources whose gateway does not answer or does not know this relay: nothing can be sent from them.
pub async fn missing_gateways(config: &Config, net: &Arc<dyn Net>) -> Vec<String> {
    let time = config.delivery.connect_timeout;
    let mut questions = JoinSet::new();
    for source in &config.sources {
        let (source, net) = (Arc::clone(source), Arc::clone(net));
        questions.spawn(async move {
            let gateway = source.via.as_ref()?;
            let failure = ask_gateway(&*net, gateway, time).await.err()?;
            Some(format!(
                "source `{}`: {}; start or mend it, or mend `via`",
                source.name, failure.cause
            ))
        });
    }
    let mut missing: Vec<String> = questions.join_all().await.into_iter().flatten().collect();
    missing.sort();
    missing
}

fn bind_error(address: SocketAddr, error: &std::io::Error) -> String {
    let mend = match error.kind() {
        std::io::ErrorKind::AddrInUse => "another program listens there: stop it, or change `bind`",
        std::io::ErrorKind::PermissionDenied => {
            "ports below 1024 need the capability CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=)"
        }
        std::io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
        _ => "",
    };
    format!("cannot listen on {address}: {error}; {mend}")
}

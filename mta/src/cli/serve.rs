//! `tambo serve`: runs the relay until SIGTERM or SIGINT; SIGHUP reloads the configuration.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use relay_config::Config;
use relay_config::config::LogFormat;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::admin::Reloaded;
use crate::app::{Relay, World, missing_gateways, missing_sources};
use crate::outside::Net;
use crate::outside::real::{InheritedNet, KeyFiles, SystemClock, SystemDns, SystemNet};
use crate::spool::{Committer, Spool};

use super::{load, read, supervisor};

/// Time that the spool has to close. Everything is on disk by then, so that nothing is lost by who waits no longer.
const CLOSE: Duration = Duration::from_secs(10);

pub(super) fn serve(path: &Path) -> Result<(), String> {
    let config = Arc::new(load(path)?);
    start_log(&config);
    // Mail lies in the spool in clear: its files are this user's alone.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    for missing in missing_sources(&config, &SystemNet) {
        eprintln!("warning: {missing}");
    }
    let net = InheritedNet::from_environment()
        .map_err(|error| format!("the sockets that systemd handed over: {error}"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let data_dir = &config.server.data_dir;
    std::fs::create_dir_all(data_dir).map_err(|error| {
        format!("{}: {error}; make it and give it to the service's user", data_dir.display())
    })?;
    let spool = open_spool(&data_dir.join("spool"))?;
    let committer = Committer::start(Arc::clone(&spool), config.server.min_free_space.0);
    let (committer, thread) = committer.map_err(|error| error.to_string())?;
    let ended = runtime.block_on(run(path, config, net, spool, committer));
    drop(runtime);
    // Nobody holds the spool any more but the committer, which lets go of it now. The program does not end in the
    // middle of that.
    let (closed, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = thread.join();
        let _ = closed.send(());
    });
    let _ = wait.recv_timeout(CLOSE);
    ended
}

async fn run(
    path: &Path,
    config: Arc<Config>,
    net: InheritedNet,
    spool: Arc<dyn Spool>,
    committer: Committer,
) -> Result<(), String> {
    let mut signals = Signals::new()?;
    let dns = SystemDns::new(&config.dns)?;
    let net = Arc::new(net);
    let world = World {
        clock: Arc::new(SystemClock),
        dns: Arc::new(dns),
        net: Arc::clone(&net) as Arc<dyn Net>,
        keys: Arc::new(KeyFiles),
        spool,
        committer,
        seed: rand::random(),
    };
    let mut relay = Relay::start(Arc::clone(&config), world).map_err(with_mend)?;
    let admin = relay.open(&config).await?;
    for socket in net.unclaimed() {
        eprintln!(
            "warning: systemd opened {socket}, and no listener has it in `bind`: nobody answers there"
        );
    }
    announce(&relay, admin);
    tokio::spawn(async move {
        let net: Arc<dyn Net> = net;
        // They may take their time: nothing waits for them.
        for missing in missing_gateways(&config, &net).await {
            tracing::warn!("{missing}");
        }
    });
    until_stopped(path, &relay, &mut signals).await?;
    supervisor::stopping();
    eprintln!("tambo stopping: what is in flight ends first");
    relay.drain().await;
    Ok(())
}

fn announce(relay: &Relay, admin: Option<std::net::SocketAddr>) {
    let mut places: Vec<String> =
        relay.addresses().iter().map(|(name, address)| format!("{name} on {address}")).collect();
    places.extend(admin.map(|address| format!("admin on {address}")));
    let places = places.join(", ");
    eprintln!("tambo ready: {places}");
    supervisor::ready(&places);
}

/// Runs until it is told to stop, and reloads when told to; an error when the spool has failed.
async fn until_stopped(path: &Path, relay: &Relay, signals: &mut Signals) -> Result<(), String> {
    let mut watch = std::pin::pin!(supervisor::watch(|| relay.is_well()));
    loop {
        tokio::select! {
            why = relay.failed() => {
                // Nothing that is tried now could be written: a fresh start finds out what the disk holds.
                return Err(format!("the spool failed: {why}; the relay ends so that it can be started afresh"));
            }
            _ = signals.terminate.recv() => return Ok(()),
            _ = signals.interrupt.recv() => return Ok(()),
            _ = signals.hangup.recv() => {
                let came = reload(path, relay);
                relay.note_signal("SIGHUP", &came).await;
            }
            order = relay.reload_ordered() => order.done(reload(path, relay)),
            () = &mut watch => {}
        }
    }
}

/// Reads the configuration again; a bad one changes nothing. What came of it is told here and to whoever ordered it.
fn reload(path: &Path, relay: &Relay) -> Result<Reloaded, String> {
    supervisor::reloading();
    let came = read(path).and_then(|found| match found {
        Ok((config, warnings)) => {
            let waits_for_restart = relay.reload(Arc::new(config))?;
            Ok(Reloaded { waits_for_restart, warnings })
        }
        Err(mistakes) => Err(mistakes.join("\n")),
    });
    relay.tell_of_reload(came.is_ok());
    let status = match &came {
        Ok(Reloaded { waits_for_restart, warnings }) => {
            for warning in warnings {
                eprintln!("warning: {warning}");
            }
            for change in waits_for_restart {
                eprintln!("warning: {change}: that waits for a restart");
            }
            "the configuration was reloaded".to_owned()
        }
        Err(error) => format!("not reloaded, the configuration in force stays: {error}"),
    };
    eprintln!("tambo: {status}");
    supervisor::ready(status.lines().next().unwrap_or_default());
    came
}

/// What the operator says with `kill` and systemd.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, String> {
        let listen = |kind| signal(kind).map_err(|error| error.to_string());
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }
}

/// A spool that cannot be read is a matter for a person; they are told where to begin.
fn with_mend(error: String) -> String {
    // What the database says of a block or file that is not as it was written.
    if error.contains("Corruption") {
        return format!(
            "{error}; the disk or its file system has changed what was written. Nothing was started, so nothing was made \
             worse: `tambo spool check` tells what can be read, `tambo spool export DIR` saves it, and \
             docs/failures.md tells how to go on"
        );
    }
    error
}

#[cfg(feature = "rocks")]
fn open_spool(path: &Path) -> Result<Arc<dyn Spool>, String> {
    let spool =
        crate::spool::RocksSpool::open(path).map_err(|error| with_mend(error.to_string()))?;
    Ok(Arc::new(spool))
}

#[cfg(not(feature = "rocks"))]
fn open_spool(_path: &Path) -> Result<Arc<dyn Spool>, String> {
    Err("this program was built without its durable spool (feature `rocks`)".to_owned())
}

fn start_log(config: &Config) {
    // The resolver's own lines hold the names it asks for, and some of those are secret: the keys of
    // blocklists. What it finds is told by who asked.
    let filter = format!("warn,hickory_resolver=off,hickory_net=off,mta={}", config.log.level);
    let filter = EnvFilter::try_new(filter).unwrap_or_default();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    match config.log.format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}

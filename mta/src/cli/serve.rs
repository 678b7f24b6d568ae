//! `tambo serve`: runs the relay until SIGTERM or SIGINT.

use std::path::Path;
use std::sync::Arc;

use relay_config::Config;
use relay_config::config::LogFormat;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::app::{Relay, World, missing_sources};
use crate::outside::Net;
use crate::outside::real::{InheritedNet, SystemClock, SystemDns, SystemNet};
use crate::spool::{Committer, Spool};

use super::{load, supervisor};

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
    runtime.map_err(|error| error.to_string())?.block_on(run(config, net))
}

async fn run(config: Arc<Config>, net: InheritedNet) -> Result<(), String> {
    let (mut term, mut interrupt) = signals()?;
    let data_dir = &config.server.data_dir;
    std::fs::create_dir_all(data_dir).map_err(|error| {
        format!("{}: {error}; make it and give it to the service's user", data_dir.display())
    })?;
    let spool = open_spool(&data_dir.join("spool"))?;
    let committer = Committer::start(Arc::clone(&spool), config.server.min_free_space.0);
    let (committer, _thread) = committer.map_err(|error| error.to_string())?;
    let dns = SystemDns::new(&config.dns)?;
    let net = Arc::new(net);
    let world = World {
        clock: Arc::new(SystemClock),
        dns: Arc::new(dns),
        net: Arc::clone(&net) as Arc<dyn Net>,
        spool,
        committer,
        seed: rand::random(),
    };
    let mut relay = Relay::start(Arc::clone(&config), world)?;
    let admin = relay.open(&config).await?;
    for socket in net.unclaimed() {
        eprintln!(
            "warning: systemd opened {socket}, and no listener has it in `bind`: nobody answers there"
        );
    }
    announce(&relay, admin);
    tokio::select! {
        why = relay.failed() => {
            // Nothing that is tried now could be written: a fresh start finds out what the disk holds.
            return Err(format!("the spool failed: {why}; the relay ends so that it can be started afresh"));
        }
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
        () = supervisor::watch(|| relay.is_well()) => {}
    }
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

fn signals() -> Result<(tokio::signal::unix::Signal, tokio::signal::unix::Signal), String> {
    let listen = |kind| signal(kind).map_err(|error| error.to_string());
    Ok((listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?))
}

#[cfg(feature = "rocks")]
fn open_spool(path: &Path) -> Result<Arc<dyn Spool>, String> {
    let spool = crate::spool::RocksSpool::open(path).map_err(|error| error.to_string())?;
    Ok(Arc::new(spool))
}

#[cfg(not(feature = "rocks"))]
fn open_spool(_path: &Path) -> Result<Arc<dyn Spool>, String> {
    Err("this program was built without its durable spool (feature `rocks`)".to_owned())
}

fn start_log(config: &Config) {
    let filter = EnvFilter::try_new(format!("warn,mta={}", config.log.level)).unwrap_or_default();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    match config.log.format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}

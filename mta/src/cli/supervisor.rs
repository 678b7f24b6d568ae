//! What systemd is told about the relay (`sd_notify(3)`); nothing when it is not there.

use std::time::Duration;

use sd_notify::NotifyState;

/// Mail is accepted.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is read again; [`ready`] ends that.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the clock cannot be read"),
    }
}

/// What is in flight ends.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("what is in flight ends first")]);
}

/// Says that all is well twice in each watchdog time, as long as `well` answers. Ends only when
/// nobody watches.
pub(super) async fn watch<F: Future<Output = bool>>(well: impl Fn() -> F) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    let every = (limit / 2).max(Duration::from_millis(10));
    loop {
        // An answer that does not come leaves the watchdog unfed, which is what it is for.
        if well().await {
            tell(&[NotifyState::Watchdog]);
        }
        tokio::time::sleep(every).await;
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd cannot be told how the relay is");
    }
}

//! How a destination answers a source at this moment: a connection like any other, in which no mail is sent.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use relay_config::config::Source;
use relay_config::responses::Verdict;
use tokio::time::{Instant, timeout};

use crate::message::{Address, Failure, Reply};
use crate::outcome;
use crate::smtp_out::{Connection, Ear, Route, Said, not_answered};

use super::Dispatch;

/// Somebody waits for the answer: shorter than what a server may take for mail.
const PATIENCE: Duration = Duration::from_secs(45);

/// What is asked of a destination.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Domain, or the smarthost's.
    pub routing_domain: String,
    /// Whether it would take mail from the first to the second.
    pub mail: Option<(String, Address)>,
}

/// One step, and after how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Since it began.
    pub after: Duration,
    /// What was done or said.
    pub what: What,
}

/// What was done or said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// By us.
    Done(String),
    /// A line that we sent.
    Sent(String),
    /// A reply.
    Heard(Reply),
}

/// What came of one source.
#[derive(Debug)]
pub struct Probed {
    /// It.
    pub source: Arc<Source>,
    /// In order.
    pub steps: Vec<Step>,
    /// Host and TLS; why not, with what that means.
    pub came: Result<(String, Option<String>), (Failure, Verdict)>,
}

/// Writes down what it hears.
#[derive(Debug)]
struct Notes {
    begun: Instant,
    steps: Mutex<Vec<Step>>,
}

impl Notes {
    fn add(&self, what: What) {
        let after = self.begun.elapsed();
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).push(Step { after, what });
    }

    fn hear(&self, said: &Said<'_>) {
        self.add(match said {
            Said::Line(line) => What::Sent((*line).to_owned()),
            Said::Reply(reply) => What::Heard((*reply).clone()),
            done => What::Done(done.done().unwrap_or_default()),
        });
    }
}

impl Dispatch {
    /// The way that mail to a domain would go now.
    pub async fn route_now(&self, routing_domain: &str) -> Result<Route, Failure> {
        self.resolver.get().route(routing_domain, self.queue.now()).await
    }

    /// Connects from a source as for mail, greets, starts TLS, asks for a recipient if one is meant, and leaves. It is
    /// counted for no limit and changes nothing that is known of paths.
    pub async fn probe(&self, route: &Route, source: &Arc<Source>, asked: &Asked) -> Probed {
        let notes = Arc::new(Notes { begun: Instant::now(), steps: Mutex::default() });
        let listener = Arc::clone(&notes);
        let ear = Ear::new(move |said| listener.hear(said));
        let seed = self.random_seed();
        let talk = async {
            let mut connection = self.connector.open(route, source, seed, &[], Some(&ear)).await?;
            let came = talk(&mut connection, asked).await;
            let found = (connection.host.clone(), connection.tls.clone());
            connection.quit().await;
            came.map(|()| found)
        };
        let came = timeout(PATIENCE, talk).await.unwrap_or_else(|_| Err(not_answered(PATIENCE)));
        let provider = route.provider.as_deref();
        let came = came.map_err(|failure| {
            let verdict = outcome::verdict(&self.classifier.get(), &failure, provider);
            (failure, verdict)
        });
        let steps = notes.steps.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Probed { source: Arc::clone(source), steps, came }
    }
}

async fn talk(connection: &mut Connection, asked: &Asked) -> Result<(), Failure> {
    match &asked.mail {
        Some((sender, recipient)) => connection.ask(sender, &recipient.to_string()).await,
        None => Ok(()),
    }
}

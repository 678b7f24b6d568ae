//! EHLO and HELO: what is offered to whom.

use relay_config::config::ListenerTls;

use super::Session;

impl Session {
    pub(super) fn hello(&mut self, name: String) {
        self.forget_transaction();
        self.helo = Some((name, false));
        self.raw(&format!("250 {}\r\n", self.setup.policy.hostname.clone()));
    }

    pub(super) fn ehlo(&mut self, name: String) {
        self.forget_transaction();
        self.helo = Some((name, true));
        let listener = &self.setup.listener;
        let mut lines = vec![self.setup.policy.hostname.clone(), "PIPELINING".to_owned()];
        lines.push(format!("SIZE {}", listener.limits.message_size.0));
        lines.push("8BITMIME".to_owned());
        lines.push("CHUNKING".to_owned());
        lines.push("SMTPUTF8".to_owned());
        lines.push("DSN".to_owned());
        // RFC 9422: what a client would otherwise learn by being refused.
        lines.push(format!(
            "LIMITS MAILMAX={} RCPTMAX={}",
            listener.limits.messages_per_connection, listener.limits.recipients_per_message
        ));
        // RFC 6710.
        lines.push("MT-PRIORITY".to_owned());
        lines.push("ENHANCEDSTATUSCODES".to_owned());
        let starts_tls = matches!(listener.tls, ListenerTls::Starttls | ListenerTls::Required);
        if starts_tls && self.tls.is_none() {
            lines.push("STARTTLS".to_owned());
        }
        if listener.auth && self.tls.is_some() {
            lines.push("AUTH PLAIN LOGIN".to_owned());
        }
        let last = lines.len() - 1;
        for (place, line) in lines.iter().enumerate() {
            self.raw(&format!("250{}{line}\r\n", if place == last { ' ' } else { '-' }));
        }
    }
}
